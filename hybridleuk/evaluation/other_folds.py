"""What may be fitted on out-of-fold predictions themselves: on those of all other folds.

Calibration and prediction sets are judged on images whose groups had no part in fitting them. The
predictions of all other folds take the place of a calibration set, as in cross-conformal prediction
(Vovk 2015, Annals of Mathematics and Artificial Intelligence 74:9-28); they were made by
classifiers of the same kind, fitted on all but one fold each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.splits import Fold, check_disjoint

__all__ = ["MOST_PARTS", "fitted_on_others", "parts_of_others"]

Array = npt.NDArray[Any]
MOST_PARTS = 10  # of many folds (one per group) several are taken together


def parts_of_others(folds: Sequence[Fold], groups: Array | None) -> list[Fold]:
    """Pair the images of all other folds with those of each fold.

    Parameters
    ----------
    folds : sequence of (train, test)
        Of one repeat. Only the test parts count.
    groups : ndarray of shape (n,) or None
        Must be kept apart; None where the folds were drawn at random.

    Returns
    -------
    list of (others, own)
        At most :data:`MOST_PARTS`; empty where there is a single fold.

    Raises
    ------
    SplitError
        A group or an image is in two folds.
    """
    if len(folds) < 2:
        return []
    count = min(len(folds), MOST_PARTS)
    tests = [test for _, test in folds]
    parts = [np.concatenate(tests[start::count]) for start in range(count)]
    paired = [
        (np.concatenate([other for other in parts if other is not own]), own) for own in parts
    ]
    for part in paired:
        check_disjoint(part, groups)
    return paired


def fitted_on_others(
    codes: Array,
    probabilities: Array,
    plan: Sequence[Sequence[Fold]],
    groups: Array | None,
    mend: Callable[[Array, Array, Array | None], Callable[[Array], Array]],
) -> npt.NDArray[Any] | None:
    """Apply to the predictions of each fold what was learned from those of all others.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    plan : sequence of repeats, each a sequence of (train, test)
    groups : ndarray of shape (n,) or None
    mend : callable
        Given probabilities, codes and groups of the other folds, returns what maps the
        probabilities of a fold to an array of the same shape.

    Returns
    -------
    ndarray of shape (repeats, n, k), or None where there is a single fold
    """
    found = None
    for repeat, folds in enumerate(plan):
        for others, own in parts_of_others(folds, groups):
            given = probabilities[repeat, others]
            kept = None if groups is None else groups[others]
            applied = mend(given, codes[others], kept)(probabilities[repeat, own])
            if found is None:
                found = np.zeros(probabilities.shape, dtype=applied.dtype)
            found[repeat, own] = applied
    return found
