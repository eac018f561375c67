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
average_precision   mean over classes of the mean, over images of the class, of the precision among
                    those that score at least as high; guessing reaches the share of the class
ece                 expected calibration error of the top probability, 15 equal bins, 0 is best
                    (Guo et al. 2017, ICML)
brier               mean over images of the squared distance between probabilities and truth summed
                    over classes, 0 (best) to 2 (Brier 1950, Monthly Weather Review 78:1-3)
==================  =============================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.ranking import areas, mean_over_classes, ratio
from hybridleuk.evaluation.resampling import LEVEL, Resamples, interval

__all__ = [
    "METRICS",
    "PER_CLASS",
    "bin_of",
    "confusion_matrix",
    "estimates",
    "probability_errors",
    "replicate",
]

Array = npt.NDArray[Any]

METRICS = (
    *("accuracy", "balanced_accuracy", "macro_f1"),
    *("auroc", "average_precision", "ece", "brier"),
)
PER_CLASS = ("sensitivity", "specificity")
_SHARES = ("balanced_accuracy", "macro_f1")
_AREAS = ("auroc", "average_precision")
_ERRORS = ("ece", "brier")
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
    values |= areas(truth, pooled, rows, resamples)
    values |= _errors(truth, pooled, rows, resamples)
    return values


def probability_errors(
    codes: Array, probabilities: Array, resamples: Resamples
) -> dict[str, Array]:
    """Compute ECE, Brier score and log loss for the data and for each bootstrap draw.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    resamples : Resamples

    Returns
    -------
    dict of ``ece``, ``brier``, ``log_loss``
        Each of shape (1 + n_draws,). The log loss is in nats; a probability of zero counts as the
        smallest step of a floating-point number, as in scikit-learn.
    """
    repeats, n, k = probabilities.shape
    pooled = probabilities.reshape(repeats * n, k)
    truth, rows = np.tile(codes, repeats), np.tile(np.arange(n), repeats)
    values = _errors(truth, pooled, rows, resamples)
    least = np.finfo(np.float64).eps
    losses = -np.log(np.clip(pooled[np.arange(len(truth)), truth], least, 1 - least))
    values["log_loss"] = resamples.sums(rows, losses)[:, 0] / _sizes(rows, resamples)
    return values


def bin_of(confidence: Array) -> npt.NDArray[np.intp]:
    """Tell which bin of equal width, open below, each top probability falls into."""
    return np.clip(np.ceil(confidence * ECE_BINS).astype(np.intp) - 1, 0, ECE_BINS - 1)


def estimates(
    values: dict[str, Array], resamples: Resamples, classes: list[str], *, level: float = LEVEL
) -> dict[str, Any]:
    """Turn the draws of :func:`replicate` into estimates with intervals.

    Returns
    -------
    dict
        Metric to `Estimate`; for sensitivity and specificity, class to `Estimate`.
    """
    n, n_images = resamples.n_units, len(resamples.unit)
    result: dict[str, Any] = {
        "accuracy": interval(values["accuracy"], n, level=level, n_images=n_images),
        **{name: resamples.interval(values[name], level=level) for name in _SHARES},
        **{name: resamples.interval(values[name], level=level, area=True) for name in _AREAS},
        **{name: resamples.positive(values[name], level=level) for name in _ERRORS},
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
    sensitivity = ratio(right, actual)
    specificity = ratio(total - actual - called + right, total - actual)
    f1 = np.where(actual > 0, ratio(2 * right, actual + called), np.nan)
    return {
        "accuracy": right.sum(axis=1) / total[:, 0],
        "balanced_accuracy": mean_over_classes(sensitivity),
        "macro_f1": mean_over_classes(f1),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def _errors(truth: Array, pooled: Array, rows: Array, resamples: Resamples) -> dict[str, Array]:
    return {
        "ece": _ece(truth, pooled, rows, resamples),
        "brier": _brier(truth, pooled, rows, resamples),
    }


def _ece(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == truth)
    bins = bin_of(confidence)
    table = np.zeros((len(truth), ECE_BINS))
    table[np.arange(len(truth)), bins] = surplus
    return np.abs(resamples.sums(rows, table)).sum(axis=1) / _sizes(rows, resamples)


def _brier(truth: Array, probabilities: Array, rows: Array, resamples: Resamples) -> Array:
    distance = (probabilities**2).sum(axis=1) + 1
    distance -= 2 * probabilities[np.arange(len(truth)), truth]
    return resamples.sums(rows, distance)[:, 0] / _sizes(rows, resamples)


def _sizes(rows: Array, resamples: Resamples) -> Array:
    return resamples.sums(rows, np.ones(len(rows)))[:, 0]
