"""How well scores rank images: areas under curves, for the data and every bootstrap draw."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hybridleuk.evaluation.resampling import Resamples

__all__ = ["areas", "mean_over_classes", "ratio"]

Array = npt.NDArray[Any]
_DRAWS_AT_ONCE = 256  # bounds memory for many images


def areas(
    truth: Array, probabilities: Array, rows: Array, resamples: Resamples
) -> dict[str, npt.NDArray[np.float64]]:
    """Compute means over classes of the AUROC and the average precision, class against rest.

    Parameters
    ----------
    truth : ndarray of shape (m,), int
    probabilities : ndarray of shape (m, k)
    rows : ndarray of shape (m,), int
        Image of each row, for its unit.
    resamples : Resamples

    Returns
    -------
    dict of ``auroc`` and ``average_precision``
        Each of shape (1 + n_draws,).
    """
    unit = resamples.unit[rows]
    parts = []
    for start in range(0, len(resamples.counts), _DRAWS_AT_ONCE):
        weights = np.ascontiguousarray(resamples.counts[start : start + _DRAWS_AT_ONCE].T)
        by_class = [
            _ranked(probabilities[:, code], truth == code, unit, weights)
            for code in range(probabilities.shape[1])
        ]
        parts.append(
            [mean_over_classes(np.column_stack(kind)) for kind in zip(*by_class, strict=True)]
        )
    roc, precision = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    return {"auroc": roc, "average_precision": precision}


def _ranked(score: Array, positive: Array, unit: Array, weights: Array) -> tuple[Array, Array]:
    """AUROC and average precision of one class in each draw.

    A negative of score s lies below all positives from the first one above s on. With positives in
    order of score it is entered there (half before, half behind those that tie); the running sum
    is the weight of negatives below each positive, and what is left of all that at or above it.
    """
    order = np.flatnonzero(positive)[np.argsort(score[positive], kind="stable")]
    if not len(order) or len(order) == len(score):
        undefined = np.full(weights.shape[1], np.nan)
        return undefined, undefined
    ranked, negative = score[order], score[~positive]
    own = weights[unit[order]]
    left, right = (np.searchsorted(ranked, negative, side=side) for side in ("left", "right"))
    tied = _running(np.concatenate([left, right]), np.tile(unit[~positive], 2), weights, len(order))
    total, everyone = own.sum(axis=0), tied[-1] / 2
    roc = ratio(np.einsum("pb,pb->b", own, tied[:-1]) / 2, total * everyone)
    # A positive with a tie in front counts all that tie with it: as the first of them does.
    first = np.searchsorted(ranked, ranked, side="left")
    above = everyone - _running(right, unit[~positive], weights, len(order))[first]
    reached = np.cumsum(own[::-1], axis=0, dtype=np.float64)[::-1][first]
    precision = ratio(reached, reached + above)
    return roc, ratio(np.nansum(own * precision, axis=0), total)


def _running(places: Array, unit: Array, weights: Array, n: int) -> Array:
    """Sum the weights of all that is entered at or before each of ``n + 1`` places."""
    ones = np.ones(len(places), np.float32)
    entered = sparse.csr_matrix((ones, (places, unit)), shape=(n + 1, len(weights)))
    return np.cumsum(entered @ weights, axis=0, dtype=np.float64)


def ratio(part: Array, whole: Array) -> npt.NDArray[np.float64]:
    """Divide, with no number where there is nothing to divide by."""
    found: npt.NDArray[np.float64] = np.divide(
        part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0
    )
    return found


def mean_over_classes(table: Array) -> npt.NDArray[np.float64]:
    """Average the columns of an array of shape (draws, k), without classes that are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no class present: not a number
        return np.nanmean(table, axis=1)
