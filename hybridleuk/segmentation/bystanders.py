"""What was outlined like a leukocyte and is none: large platelets, slivers cut off by the border.

Both are smaller than a red cell, which no whole leukocyte is. A platelet takes up little of the
azure dye, since it has granules and no nucleus; of a sliver too little is seen to measure or to
name it, and people who annotate smears leave it out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.quality import CellMasks
from hybridleuk.segmentation.scene import Scene, red_cell_depth
from hybridleuk.segmentation.stain import optical_density

__all__ = ["is_bystander"]

_SMALLER = 0.95
_LEAST_NUCLEUS = 0.52
_LEAST_STAIN = 2.2


def is_bystander(masks: CellMasks, image: RGBImage, scene: Scene, red_area: float | None) -> bool:
    """Whether an outlined cell is a platelet or a sliver, told by red cells of area `red_area`.

    Parameters
    ----------
    masks : CellMasks
    image : ndarray of shape (H, W, 3), uint8
    scene : Scene
    red_area : float or None
        In pixels of the scene; where no red cells are seen nothing is a bystander.

    Returns
    -------
    bool
        True for what is smaller than 0.95 of a red cell and either touches the border of the
        photograph, or has a dark part of under 0.52 of a red cell and absorbs less than 2.2 times
        as much red light as a red cell does green light (both summed over the cell as optical
        density).
    """
    if red_area is None:
        return False
    whole = masks.cell | masks.nucleus
    red_pixels = red_area * scene.scale**2
    if not 0 < whole.sum() < _SMALLER * red_pixels:
        return False
    if masks.cut or _cut_off(whole, masks.window, image.shape):
        return True
    if masks.nucleus.sum() >= _LEAST_NUCLEUS * red_pixels:
        return False
    density = optical_density(image[masks.window], scene.background)[..., 0]
    stain = float(np.maximum(density[whole], 0.0).sum())
    return stain < _LEAST_STAIN * red_pixels * red_cell_depth(scene)


def _cut_off(whole: Any, window: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Whether a mask of a window reaches the border of the image."""
    rows, columns = np.nonzero(whole)
    top, left = window[0].start, window[1].start
    return bool(
        rows.min() + top == 0
        or columns.min() + left == 0
        or rows.max() + top == shape[0] - 1
        or columns.max() + left == shape[1] - 1
    )
