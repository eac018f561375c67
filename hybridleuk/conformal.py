"""The probability from which on a class enters a prediction set, learned from images and groups.

Shared by the prediction sets of a fitted classifier (:mod:`hybridleuk.models.uncertainty`) and by
their evaluation (:mod:`hybridleuk.evaluation.prediction_sets`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["class_thresholds", "effective_units", "threshold"]

Array = npt.NDArray[Any]
_ROUNDING = 1e-9
_FEWEST_GROUPS = 5


def class_thresholds(
    probabilities: Array, codes: Array, alpha: float, groups: Array | None = None
) -> npt.NDArray[np.float64]:
    """Find the least probability with which each class enters a set: :func:`threshold` per class.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        Of images that the classifier was not fitted on.
    codes : ndarray of shape (n,), int
        Column of the true class of each row.
    alpha : float
        Accepted risk, between 0 and 1.
    groups : array-like of shape (n,), optional

    Returns
    -------
    ndarray of shape (n_classes,)
        0 for a class of too few images or groups: it can never be ruled out.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.conformal import class_thresholds
    >>> p = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, axis=0)
    >>> class_thresholds(p, np.repeat([0, 1], 20), 0.1)
    array([0.9, 0.8])
    """
    members = None if groups is None else np.asarray(groups)
    found = np.zeros(probabilities.shape[1])
    for code in range(len(found)):
        own = codes == code
        found[code] = threshold(
            probabilities[own, code], alpha, None if members is None else members[own]
        )
    return found


def threshold(probabilities: Array, alpha: float, groups: Array | None = None) -> float:
    """Find the probability that a new image of the class misses at most with the risk `alpha`.

    The largest of the probabilities that a share of no more than ``alpha - (1 - alpha) / n`` of
    the images lies below, where `n` is the number of images: the order statistic of rank
    ``floor(alpha * (n + 1))`` of split conformal prediction (Vovk 2012). With groups, each group
    has the same weight, however many images it has, and `n` is the *effective* number of images
    (:func:`effective_units`). Where the images of a group are all alike this is the number of
    groups, and the rule that of hierarchical conformal prediction (Dunn, Wasserman and Ramdas
    2022, JASA 118:2491-2502; Lee, Barber and Willett 2023, arXiv:2306.06342), whose guarantee
    always holds; where they are as different as those of different groups it is the number of
    images. In between the guarantee is no theorem, but sets are not needlessly large.

    Parameters
    ----------
    probabilities : ndarray of shape (n,)
        Of the true class.
    alpha : float
    groups : ndarray of shape (n,), optional

    Returns
    -------
    float
        0 where there are too few images to rule the class out.
    """
    if not len(probabilities):
        return 0.0
    ranked = np.sort(probabilities)
    weights = np.full(len(ranked), 1 / len(ranked))
    units = float(len(ranked))
    if groups is not None:
        member, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        weights = (1 / sizes[member] / len(sizes))[np.argsort(probabilities, kind="stable")]
        below = probabilities < np.quantile(probabilities, alpha)
        units = effective_units(below, member.ravel())
    share_below = np.cumsum(weights) - weights
    allowed = (alpha * (units + 1) - 1) / units + _ROUNDING
    places = np.flatnonzero(share_below <= allowed)
    return float(ranked[places[-1]]) if len(places) else 0.0


def effective_units(event: Array, member: Array) -> float:
    """Estimate how many independent images tell as much of the share of an event as grouped ones.

    ``p (1 - p)`` over the variance of the mean of the groups' shares, between the number of groups
    and that of images (the design effect of Kish 1965, *Survey Sampling*, ch. 5). With fewer than
    five groups, or an event that is never or always there, nothing can be said of the variance, and
    the number of groups is returned.

    Parameters
    ----------
    event : ndarray of shape (n,), bool
    member : ndarray of shape (n,), int
        Group of each image, from 0 without gaps.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.conformal import effective_units
    >>> whole_groups = np.repeat([True, False, False, False] * 5, 10)
    >>> effective_units(whole_groups, np.repeat(np.arange(20), 10))
    20.0
    """
    sizes = np.bincount(member)
    n_groups, n = len(sizes), len(member)
    shares = np.bincount(member, weights=event) / sizes
    mean = shares.mean()
    if n_groups < _FEWEST_GROUPS or not 0 < mean < 1:
        return float(n_groups)
    variance = shares.var(ddof=1) / n_groups
    if variance * n <= mean * (1 - mean):
        return float(n)
    return float(max(n_groups, mean * (1 - mean) / variance))
