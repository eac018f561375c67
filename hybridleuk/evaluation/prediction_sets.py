"""Whether sets of classes hold the true one as often as they promise, and how large they are.

The sets are class-conditional conformal ones (:mod:`hybridleuk.conformal`). Their thresholds come
from the out-of-fold predictions of other groups, whatever their fold: folds are drawn at random, so
that the predictions of all groups are exchangeable. Those of the other folds alone are not: each
fold has a classifier of its own, and where all its probabilities are a little lower than those of
the others, no true class would reach their threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridleuk.conformal import class_thresholds
from hybridleuk.data.splits import Fold, check_disjoint
from hybridleuk.evaluation.resampling import Estimate, Resamples, interval

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["ALPHA", "blocks_apart", "coverage", "cross_conformal", "prediction_sets_section"]

Array = npt.NDArray[Any]
ALPHA = 0.1
BLOCKS = 20
_HOW = (
    "A class enters a set when it is no less probable than in all but a share {alpha:g} of the "
    "images of this class {apart}, each called by a classifier that did not see it"
)
_RARE = "; with so few {unit} of {classes}, the promise is kept roughly at best"


def prediction_sets_section(context: Context) -> dict[str, Any] | None:
    """Measure the coverage of prediction sets, over all images and in each class.

    Returns
    -------
    dict or None
        ``alpha``, ``how`` and ``candidates``: ``name``, ``split``, estimates ``coverage`` and
        ``per_class``, ``mean_size``, ``share_single``, ``share_empty``. None where there is a
        single group, which leaves nothing to set thresholds with.
    """
    candidates = []
    for split, by_name in context.results.items():
        for name, result in by_name.items():
            groups = context.groups_of(split)
            sets = cross_conformal(context.codes, result.probabilities, groups)
            if sets is not None:
                candidates.append({"name": name, "split": split, **_described(sets, context)})
    if not candidates:
        return None
    return {"alpha": ALPHA, "how": _how(context), "candidates": candidates}


def cross_conformal(
    codes: Array, probabilities: Array, groups: Array | None, alpha: float = ALPHA
) -> npt.NDArray[np.bool_] | None:
    """Make the prediction sets of each group with the thresholds of others.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
        Out of fold.
    groups : ndarray of shape (n,) or None
    alpha : float, default 0.1

    Returns
    -------
    ndarray of shape (repeats, n, k), bool, or None where there is a single group
    """
    parts = blocks_apart(len(codes), groups)
    if len(parts) < 2:
        return None
    sets = np.zeros(probabilities.shape, dtype=bool)
    for others, own in parts:
        kept = None if groups is None else groups[others]
        for repeat, table in enumerate(probabilities):
            thresholds = class_thresholds(table[others], codes[others], alpha, kept)
            sets[repeat, own] = table[own] >= thresholds
    return sets


def blocks_apart(n: int, groups: Array | None) -> list[Fold]:
    """Divide groups, or images, at random into at most :data:`BLOCKS`, each paired with the rest.

    Returns
    -------
    list of (others, own)

    Raises
    ------
    SplitError
        A group is on both sides, which cannot be.
    """
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    count = int(unit.max()) + 1
    block = np.random.default_rng(0).permutation(count) % BLOCKS
    parts = [
        (np.flatnonzero(block[unit] != number), np.flatnonzero(block[unit] == number))
        for number in range(min(count, BLOCKS))
    ]
    for part in parts:
        check_disjoint(part, groups)
    return parts


def coverage(
    codes: Array, sets: Array, resamples: Resamples, n_classes: int
) -> tuple[Estimate, list[Estimate]]:
    """Estimate how often the true class is in the set, over all images and in each class.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    sets : ndarray of shape (repeats, n, k), bool
    resamples : Resamples
    n_classes : int
    """
    rows = np.arange(len(codes))
    inside = sets[:, rows, codes].mean(axis=0)
    member = np.eye(n_classes)[codes]
    held = resamples.sums(rows, np.column_stack([inside, inside[:, None] * member]))
    there = resamples.sums(rows, np.column_stack([np.ones(len(rows)), member]))
    shares = np.divide(held, there, out=np.full(held.shape, np.nan), where=there > 0)
    units = [resamples.n_units, *resamples.class_units]
    sizes = [len(rows), *np.bincount(codes, minlength=n_classes)]
    found = [
        interval(shares[:, place], int(units[place]), n_images=max(int(sizes[place]), 1))
        for place in range(n_classes + 1)
    ]
    return found[0], found[1:]


def _described(sets: Array, context: Context) -> dict[str, Any]:
    classes = context.study.classes
    overall, by_class = coverage(context.codes, sets, context.resamples, len(classes))
    sizes = sets.sum(axis=2)
    return {
        "coverage": overall.as_dict(),
        "per_class": {
            label: found.as_dict() for label, found in zip(classes, by_class, strict=True)
        },
        "mean_size": float(sizes.mean()),
        "share_single": float((sizes == 1).mean()),
        "share_empty": float((sizes == 0).mean()),
    }


def _how(context: Context) -> str:
    grouped = context.groups_of(context.main_split) is not None
    apart = "in other groups" if grouped else "among the others"
    said = _HOW.format(alpha=ALPHA, apart=apart)
    units = context.resamples.class_units
    if not grouped:
        units = np.bincount(context.codes, minlength=len(context.study.classes))
    few = [
        label
        for label, n in zip(context.study.classes, units, strict=True)
        if n <= 1 / ALPHA  # of which one is left out
    ]
    unit = "groups" if grouped else "images"
    return said + (_RARE.format(unit=unit, classes=", ".join(few)) if few else "")
