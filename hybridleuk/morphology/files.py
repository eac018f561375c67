"""A folder of masks, overlays and measurements: what ``hybridleuk segment`` writes.

::

    index.csv             one row per image; written last, so that it marks a finished folder
    cells.parquet         one row per cell: identity, place, flags, every feature
    regions/<id>.png      uint8: 255 nucleus, 128 cytoplasm, 0 elsewhere
    instances/<id>.png    uint16: the number of the cell
    overlays/<id>.jpg     outlines, numbers and flags on the image
    contact_sheet.jpg     the overlays of the most doubtful images, worst first
    agreement.csv         how it agrees with what people drew on the images, if they did
    skipped.csv           files that could not be read, if any
    segmentation.json     what was segmented and how, written first

Every file is written under another name and renamed, so that each one that is there is whole. An
interrupted run is taken up again: files of the same images and settings are kept.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk import progress
from hybridleuk.data.annotations.records import ImageAnnotations
from hybridleuk.data.listing import COLUMNS, DRAWN
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.skipped import listed, write_skipped
from hybridleuk.exceptions import InputError
from hybridleuk.morphology.catalogue import select_features
from hybridleuk.morphology.extractor import cell_table, check_spacing, unit_scales
from hybridleuk.morphology.files_folder import (
    AGREEMENT,
    CELLS,
    FINISHED,
    Settings,
    claim_folder,
    write_whole,
    writing,
)
from hybridleuk.morphology.files_pictures import doubtfulness, write_pictures, write_sheet
from hybridleuk.morphology.files_table import cells_writer
from hybridleuk.morphology.measuring import MARKS, in_parallel, measure_images
from hybridleuk.segmentation.agreement import agreement_of_cells, drawn_or_problem
from hybridleuk.segmentation.records import Cells

__all__ = ["SegmentResult", "segment_images"]

_DRAWN_COLUMNS = ("drawn", "found", "matched", "dice_nucleus", "dice_cell", "problem")
_INDEX_COLUMNS = ("path", "image_id", "n_cells", "regions", "instances", "overlay", "flags")


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
        Images that could not be read, as in a manifest.
    n_cells : int
    contact_sheet : Path
    agreement : DataFrame or None
        As in ``agreement.csv``: ``path``, ``image_id``, ``drawn``, ``found``, ``matched``,
        ``dice_nucleus``, ``dice_cell``, ``problem`` of each image that cells are drawn on.
    """

    directory: Path
    index: pd.DataFrame
    skipped: pd.DataFrame
    n_cells: int
    contact_sheet: Path
    agreement: pd.DataFrame | None = None


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
        New, empty, or of an earlier run; one with the same images and settings is resumed.
    method : {"otsu", "hsv"}, default "otsu"
    spacing : float, optional
        Micrometres per pixel; without it lengths are in pixels.
    n_jobs : int, optional
        Processes. By default all cores for more than 64 images, else one.
    overwrite : bool, default False
        Replace the results of another run. Files of other origin are never touched, and a folder
        that holds only such files is not written into.
    cache : path, "default" or None

    Raises
    ------
    InputError
        A parameter has no sense.
    OutputError
        The folder holds something else, or results of another run and `overwrite` is false, or it
        cannot be written.
    """
    from hybridleuk.segmentation.cells import METHODS

    if method not in METHODS:
        raise InputError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    settings = Settings(Path(directory), method, check_spacing(spacing), cache)
    sound = manifest.checked(cache=cache, n_jobs=n_jobs)
    with writing(settings.directory):
        claim_folder(settings, sound, overwrite)
        index, doubts, agreement = _write_cells(settings, sound, n_jobs)
        sheet = write_sheet(settings.directory, index, doubts)
        write_skipped(settings.directory, listed(sound.skipped))
        (settings.directory / AGREEMENT).unlink(missing_ok=True)
        if agreement is not None:
            write_whole(settings.directory / AGREEMENT, partial(agreement.to_csv, index=False))
        write_whole(settings.directory / FINISHED, partial(index.to_csv, index=False))
    n_cells = int(index["n_cells"].sum())
    return SegmentResult(settings.directory, index, sound.skipped, n_cells, sheet, agreement)


def _write_cells(
    settings: Settings, manifest: Manifest, n_jobs: int | None
) -> tuple[pd.DataFrame, npt.NDArray[np.float64], pd.DataFrame | None]:
    """Write masks and overlays of each image and the table of cells; return what is told of it."""
    rows: list[dict[str, Any]] = []
    doubts: list[float] = []
    agreement: list[dict[str, Any]] = []
    records = manifest.frame.to_dict("records")
    results = in_parallel((_segmented_batch, settings), records, n_jobs)
    with (
        progress.task("Segmenting", len(records)) as task,
        cells_writer(settings.directory / CELLS) as write,
    ):
        for row, doubt, table, agreed in results:
            rows.append(row)
            doubts.append(doubt)
            agreement += [] if agreed is None else [agreed]
            write(table)
            task.advance()
    index = pd.DataFrame(rows, columns=list(_INDEX_COLUMNS))
    agreed = pd.DataFrame(agreement, columns=["path", "image_id", *_DRAWN_COLUMNS])
    return index, np.array(doubts), agreed if agreement else None


def _segmented_batch(
    records: Sequence[dict[str, Any]], settings: Settings
) -> list[tuple[dict[str, Any], float, pd.DataFrame, dict[str, Any] | None]]:
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
            row = write_pictures(settings.directory, record, cells)
            table = cell_table(cells, values[:, len(MARKS) :] * scales, names)
            identity = pd.DataFrame([record] * len(table), columns=list(COLUMNS), dtype=object)
            table = pd.concat([identity, table], axis=1)
            results.append((row, doubtfulness(cells), table, _agreed(record, cells)))
    return results


def _agreed(record: dict[str, Any], cells: Cells) -> dict[str, Any] | None:
    """Hold the cells of an image against what is drawn on it; None where nothing is."""
    if all(pd.isna(record.get(name)) for name in DRAWN):
        return None
    height, width = cells.instances.shape
    drawn = drawn_or_problem(record, (height, width))
    identity = {"path": record["path"], "image_id": record["image_id"]}
    if not isinstance(drawn, ImageAnnotations):
        return identity | {"problem": str(drawn)}
    return identity | agreement_of_cells(cells, drawn) | {"problem": " ".join(drawn.problems)}
