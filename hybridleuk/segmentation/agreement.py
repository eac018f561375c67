"""Cells that were found held against cells that people drew.

Cells that nobody drew count as found too many: people leave cells out, and of a crop they often
draw the middle one only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.annotations.reading import annotations_of
from hybridleuk.data.annotations.records import AnnotationError, CellAnnotation, ImageAnnotations
from hybridleuk.segmentation.detector import KINDS, overlaps
from hybridleuk.segmentation.fields import FieldCount
from hybridleuk.segmentation.records import Cells

__all__ = [
    "LEAST_OVERLAP",
    "agreement_of_cells",
    "agreement_of_counts",
    "dice",
    "drawn_or_problem",
    "match_cells",
    "summary_of_cells",
    "summary_of_counts",
]

LEAST_OVERLAP = 0.5
Box = Sequence[float]


def match_cells(found: Sequence[Box], drawn: Sequence[CellAnnotation]) -> list[int | None]:
    """Find which drawn cell each found box is, each drawn one at most once.

    Parameters
    ----------
    found : sequence of (y0, x0, y1, x1)
        The most certain first, since it chooses first.
    drawn : sequence of CellAnnotation
        One with a box is met at an intersection over union of at least 0.5; one with only a center
        by a box in which it lies, the nearest to the middle first.

    Returns
    -------
    list of int or None
        Index into `drawn` for each found box.
    """
    left = set(range(len(drawn)))
    matched: list[int | None] = []
    for box in found:
        fits = {i: _fit(box, drawn[i]) for i in sorted(left)}
        best = max(fits, key=lambda i: fits[i], default=None)
        if best is not None and fits[best] > 0:
            left.remove(best)
            matched.append(best)
        else:
            matched.append(None)
    return matched


def _fit(box: Box, cell: CellAnnotation) -> float:
    """Tell how well a box fits a drawn cell, over 0 where it meets it."""
    y0, x0, y1, x1 = box
    if cell.box is not None:
        shared = float(overlaps(np.array(box, float), np.array([cell.box], float))[0])
        return shared if shared >= LEAST_OVERLAP else 0.0
    if cell.center is None or not (y0 <= cell.center[0] <= y1 and x0 <= cell.center[1] <= x1):
        return 0.0
    away = np.hypot(cell.center[0] - (y0 + y1) / 2, cell.center[1] - (x0 + x1) / 2)
    return float(1.0 / (1.0 + away))


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Overlap of two masks: twice what they share over the sum of their areas; 1 if both are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.segmentation.agreement import dice
    >>> dice(np.array([True, True, False]), np.array([False, True, True]))
    0.5
    """
    areas = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / areas if areas else 1.0


def drawn_or_problem(
    record: Mapping[str, Any], size: tuple[int, int]
) -> ImageAnnotations | AnnotationError:
    """Read what is drawn on the image of a manifest's row, or why that cannot be used."""
    try:
        return annotations_of(record, size)
    except AnnotationError as error:
        return error


def agreement_of_cells(cells: Cells, drawn: ImageAnnotations) -> dict[str, float | int | None]:
    """Hold the leukocytes of an image against those drawn on it.

    Where the mask shows one cell and one of those found is the image's central one, their outlines
    are compared, else all of both.

    Returns
    -------
    dict
        ``drawn``, ``found``, ``matched`` (leukocytes), ``dice_nucleus``, ``dice_cell`` (None where
        nuclei, or no outlines, are drawn).
    """
    truth = drawn.of_kind("WBC")
    matched = match_cells([cell.box for cell in cells.cells], truth)
    row: dict[str, float | int | None] = {
        "drawn": len(truth),
        "found": len(cells),
        "matched": sum(index is not None for index in matched),
        "dice_nucleus": None,
        "dice_cell": None,
    }
    mask = drawn.mask
    if mask is not None:
        single = len(np.unique(mask.numbers[mask.numbers > 0])) == 1 and cells.central is not None
        found = cells.instances > 0
        if single and cells.central is not None:
            found = cells.cell_mask(cells.central)
        row["dice_cell"] = dice(found, mask.cell)
        if mask.nucleus is not None:
            row["dice_nucleus"] = dice(found & cells.nucleus, mask.nucleus)
    return row


def agreement_of_counts(field: FieldCount, drawn: ImageAnnotations) -> list[dict[str, Any]]:
    """Hold the cells of a field against those drawn on it: ``kind, drawn, found, matched``."""
    rows = []
    for kind in KINDS:
        found = sorted(field.of_kind(kind), key=lambda cell: -cell.score)
        truth = drawn.of_kind(kind)
        matched = match_cells([cell.box for cell in found], truth)
        hits = sum(index is not None for index in matched)
        rows.append({"kind": kind, "drawn": len(truth), "found": len(found), "matched": hits})
    return rows


def summary_of_cells(table: pd.DataFrame) -> dict[str, Any]:
    """Sum up rows of :func:`agreement_of_cells`: precision, recall, counts and mean Dice."""
    scores = {name: table[name].astype(float) for name in ("dice_nucleus", "dice_cell")}
    means = {name: None if s.isna().all() else float(s.mean()) for name, s in scores.items()}
    return _summed(table) | means


def summary_of_counts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Sum up rows of :func:`agreement_of_counts`, for each kind that is drawn anywhere."""
    kinds = {kind: table[table["kind"] == kind] for kind in KINDS}
    return {kind: _summed(rows) for kind, rows in kinds.items() if rows["drawn"].sum()}


def _summed(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.dropna(subset=["drawn"])
    drawn, found, matched = (int(rows[name].sum()) for name in ("drawn", "found", "matched"))
    error = (rows["found"] - rows["drawn"]).astype(float)
    some = rows["drawn"].astype(float) > 0
    relative = (error[some].abs() / rows["drawn"][some].astype(float)) if some.any() else None
    return {
        "n_images": len(rows),
        "drawn": drawn,
        "found": found,
        "matched": matched,
        "precision": matched / found if found else None,
        "recall": matched / drawn if drawn else None,
        "count_exact": float((error == 0).mean()) if len(rows) else None,
        "count_bias": float(error.mean()) if len(rows) else None,
        "count_relative_error": None if relative is None else float(relative.median()),
    }
