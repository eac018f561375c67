"""Nucleus and cytoplasm by zones: what borders on what, and what is paler where.

Undefined values are 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.color import OPTICAL_DENSITY
from hybridleuk.morphology.region import CellRegions, Region
from hybridleuk.morphology.texture import dilated

__all__ = ["nucleus_exposed", "perinuclear_pallor", "rim_contrast"]

Mask = npt.NDArray[np.bool_]

_NEAR_NUCLEUS = 0.1


def nucleus_exposed(cell: CellRegions) -> float:
    """Part of the nuclear outline at the surface of the cell, without cytoplasm beside it.

    Counted on the sides of the pixels: those between nucleus and outside over all of the nucleus.
    """
    if cell.nucleus.empty:
        return 0.0
    inside, nucleus = cell.cell.padded, _within(cell, cell.nucleus)
    sides = exposed = 0
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        sides += int(np.count_nonzero(nucleus & ~np.roll(nucleus, step, axis)))
        exposed += int(np.count_nonzero(nucleus & ~np.roll(inside, step, axis)))
    return exposed / sides


def rim_contrast(region: Region) -> float:
    """Absorbance of the outer half of a region minus that of its inner half.

    Positive where the chromatin of a nucleus gathers at the membrane. The halves have the same
    depth: they part at half of the largest distance to the outside.
    """
    if region.empty:
        return 0.0
    depth = region.distance[1:-1, 1:-1].take(region.places) - 0.5
    return _difference(region, depth <= depth.max() / 2)


def perinuclear_pallor(cell: CellRegions) -> float:
    """Absorbance of the outer cytoplasm minus that of the cytoplasm around the nucleus.

    Positive where a pale hof, such as the Golgi zone of plasma cells and promyelocytes, lies at the
    nucleus. Around is within a square that reaches a tenth of the cell's diameter to each side.
    """
    cytoplasm = cell.cytoplasm
    if cytoplasm.empty or cell.nucleus.empty:
        return 0.0
    reach = max(1, round(_NEAR_NUCLEUS * 2 * cell.cell.radius))
    near = dilated(_within(cell, cell.nucleus)[None].view(np.uint8), reach)[0]
    top, left = np.subtract(cytoplasm.box[:2], cell.cell.box[:2]) + 1
    h, w = cytoplasm.mask.shape
    return _difference(cytoplasm, near[top : top + h, left : left + w].take(cytoplasm.places) == 0)


def _within(cell: CellRegions, part: Region) -> Mask:
    """Return the mask of a part in the padded box of its cell."""
    mask = np.zeros_like(cell.cell.padded)
    top, left = np.subtract(part.box[:2], cell.cell.box[:2]) + 1
    h, w = part.mask.shape
    mask[top : top + h, left : left + w] = part.mask
    return mask


def _difference(region: Region, chosen: Mask) -> float:
    """Mean absorbance in green of the chosen pixels (n,) minus that of the others."""
    counts = np.bincount(region.green.take(region.places)[chosen], minlength=256)
    others = region.green_histogram - counts
    if not counts.any() or not others.any():
        return 0.0
    mean, mean_of_others = (each @ OPTICAL_DENSITY / each.sum() for each in (counts, others))
    return float(mean - mean_of_others)
