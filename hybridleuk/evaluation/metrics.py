"""What a classifier is judged by, each figure with an interval over groups.

All metrics are computed for the data and for every bootstrap draw at once: whatever is a sum over
images becomes one matrix product with the draws (:mod:`hybridleuk.evaluation.resampling`).

==================  =============================================================================
accuracy            share of images called right
balanced_accuracy   mean of the sensitivities; chance is one over the number of classes
macro_f1            mean over classes of 2 TP / (2 TP + FP + FN)
sensitivity         of a class: TP / (TP + FN)
specificity         of a class: TN / (TN + FP)
auroc               mean over classes of the area under the ROC curve, the class against the rest
ece                 expected calibration error of the top probability, 15 equal bins, 0 is best
                    (Guo et al. 2017, ICML)
brier               mean over images of the squared distance between probabilities and truth summed
                    over classes, 0 (best) to 2 (Brier 1950, Monthly Weather Review 78:1-3)
==================  =============================================================================
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hybridleuk.evaluation.resampling import LEVEL, Resamples, interval

__all__ = ["METRICS", "PER_CLASS", "confusion_matrix", "estimates", "replicate"]

Array = npt.NDArray[Any]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece", "brier")
PER_CLASS = ("sensitivity", "specificity")
ECE_BINS = 15


def replicate(codes: Array, probabilities: Array, resamples: Resamples) -> dict[str, Array]:
    """Compute every metric for the data and for each bootstrap draw.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        True class of each image, as a column of `probabilities`.
    probabilities : ndarray of shape (n, k) or (repeats, n, k)
        Rows sum to 1; the predicted class is the largest. Repeats are pooled, but an image with
        all its repeats is drawn as one.
    resamples : Resamples

    Returns
    -------
    dict
        Metric to ndarray of shape (1 + n_draws,), for the metrics per class (1 + n_draws, k).
        Not a number where a class is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.metrics import replicate
    >>> from hybridleuk.evaluation.resampling import Resamples
    >>> codes = np.array([0, 0, 1, 1])
    >>> drawn = Resamples.draw(codes, n_classes=2, n_draws=5)
    >>> values = replicate(codes, np.array([[.9, .1], [.4, .6], [.2, .8], [.3, .7]]), drawn)
    >>> float(values["accuracy"][0]), float(values["auroc"][0])
    (0.75, 1.0)
    """
    stacked = probabilities if probabilities.ndim == 3 else probabilities[None]
    repeats, n, k = stacked.shape
    pooled = stacked.reshape(repeats * n, k)
    truth, rows = np.tile(codes, repeats), np.tile(np.arange(n), repeats)
    values = _from_confusion(_confusions(truth, pooled, rows, resamples))
    values["auroc"] = _auroc(truth, pooled, rows, resamples)
    values["ece"] = _ece(truth, pooled, rows, resamples)
    values["brier"] = _brier(truth, pooled, rows, resamples)
    return values


def estimates(
    values: dict[str, Array], resamples: Resamples, classes: list[str], *, level: float = LEVEL
) -> dict[str, Any]:
    """Turn the draws of :func:`replicate` into estimates with intervals.

    Returns
    -------
    dict
        Metric to `Estimate`; for sensitivity and specificity, class to `Estimate`.
    """
    n, strata = resamples.n_units, resamples.strata
    result: dict[str, Any] = {
        name: interval(
            _centred(values[name]) if name == "ece" else values[name],
            n,
            strata=strata,
            level=level,
            bounded=name not in ("ece", "brier"),
        )
        for name in METRICS
    }
    units = {
        "sensitivity": resamples.class_units,
        "specificity": np.full(len(classes), n),
    }
    for name in PER_CLASS:
        result[name] = {
            label: interval(values[name][:, code], int(units[name][code]), level=level)
            for code, label in enumerate(classes)
        }
    return result


def confusion_matrix(codes: Array, probabilities: Array) -> Array:
    """Count images by true (row) and predicted (column) class, summed over repeats.

    Returns
    -------
    ndarray of shape (k, k), int
    """
    k = probabilities.shape[-1]
    predicted = probabilities.argmax(axis=-1)
    cells = np.broadcast_to(codes, predicted.shape) * k + predicted
    return np.bincount(cells.ravel(), minlength=k * k).reshape(k, k)


def _confusions(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    k = probabilities.shape[1]
    cell = resamples.unit[rows] * k * k + truth * k + probabilities.argmax(axis=1)
    per_unit = np.bincount(cell, minlength=resamples.n_units * k * k).astype(np.float32)
    # Counts stay exact in float32 up to 2 ** 24 images.
    return (resamples.counts @ per_unit.reshape(-1, k * k)).reshape(-1, k, k).astype(np.float64)


def _from_confusion(confusion: Array) -> dict[str, Array]:
    right = np.diagonal(confusion, axis1=1, axis2=2)
    actual, called = confusion.sum(axis=2), confusion.sum(axis=1)
    total = confusion.sum(axis=(1, 2))[:, None]
    sensitivity = _ratio(right, actual)
    specificity = _ratio(total - actual - called + right, total - actual)
    f1 = np.where(actual > 0, _ratio(2 * right, actual + called), np.nan)
    return {
        "accuracy": right.sum(axis=1) / total[:, 0],
        "balanced_accuracy": _mean_over_classes(sensitivity),
        "macro_f1": _mean_over_classes(f1),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def _auroc(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    weights = np.ascontiguousarray(resamples.counts.T)
    unit = resamples.unit[rows]
    areas = [
        _area(probabilities[:, code], truth == code, unit, weights)
        for code in range(probabilities.shape[1])
    ]
    return _mean_over_classes(np.column_stack(areas))


def _area(score: Array, positive: Array, unit: Array, weights: Array) -> Array:
    """Area under the ROC curve in each draw: P(positive scores higher), ties counting half.

    A negative of score s lies below all positives from the first one above s on. With positives in
    order of score it is entered there (half before, half behind those that tie); the running sum
    is the weight of negatives below each positive.
    """
    order = np.flatnonzero(positive)[np.argsort(score[positive], kind="stable")]
    if not len(order) or len(order) == len(score):
        return np.full(weights.shape[1], np.nan)
    ranked, negative = score[order], score[~positive]
    places = [np.searchsorted(ranked, negative, side=side) for side in ("left", "right")]
    entered = sparse.csr_matrix(
        (
            np.full(2 * len(negative), 0.5, np.float32),
            (np.concatenate(places), np.tile(unit[~positive], 2)),
        ),
        shape=(len(order) + 1, len(weights)),
    )
    below = np.cumsum(entered @ weights, axis=0, dtype=np.float64)
    own = weights[unit[order]]
    return _ratio(np.einsum("pb,pb->b", own, below[:-1]), own.sum(axis=0) * below[-1])


def _ece(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == truth)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    table = np.zeros((len(truth), ECE_BINS))
    table[np.arange(len(truth)), bins] = surplus
    return np.abs(resamples.sums(rows, table)).sum(axis=1) / _sizes(rows, resamples)


def _brier(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    distance = (probabilities**2).sum(axis=1) + 1
    distance -= 2 * probabilities[np.arange(len(truth)), truth]
    return resamples.sums(rows, distance)[:, 0] / _sizes(rows, resamples)


def _sizes(rows: Array, resamples: Resamples) -> Array:
    return resamples.sums(rows, np.ones(len(rows)))[:, 0]


def _centred(values: Array) -> Array:
    """Take the upward bias off a bootstrap of the ECE, which noise in the bins can only raise."""
    return np.maximum(values - (values[1:].mean() - values[0]) * (np.arange(len(values)) > 0), 0)


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _mean_over_classes(table: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no class present: not a number
        return np.nanmean(table, axis=1)
