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
    rows = np.arange(shape[0])[:, None] - center[0]
    columns = np.arange(shape[1])[None, :] - center[1]
    angle = np.arctan2(rows, columns) * (_ANGLES / (2 * np.pi)) % _ANGLES
    low = np.floor(angle).astype(int)
    part = angle - low
    ring = np.append(outline, outline[:2])
    limit = ring[low] * (1 - part) + ring[low + 1] * part
    return np.hypot(rows, columns) <= limit


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
    prices = (price * jumps.astype(np.float32) ** 2)[:, None, None].astype(np.float32)
    gain = gain.astype(np.float32)
    score = np.full((m, m), -np.inf, dtype=np.float32)
    np.fill_diagonal(score, gain[0])
    came = np.empty((n, m, m), dtype=np.int8)
    padded = np.full((m, m + 2 * _REACH_OF_JUMP), -np.inf, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, m, axis=1)
    for k in range(1, n + 1):
        padded[:, _REACH_OF_JUMP : _REACH_OF_JUMP + m] = score
        options = windows.transpose(1, 0, 2) - prices
        choice = options.argmax(axis=0)
        score = options.max(axis=0)
        came[k % n] = choice - _REACH_OF_JUMP
        if k < n:
            score = score + gain[k]
    start = int(np.argmax(np.diagonal(score)))
    path = np.empty(n, dtype=np.int64)
    at = start
    for k in range(n, 0, -1):
        at = at + int(came[k % n][start, at])
        path[k - 1] = at
    return path
