"""Probabilities from decisions between pairs of classes, with one number to fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax

__all__ = ["fit_slope", "pairwise_log_probabilities"]

Array = npt.NDArray[Any]


def pairwise_log_probabilities(decisions: Array, slope: float) -> Array:
    """Multiply sigmoids over pairs and normalise: (n, n_pairs) to (n, n_classes)."""
    n_classes = round((1 + np.sqrt(1 + 8 * decisions.shape[1])) / 2)
    first, second = np.triu_indices(n_classes, k=1)
    scores = np.zeros((len(decisions), n_classes))
    for k in range(n_classes):
        signed = np.hstack([decisions[:, first == k], -decisions[:, second == k]])
        scores[:, k] = log_expit(slope * signed).sum(axis=1)
    return log_softmax(scores, axis=1)


def fit_slope(decisions: Array, codes: Array, weights: Array) -> float:
    """Find the slope under which the true classes are most likely.

    As in Platt (1999), a class of n rows is aimed at with probability (n + 1) / (n + 2), so that
    rows which a machine separates completely do not drive the slope to infinity.
    """
    doubt = 1.0 / (np.bincount(codes)[codes] + 2.0)
    rows = np.arange(len(codes))

    def loss(log_slope: float) -> float:
        logs = pairwise_log_probabilities(decisions, np.exp(log_slope))
        true = logs[rows, codes]
        others = (logs.sum(axis=1) - true) / (logs.shape[1] - 1)
        return -float(np.average((1 - doubt) * true + doubt * others, weights=weights))

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))
