"""One cell at full detail: the votes of its pixels, its outline, its nucleus within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.contour import star_outline, star_region
from hybridleuk.segmentation.masks import disk, fill_holes, grow, peel, window_of
from hybridleuk.segmentation.otsu import multi_otsu
from hybridleuk.segmentation.quality import CellMasks
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.scene import Scene, azure_index, contrast_to_background
from hybridleuk.segmentation.sharpness import edge_width
from hybridleuk.segmentation.stain import optical_density

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
    strangers = (groups > 0) & ~mine
    others = np.zeros_like(own)
    if strangers.any():
        others = _zoom(strangers, window, ratio, density.shape[:2])
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
    soft = mask.astype(np.float64)
    for part, r, n in zip(window, ratio, shape, strict=True):
        step = (part.stop - part.start) / n
        where = (part.start + (np.arange(n) + 0.5) * step) / r - 0.5
        where = np.clip(where, 0, soft.shape[0] - 1)
        low = np.minimum(where.astype(int), soft.shape[0] - 2)
        share = (where - low)[:, None]
        # A straight line between two rows; turned, so that the next round does the columns.
        soft = ((1.0 - share) * soft[low] + share * soft[low + 1]).T
    zoomed: BoolImage = soft > 0.5
    return np.ascontiguousarray(zoomed)


def draw_cell_masks(patch: Patch) -> CellMasks:
    """Outline the cell and its nucleus."""
    ground = _survey(patch)
    center = ndi.center_of_mass(patch.nucleus)
    reach = _REACH * patch.radius + 4
    level = patch.foreground_level
    for _ in range(2):
        votes = _votes(patch, ground, level)
        outline = star_outline(votes, center, reach)
        region = star_region(outline, center, votes.shape)
        center = ndi.center_of_mass(region | patch.nucleus)
        level = _own_level(ground.contrast[region & ~patch.nucleus], patch.foreground_level)
    cell = _tidy(region & (votes > 0), patch)
    nucleus = _nucleus(cell, patch)
    size = tuple(s.stop - s.start for s in patch.window)
    return CellMasks(
        patch.window,
        _enlarged(cell, size),
        _enlarged(nucleus, size),
        _nucleus_contrast(patch, nucleus),
        edge=edge_width(patch.density[..., 1], nucleus),
    )


@dataclass(frozen=True)
class _Ground:
    """What the votes of a patch rest on, whatever the level that parts cell from background.

    `smooth` is the density smoothed, `contrast` that to the background, `dark` what is stained like
    a nucleus, `distance` that from the nucleus; `taken` is, or is nearer to, another nucleus; `red`
    is the color of red cells and its spread, None where none is known.
    """

    smooth: FloatImage
    contrast: FloatImage
    dark: BoolImage
    distance: FloatImage
    taken: BoolImage
    red: tuple[FloatImage, FloatImage] | None


def _survey(patch: Patch) -> _Ground:
    width = max(0.7, 0.03 * patch.radius)
    smooth = ndi.gaussian_filter(patch.density, (width, width, 0))
    distance = ndi.distance_transform_edt(~patch.nucleus)
    taken = patch.others
    if taken.any():
        taken = taken | (ndi.distance_transform_edt(~taken) < distance)
    red = None
    if patch.red is not None:
        middle = np.median(patch.red, axis=0)
        red = middle, np.cov(patch.red.T) + np.outer(middle, middle) / 4 + 1e-4 * np.eye(3)
    dark = azure_index(smooth) > patch.dark_level
    return _Ground(smooth, contrast_to_background(smooth), dark, distance, taken, red)


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


def _votes(patch: Patch, ground: _Ground, level: float) -> FloatImage:
    """Vote for each pixel, -1 to 1, to be cell: stained, and not as red cells are."""
    stained = np.clip((ground.contrast - level) / level, -1.0, 1.0)
    votes = stained
    if ground.red is not None:
        votes = np.minimum(stained, _against_red(patch, ground, ground.red, stained > 0))
    votes = np.where(patch.nucleus, 1.0, votes)
    votes[ground.taken] = -1.0
    return votes


def _against_red(
    patch: Patch, ground: _Ground, red: tuple[FloatImage, FloatImage], stained: BoolImage
) -> FloatImage:
    """Vote by color, -1 (like the red cells) to 1 (like what surrounds the nucleus)."""
    distance, smooth = ground.distance, ground.smooth
    near = stained & (distance > 1) & (distance < 2 + 0.15 * patch.radius)
    if near.sum() < 20:
        return np.ones(stained.shape)
    middle, spread = red
    own = _least_alike(smooth[near], middle, spread)
    axis = np.linalg.solve(spread, own - middle)
    apart = float(axis @ (own - middle))
    if apart < _APART:
        return np.ones(stained.shape)
    likeness = (smooth @ axis.astype(np.float32) - float(middle @ axis)) / apart
    votes: FloatImage = np.clip(3.0 * (likeness - _BORDERLINE), -1.0, 1.0)
    votes[ground.dark] = 1.0
    rim = (distance > 1 + 0.08 * patch.radius) & (distance < 2 + 0.3 * patch.radius)
    if (stained & (votes < 0))[rim].mean() > _ALL_AROUND:
        return np.ones(stained.shape)
    return votes


def _least_alike(pixels: FloatImage, middle: FloatImage, spread: FloatImage) -> FloatImage:
    """Median of that half of the pixels that is farther from a color, in units of its spread."""
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
    margin = max(1, round(0.07 * patch.radius))
    inner, outer = peel(cell, margin), grow(cell, margin)
    if inner.sum() < 20:
        return nucleus
    window = window_of(outer)
    inner, outer, within = inner[window], outer[window], cell[window]
    for smoothing in _SMOOTHINGS:
        light = _light(patch.density, window, max(0.6, smoothing * patch.radius))
        dark = within & _is_dark(light, inner, outer)
        nucleus[window] = _tidy_nucleus(dark, patch.nucleus[window], patch.radius)
        if smoothing == _SMOOTHINGS[-1] or _raggedness(nucleus, 0.12 * patch.radius) < _RAGGED:
            break
    return nucleus


def _light(density: FloatImage, window: tuple[slice, slice], width: float) -> FloatImage:
    """Share of light absorbed in a window of a patch, smoothed by a Gaussian of this width."""
    reach = int(4.0 * width + 0.5)
    wider = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in window)
    back = tuple(
        slice(part.start - wide.start, part.stop - wide.start)
        for part, wide in zip(window, wider, strict=True)
    )
    smooth = ndi.gaussian_filter(density[wider], (width, width, 0))
    light: FloatImage = 1.0 - 10.0 ** -smooth[back]
    return light


def _raggedness(mask: BoolImage, width: float) -> float:
    """Length of the outline over that of the mask rounded by a Gaussian of this width."""
    rounded = ndi.gaussian_filter(mask.astype(np.float32), width) > 0.5
    long, short = (int(np.count_nonzero(m & ~peel(m))) for m in (mask, rounded))
    return long / max(short, 1)


def _is_dark(light: FloatImage, inner: BoolImage, outer: BoolImage) -> BoolImage:
    """Threshold the light absorbed in that mixture of the channels that parts the cell best.

    That is green alone, or less of red and blue, which darkness of no color (a refracting rim)
    absorbs as well.
    """
    within, around = light[inner], light[outer]
    mixtures = [np.array(mixture) for mixture in _MIXTURES]
    parted = [_parted(within @ mixture, around @ mixture) for mixture in mixtures]
    best = int(np.argmax([share for share, _ in parted]))
    dark: BoolImage = light @ mixtures[best] > parted[best][1]
    return dark


def _parted(values: FloatImage, around: FloatImage) -> tuple[float, float]:
    """Say how well nucleus and cytoplasm of a cell part, 0 to 1, and at which threshold.

    The threshold is the mean of that of two classes within the cell and of the upper one of three
    classes within and around it: the first fails where hardly any cytoplasm is, the second where
    the cytoplasm is as pale as the background.
    """
    (level,) = multi_otsu(values, classes=2)
    _, upper = multi_otsu(around, classes=3)
    dark = values > level
    share = dark.mean()
    if not 0 < share < 1:
        return 0.0, level
    between = share * (1 - share) * (values[dark].mean() - values[~dark].mean()) ** 2
    return float(between / values.var()), (level + upper) / 2


def _tidy_nucleus(dark: BoolImage, nucleus: BoolImage, radius: float) -> BoolImage:
    """Drop threads and crumbs, fill pores."""
    opened = ndi.binary_opening(dark, disk(0.1 * radius))
    labels, n = ndi.label(opened)
    if n == 0:
        return nucleus & dark
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    lobes = opened & (areas >= 0.08 * areas.max())[labels]
    return fill_holes(lobes, largest=_PORE * lobes.sum())
