"""A folder of masks, overlays and measurements: what ``hybridleuk segment`` writes.

::

    index.csv             one row per image; written last, so that it marks a finished folder
    cells.parquet         one row per cell: identity, place, flags, every feature
    regions/<id>.png      uint8: 255 nucleus, 128 cytoplasm, 0 elsewhere
    instances/<id>.png    uint16: the number of the cell
    overlays/<id>.jpg     outlines, numbers and flags on the image
    contact_sheet.jpg     the overlays of the most doubtful images, worst first
    skipped.csv           files that could not be read, if any
    segmentation.json     what was segmented and how, written first

Every file is written under another name and renamed, so that each one that is there is whole. An
interrupted run is taken up again: files of the same images and settings are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk import progress
from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.data.manifest import COLUMNS, Manifest
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.morphology.catalogue import MORPHOLOGY_VERSION, select_features
from hybridleuk.morphology.contact_sheet import draw_contact_sheet
from hybridleuk.morphology.extractor import cell_table, check_spacing, unit_scales
from hybridleuk.morphology.measuring import MARKS, in_parallel, measure_images
from hybridleuk.segmentation.records import Cells

__all__ = ["FINISHED", "OUTPUTS", "SegmentResult", "segment_images"]

FINISHED = "index.csv"
STARTED = "segmentation.json"
FOLDERS = ("regions", "instances", "overlays")
_TABLES = ("contact_sheet.jpg", "skipped.csv", "cells.parquet")
OUTPUTS = (STARTED, *FOLDERS, *_TABLES, FINISHED)
_KINDS = {"regions": "png", "instances": "png", "overlay": "jpg"}
_INDEX_COLUMNS = ("path", "image_id", "n_cells", "regions", "instances", "overlay", "flags")
_JPEG_QUALITY = 90
_DOUBTS = {"no_cell": 4.0, "low_contrast": 2.0, "smudge_like": 2.0, "nucleus_outside": 2.0}
# A field has no central cell and many at its border: that says nothing against its masks.
_NO_DOUBT = {"many_cells", "no_central_cell", "no_cytoplasm", "touches_border"}


@dataclass(frozen=True)
class SegmentResult:
    """What :func:`segment_images` wrote.

    Attributes
    ----------
    directory : Path
    index : DataFrame
        As in ``index.csv``: ``path``, ``image_id``, ``n_cells``, ``regions``, ``instances``,
        ``overlay`` (paths relative to the folder), ``flags`` (of image and cells, joined by
        ``;``).
    skipped : DataFrame
        Columns ``path``, ``reason``: images that could not be read.
    n_cells : int
    contact_sheet : Path
    """

    directory: Path
    index: pd.DataFrame
    skipped: pd.DataFrame
    n_cells: int
    contact_sheet: Path


@dataclass(frozen=True)
class _Settings:
    """What a worker needs besides the images."""

    directory: Path
    method: str
    spacing: float | None
    cache: Any


def segment_images(
    manifest: Manifest,
    directory: str | os.PathLike[str],
    *,
    method: str = "otsu",
    spacing: float | None = None,
    n_jobs: int | None = None,
    overwrite: bool = False,
    cache: Any = "default",
) -> SegmentResult:
    """Find and measure the cells of images, and write masks, overlays and a table.

    Parameters
    ----------
    manifest : Manifest
        Images that cannot be read are left out and listed in ``skipped.csv``.
    directory : path
        New, empty, or of an earlier run with the same images and settings, which is resumed.
    method : {"otsu", "hsv"}, default "otsu"
    spacing : float, optional
        Micrometres per pixel; without it lengths are in pixels.
    n_jobs : int, optional
        Processes. By default all cores for more than 64 images, else one.
    overwrite : bool, default False
        Replace the results of another run. Files of other origin are never touched.
    cache : path, "default" or None

    Raises
    ------
    InputError
        A parameter has no sense.
    OutputError
        The folder holds something else and `overwrite` is false, or it cannot be written.
    """
    from hybridleuk.segmentation.cells import METHODS

    if method not in METHODS:
        raise InputError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    settings = _Settings(Path(directory), method, check_spacing(spacing), cache)
    sound = manifest.checked(cache=cache, n_jobs=n_jobs)
    with _writing(settings.directory):
        _claim(settings, sound, overwrite)
        index, doubts = _write_cells(settings, sound, n_jobs)
        sheet = _write_sheet(settings.directory, index, doubts)
        if len(sound.skipped):
            write = partial(sound.skipped.to_csv, index=False)
            _replace(settings.directory / "skipped.csv", write)
        _replace(settings.directory / FINISHED, partial(index.to_csv, index=False))
    return SegmentResult(
        settings.directory, index, sound.skipped, int(index["n_cells"].sum()), sheet
    )


def _claim(settings: _Settings, manifest: Manifest, overwrite: bool) -> None:
    """Make the folder ready, or refuse it."""
    folder = settings.directory
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder.")
    document = _document(settings, manifest)
    marker = folder / STARTED
    ours = marker.is_file()
    same = ours and marker.read_text(encoding="utf-8") == document
    held = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    if held and not same and not overwrite:
        what = "results of other images or settings" if ours else "other files"
        raise OutputError(
            f"{folder} holds {what}; name another folder, or overwrite (--overwrite)."
        )
    foreign = [path.name for path in held if path.name in OUTPUTS]
    if foreign and not ours:
        raise OutputError(
            f"{folder} holds {', '.join(sorted(foreign))}, which no run of this command wrote; "
            "name another folder, or move them away."
        )
    _refuse_foreign(folder, manifest)
    if ours and overwrite and (not same or (folder / FINISHED).is_file()):
        _clear(folder)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    _replace(marker, lambda path: path.write_text(document, encoding="utf-8"))


def _document(settings: _Settings, manifest: Manifest) -> str:
    from hybridleuk.segmentation.cells import SEGMENTATION_VERSION

    images = manifest.frame[["image_id", "sha256"]].to_csv(index=False)
    document = {
        "format": 2,
        "n_images": len(manifest),
        "images_sha256": hashlib.sha256(images.encode()).hexdigest(),
        "method": settings.method,
        "spacing": settings.spacing,
        "segmentation_version": SEGMENTATION_VERSION,
        "morphology_version": MORPHOLOGY_VERSION,
        "image_ids": [str(image_id) for image_id in manifest.image_ids],
    }
    return json.dumps(document, indent=2) + "\n"


def _clear(folder: Path) -> None:
    """Remove what the run wrote whose list lies there; the mark of a finished run goes first."""
    pictures = _written(folder)
    for name in (FINISHED, *_TABLES, *pictures):
        (folder / name).unlink(missing_ok=True)


def _written(folder: Path) -> set[str]:
    """Names, relative to the folder, of the pictures of the run whose list lies there."""
    marker = folder / STARTED
    if not marker.is_file():
        return set()
    try:
        image_ids = json.loads(marker.read_text(encoding="utf-8"))["image_ids"]
    except (ValueError, KeyError, TypeError):
        return set()
    return _picture_names(image_ids)


def _picture_names(image_ids: Iterable[str]) -> set[str]:
    kinds = zip(FOLDERS, _KINDS.values(), strict=True)
    return {
        f"{subfolder}/{image_id}.{suffix}"
        for (subfolder, suffix), image_id in product(kinds, list(image_ids))
    }


def _refuse_foreign(folder: Path, manifest: Manifest) -> None:
    """Make sure that no picture takes the name of a file of other origin."""
    new = _picture_names(manifest.image_ids) - _written(folder)
    foreign = sorted(name for name in new if (folder / name).exists())
    if foreign:
        raise OutputError(
            f"{folder} holds {foreign[0]} and {len(foreign) - 1} more files that no run of this "
            "command wrote, under names it would take; name another folder, or move them away."
        )


def _write_cells(
    settings: _Settings, manifest: Manifest, n_jobs: int | None
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Write masks and overlays of each image and the table of cells; return the index."""
    rows: list[dict[str, Any]] = []
    doubts: list[float] = []
    records = manifest.frame[list(COLUMNS)].to_dict("records")
    results = in_parallel((_segmented_batch, settings), records, n_jobs)
    with (
        progress.task("Segmenting", len(records)) as task,
        _cells_writer(settings.directory / "cells.parquet") as write,
    ):
        for row, doubt, table in results:
            rows.append(row)
            doubts.append(doubt)
            write(table)
            task.advance()
    return pd.DataFrame(rows, columns=list(_INDEX_COLUMNS)), np.array(doubts)


def _segmented_batch(
    records: Sequence[dict[str, Any]], settings: _Settings
) -> list[tuple[dict[str, Any], float, pd.DataFrame]]:
    from hybridleuk.segmentation.cells import iter_cells

    images = [record["path"] for record in records]
    features = select_features()
    scales = unit_scales(features, settings.spacing)
    names = [feature.name for feature in features]
    options = {"method": settings.method, "cache": settings.cache, "n_jobs": 1}
    results = []
    with progress.report_to(progress.Listener()):
        found = iter_cells(images, **options)
        measured = measure_images(images, features, **options)
        for record, cells, values in zip(records, found, measured, strict=True):
            row = _write_pictures(settings.directory, record, cells)
            table = cell_table(cells, values[:, len(MARKS) :] * scales, names)
            identity = pd.DataFrame([record] * len(table), columns=list(COLUMNS), dtype=object)
            results.append((row, _doubt(cells), pd.concat([identity, table], axis=1)))
    return results


def _write_pictures(folder: Path, record: dict[str, Any], cells: Cells) -> dict[str, Any]:
    """Write what is not there yet of one image's pictures; return its row of the index."""
    flags = dict.fromkeys([*cells.flags, *(flag for cell in cells.cells for flag in cell.flags)])
    row = {"path": record["path"], "image_id": record["image_id"], "n_cells": len(cells)}
    for (column, suffix), subfolder in zip(_KINDS.items(), FOLDERS, strict=True):
        row[column] = f"{subfolder}/{record['image_id']}.{suffix}"
        target = folder / row[column]
        if not _opens(target):
            _replace(target, partial(_save, _picture(column, record["path"], cells)))
    return row | {"flags": ";".join(flags)}


def _opens(path: Path) -> bool:
    """Tell whether a picture is there and whole."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _picture(kind: str, path: str, cells: Cells) -> npt.NDArray[Any]:
    from hybridleuk.segmentation.overlay import draw_overlay

    if kind == "regions":
        return cells.regions()
    return cells.instances if kind == "instances" else draw_overlay(read_image(path), cells)


def _save(picture: npt.NDArray[Any], path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path, quality=_JPEG_QUALITY)  # PNG has no use for it


def _doubt(cells: Cells) -> float:
    """How much a person should look at this image: the weight of its flags, 0 if it has none."""
    flags = [*cells.flags, *(flag for cell in cells.cells for flag in cell.flags)]
    return sum(_DOUBTS.get(flag, 1.0) for flag in flags if flag not in _NO_DOUBT) / max(
        1, len(cells)
    )


def _write_sheet(folder: Path, index: pd.DataFrame, doubts: npt.NDArray[np.float64]) -> Path:
    target = folder / "contact_sheet.jpg"
    worst = np.argsort(-doubts, kind="stable")
    pictures = ((folder / index["overlay"][row], index["image_id"][row]) for row in worst)
    sheet: RGBImage = draw_contact_sheet(pictures, len(index))
    _replace(target, partial(_save, sheet))
    return target


@contextmanager
def _cells_writer(path: Path) -> Iterator[Any]:
    """Give a function that appends rows to a Parquet file, which appears when all is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    unfinished = _unfinished(path)
    buffered: list[pd.DataFrame] = []

    def flush() -> None:
        if buffered:
            rows = pd.concat(buffered, ignore_index=True)
            rows = (
                rows.astype(object).where(rows.notna(), None) if rows.isna().any().any() else rows
            )
            file.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
            buffered.clear()

    def write(table: pd.DataFrame) -> None:
        if len(table):
            buffered.append(table)
        if len(buffered) >= 256:
            flush()

    try:
        with pq.ParquetWriter(unfinished, schema) as file:
            yield write
            flush()
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _schema() -> Any:
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in COLUMNS]
    fields += [pa.field("number", pa.int32()), pa.field("central", pa.bool_())]
    fields += [pa.field(name, pa.int32()) for name in ("y0", "x0", "y1", "x1")]
    fields += [pa.field(name, pa.float64()) for name in ("centroid_y", "centroid_x")]
    fields += [pa.field("flags", pa.string())]
    fields += [pa.field(feature.name, pa.float64()) for feature in select_features()]
    return pa.schema(fields)


def _replace(path: Path, write: Any) -> None:
    """Let `write` make a file beside `path`, then give it its name."""
    unfinished = _unfinished(path)
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be written ({error.strerror or error}); free some space or name "
            "another folder. What was written is kept, and the same call resumes."
        ) from error
