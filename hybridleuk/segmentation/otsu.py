"""Thresholds that part a picture's values into classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["bright_class", "multi_otsu"]

FloatImage = npt.NDArray[np.floating[Any]]

_BINS = 128
_LEAST_BRIGHT = 0.04


def multi_otsu(values: npt.ArrayLike, *, classes: int = 3, power: float = 1.0) -> list[float]:
    """Thresholds that part values into classes of the least variance within.

    Parameters
    ----------
    values : array
        Any shape; values that are not finite are left out.
    classes : {2, 3}, default 3
        How many classes; one threshold fewer comes back.
    power : float, default 1
        Exponent on the histogram's counts. 1 is the method of Otsu; 0.5 lets small classes count
        for more, as a leukocyte in a large field.

    Returns
    -------
    list of float
        Rising thresholds; equal to the one value there is where nothing can be parted.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62-66.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    low, high = (flat.min(), flat.max()) if flat.size else (0.0, 0.0)
    if high - low < 1e-9:
        return [float(high)] * (classes - 1)
    counts, edges = _histogram(flat, low, high)
    weights = counts.astype(np.float64) ** power
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    moment = np.concatenate([[0.0], np.cumsum(weights * (edges[:-1] + edges[1:]) / 2)])
    cuts = _best_pair(mass, moment) if classes == 3 else (_best_single(mass, moment),)
    return [float(edges[cut]) for cut in cuts]


def _histogram(flat: FloatImage, low: float, high: float) -> tuple[Any, npt.NDArray[np.float64]]:
    """Count as ``np.histogram`` does, which is slower since it serves bins of any width."""
    place = ((flat - low) * (_BINS / (high - low))).astype(np.intp)
    counts = np.bincount(np.minimum(place, _BINS - 1), minlength=_BINS)
    return counts, np.linspace(low, high, _BINS + 1)


def _scatter(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.divide(moment**2, mass, out=np.zeros_like(moment), where=mass > 0)


def _best_single(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> int:
    between = _scatter(mass, moment) + _scatter(mass[-1] - mass, moment[-1] - moment)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return int(best[len(best) // 2])


def _best_pair(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> tuple[int, int]:
    lower = _scatter(mass, moment)
    upper = _scatter(mass[-1] - mass, moment[-1] - moment)
    middle = _scatter(mass[None, :] - mass[:, None], moment[None, :] - moment[:, None])
    between = lower[:, None] + middle + upper[None, :]
    between[np.tril_indices(len(mass))] = -np.inf
    first, second = np.unravel_index(int(between.argmax()), between.shape)
    return int(first), int(second)


def bright_class(green: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Mark the brightest of three classes; the two brightest where that is under 4 % of all.

    So small a class is a reflection, not the empty smear.
    """
    lower, upper = multi_otsu(green, classes=3)
    bright: npt.NDArray[np.bool_] = green >= upper
    return bright if bright.mean() >= _LEAST_BRIGHT else green >= lower
