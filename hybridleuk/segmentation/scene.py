"""What an image shows before any cell is looked at: background, red cells, dark nuclei.

Nuclei take the azure dye, which absorbs red and green light and lets blue pass; haemoglobin and
eosin absorb green and blue and let red pass. So ``OD_red + OD_green - OD_blue`` (the *azure index*)
is high in nuclei and platelets, low in red cells and eosinophil granules, whatever the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import fill_holes, grow, peel, shrink
from hybridleuk.segmentation.otsu import multi_otsu
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.stain import estimate_background, optical_density

__all__ = [
    "WORK_PIXELS",
    "Scene",
    "azure_index",
    "contrast_to_background",
    "look",
    "red_cell_depth",
    "red_cell_radius",
    "red_sample",
]

WORK_PIXELS = 64_000
MINIMUM_CONTRAST = 0.10
_BACKGROUND_SHARE = 0.02

FloatImage = npt.NDArray[Any]
BoolImage = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """An image at the scale where cells are looked for.

    Attributes
    ----------
    scale : float
        Pixels of the image per pixel of the arrays below, at least 1.
    background : ndarray of shape (3,)
        RGB of the empty smear.
    density : ndarray of shape (h, w, 3)
        Optical density.
    azure : ndarray of shape (h, w)
        Azure index, smoothed.
    contrast : ndarray of shape (h, w)
        Difference from the background, smoothed (:func:`contrast_to_background`).
    foreground : ndarray of shape (h, w), bool
        Everything that is not empty smear.
    dark : ndarray of shape (h, w), bool
        Nuclei, platelets and other things stained like them.
    foreground_level, dark_level : float
        The thresholds behind the two masks.
    flags : tuple of str
        Doubts about the image.
    red_radius : float or None
        Radius of the red cells, where parts of a large image have told it already.
    """

    scale: float
    background: npt.NDArray[np.float64]
    density: npt.NDArray[np.float32]
    azure: npt.NDArray[np.float32]
    contrast: npt.NDArray[np.float32]
    foreground: BoolImage
    dark: BoolImage
    foreground_level: float
    dark_level: float
    flags: tuple[str, ...]
    red_radius: float | None = None


def azure_index(density: FloatImage) -> npt.NDArray[np.float32]:
    """``OD_red + OD_green - OD_blue``; the optical density itself where the image is grey."""
    index: npt.NDArray[np.float32] = density[..., 0] + density[..., 1] - density[..., 2]
    return index


def look(image: RGBImage, pixels: float = WORK_PIXELS) -> Scene:
    """Estimate the background and find what is stained like a nucleus, at a scale of `pixels`."""
    scale = max(1.0, float(np.sqrt(image.shape[0] * image.shape[1] / pixels)))
    shape = tuple(max(8, round(side / scale)) for side in image.shape[:2])
    small = image
    if scale > 1.0:
        small = np.rint(resample(image, (shape[0], shape[1]))).astype(np.uint8)
    background = estimate_background(small)
    density = optical_density(small, background)
    azure: FloatImage = ndi.gaussian_filter(azure_index(density), 1.0)
    contrast = contrast_to_background(ndi.gaussian_filter(density, (0.7, 0.7, 0)))
    pale, deep = foreground_level(contrast), dark_level(azure)
    doubts = _doubts(small, contrast)
    return Scene(
        scale=scale,
        background=background,
        density=density,
        azure=azure,
        contrast=contrast,
        foreground=contrast > pale,
        dark=azure > deep,
        foreground_level=pale,
        dark_level=deep,
        flags=doubts,
    )


def contrast_to_background(density: FloatImage) -> npt.NDArray[np.float32]:
    """How far a pixel is from empty smear: the range of its optical densities, 0 included.

    A pale lilac cytoplasm on a grey ground differs in color, not in depth; this sees both.
    """
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    high = np.maximum(np.maximum(np.maximum(red, green), blue), 0.0)
    low = np.minimum(np.minimum(np.minimum(red, green), blue), 0.0)
    contrast: npt.NDArray[np.float32] = high - low
    return contrast


def foreground_level(contrast: FloatImage) -> float:
    """Contrast above which a pixel is not empty: 0.65 of Otsu's threshold of the pale range."""
    (level,) = multi_otsu(np.clip(contrast, 0.0, 0.25), classes=2)
    return float(np.clip(0.65 * level, 0.03, 0.2))


def dark_level(azure: FloatImage) -> float:
    """Azure index above which a pixel belongs to a nucleus or to something stained like one."""
    lower, upper = multi_otsu(np.clip(azure, 0.0, None), classes=3, power=0.5)
    return max(0.5 * (lower + upper), MINIMUM_CONTRAST)


def red_cell_radius(scene: Scene, away: BoolImage, pallor: float = np.inf) -> float | None:
    """Typical radius of the red cells, in pixels of the scene.

    Parameters
    ----------
    scene : Scene
    away : ndarray of shape (h, w), bool
        Where red cells may be looked for: away from leukocytes.
    pallor : float, optional
        Area of the largest hole that counts as the pale middle of a red cell.

    Returns
    -------
    float or None
        Median half-width of what is not empty there, holes filled, weighted by area; None where
        fewer than three such things are seen or they cover under 3 % of the image.
    """
    closed = peel(grow(scene.foreground, 2), 2)
    body = fill_holes(closed, pallor) & away
    if body.mean() < 0.03:
        return None
    depth = ndi.distance_transform_edt(body)
    peaks = (depth == ndi.maximum_filter(depth, size=9)) & (depth > 3.0)
    inner = np.zeros_like(peaks)
    inner[4:-4, 4:-4] = True
    heights = np.sort(depth[peaks & inner])
    if len(heights) < 3:
        return None
    weight = np.cumsum(heights**2)
    return float(heights[np.searchsorted(weight, 0.5 * weight[-1])])


def red_cell_depth(scene: Scene) -> float:
    """Green optical density of what is stained, but not like a nucleus; at least 0.02."""
    pale = scene.foreground & (scene.azure < 0.5 * scene.dark_level)
    depth = float(np.median(scene.density[..., 1][pale])) if pale.any() else 0.1
    return max(depth, 0.02)


def red_sample(
    scene: Scene, nuclei: npt.NDArray[Any], red_area: float | None = None
) -> npt.NDArray[np.float32] | None:
    """Optical densities of red cells.

    Taken from what is stained, but not like a nucleus, is thick, and does not hang together with
    any nucleus; where too little stands free like that, from what is far from every nucleus; or
    less far, if that is much more than the cytoplasm of a cell could be. Thick is half as wide as
    a nucleus, or, where that gives too little, as a red cell of area `red_area`.

    Returns
    -------
    ndarray of shape (k, 3), float32, or None
        None where too little qualifies: under 100 pixels, a quarter of a nucleus, or 1 % of the
        image (4 % where thick was measured by red cells).
    """
    areas = np.bincount(nuclei.ravel())[1:]
    radius = float(np.sqrt(areas.max() / np.pi)) if areas.size else 10.0
    red = _red_pixels(scene, nuclei, radius, radius, 0.01)
    if red is None and red_area is not None and red_area < np.pi * radius**2:
        red = _red_pixels(scene, nuclei, radius, float(np.sqrt(red_area / np.pi)), 0.04)
    if red is None:
        return None
    sample: npt.NDArray[np.float32] = scene.density[red]
    return sample


def _red_pixels(
    scene: Scene, nuclei: npt.NDArray[Any], radius: float, size: float, share: float
) -> BoolImage | None:
    """Mark pixels of red cells of radius `size` beside nuclei of radius `radius`, if enough."""
    body = shrink(scene.foreground, max(1, round(0.1 * size)))
    pale = body & (scene.azure < 0.5 * scene.dark_level)
    filled = fill_holes(body)
    labels, n = ndi.label(filled)
    free = np.ones(n + 1, dtype=bool)
    free[labels[nuclei > 0]] = False
    enough = max(100, share * pale.size, 0.75 * size**2)
    red = pale & _thick(free[labels] & filled, size)
    if red.sum() >= enough:
        return red
    distance = ndi.distance_transform_edt(nuclei == 0)
    for reach, least in ((1.8, enough), (1.1, 8.0 * radius**2)):
        red = pale & _thick(filled & (distance > reach * radius), size)
        if red.sum() >= least:
            return red
    return None


def _thick(mask: BoolImage, radius: float) -> BoolImage:
    """Keep the connected parts of a mask that a square half as wide as a nucleus fits into."""
    labels, n = ndi.label(mask)
    keep = np.zeros(n + 1, dtype=bool)
    keep[labels[shrink(mask, max(1, round(0.25 * radius)))]] = True
    keep[0] = False
    kept: BoolImage = keep[labels]
    return kept


def _doubts(image: RGBImage, contrast: FloatImage) -> tuple[str, ...]:
    doubts = []
    if (contrast >= MINIMUM_CONTRAST).mean() <= 0.005:
        doubts.append("low_contrast")
    if (np.abs(contrast) < 0.05).mean() < _BACKGROUND_SHARE:
        doubts.append("no_background")
    red, green, blue = (image[::3, ::3, c] for c in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    if (high - np.minimum(np.minimum(red, green), blue) > 3).mean() <= 0.01:
        doubts.append("no_color")
    return tuple(doubts)
