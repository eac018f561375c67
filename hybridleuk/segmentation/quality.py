"""From masks to records: number the cells, pick the central one, say what is doubtful."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.segmentation.records import Cell, Cells

__all__ = ["CellMasks", "assemble"]

BoolImage = npt.NDArray[np.bool_]

_LOW_CONTRAST = 0.12
_NO_CYTOPLASM = 0.03
_OUTSIDE = 0.05
_RAGGED = 0.80
_CENTER_SHARE = 0.18
_WIDE_EDGE = 0.28
_LEAST_NUCLEUS = 0.15
_NARROW, _BAY, _FULL = 0.78, 0.14, 0.97


@dataclass(frozen=True)
class CellMasks:
    """One cell as the search left it, in a window of the image.

    Attributes
    ----------
    window : tuple of slice
    cell, nucleus : ndarray, bool
        Of the window's shape; the nucleus may reach beyond the cell.
    contrast : float
        Optical density of the nucleus over that of its surroundings.
    small, clumped : bool
        Doubtful beside red cells or the other cells.
    edge : float
        Width of the nucleus's edge as a share of its radius, 0 where it cannot be told.
    cut : bool
        It reaches the edge of what was photographed, short of the edge of the image.
    """

    window: tuple[slice, slice]
    cell: BoolImage
    nucleus: BoolImage
    contrast: float = 1.0
    small: bool = False
    clumped: bool = False
    edge: float = 0.0
    cut: bool = False


def assemble(found: list[CellMasks], shape: tuple[int, int], flags: tuple[str, ...] = ()) -> Cells:
    """Paint the masks into one image and describe each cell.

    Where two cells claim a pixel, the smaller one keeps it. Cells are numbered by the height of
    their centroid, then from the left.
    """
    instances = np.zeros(shape, dtype=np.uint16)
    nucleus = np.zeros(shape, dtype=bool)
    painted = []
    for masks in sorted(found, key=lambda m: -int((m.cell | m.nucleus).sum())):
        painted.append(masks)
        area = instances[masks.window]
        area[masks.cell | masks.nucleus] = len(painted)
    for number, masks in enumerate(painted, start=1):
        nucleus[masks.window] |= masks.nucleus & (instances[masks.window] == number)
    return _numbered(instances, nucleus, painted, flags)


def _numbered(
    instances: npt.NDArray[np.uint16],
    nucleus: BoolImage,
    painted: list[CellMasks],
    flags: tuple[str, ...],
) -> Cells:
    boxes = ndi.find_objects(instances, max_label=len(painted))
    present = [k for k, box in enumerate(boxes, start=1) if box is not None]
    centers = {k: _centroid(instances, boxes[k - 1], k) for k in present}
    order = sorted(present, key=lambda k: centers[k])
    renumber = np.zeros(len(painted) + 1, dtype=np.uint16)
    renumber[order] = np.arange(1, len(order) + 1)
    central = _central(order, centers, boxes, instances.shape)
    cells = []
    for k in order:
        window = boxes[k - 1]
        box = (window[0].start, window[1].start, window[0].stop, window[1].stop)
        mask = instances[window] == k
        doubts = _doubts(mask, nucleus[window], box, instances.shape, painted[k - 1])
        cells.append(Cell(int(renumber[k]), box, centers[k], doubts, k == central))
    return Cells(renumber[instances], nucleus, tuple(cells), flags + _image_flags(cells))


def _centroid(
    instances: npt.NDArray[np.uint16], box: tuple[slice, ...], k: int
) -> tuple[float, float]:
    rows, columns = np.nonzero(instances[box] == k)
    return float(rows.mean() + box[0].start), float(columns.mean() + box[1].start)


def _central(
    order: list[int], centers: dict[int, tuple[float, float]], boxes: Any, shape: tuple[int, ...]
) -> int | None:
    """Pick the cell of a single-cell crop: near the middle, and large enough to be its subject."""
    middle = np.array([(n - 1) / 2 for n in shape])
    best = None
    for k in order:
        size = max(s.stop - s.start for s in boxes[k - 1])
        distance = float(np.hypot(*(np.array(centers[k]) - middle)))
        if size < _CENTER_SHARE * min(shape) or distance > max(0.45 * size, 0.12 * min(shape)):
            continue
        rank = (distance / size, -size)
        best = min(best, (rank, k)) if best else (rank, k)
    return best[1] if best else None


def _doubts(
    cell: BoolImage,
    nucleus: BoolImage,
    box: tuple[int, int, int, int],
    shape: tuple[int, ...],
    masks: CellMasks,
) -> tuple[str, ...]:
    area = int(cell.sum())
    dark = nucleus & cell
    outside = int((masks.nucleus & ~masks.cell).sum())
    bare = area - int(dark.sum()) < _NO_CYTOPLASM * area
    at_edge = box[0] == 0 or box[1] == 0 or box[2] == shape[0] or box[3] == shape[1]
    found = {
        "touches_border": at_edge or masks.cut,
        "too_small": masks.small,
        "too_large": int(dark.sum()) < _LEAST_NUCLEUS * area,
        "low_contrast": masks.contrast < _LOW_CONTRAST,
        "smudge_like": _is_ragged(cell, area),
        "nucleus_outside": outside > _OUTSIDE * max(int(masks.nucleus.sum()), 1),
        "no_cytoplasm": bare,
        "clumped": masks.clumped or _has_waist(cell, area),
        "out_of_focus": masks.edge > _WIDE_EDGE,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _is_ragged(cell: BoolImage, area: int) -> bool:
    """Whether a cell fills under 0.8 of its convex hull.

    The hull lies in the smallest octagon around the cell, which is far quicker to draw and fits
    most cells well enough to settle the question.
    """
    from skimage.morphology import convex_hull_image

    if area >= _RAGGED * _octagon_area(cell):
        return False
    return bool(area < _RAGGED * int(convex_hull_image(cell, include_borders=False).sum()))


def _has_waist(cell: BoolImage, area: int) -> bool:
    """Whether an outline is drawn in as where two cells touch.

    The largest disk in it has a radius under 0.78 of that of a disk of its area, and the deepest
    bay of its convex hull holds a disk of over 0.14 of it.
    """
    radius = float(np.sqrt(area / np.pi))
    if area >= _FULL * _octagon_area(cell):
        return False
    padded = np.pad(cell, 1)
    if ndi.distance_transform_edt(padded).max() >= _NARROW * radius:
        return False
    from skimage.morphology import convex_hull_image

    bays = convex_hull_image(padded, include_borders=False) & ~padded
    return bool(ndi.distance_transform_edt(bays).max() > _BAY * radius)


def _octagon_area(cell: BoolImage) -> int:
    """Pixels within the outermost ones of a mask in eight directions, the mask filling its box."""
    y, x = np.arange(cell.shape[0])[:, None], np.arange(cell.shape[1])[None, :]
    inside = np.ones(cell.shape, dtype=bool)
    rows, columns = np.nonzero(cell)
    for diagonal, seen in ((y + x, rows + columns), (y - x, rows - columns)):
        inside &= (diagonal >= seen.min()) & (diagonal <= seen.max())
    return int(np.count_nonzero(inside))


def _image_flags(cells: list[Cell]) -> tuple[str, ...]:
    if not cells:
        return ("no_cell",)
    found = {
        "many_cells": len(cells) > 1,
        "no_central_cell": not any(cell.central for cell in cells),
    }
    return tuple(name for name, is_so in found.items() if is_so)
