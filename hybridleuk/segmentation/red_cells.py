"""How large a red cell is in this image: the yardstick for everything else.

Each pixel on the rim of something stained votes for the center of a circle of every radius, in the
direction in which the stain grows (a Hough transform that knows the gradient). Rims of overlapping
cells point into their own cell, and the inner rim of a pale center points away from it, so clumps
and rings, on which areas and distances to the background fail, vote as free disks do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.scene import WORK_PIXELS, Scene, look

__all__ = ["best_circle", "circle_radius", "look_closely"]

BoolImage = npt.NDArray[np.bool_]

_SMALLEST = 4.0
_LARGEST_SHARE = 0.2
_LARGEST = 55.0
_WIDEST = 600
_STEP = 0.14
_SMOOTHING = 0.07
_BINS_PER_RADIUS = 11
_WEAKEST_RIM = 0.12
_FULL_RIM = 0.5
_BLUR = 0.15
_BLUR_REACH = 3.0
_CIRCLES = 6
_FEWEST = 3
_LEAST_ROUND = 0.25
_LARGER_FIRST = 0.45
_COARSE = 2.8
_LARGE_ENOUGH = 9.0
_GOOD_RADIUS = 12.0
_AS_TOLD = 1.6


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
        The radius r, from 4 px to 55 px or a fifth of the shorter side, for which ``r**0.45``
        times the mean share of a circle's rim that votes, over the six best circles, is largest.
        It is tried in steps of 14 %; of the best, and of what lies half a step from it, that is
        taken which is nearest to the top of the parabola through the best and its neighbours. The
        factor prefers whole cells to the specks in them. None where fewer than three circles are
        seen or their rims are voted for by under a quarter. Only the middle 600 x 600 px are looked
        at, and only radii within a factor of 1.6 of ``scene.red_radius`` where that is known.

    References
    ----------
    Kimme, Ballard and Sklansky, Commun. ACM 18 (1975) 120-122.
    """
    best = best_circle(scene, away)
    return None if best is None else best[0]


def best_circle(scene: Scene, away: BoolImage) -> tuple[float, float] | None:
    """Radius as :func:`circle_radius` gives it, and how well the rims agree on it.

    The agreement is 1 where each pixel around the six best circles votes for them; thick rims give
    up to about 3.
    """
    middle = tuple(
        slice(max(0, (side - _WIDEST) // 2), (side + _WIDEST) // 2) for side in away.shape
    )
    away = away[middle]
    rim = _rim(scene.contrast[middle], scene.foreground_level, away)
    if rim is None:
        return None
    smallest, largest = _SMALLEST, min(_LARGEST_SHARE * min(away.shape), _LARGEST)
    if scene.red_radius is not None:
        smallest = max(smallest, scene.red_radius / _AS_TOLD)
        largest = min(largest, scene.red_radius * _AS_TOLD)
    radii = np.exp(np.arange(np.log(smallest), np.log(largest), _STEP))
    if not len(radii):
        return None
    roundness = [_roundness(rim, radius, away) for radius in radii]
    shares = ndi.gaussian_filter1d(roundness, _SMOOTHING / _STEP)
    if not (shares >= _LEAST_ROUND).any():
        return None
    scores = shares * radii**_LARGER_FIRST
    best = int(np.argmax(scores))
    # To half a step: a little mark in an image then mostly leaves the radius as it is.
    finer = _STEP * round(2.0 * _top(scores, best)) / 2.0
    return float(radii[best] * np.exp(finer)), float(shares[best])


def _top(scores: npt.NDArray[Any], best: int) -> float:
    """Where the parabola through the best of some scores and its neighbours is highest.

    In steps from the best, -0.5 to 0.5; 0 at either end.
    """
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, here, after = scores[best - 1 : best + 2]
    bend = 2.0 * here - before - after
    return float(0.5 * (after - before) / bend) if bend > 0 else 0.0


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
    if radius is None:
        return scene
    if radius < _LARGE_ENOUGH * scene.scale:
        area = image.shape[0] * image.shape[1]
        pixels = float(np.clip(area * (_GOOD_RADIUS / radius) ** 2, WORK_PIXELS, area))
        scene = look(image, pixels)
    return replace(scene, red_radius=radius / scene.scale)


def _radius_in_parts(image: RGBImage) -> float | None:
    """Radius of the red cells of a large image in its own pixels.

    The whole is looked at, then parts of a third of its sides, a ninth, and so on. Rims agree best
    at that step at which cells are neither specks nor larger than the part.
    """
    best: tuple[float, float | None] = (0.0, None)
    parts = 1
    while True:
        scenes = [look(part) for part in _parts_of(image, parts)]
        seen = [best_circle(scene, ~scene.dark) for scene in scenes]
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


@dataclass(frozen=True)
class _Rim:
    """Pixels on rims: place ``(2, n)`` and direction ``(2, n)`` as y and x, weight ``(n,)``."""

    place: npt.NDArray[np.float32]
    direction: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float64]


def _rim(contrast: npt.NDArray[Any], level: float, away: BoolImage) -> _Rim | None:
    """Find the pixels on rims; None where there are hardly any."""
    contrast = ndi.gaussian_filter(contrast, 1.0)
    slopes = ndi.sobel(contrast, 0) / 8, ndi.sobel(contrast, 1) / 8
    steep = np.hypot(*slopes)
    here = (steep > _WEAKEST_RIM * level) & away
    for edge in (here[:2], here[-2:], here[:, :2], here[:, -2:]):
        edge[...] = False
    place = np.nonzero(here)
    if len(place[0]) < 50:
        return None
    steepness = steep[place]
    weight = np.minimum(steepness / (_FULL_RIM * level), 1.0)
    direction = np.array([slope[place] / steepness for slope in slopes], dtype=np.float32)
    return _Rim(np.array(place, dtype=np.float32), direction, weight.astype(np.float64))


def _roundness(rim: _Rim, radius: float, away: BoolImage) -> float:
    """Mean share of the rim that votes, over the best circles of one radius; 0 where too few."""
    bin_width = max(1, int(radius / _BINS_PER_RADIUS))
    votes = _votes(rim, radius, bin_width, away.shape)
    blur = max(1.0, _BLUR * radius / bin_width)
    # A Gaussian of unit height instead of unit sum: votes that fall near each other add up.
    share = ndi.gaussian_filter(votes, blur, truncate=_BLUR_REACH) * np.float32(blur**2 / radius)
    best = _highest_peaks(share, int(radius / bin_width), away[::bin_width, ::bin_width])
    return float(np.mean(best)) if len(best) >= _FEWEST else 0.0


def _votes(
    rim: _Rim, radius: float, bin_width: int, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Sum the weights of the rims that have a center of this radius in each bin of the image."""
    # Bins are counted from 1: the outermost rows and columns take what falls beside the image.
    height, width = (-(-side // bin_width) + 2 for side in shape)
    bins = rim.direction * np.float32(radius / bin_width)
    bins += rim.place * np.float32(1 / bin_width)
    bins += np.float32(1 + 0.5 / bin_width)
    rows, columns = (
        np.clip(axis, 0, last).astype(np.intp)
        for axis, last in zip(bins, (height - 1, width - 1), strict=True)
    )
    votes = np.bincount(rows * width + columns, rim.weight, minlength=height * width)
    return votes.reshape(height, width)[1:-1, 1:-1].astype(np.float32)


def _highest_peaks(
    share: npt.NDArray[np.float32], apart: int, away: BoolImage
) -> list[npt.NDArray[np.float32]]:
    """List the six highest local maxima of a map, each the highest within `apart` pixels.

    A pixel that is highest that far around is the highest of its block of `apart` + 1 pixels a
    side, so only one pixel of each block has to be held against its surroundings.
    """
    side = apart + 1
    blocks = _block_maxima(share, side)
    peaks: list[npt.NDArray[np.float32]] = []
    for place in np.argsort(blocks, axis=None)[::-1]:
        top, left = (side * k for k in divmod(int(place), blocks.shape[1]))
        block = share[top : top + side, left : left + side]
        down, right = divmod(int(block.argmax()), block.shape[1])
        y, x = top + down, left + right
        around = share[max(0, y - apart) : y + side, max(0, x - apart) : x + side]
        if share[y, x] <= 0 or len(peaks) == _CIRCLES:
            break
        if away[y, x] and share[y, x] == around.max():
            peaks.append(share[y, x])
    return peaks


def _block_maxima(share: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Largest value in each block of `side` by `side` pixels; beyond the map it is 0."""
    height, width = (-(-length // side) for length in share.shape)
    padded = np.zeros((height * side, width * side), dtype=np.float32)
    padded[: share.shape[0], : share.shape[1]] = share
    strips = padded.reshape(height, side, width * side).max(axis=1)
    return np.maximum.reduce([strips[:, k::side] for k in range(side)])
