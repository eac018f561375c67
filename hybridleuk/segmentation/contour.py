"""The outline of one cell as the best closed curve around its nucleus.

Pixels vote for or against lying in the cell. Among all outlines that are a function of the
direction seen from the center (star-shaped) and whose radius changes only a little from one
direction to the next, the one is taken that encloses the largest sum of votes. It is found exactly,
by dynamic programming on a polar grid, so that a red cell that touches, a platelet or a hole do
not lead it astray.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["star_outline", "star_region"]

_ANGLES = 64
_RADII = 42
_HALF_STEP = 0.5061728  # keeps samples off the pixel grid, where a rounding error would decide

FloatArray = npt.NDArray[Any]


def star_outline(
    votes: FloatArray, center: tuple[float, float], reach: float, *, stiffness: float = 0.3
) -> FloatArray:
    """Find the star-shaped closed outline that encloses the most votes.

    Parameters
    ----------
    votes : ndarray of shape (H, W)
        Positive where a pixel looks like part of the cell, negative where not. Outside of the
        image the border's votes go on.
    center : tuple of float
        ``(y, x)`` in pixels.
    reach : float
        Largest radius tried, in pixels.
    stiffness : float, default 0.3
        Price of a change of radius by one step (1/42 of the reach) between neighbouring
        directions (64 of them), in full votes of one cell of the polar grid at the reach. The
        price grows with the square of the change.

    Returns
    -------
    ndarray of shape (64,)
        Radius in pixels for directions ``2 pi k / 64``, counted from the x axis towards y.
    """
    from scipy import ndimage as ndi

    cosine, sine = _directions()
    step = reach / _RADII
    radius = (np.arange(_RADII) + _HALF_STEP) * step
    where = [center[0] + sine[:, None] * radius, center[1] + cosine[:, None] * radius]
    sampled = ndi.map_coordinates(votes, where, order=1, mode="nearest")
    area = radius * step * (2 * np.pi / _ANGLES)
    gain = np.cumsum(sampled * area, axis=1)
    price = stiffness * step * reach * (2 * np.pi / _ANGLES)
    best = _closed_path(gain, price)
    outline: npt.NDArray[Any] = (best + 1.0) * step
    return outline


def star_region(
    outline: FloatArray, center: tuple[float, float], shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Fill an outline of :func:`star_outline`: a mask of `shape`."""
    region = np.zeros(shape, dtype=bool)
    farthest = float(outline.max()) + 1.0
    top, left = (max(0, int(c - farthest)) for c in center)
    window = region[top : int(center[0] + farthest) + 1, left : int(center[1] + farthest) + 1]
    rows = np.arange(top, top + window.shape[0])[:, None] - center[0]
    columns = np.arange(left, left + window.shape[1])[None, :] - center[1]
    angle = np.arctan2(rows, columns) * (_ANGLES / (2 * np.pi)) % _ANGLES
    low = np.floor(angle).astype(int)
    part = angle - low
    ring = np.append(outline, outline[:2])
    limit = ring[low] * (1 - part) + ring[low + 1] * part
    np.less_equal(np.hypot(rows, columns), limit, out=window)
    return region


@lru_cache(maxsize=1)
def _directions() -> tuple[FloatArray, FloatArray]:
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    return np.cos(angle), np.sin(angle)


_REACH_OF_JUMP = 3


def _closed_path(gain: FloatArray, price: float) -> npt.NDArray[np.int64]:
    """Choose one column per row, rows in a ring, with the largest gain less the price of jumps.

    The quadratic price of a jump of k columns is ``price * k**2``, up to 3 columns. Exact: every
    start column is followed separately.
    """
    n, m = gain.shape
    jumps = np.arange(-_REACH_OF_JUMP, _REACH_OF_JUMP + 1)
    prices = np.float32(price) * jumps.astype(np.float32) ** 2
    # scores[k]: of the best way from a start column (row) to a column at k, columns padded
    scores = np.full((n, m, m + 2 * _REACH_OF_JUMP), -np.inf, dtype=np.float32)
    inner = slice(_REACH_OF_JUMP, _REACH_OF_JUMP + m)
    gain = gain.astype(np.float32)
    np.fill_diagonal(scores[0][:, inner], gain[0])
    for k in range(1, n):
        np.add(_after_a_jump(scores[k - 1], prices), gain[k], out=scores[k][:, inner])
    start = int(np.argmax(np.diagonal(_after_a_jump(scores[n - 1], prices))))
    path = np.empty(n, dtype=np.int64)
    at = start
    for k in range(n - 1, -1, -1):
        options = scores[k, start, at : at + len(jumps)] - prices
        at += int(options.argmax()) - _REACH_OF_JUMP
        path[k] = at
    return path


def _after_a_jump(padded: FloatArray, prices: FloatArray) -> FloatArray:
    """Score of each column reached by the best of the jumps that end there."""
    m = padded.shape[1] - 2 * _REACH_OF_JUMP
    best = padded[:, _REACH_OF_JUMP : _REACH_OF_JUMP + m]
    for jump in range(1, _REACH_OF_JUMP + 1):
        low, high = _REACH_OF_JUMP - jump, _REACH_OF_JUMP + jump
        farther = np.maximum(padded[:, low : low + m], padded[:, high : high + m])
        farther -= prices[high]
        best = np.maximum(best, farther)
    return best
