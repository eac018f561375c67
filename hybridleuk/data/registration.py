"""How well one small picture fits another when it is turned, mirrored, moved and scaled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.fingerprints import SIDE, dark_center, on_circles, softening

__all__ = ["Fit", "Prepared", "fit_pictures"]

Array = npt.NDArray[Any]

_MIDDLE = (SIDE - 1) / 2
_RADII = np.linspace(3, 34, 16)
_SCALES = (0.9, 1.0, 1.0 / 0.9)
_ANGLES = 64
_STEPS, _FIRST_STEPS = 12, 3
_TRIED = 2
_HOPEFUL, _PROMISING = 0.3, 0.75
_CERTAIN = 0.95
_WHITE = 200.0
_REACH = _MIDDLE - 4
_TOO_FLAT = 1e-9
_RIDGE = 1e-9 * np.eye(5)


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


class _Points:
    """Places of the first picture that are looked at: those in the disc, or every so many."""

    def __init__(self, spacing: int) -> None:
        rows, columns = np.mgrid[:SIDE:spacing, :SIDE:spacing]
        inside = np.hypot(rows - _MIDDLE, columns - _MIDDLE) <= _REACH
        self.flat = rows[inside] * SIDE + columns[inside]
        self.y, self.x = rows[inside] - _MIDDLE, columns[inside] - _MIDDLE


_ALL, _HALF, _THIRD = _Points(1), _Points(2), _Points(3)


class Prepared:
    """A small picture made ready to be laid on others, or others on it.

    Parameters
    ----------
    picture : ndarray of shape (SIDE, SIDE), uint8
        As from :func:`hybridleuk.data.fingerprints.fingerprint`.
    """

    def __init__(self, picture: Array) -> None:
        blur = softening
        self.soft = blur(1.0) @ (picture.astype(np.float64) / _WHITE) @ blur(1.0).T
        self.fine = (self.soft - blur(5.0) @ self.soft @ blur(5.0).T).ravel()
        self.coarse = (
            blur(2.5) @ self.soft @ blur(2.5).T - blur(8.0) @ self.soft @ blur(8.0).T
        ).ravel()
        self.centers = (dark_center(self.soft), (_MIDDLE, _MIDDLE))

    @cached_property
    def slopes(self) -> Array:
        """The picture without noise and its slopes down and to the right: (SIDE * SIDE, 3)."""
        return np.stack([self.soft, *np.gradient(self.soft)], axis=-1).reshape(-1, 3)

    @cached_property
    def standing(self) -> Array:
        """Spectra of circles about both centers, of shape (2, 1, 16, 33)."""
        return np.stack([_spectra(self.soft, center, (1.0,)) for center in self.centers])

    @cached_property
    def moving(self) -> Array:
        """The same at each scale, as it is and mirrored: (2, 2, 3, 16, 33), mirrored first."""
        plain = np.stack([_spectra(self.soft, center, _SCALES) for center in self.centers])
        half_turn = (-1.0) ** np.arange(plain.shape[-1])
        return np.stack([plain, plain.conj() * half_turn])


def fit_pictures(first: Array | Prepared, second: Array | Prepared) -> Fit:
    """Find turn, scale and shift of the second picture on the first, also mirrored.

    The turn is first guessed by correlating both along circles, about their dark middles and about
    the middles of the pictures; the likeliest guesses are refined by least squares on the gradient
    (Lucas and Kanade 1981, IJCAI). A guess whose fine detail agrees by under 0.75 after three steps
    is given up: pictures of the same have come to 0.98 by then, others stay below 0.72.

    Parameters
    ----------
    first, second : ndarray of shape (SIDE, SIDE), uint8, or Prepared
        As from :func:`hybridleuk.data.fingerprints.fingerprint`.
    """
    still = first if isinstance(first, Prepared) else Prepared(first)
    moving = second if isinstance(second, Prepared) else Prepared(second)
    best = Fit(-1.0, 0.0, 1.0, False)
    for mirrored, start in _likeliest(still, moving):
        values = _refined(still, moving, mirrored, start, _HALF, _FIRST_STEPS)
        score = _agreement(still.fine, moving.fine, mirrored, values, _HALF)
        if score >= _PROMISING:
            values = _refined(still, moving, mirrored, values, _ALL, _STEPS - _FIRST_STEPS)
            score = _agreement(still.fine, moving.fine, mirrored, values, _ALL)
        if score > best.score:
            angle = float(np.degrees(np.arctan2(values[1], values[0])))
            best = Fit(score, angle, float(np.hypot(values[0], values[1])), mirrored)
        if best.score > _CERTAIN:
            break
    return best


def _spectra(soft: Array, center: tuple[float, float], scales: tuple[float, ...]) -> Array:
    """Fourier coefficients along circles about a point, each set of circles of one norm."""
    radii = np.outer(scales, _RADII).ravel()
    circles = on_circles(soft, *center, radii).reshape(len(scales), len(_RADII), _ANGLES)
    even = circles - circles.mean(axis=-1, keepdims=True)
    even /= np.sqrt((even**2).sum(axis=(1, 2), keepdims=True)) + _TOO_FLAT
    return np.fft.rfft(even)


def _likeliest(still: Prepared, moving: Prepared) -> list[tuple[bool, Array]]:
    """Rank guesses by agreement of coarse detail, and leave out what cannot become anything."""
    ranked = []
    for mirrored, start in _guesses(still, moving):
        agreement = _agreement(still.coarse, moving.coarse, mirrored, start, _THIRD)
        ranked.append((agreement, mirrored, start))
    ranked.sort(key=lambda guess: -guess[0])
    return [
        (mirrored, start) for agreement, mirrored, start in ranked[:_TRIED] if agreement > _HOPEFUL
    ]


def _guesses(still: Prepared, moving: Prepared) -> Iterator[tuple[bool, Array]]:
    """Guess how to move, as it is and mirrored, about both centers: ``(a, b, row, column)``.

    The point (y, x) is found in moving at ``(a y + b x + row, a x - b y + column)``.
    """
    crossed = np.einsum(
        "cskf,mcskf,k->mcsf", still.standing.conj().repeat(3, axis=1), moving.moving, _RADII
    )
    likeness = np.fft.irfft(crossed)
    for way, center in np.ndindex(likeness.shape[:2]):
        which, turn = np.unravel_index(likeness[way, center].argmax(), likeness.shape[2:])
        angle, scale = 2 * np.pi * turn / _ANGLES, _SCALES[which]
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        y, x = (value - _MIDDLE for value in still.centers[center])
        row, column = (value - _MIDDLE for value in moving.centers[center])
        column = -column if way else column
        yield bool(way), np.array([a, b, row - (a * y + b * x), column - (a * x - b * y)])


def _refined(
    still: Prepared, moving: Prepared, mirrored: bool, start: Array, points: _Points, steps: int
) -> Array:
    """Refine by Gauss-Newton steps; a scale that runs away ends where it began."""
    values, wanted = start.copy(), still.soft.ravel()[points.flat]
    jacobian = np.ones((5, len(wanted)))
    for _ in range(steps):
        at, within = _mapped(values, points, mirrored)
        seen, down, right = _sampled(moving.slopes, at).T
        if mirrored:
            right = -right
        jacobian[0] = down * points.y + right * points.x
        jacobian[1] = down * points.x - right * points.y
        jacobian[2], jacobian[3] = down, right
        weighted = jacobian * within
        step = np.linalg.solve(weighted @ jacobian.T + _RIDGE, weighted @ (wanted - seen))[:4]
        values += step
        if not 0.6 < np.hypot(values[0], values[1]) < 1.6:
            return start
        if np.abs(step[2:]).max() < 0.02:
            break
    return values


def _mapped(values: Array, points: _Points, mirrored: bool) -> tuple[Array, Array]:
    """Where points lie in the moving picture, (2, n), and which of them lie within it."""
    a, b, row, column = values
    down = a * points.y + b * points.x + row + _MIDDLE
    right = a * points.x - b * points.y + column
    right = (-right if mirrored else right) + _MIDDLE
    within = (down >= 0) & (down <= SIDE - 1) & (right >= 0) & (right <= SIDE - 1)
    return np.stack([down, right]), within


def _sampled(levels: Array, at: Array) -> Array:
    """Interpolate linearly in flattened levels, (SIDE * SIDE[, d]); the border goes on outside."""
    at = np.minimum(np.maximum(at, 0), SIDE - 1)
    corner = np.minimum(at.astype(np.intp), SIDE - 2)
    down, right = at - corner
    if levels.ndim > 1:
        down, right = down[:, None], right[:, None]
    first = corner[0] * SIDE + corner[1]
    four = [levels.take(first + step, axis=0) for step in (0, 1, SIDE, SIDE + 1)]
    upper, lower = (four[row] + right * (four[row + 1] - four[row]) for row in (0, 2))
    sampled: Array = upper + down * (lower - upper)
    return sampled


def _agreement(
    still: Array, moving: Array, mirrored: bool, values: Array, points: _Points
) -> float:
    """Correlate two levels of detail where the pictures overlap; -1 where that is under half."""
    at, within = _mapped(values, points, mirrored)
    within &= np.hypot(*(at - _MIDDLE)) <= _REACH
    if within.mean() < 0.5:
        return -1.0
    first = still[points.flat[within]]
    second = _sampled(moving, at[:, within])
    first, second = first - first.mean(), second - second.mean()
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / size) if size > _TOO_FLAT else -1.0
