"""Fields to a table of counts: with boxes, a differential count, totals of slides or patients."""

from __future__ import annotations

import re
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridleuk import progress
from hybridleuk.data.annotations.records import AnnotationError, counted_as
from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.data.manifest import Manifest
from hybridleuk.exceptions import InputError
from hybridleuk.prediction import predict_images
from hybridleuk.segmentation.agreement import agreement_of_counts
from hybridleuk.segmentation.fields import KINDS, FieldCell, FieldCount, iter_counts
from hybridleuk.segmentation.stain import estimate_background

__all__ = ["CONTEXT", "Counts", "count_images", "crop_around", "voc_document"]

CONTEXT = 2.0
_SMALLEST_CROP = 32
_COUNTED = ["wbc", "rbc", "platelets"]
_WORTH_WORKERS = 32
_NO_FIELD, _SOME_FIELDS = "no_readable_field", "unreadable_fields"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Counts:
    """What was counted in many fields.

    Attributes
    ----------
    fields : tuple of FieldCount
        In the order of the manifest.
    table : DataFrame, one row per field
        ``path``, ``wbc``, ``rbc``, ``platelets``, ``flags`` (joined by ``;``); with a model also,
        for each of its classes, ``diff_<class>`` (leukocytes) and ``diff_<class>_share`` (of those
        it decided on; empty where there are none), and ``diff_abstained``.
    groups : DataFrame or None
        The same summed over each slide or patient: ``group``, ``fields``, ``unreadable`` (files of
        the group that could not be read), counts, and ``flags``: ``unreadable_fields``, or
        ``no_readable_field`` where nothing could be counted and the counts are empty. None where
        the manifest has no groups.
    totals : dict of str to int
        Every count summed over all fields.
    agreement : DataFrame or None
        Where people drew cells on fields: ``path``, ``kind``, ``drawn``, ``found``, ``matched``,
        ``problem``, a row for each kind that somebody drew in any of them.
    """

    fields: tuple[FieldCount, ...]
    table: pd.DataFrame
    groups: pd.DataFrame | None
    totals: dict[str, int]
    agreement: pd.DataFrame | None = None

    def boxes(self) -> list[dict[str, Any]]:
        """List each cell: ``path``, ``kind``, ``x0``, ``y0``, ``x1``, ``y1``, ``score``.

        Pixels from 0, half-open: ``image[y0:y1, x0:x1]`` is the cell.
        """
        rows = []
        for path, field in zip(self.table["path"], self.fields, strict=True):
            for cell in field.cells:
                y0, x0, y1, x1 = cell.box
                corners = {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
                rows.append({"path": path, "kind": cell.kind, **corners, "score": cell.score})
        return rows


def count_images(
    manifest: Manifest,
    *,
    model: Any = None,
    context: float = CONTEXT,
    cache: Any = "default",
    n_jobs: int | None = None,
) -> Counts:
    """Count the cells of every field of a manifest.

    Parameters
    ----------
    manifest : Manifest
    model : HybridClassifier or FineTunedCNN, fitted, optional
        Trained on single cells; names the kind of each leukocyte.
    context : float, default 2
        Side of the square that is cut out around a leukocyte for the model, in units of the longer
        side of its box; as in the crops that the model was trained on.
    cache : "default", None or path
        Where counts are kept by content.
    n_jobs : int, optional
        Processes. By default all cores for more than 32 fields, else one.

    Raises
    ------
    InputError
        `context` is under 1 or not finite, or `model` is not fitted.
    ImageError
        An image cannot be read.
    """
    if not (np.isfinite(context) and context >= 1.0):
        raise InputError(f"context is {context}; expected a finite number of at least 1.")
    if n_jobs is None:
        n_jobs = -1 if len(manifest) > _WORTH_WORKERS else 1
    paths = [str(path) for path in manifest.paths]
    fields = tuple(iter_counts(paths, cache=cache, n_jobs=n_jobs))
    table = pd.DataFrame(
        {
            "path": paths,
            "wbc": [field.wbc for field in fields],
            "rbc": [field.rbc for field in fields],
            "platelets": [field.platelets for field in fields],
            "flags": [";".join(field.flags) for field in fields],
        }
    )
    numbers = table[_COUNTED]
    if model is not None:
        decided = _differential(paths, fields, model, context)
        numbers = pd.concat([numbers, decided], axis=1)
        table = pd.concat([table, decided, _shares(decided)], axis=1)
    groups = None if manifest.groups is None else _totals(numbers, manifest)
    totals = {str(name): int(number) for name, number in numbers.sum().items()}
    return Counts(fields, table, groups, totals, _agreement(manifest, fields))


def _agreement(manifest: Manifest, fields: Sequence[FieldCount]) -> pd.DataFrame | None:
    """Hold the counts against what is drawn on the fields; None where nothing is."""
    rows: list[dict[str, Any]] = []
    unknown: set[str] = set()
    for row in np.flatnonzero(manifest.annotated).tolist():
        path = str(manifest.paths[row])
        try:
            drawn = manifest.annotations(row)
        except AnnotationError as error:
            rows.append({"path": path, "kind": "", "problem": str(error)})
            continue
        unknown |= {cell.kind for cell in drawn.cells if counted_as(cell.kind) is None}
        problem = " ".join(drawn.problems)
        agreed = agreement_of_counts(fields[row], drawn)
        rows += [{"path": path} | found | {"problem": problem} for found in agreed]
    if not rows:
        return None
    if unknown:
        progress.note(
            f"Drawn cells called {', '.join(sorted(unknown))} are of no kind that is counted; they "
            "are left out of the comparison."
        )
    columns = ["path", "kind", "drawn", "found", "matched", "problem"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:5], "Int64"))
    known = [kind for kind in KINDS if table.loc[table["kind"] == kind, "drawn"].sum()]
    return table[table["kind"].isin(["", *known])].reset_index(drop=True)


def crop_around(image: RGBImage, cell: FieldCell, context: float = CONTEXT) -> RGBImage:
    """Cut a square out of a field in whose middle a cell lies.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cell : FieldCell
    context : float, default 2
        Side of the square over the longer side of the cell's box; the square is at least 32 px
        wide.

    Returns
    -------
    ndarray of shape (side, side, 3), uint8
        Beyond the border of the field it has the color of the empty smear, so that the cell stays
        in the middle and nothing is shown twice.
    """
    y0, x0, y1, x1 = cell.box
    side = max(_SMALLEST_CROP, round(context * max(y1 - y0, x1 - x0)))
    top, left = round((y0 + y1 - side) / 2), round((x0 + x1 - side) / 2)
    crop = np.empty((side, side, 3), dtype=np.uint8)
    crop[:] = np.rint(estimate_background(image)).astype(np.uint8)
    height, width = image.shape[:2]
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    crop[inside] = image[rows, columns]
    return crop


def _differential(
    paths: Sequence[str], fields: Sequence[FieldCount], model: Any, context: float
) -> pd.DataFrame:
    """Count the leukocytes of each class in each field, and those the model abstained from."""
    if not hasattr(model, "classes_"):
        raise InputError(f"{type(model).__name__} is not fitted; fit it or load a model first.")
    columns = [*(f"diff_{name}" for name in model.classes_), "diff_abstained"]
    counts = np.zeros((len(fields), len(columns)), dtype=int)
    with tempfile.TemporaryDirectory(prefix="hybridleuk-") as folder:
        crops, owners = _write_crops(Path(folder), paths, fields, context)
        if crops:
            predicted = predict_images(model, Manifest.from_source(crops))
            known = predicted[["path", "label", "abstain"]].fillna({"abstain": False})
            for path, label, abstain in known.to_numpy():
                column = "diff_abstained" if abstain else f"diff_{label}"
                counts[owners[Path(str(path)).name], columns.index(column)] += 1
    return pd.DataFrame(counts, columns=columns)


def _write_crops(
    folder: Path, paths: Sequence[str], fields: Sequence[FieldCount], context: float
) -> tuple[list[str], dict[str, int]]:
    """Write the leukocytes of all fields as images; say which field each came from."""
    from PIL import Image

    crops: list[str] = []
    owners: dict[str, int] = {}
    with progress.task("Cutting out leukocytes", total=len(fields), unit="fields") as task:
        for number, (path, field) in enumerate(zip(paths, fields, strict=True)):
            image = read_image(path) if field.wbc else None
            for k, cell in enumerate(field.of_kind("WBC")):
                assert image is not None
                target = folder / f"{number:07d}_{k:04d}.png"
                Image.fromarray(crop_around(image, cell, context)).save(target, compress_level=1)
                crops.append(str(target))
                owners[target.name] = number
            task.advance()
    return crops, owners


def _shares(decided: pd.DataFrame) -> pd.DataFrame:
    """Share of each class among the leukocytes that were decided on; empty where none were."""
    classes = decided.drop(columns="diff_abstained")
    shares = classes.div(classes.sum(axis=1).where(lambda total: total > 0), axis=0)
    return shares.add_suffix("_share").round(4)


def _totals(numbers: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Sum the counts of each group, and take the shares anew.

    A patient whose fields cannot be read stays in the table: who is missing from a result should
    be seen in it. The counts are then empty, since 0 would say that somebody looked.
    """
    grouped = numbers.groupby(manifest.groups, sort=False)
    unreadable = manifest.skipped["group"].dropna().value_counts()
    groups = sorted({*grouped.groups, *unreadable.index})
    totals = grouped.sum().astype("Int64").reindex(groups)
    decided = totals.drop(columns=_COUNTED)
    if decided.shape[1]:
        totals = pd.concat([totals, _shares(decided.astype(float))], axis=1)
    fields = grouped.size().reindex(groups, fill_value=0)
    missing = unreadable.reindex(groups, fill_value=0)
    totals.insert(0, "fields", fields)
    totals.insert(1, "unreadable", missing)
    totals["flags"] = np.where(fields == 0, _NO_FIELD, np.where(missing > 0, _SOME_FIELDS, ""))
    return totals.rename_axis("group").reset_index()


def voc_document(path: str, image: RGBImage, field: FieldCount) -> str:
    """Describe the boxes of one field in the XML of Pascal VOC.

    Corners count from 1 and are part of the box, as there; ``truncated`` is 1 for a cell that
    reaches the border. Characters of the path that XML cannot hold become U+FFFD.
    """
    height, width = image.shape[:2]
    root = ElementTree.Element("annotation")
    _add(root, {"folder": Path(path).parent.name, "filename": Path(path).name, "path": path})
    _add(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    _add(root, {"segmented": 0})
    for cell in field.cells:
        y0, x0, y1, x1 = cell.box
        cut = y0 == 0 or x0 == 0 or y1 == height or x1 == width
        item = ElementTree.SubElement(root, "object")
        _add(item, {"name": cell.kind, "pose": "Unspecified", "truncated": int(cut)})
        _add(item, {"difficult": 0})
        corners = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}
        _add(ElementTree.SubElement(item, "bndbox"), corners)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, values: dict[str, Any]) -> None:
    for name, value in values.items():
        # XML holds no control characters and no halves of surrogates, not even escaped.
        ElementTree.SubElement(parent, name).text = _NOT_XML.sub("\ufffd", str(value))
