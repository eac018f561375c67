"""Accuracy on the images that are answered when the least certain ones are left to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.resampling import Resamples, interval

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["SHARES", "abstention_section", "answered_accuracy"]

Array = npt.NDArray[Any]
SHARES = np.round(np.linspace(1.0, 0.2, 21), 2)


def abstention_section(context: Context) -> dict[str, Any]:
    """Trace accuracy over the share of images answered, most certain first, for each candidate."""
    candidates = [
        {
            "name": name,
            "split": split,
            **answered_accuracy(context.codes, result.probabilities, context.resamples),
        }
        for split, by_name in context.results.items()
        for name, result in by_name.items()
    ]
    return {"candidates": candidates}


def answered_accuracy(
    codes: Array, probabilities: Array, resamples: Resamples
) -> dict[str, list[float | None]]:
    """Measure accuracy among the images whose top probability is among the highest.

    Each share answered stands for a threshold on the top probability; images that tie with the
    last one answered are answered too. The interval is that of the accuracy at this threshold.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    resamples : Resamples

    Returns
    -------
    dict of lists
        ``answered`` (what is truly answered), ``accuracy``, ``low``, ``high``.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.abstention import answered_accuracy
    >>> from hybridleuk.evaluation.resampling import Resamples
    >>> codes, sure = np.array([0, 0, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.95, 0.6])
    >>> drawn = Resamples.draw(codes, n_classes=2, n_draws=50)
    >>> found = answered_accuracy(codes, np.column_stack([sure, 1 - sure])[None], drawn)
    >>> found["accuracy"][0], found["accuracy"][5], found["answered"][5]
    (0.8, 1.0, 0.8)
    """
    repeats, n, _ = probabilities.shape
    confidence = probabilities.max(axis=2).ravel()
    right = (probabilities.argmax(axis=2) == codes).ravel()
    rows = np.tile(np.arange(n), repeats)
    last = np.maximum(np.ceil(SHARES * len(rows) - 1e-9).astype(int), 1) - 1
    thresholds = np.sort(confidence)[::-1][last]
    answered = confidence[:, None] >= thresholds
    there = resamples.sums(rows, answered)
    hits = resamples.sums(rows, answered & right[:, None])
    shares = np.divide(hits, there, out=np.full(hits.shape, np.nan), where=there > 0)
    found = []
    for column in range(len(SHARES)):
        members = rows[answered[:, column]]
        units = len(np.unique(resamples.unit[members]))
        estimate = interval(shares[:, column], units, n_images=len(np.unique(members)))
        found.append(estimate.as_dict())
    return {
        "answered": [float(share) for share in answered.mean(axis=0)],
        "accuracy": [estimate["mean"] for estimate in found],
        "low": [estimate["low"] for estimate in found],
        "high": [estimate["high"] for estimate in found],
    }
