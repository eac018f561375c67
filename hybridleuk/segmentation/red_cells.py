"""How large a red cell is in this image: the yardstick for everything else.

Each pixel on the rim of something stained votes for the center of a circle of every radius, in the
direction in which the stain grows (a Hough transform that knows the gradient). Rims of overlapping
cells point into their own cell, and the inner rim of a pale center points away from it, so clumps
and rings, on which areas and distances to the background fail, vote as free disks do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.scene import WORK_PIXELS, Scene, look

__all__ = ["circle_radius", "look_closely"]

BoolImage = npt.NDArray[np.bool_]

_SMALLEST = 4.0
_LARGEST_SHARE = 0.2
_LARGEST = 55.0
_WIDEST = 600
_STEP = 0.07
_BINS_PER_RADIUS = 11
_WEAKEST_RIM = 0.12
_FULL_RIM = 0.5
_BLUR = 0.15
_CIRCLES = 6
_FEWEST = 3
_LEAST_ROUND = 0.25
_LARGER_FIRST = 0.45
_COARSE = 2.8
_LARGE_ENOUGH = 9.0
_GOOD_RADIUS = 12.0


def circle_radius(scene: Scene, away: BoolImage) -> float | None:
    """Radius of the circles that most rims agree on, in pixels of the scene.

    Parameters
    ----------
    scene : Scene
    away : ndarray of shape (h, w), bool
        Where red cells may be looked for: away from leukocytes.

    Returns
    -------
    float or None
        The radius r, from 4 px to 55 px or a fifth of the shorter side in steps of 7 %, for which
        ``r**0.45`` times the mean share of a circle's rim that votes, over the six best circles, is
        largest. The factor prefers whole cells to the specks in them. None where fewer than three
        circles are seen or their rims are voted for by under a quarter. Only the middle 600 x 600
        px are looked at.

    References
    ----------
    Kimme, Ballard and Sklansky, Commun. ACM 18 (1975) 120-122.
    """
    best = _best_circle(scene, away)
    return None if best is None else best[0]


def _best_circle(scene: Scene, away: BoolImage) -> tuple[float, float] | None:
    """Radius in pixels of the scene, and the share of a circle's rim that votes for it."""
    middle = tuple(
        slice(max(0, (side - _WIDEST) // 2), (side + _WIDEST) // 2) for side in away.shape
    )
    away = away[middle]
    rim = _rim(scene.contrast[middle], scene.foreground_level, away)
    if rim is None:
        return None
    largest = min(_LARGEST_SHARE * min(away.shape), _LARGEST)
    radii = np.exp(np.arange(np.log(_SMALLEST), np.log(largest), _STEP))
    if not len(radii):
        return None
    shares = ndi.gaussian_filter1d([_roundness(rim, radius, away) for radius in radii], 1.0)
    if not (shares >= _LEAST_ROUND).any():
        return None
    best = int(np.argmax(shares * radii**_LARGER_FIRST))
    return float(radii[best]), float(shares[best])


def look_closely(image: RGBImage) -> Scene:
    """Look at an image at a scale at which its red cells are large enough to be told apart.

    The usual scale is right for images of up to half a megapixel. A larger one may be a field of
    many cells, too small at that scale; then how large they are is looked up in parts of the image,
    and the image is looked at so closely that a red cell has a radius of 12 px.
    """
    scene = look(image)
    if scene.scale <= _COARSE or "low_contrast" in scene.flags:
        return scene
    radius = _radius_in_parts(image)
    if radius is None or radius >= _LARGE_ENOUGH * scene.scale:
        return scene
    area = image.shape[0] * image.shape[1]
    return look(image, float(np.clip(area * (_GOOD_RADIUS / radius) ** 2, WORK_PIXELS, area)))


def _radius_in_parts(image: RGBImage) -> float | None:
    """Radius of the red cells of a large image in its own pixels.

    The whole is looked at, then parts of a third of its sides, a ninth, and so on. Rims agree best
    at that step at which cells are neither specks nor larger than the part.
    """
    best: tuple[float, float | None] = (0.0, None)
    parts = 1
    while True:
        scenes = [look(part) for part in _parts_of(image, parts)]
        seen = [_best_circle(scene, ~scene.dark) for scene in scenes]
        told = [
            (scene.scale * circle[0], circle[1])
            for scene, circle in zip(scenes, seen, strict=True)
            if circle is not None
        ]
        agreement = sum(share for _, share in told) / len(scenes)
        if agreement > best[0]:
            best = agreement, float(np.median([radius for radius, _ in told]))
        if min(scene.scale for scene in scenes) <= 1.0:
            return best[1]
        parts *= 3


def _parts_of(image: RGBImage, parts: int) -> list[RGBImage]:
    """Cut out the middle one and two on each diagonal of `parts` by `parts` windows."""
    if parts == 1:
        return [image]
    tall, wide = (max(64, side // parts) for side in image.shape[:2])
    centers = [(0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
    windows = []
    for down, right in centers:
        top, left = int(down * (image.shape[0] - tall)), int(right * (image.shape[1] - wide))
        windows.append(image[top : top + tall, left : left + wide])
    return windows


def _rim(contrast: npt.NDArray[Any], level: float, away: BoolImage) -> npt.NDArray[Any] | None:
    """Place, direction and weight of each pixel on a rim; rows y, x, dy, dx, weight."""
    contrast = ndi.gaussian_filter(contrast, 1.0)
    slopes = ndi.sobel(contrast, 0) / 8, ndi.sobel(contrast, 1) / 8
    steep = np.hypot(*slopes)
    here = (steep > _WEAKEST_RIM * level) & away
    for edge in (here[:2], here[-2:], here[:, :2], here[:, -2:]):
        edge[...] = False
    if here.sum() < 50:
        return None
    weight = np.minimum(steep[here] / (_FULL_RIM * level), 1.0)
    directions = [slope[here] / steep[here] for slope in slopes]
    return np.array([*np.nonzero(here), *directions, weight])


def _roundness(rim: npt.NDArray[Any], radius: float, away: BoolImage) -> float:
    """Mean share of the rim that votes, over the best circles of one radius; 0 where too few."""
    bin_width = max(1, int(radius / _BINS_PER_RADIUS))
    height, width = (-(-side // bin_width) for side in away.shape)
    rows = np.floor((rim[0] + rim[2] * radius + 0.5) / bin_width).astype(int)
    columns = np.floor((rim[1] + rim[3] * radius + 0.5) / bin_width).astype(int)
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    place = rows[inside] * width + columns[inside]
    votes = np.bincount(place, weights=rim[4, inside], minlength=height * width)
    blur = max(1.0, _BLUR * radius / bin_width)
    # A Gaussian of unit height instead of unit sum: votes that fall near each other add up.
    share = ndi.gaussian_filter(votes.reshape(height, width), blur) * blur**2 / radius
    apart = 2 * int(radius / bin_width) + 1
    peaks = (share == ndi.maximum_filter(share, size=apart)) & (share > 0)
    best = np.sort(share[peaks & away[::bin_width, ::bin_width]])[::-1][:_CIRCLES]
    return float(best.mean()) if len(best) >= _FEWEST else 0.0
