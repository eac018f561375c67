"""Balanced accuracy on every bootstrap draw, of many sets of calls on any part of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.resampling import Resamples

__all__ = ["balanced_accuracies"]

Array = npt.NDArray[Any]


def balanced_accuracies(
    codes: Array, rows: Array, right: Array, resamples: Resamples, n_classes: int
) -> Array:
    """Compute the mean over classes of the share called right, for the data and each draw.

    Parameters
    ----------
    codes : ndarray of shape (m,), int
        True class of each of the images looked at.
    rows : ndarray of shape (m,), int
        Which images of the study these are, for their units.
    right : ndarray of shape (n_sets, m), bool or float
        Whether, or how often, each set of calls is right.
    resamples : Resamples
    n_classes : int

    Returns
    -------
    ndarray of shape (n_sets, 1 + n_draws)
        Not a number where a class is missing from the images looked at in a draw.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.recalls import balanced_accuracies
    >>> from hybridleuk.evaluation.resampling import Resamples
    >>> codes = np.array([0, 0, 0, 1])
    >>> drawn = Resamples.draw(codes, n_classes=2, n_draws=5)
    >>> right = np.array([[True, True, True, False]])
    >>> float(balanced_accuracies(codes, np.arange(4), right, drawn, 2)[0, 0])
    0.5
    """
    member = np.eye(n_classes)[codes]
    called = np.asarray(right, dtype=np.float64)[:, :, None] * member
    table = called.transpose(1, 0, 2).reshape(len(codes), -1)
    totals = resamples.sums(rows, member)[:, None, :]
    hits = resamples.sums(rows, table).reshape(len(totals), len(called), n_classes)
    shares = np.divide(hits, totals, out=np.full(hits.shape, np.nan), where=totals > 0)
    return shares.mean(axis=2).T
