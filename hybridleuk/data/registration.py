"""How well one small picture fits another when it is turned, mirrored, moved and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.fingerprints import SIDE, dark_center, on_circles

__all__ = ["Fit", "fit_pictures"]

Array = npt.NDArray[Any]

_MIDDLE = (SIDE - 1) / 2
_RADII = np.linspace(3, 34, 16)
_SCALES = (0.9, 1.0, 1.0 / 0.9)
_STEPS, _FIRST_STEPS = 12, 3
_TRIED = 2
_HOPEFUL, _PROMISING = 0.3, 0.75
_CERTAIN = 0.95
_WHITE = 200.0
_REACH = _MIDDLE - 4
_ROWS, _COLUMNS = np.mgrid[:SIDE:1, :SIDE:1].astype(np.float64) - _MIDDLE
_INSIDE = np.hypot(_ROWS, _COLUMNS) <= _REACH
_Y, _X = _ROWS[_INSIDE], _COLUMNS[_INSIDE]


@dataclass(frozen=True)
class Fit:
    """How a second picture lies on a first.

    Attributes
    ----------
    score : float
        Correlation of the fine detail of both where they overlap, up to 1.
    angle : float
        Turn in degrees.
    scale : float
    mirrored : bool
    """

    score: float
    angle: float
    scale: float
    mirrored: bool


def fit_pictures(first: Array, second: Array) -> Fit:
    """Find turn, scale and shift of the second picture on the first, also mirrored.

    The turn is first guessed by correlating both along circles, about their dark middles and about
    the middles of the pictures; the likeliest guesses are refined by least squares on the gradient
    (Lucas and Kanade 1981, IJCAI). A guess whose fine detail agrees by under 0.75 after three steps
    is given up: pictures of the same have come to 0.98 by then, others stay below 0.72.

    Parameters
    ----------
    first, second : ndarray of shape (SIDE, SIDE), uint8
        As from :func:`hybridleuk.data.fingerprints.fingerprint`.
    """
    still = _Levels.of(first)
    best = Fit(-1.0, 0.0, 1.0, False)
    for moving, mirrored, start in _likeliest(still, second):
        values = _refined(still.soft, moving.soft, start, _FIRST_STEPS)
        score = _agreement(still.fine, moving.fine, values)
        if score >= _PROMISING:
            values = _refined(still.soft, moving.soft, values, _STEPS - _FIRST_STEPS)
            score = _agreement(still.fine, moving.fine, values)
        if score > best.score:
            angle = float(np.degrees(np.arctan2(values[1], values[0])))
            best = Fit(score, angle, float(np.hypot(values[0], values[1])), mirrored)
        if best.score > _CERTAIN:
            break
    return best


@dataclass(frozen=True)
class _Levels:
    """A picture without noise, its fine detail, and its coarse one."""

    soft: Array
    fine: Array
    coarse: Array

    @classmethod
    def of(cls, picture: Array) -> _Levels:
        from scipy.ndimage import gaussian_filter

        soft = gaussian_filter(picture.astype(np.float64) / _WHITE, 1.0)
        fine = soft - gaussian_filter(soft, 5.0)
        return cls(soft, fine, gaussian_filter(soft, 2.5) - gaussian_filter(soft, 8.0))


def _likeliest(still: _Levels, second: Array) -> list[tuple[_Levels, bool, Array]]:
    """Rank guesses by agreement of coarse detail, and leave out what cannot become anything."""
    guesses = []
    for mirrored in (False, True):
        moving = _Levels.of(second[:, ::-1] if mirrored else second)
        for about_cells in (True, False):
            start = _guess(still.soft, moving.soft, about_cells=about_cells)
            agreement = _agreement(still.coarse, moving.coarse, start)
            guesses.append((agreement, moving, mirrored, start))
    guesses.sort(key=lambda guess: -guess[0])
    return [guess[1:] for guess in guesses[:_TRIED] if guess[0] > _HOPEFUL]


def _guess(still: Array, moving: Array, *, about_cells: bool) -> Array:
    """Guess how to move: ``(a, b, shift_row, shift_column)``.

    The point (y, x) is found in moving at ``(a y + b x + shift_row, a x - b y + shift_column)``.
    """
    middle = (_MIDDLE, _MIDDLE)
    here, there = (dark_center(still), dark_center(moving)) if about_cells else (middle, middle)
    wanted = np.fft.rfft(_even(on_circles(still, *here, _RADII)), axis=1)
    best = (-np.inf, 0, 1.0)
    for scale in _SCALES:
        circles = _even(on_circles(moving, *there, _RADII * scale))
        spectrum = np.conj(wanted) * np.fft.rfft(circles, axis=1)
        likeness = np.fft.irfft((spectrum * _RADII[:, None]).sum(axis=0))
        turn = int(likeness.argmax())
        best = max(best, (float(likeness[turn]), turn, scale))
    _, turn, scale = best
    angle = 2 * np.pi * turn / 64
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    y, x = here[0] - _MIDDLE, here[1] - _MIDDLE
    return np.array(
        [a, b, there[0] - _MIDDLE - (a * y + b * x), there[1] - _MIDDLE - (a * x - b * y)]
    )


def _even(circles: Array) -> Array:
    even: Array = circles - circles.mean(axis=1, keepdims=True)
    return even / (np.linalg.norm(even) + 1e-9)


def _refined(still: Array, moving: Array, start: Array, steps: int) -> Array:
    """Refine by Gauss-Newton steps; a scale that runs away ends where it began."""
    from scipy.ndimage import map_coordinates

    slope_row, slope_column = np.gradient(moving)
    values, wanted = start.copy(), still[_INSIDE]
    for _ in range(steps):
        at = _mapped(values)
        seen, down, right = (
            map_coordinates(level, at, order=1, mode="nearest")
            for level in (moving, slope_row, slope_column)
        )
        within = _within(at)
        columns = [down * _Y + right * _X, down * _X - right * _Y, down, right, np.ones_like(seen)]
        jacobian = np.stack(columns)[:, within]
        step = np.linalg.solve(
            jacobian @ jacobian.T + 1e-9 * np.eye(5), jacobian @ (wanted - seen)[within]
        )[:4]
        values += step
        if not 0.6 < np.hypot(values[0], values[1]) < 1.6:
            return start
        if np.abs(step[2:]).max() < 0.02:
            break
    return values


def _mapped(values: Array) -> Array:
    a, b, row, column = values
    return np.stack([a * _Y + b * _X + row, a * _X - b * _Y + column]) + _MIDDLE


def _within(at: Array) -> Array:
    return np.asarray(((at >= 0) & (at <= SIDE - 1)).all(axis=0))


def _agreement(still: Array, moving: Array, values: Array) -> float:
    """Correlate two levels of detail where the pictures overlap; -1 where that is under half."""
    from scipy.ndimage import map_coordinates

    at = _mapped(values)
    within = _within(at) & np.asarray(np.hypot(*(at - _MIDDLE)) <= _REACH)
    if within.mean() < 0.5:
        return -1.0
    first = still[_INSIDE][within]
    second = map_coordinates(moving, at[:, within], order=1)
    first, second = first - first.mean(), second - second.mean()
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / size) if size > 1e-9 else -1.0
