"""One cell at full detail: the votes of its pixels, its outline, its nucleus within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.contour import star_outline, star_region
from hybridleuk.segmentation.masks import disk, fill_holes
from hybridleuk.segmentation.quality import CellMasks
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.scene import Scene, contrast_to_background
from hybridleuk.segmentation.stain import multi_otsu, optical_density

__all__ = ["Patch", "cut_out", "draw_cell_masks"]

BoolImage = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[Any]

_REACH = 2.8
_DETAIL = 34.0
_APART = 1.0
_BORDERLINE = 0.25
_ALL_AROUND = 0.6
_PORE = 0.03
_RAGGED = 1.2
_SMOOTHINGS = (0.035, 0.07, 0.14)
_MIXTURES = ((-0.1, 1.0, -0.25), (-0.1, 1.0, -0.5), (-0.1, 1.0, -0.7))


@dataclass(frozen=True)
class Patch:
    """The surroundings of one nucleus, at a scale where the nucleus has a radius of up to 34 px.

    Attributes
    ----------
    window : tuple of slice
        Where in the image it lies.
    density : ndarray of shape (h, w, 3)
        Optical density.
    nucleus, others : ndarray of shape (h, w), bool
        This nucleus and the other nuclei, as found in the scene.
    radius : float
        Of a disk as large as the nucleus, in pixels of the patch.
    red : ndarray of shape (k, 3) or None
        Optical densities of red cells in the scene.
    """

    window: tuple[slice, slice]
    density: npt.NDArray[np.float32]
    nucleus: BoolImage
    others: BoolImage
    radius: float
    foreground_level: float
    dark_level: float
    red: npt.NDArray[np.float32] | None


def cut_out(
    image: RGBImage, scene: Scene, groups: npt.NDArray[np.int32], label: int, red: Any
) -> Patch:
    """Cut the surroundings of one nucleus out of the image."""
    mine = groups == label
    rows, columns = np.nonzero(mine)
    radius = float(np.sqrt(len(rows) / np.pi)) * scene.scale
    height, width = groups.shape
    ratio = image.shape[0] / height, image.shape[1] / width
    center = (rows.mean() + 0.5) * ratio[0], (columns.mean() + 0.5) * ratio[1]
    half = [
        (_REACH - 1.0) * radius + np.abs(axis - axis.mean()).max() * scene.scale
        for axis in (rows, columns)
    ]
    window = _window(center, half, image.shape[:2])
    detail = max(1.0, radius / _DETAIL)
    shape = tuple(max(4, round((s.stop - s.start) / detail)) for s in window)
    pixels = image[window]
    if detail > 1.0:
        pixels = np.rint(resample(pixels, (shape[0], shape[1]))).astype(np.uint8)
    density = optical_density(pixels, scene.background)
    own = _zoom(mine, window, ratio, density.shape[:2])
    others = _zoom((groups > 0) & ~mine, window, ratio, density.shape[:2])
    return Patch(
        window,
        density,
        own,
        others & ~own,
        radius / detail,
        scene.foreground_level,
        scene.dark_level,
        red,
    )


def _window(
    center: tuple[float, float], half: list[float], shape: tuple[int, ...]
) -> tuple[slice, slice]:
    low = [max(0, int(np.floor(c - h))) for c, h in zip(center, half, strict=True)]
    high = [min(n, int(np.ceil(c + h))) for c, h, n in zip(center, half, shape, strict=True)]
    return slice(low[0], high[0]), slice(low[1], high[1])


def _zoom(
    mask: BoolImage, window: tuple[slice, slice], ratio: tuple[float, float], shape: Any
) -> BoolImage:
    """Bring a mask of the scene into a patch."""
    axes = []
    for part, r, n in zip(window, ratio, shape, strict=True):
        step = (part.stop - part.start) / n
        axes.append((part.start + (np.arange(n) + 0.5) * step) / r - 0.5)
    where = np.meshgrid(*axes, indexing="ij")
    soft = ndi.map_coordinates(mask.astype(np.float32), where, order=1, mode="nearest")
    zoomed: BoolImage = soft > 0.5
    return zoomed


def draw_cell_masks(patch: Patch) -> CellMasks:
    """Outline the cell and its nucleus."""
    width = max(0.7, 0.03 * patch.radius)
    smooth = ndi.gaussian_filter(patch.density, (width, width, 0))
    contrast = contrast_to_background(smooth)
    center = ndi.center_of_mass(patch.nucleus)
    reach = _REACH * patch.radius + 4
    level = patch.foreground_level
    for _ in range(2):
        votes = _votes(patch, smooth, contrast, level)
        outline = star_outline(votes, center, reach)
        region = star_region(outline, center, votes.shape)
        center = ndi.center_of_mass(region | patch.nucleus)
        level = _own_level(contrast[region & ~patch.nucleus], patch.foreground_level)
    cell = _tidy(region & (votes > 0), patch)
    nucleus = _nucleus(cell, patch)
    size = tuple(s.stop - s.start for s in patch.window)
    above = _nucleus_contrast(patch, nucleus)
    return CellMasks(patch.window, _enlarged(cell, size), _enlarged(nucleus, size), above)


def _nucleus_contrast(patch: Patch, nucleus: BoolImage) -> float:
    """Green optical density of the nucleus over that of what is outside of it."""
    green = patch.density[..., 1]
    if not nucleus.any() or nucleus.all():
        return 0.0
    return float(np.median(green[nucleus]) - np.median(green[~nucleus]))


def _own_level(cytoplasm: FloatImage, level: float) -> float:
    """Contrast that parts this cell from the background: 0.4 of that of its cytoplasm."""
    if cytoplasm.size < 10:
        return level
    return float(np.clip(0.4 * np.median(cytoplasm), 0.6 * level, 2.0 * level))


def _enlarged(mask: BoolImage, size: tuple[int, ...]) -> BoolImage:
    if mask.shape == size:
        return mask
    enlarged: BoolImage = resample(mask, (size[0], size[1])) > 0.5
    return enlarged


def _votes(patch: Patch, smooth: FloatImage, contrast: FloatImage, level: float) -> FloatImage:
    """Vote for each pixel, -1 to 1, to be cell: stained, and not as red cells are."""
    stained = np.clip((contrast - level) / level, -1.0, 1.0)
    votes = stained
    if patch.red is not None:
        votes = np.minimum(stained, _against_red(patch, smooth, stained > 0))
    votes = np.where(patch.nucleus, 1.0, votes)
    votes[patch.others] = -1.0
    if patch.others.any():
        nearer = ndi.distance_transform_edt(~patch.others) < ndi.distance_transform_edt(
            ~patch.nucleus
        )
        votes[nearer] = -1.0
    return votes


def _against_red(patch: Patch, smooth: FloatImage, stained: BoolImage) -> FloatImage:
    """Vote by colour, -1 (like the red cells) to 1 (like what surrounds the nucleus)."""
    distance = ndi.distance_transform_edt(~patch.nucleus)
    near = stained & (distance > 1) & (distance < 2 + 0.15 * patch.radius)
    red = patch.red
    if red is None or near.sum() < 20:
        return np.ones(stained.shape)
    middle = np.median(red, axis=0)
    spread = np.cov(red.T) + np.outer(middle, middle) / 4 + 1e-4 * np.eye(3)
    own = _least_alike(smooth[near], middle, spread)
    axis = np.linalg.solve(spread, own - middle)
    apart = float(axis @ (own - middle))
    if apart < _APART:
        return np.ones(stained.shape)
    likeness = (smooth - middle) @ axis / apart
    votes: FloatImage = np.clip(3.0 * (likeness - _BORDERLINE), -1.0, 1.0)
    votes[smooth @ [1, 1, -1] > patch.dark_level] = 1.0
    rim = (distance > 1 + 0.08 * patch.radius) & (distance < 2 + 0.3 * patch.radius)
    if (stained & (votes < 0))[rim].mean() > _ALL_AROUND:
        return np.ones(stained.shape)
    return votes


def _least_alike(pixels: FloatImage, middle: FloatImage, spread: FloatImage) -> FloatImage:
    """Median of that half of the pixels that is farther from a colour, in units of its spread."""
    away = pixels - middle
    distance = np.einsum("ij,ij->i", away @ np.linalg.inv(spread), away)
    own: FloatImage = np.median(pixels[distance >= np.median(distance)], axis=0)
    return own


def _tidy(mask: BoolImage, patch: Patch) -> BoolImage:
    """Smooth the outline, fill the holes, keep what holds the nucleus."""
    reach = max(1, round(0.08 * patch.radius))
    smooth = ndi.gaussian_filter(mask.astype(np.float32), reach) > 0.5
    filled = fill_holes(smooth)
    labels, n = ndi.label(filled)
    if n <= 1:
        return filled
    held = np.bincount(labels[patch.nucleus], minlength=n + 1)
    held[0] = 0
    kept: BoolImage = labels == held.argmax()
    return kept


def _nucleus(cell: BoolImage, patch: Patch) -> BoolImage:
    """Part the cell into nucleus and cytoplasm, as finely as gives a smooth outline.

    A sharp picture shows chromatin, whose pale parts no threshold tells from cytoplasm; so the
    smoothing doubles until the outline is no more than 1.2 times as long as that of its rounded
    self.
    """
    nucleus = patch.nucleus & cell
    for smoothing in _SMOOTHINGS:
        width = max(0.6, smoothing * patch.radius)
        light = 1.0 - 10.0 ** -ndi.gaussian_filter(patch.density, (width, width, 0))
        nucleus = _nucleus_in_light(light, cell, patch)
        if _raggedness(nucleus, 0.12 * patch.radius) < _RAGGED:
            break
    return nucleus


def _raggedness(mask: BoolImage, width: float) -> float:
    """Length of the outline over that of the mask rounded by a Gaussian of this width."""
    rounded = ndi.gaussian_filter(mask.astype(np.float32), width) > 0.5
    long, short = (int((m & ~ndi.binary_erosion(m)).sum()) for m in (mask, rounded))
    return long / max(short, 1)


def _nucleus_in_light(light: FloatImage, cell: BoolImage, patch: Patch) -> BoolImage:
    """Threshold the light absorbed in that mixture of the channels that parts the cell best.

    That is green alone, or less of red and blue, which darkness of no colour (a refracting rim)
    absorbs as well.
    """
    margin = max(1, round(0.07 * patch.radius))
    inner = ndi.binary_erosion(cell, iterations=margin)
    outer = ndi.binary_dilation(cell, iterations=margin)
    if inner.sum() < 20:
        return patch.nucleus & cell
    _, stain, level = max(
        (_parted(light @ np.array(mixture), inner, outer) for mixture in _MIXTURES),
        key=lambda parted: parted[0],
    )
    return _tidy_nucleus((stain > level) & cell, patch)


def _parted(
    stain: FloatImage, inner: BoolImage, outer: BoolImage
) -> tuple[float, FloatImage, float]:
    """Threshold a cell between nucleus and cytoplasm; say how well they part, 0 to 1.

    The threshold is the mean of that of two classes within the cell and of the upper one of three
    classes within and around it: the first fails where hardly any cytoplasm is, the second where
    the cytoplasm is as pale as the background.
    """
    values = stain[inner]
    (level,) = multi_otsu(values, classes=2)
    _, upper = multi_otsu(stain[outer], classes=3)
    dark = values > level
    share = dark.mean()
    if not 0 < share < 1:
        return 0.0, stain, level
    between = share * (1 - share) * (values[dark].mean() - values[~dark].mean()) ** 2
    return float(between / values.var()), stain, (level + upper) / 2


def _tidy_nucleus(dark: BoolImage, patch: Patch) -> BoolImage:
    """Drop threads and crumbs, fill pores."""
    opened = ndi.binary_opening(dark, disk(0.1 * patch.radius))
    labels, n = ndi.label(opened)
    if n == 0:
        return patch.nucleus & dark
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    lobes = opened & (areas >= 0.08 * areas.max())[labels]
    return fill_holes(lobes, largest=_PORE * lobes.sum())
