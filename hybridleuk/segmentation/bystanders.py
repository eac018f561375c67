"""What was outlined like a leukocyte and is none: large platelets, slivers cut off by the border.

A platelet has granules and no nucleus. So it takes up less of the azure dye than the DNA of one
cell does, beside the haemoglobin of one red cell, which differs little from person to person; what
dye there is lies in grains; and only few platelets are larger than a red cell, which no whole
leukocyte is smaller than. Each of these can mislead, by a pale stain or a blurred picture: all
together have to speak for a platelet. Of a sliver too little is seen to measure or to name it, and
people who annotate smears leave it out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import shrink
from hybridleuk.segmentation.nuclei import RedCells
from hybridleuk.segmentation.quality import CellMasks
from hybridleuk.segmentation.scene import Scene, red_cell_depth
from hybridleuk.segmentation.stain import optical_density

__all__ = ["bystander", "graininess"]

_SMALLER = 0.95
_LEAST_NUCLEUS = 0.52
_STAIN = 2.2
_LARGEST_PLATELET = 1.35
_STAIN_OF_A_CELL = 3.2
_DEEP, _VERY_DEEP = 3.5, 4.0
_SMOOTH, _GRAINY = 0.10, 0.17
_GRAIN, _RIM = 0.02, 0.08

FloatImage = npt.NDArray[Any]
BoolImage = npt.NDArray[np.bool_]


def bystander(
    masks: CellMasks, image: RGBImage, scene: Scene, red_cells: RedCells | None
) -> str | None:
    """Say what an outlined cell is that is no leukocyte, told by the red cells beside it.

    Parameters
    ----------
    masks : CellMasks
    image : ndarray of shape (H, W, 3), uint8
    scene : Scene
    red_cells : RedCells or None
        Where none are seen nothing is a bystander.

    Returns
    -------
    {"cut_off", "large_platelet"} or None
        ``"cut_off"`` is smaller than 0.95 of a red cell and touches the border of the photograph.
        A ``"large_platelet"`` is smaller than that too, has a dark part of under 0.52 of a red cell
        and little stain: it absorbs less than 2.2 times as much red light as a red cell does green
        light (both summed over the cell as optical density), unless the dark part is 3.5 times as
        deep as a red cell and smooth (:func:`graininess` up to 0.1), as the shrunken nucleus of an
        erythroblast is. Or it is smaller than 1.35 of a red cell, where rims tell surely how large
        that is, has under 3.2 times that stain, and a dark part that is grainy (over 0.17) and
        under 4 times as deep as a red cell.
    """
    whole = masks.cell | masks.nucleus
    if red_cells is None or not whole.any():
        return None
    size = float(whole.sum()) / scene.scale**2
    small = size < _SMALLER * red_cells.least
    if small and (masks.cut or _cut_off(whole, masks.window, image.shape)):
        return "cut_off"
    like_a_red_cell = red_cells.sure and size < _LARGEST_PLATELET * red_cells.area
    if not (small or like_a_red_cell):
        return None
    stain, deep, grain = _dye(masks, image, scene, red_cells)
    if small:
        bare = float(masks.nucleus.sum()) / scene.scale**2 < _LEAST_NUCLEUS * red_cells.least
        if bare and stain < _STAIN * red_cells.least and (deep < _DEEP or grain > _SMOOTH):
            return "large_platelet"
    if like_a_red_cell and stain < _STAIN_OF_A_CELL * red_cells.area:
        return "large_platelet" if deep < _VERY_DEEP and grain > _GRAINY else None
    return None


def _dye(
    masks: CellMasks, image: RGBImage, scene: Scene, red_cells: RedCells
) -> tuple[float, float, float]:
    """Stain of a cell in pixels of the scene, depth and graininess of its dark part.

    Stain and depth are red optical density in units of the green one of a red cell.
    """
    density = optical_density(image[masks.window], scene.background) / red_cell_depth(scene)
    red, whole = density[..., 0], masks.cell | masks.nucleus
    radius = scene.scale * float(np.sqrt(red_cells.area / np.pi))
    core = _core(masks.nucleus, radius)
    return (
        float(np.maximum(red[whole], 0.0).sum()) / scene.scale**2,
        float(np.median(red[core])) if core.any() else 0.0,
        graininess(density[..., 1], masks.nucleus, radius),
    )


def graininess(green: FloatImage, dark: BoolImage, radius: float) -> float:
    """Spread of the green optical density over its mean, in the core of something dark.

    Finer detail than 0.02 of `radius`, that of a red cell, is smoothed away, and a rim of 0.08 of
    it left out, so that the picture's resolution matters little. About 0.05 to 0.15 in small dense
    nuclei, 0.2 to 0.35 in platelets.
    """
    core = _core(dark, radius)
    if not core.any():
        return 0.0
    values = ndi.gaussian_filter(green, _GRAIN * radius)[core]
    return float(values.std() / max(float(values.mean()), 1e-3))


def _core(dark: BoolImage, radius: float) -> BoolImage:
    core = shrink(dark, max(1, round(_RIM * radius)))
    return core if core.sum() >= 20 else dark


def _cut_off(whole: BoolImage, window: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Whether a mask of a window reaches the border of the image."""
    rows, columns = np.nonzero(whole)
    top, left = window[0].start, window[1].start
    return bool(
        rows.min() + top == 0
        or columns.min() + left == 0
        or rows.max() + top == shape[0] - 1
        or columns.max() + left == shape[1] - 1
    )
