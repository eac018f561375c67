"""Splits that keep classes in proportion and never put one group on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from hybridleuk.exceptions import SplitError

__all__ = [
    "Fold",
    "check_disjoint",
    "check_labels",
    "hold_out",
    "inner_folds",
    "leave_one_group_out",
    "stratified_folds",
]

Fold = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
MOST_GROUPS = 100
_DRAWS = 10


def check_disjoint(fold: Fold, groups: Sequence[Any] | npt.NDArray[Any] | None = None) -> None:
    """Refuse a split, outer or inner, that has an image or a group on both sides.

    Every split of this package passes through here: folds of a comparison, and whatever divides
    training data once more for tuning, calibration, conformal sets, early stopping or stacking.

    Raises
    ------
    SplitError
        Something is on both sides.
    """
    train, test = fold
    shared = np.intersect1d(train, test)
    if len(shared):
        raise SplitError(
            f"{len(shared)} image(s) are in both the training and the test part of a fold; "
            "each may be in one only."
        )
    if groups is None:
        return
    members = np.asarray(groups)
    leaked = sorted({str(g) for g in members[train]} & {str(g) for g in members[test]})
    if leaked:
        raise SplitError(
            f"Group {leaked[0]} is in both the training and the test part of a fold "
            f"({len(leaked)} such group(s)); a group may be in one only."
        )


def check_labels(labels: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels as a one-dimensional array with at least two classes; text as ``str_``.

    Raises
    ------
    SplitError
        A label is missing, or all labels are the same.
    """
    checked = np.asarray(labels)
    given = labels if isinstance(labels, np.ndarray) else np.array([*labels], dtype=object)
    if checked.ndim != 1 or pd.isna(given).any():
        raise SplitError("Every image needs one label; some are missing.")
    classes = np.unique(checked)
    if len(classes) < 2:
        named = f"only the class {classes[0]!s}" if len(classes) else "no labels"
        raise SplitError(f"Found {named}; a classifier needs at least two classes.")
    return checked.astype(str) if isinstance(checked[0], str) else checked


def stratified_folds(
    labels: Sequence[Any] | npt.NDArray[Any],
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    n_splits: int = 5,
    random_state: int | None = 0,
) -> list[Fold]:
    """Split into folds with classes in proportion; a group is in one fold only.

    Parameters
    ----------
    labels : array-like of shape (n,)
    groups : array-like of shape (n,), optional
        Patients, or what stands for them. Without groups, images are split one by one.
    n_splits : int, default 5
    random_state : int, default 0

    Returns
    -------
    list of (train, test)
        Indices. Every class is in every training part; with groups, no group is on both sides.

    Raises
    ------
    SplitError
        A class has fewer images, or fewer groups, than there are folds.

    Examples
    --------
    >>> from hybridleuk.data.splits import stratified_folds
    >>> labels = ["ALL", "ALL", "normal", "normal"]
    >>> [test.tolist() for _, test in stratified_folds(labels, list("abcd"), n_splits=2)]
    [[1, 2], [0, 3]]
    """
    checked = check_labels(labels)
    _check_enough(checked, groups, n_splits)
    if groups is None:
        splitter = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
        return list(splitter.split(checked, checked))
    members = np.asarray(groups)
    grouped = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)
    folds = list(grouped.split(checked, checked, members))
    for fold in folds:
        check_disjoint(fold, members)
    _check_classes(folds, checked, n_splits)
    return folds


def inner_folds(
    labels: npt.NDArray[Any],
    groups: Sequence[Any] | npt.NDArray[Any] | None,
    n_splits: int,
    random_state: int | None,
) -> list[Fold]:
    """Divide training data once more, into fewer folds where it must be; empty where impossible."""
    for count in range(n_splits, 1, -1):
        try:
            return stratified_folds(labels, groups, n_splits=count, random_state=random_state)
        except SplitError:
            continue
    return []


def leave_one_group_out(
    labels: Sequence[Any] | npt.NDArray[Any], groups: Sequence[Any] | npt.NDArray[Any]
) -> list[Fold]:
    """Split so that each group is tested once, by what was fitted on all others.

    Returns
    -------
    list of (train, test), one per group, in the order of the groups' names

    Raises
    ------
    SplitError
        There are more than 100 groups, fewer than two, or a class in one group only.

    Examples
    --------
    >>> from hybridleuk.data.splits import leave_one_group_out
    >>> folds = leave_one_group_out(["ALL", "normal"] * 3, list("aabbcc"))
    >>> [test.tolist() for _, test in folds]
    [[0, 1], [2, 3], [4, 5]]
    """
    checked = check_labels(labels)
    _check_enough(checked, groups, 2)
    members = np.asarray(groups).astype(str)
    names = np.unique(members)
    if len(names) > MOST_GROUPS:
        raise SplitError(
            f"Leaving out each of {len(names)} groups in turn fits every candidate as many times; "
            f"at most {MOST_GROUPS} are done. Use the split 'group' with more folds, such as 10 or "
            "20, which keeps groups apart as well."
        )
    folds = [(np.flatnonzero(members != name), np.flatnonzero(members == name)) for name in names]
    for fold in folds:
        check_disjoint(fold, members)
    return folds


def hold_out(
    labels: Sequence[Any] | npt.NDArray[Any],
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    *,
    fraction: float = 0.2,
    random_state: int | None = 0,
) -> Fold:
    """Hold out about `fraction` of the images, with classes in proportion and groups kept whole.

    Where large groups leave a class out of a fold, other seeds are tried, then a larger part.

    Returns
    -------
    (train, held_out) : tuple of index arrays

    Raises
    ------
    SplitError
        A class has a single image, or stands in a single group, or no part holds every class.
    """
    if not 0 < fraction <= 0.5:
        raise SplitError(f"fraction is {fraction}; expected more than 0 and at most 0.5.")
    checked = check_labels(labels)
    available = _smallest_class(checked, groups)[1]
    wanted = max(2, min(round(1 / fraction), available))
    first: SplitError | None = None
    for n_splits in range(wanted, 1, -1):
        for shift in range(_DRAWS if random_state is not None else 1):
            seed = None if random_state is None else random_state + shift
            try:
                return stratified_folds(checked, groups, n_splits=n_splits, random_state=seed)[0]
            except SplitError as error:
                first = first or error
    assert first is not None, "at least two folds are tried"
    raise first


def _smallest_class(
    labels: npt.NDArray[Any], groups: Sequence[Any] | npt.NDArray[Any] | None
) -> tuple[Any, int]:
    units = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(units) != len(labels) or pd.isna(units).any():
        raise SplitError("Every image needs a group once one has it; some are missing.")
    counts = pd.Series(units).groupby(labels).nunique()
    return counts.idxmin(), int(counts.min())


def _check_enough(
    labels: npt.NDArray[Any], groups: Sequence[Any] | npt.NDArray[Any] | None, n_splits: int
) -> None:
    if n_splits < 2:
        raise SplitError(f"{n_splits} folds; at least 2 are needed.")
    name, smallest = _smallest_class(labels, groups)
    if smallest >= n_splits:
        return
    unit = "image" if groups is None else "group"
    found = f"Class {name!s} has {smallest} {unit}{'' if smallest == 1 else 's'}"
    if smallest < 2:
        raise SplitError(
            f"{found}, so no {unit} of it is left to test on; add {unit}s of this class "
            "or leave the class out."
        )
    raise SplitError(
        f"{found}, fewer than {n_splits} folds; use at most {smallest} folds or add {unit}s."
    )


def _check_classes(folds: list[Fold], labels: npt.NDArray[Any], n_splits: int) -> None:
    for train, test in folds:
        for part, name in ((train, "trained"), (test, "tested")):
            missing = np.setdiff1d(labels, labels[part])
            if len(missing):
                raise SplitError(
                    f"With these groups, one of {n_splits} folds has no image of class "
                    f"{missing[0]!s} to be {name} on; use fewer folds or another seed."
                )
