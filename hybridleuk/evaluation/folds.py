"""The folds that every candidate of a comparison is given, drawn once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.splits import (
    Fold,
    check_disjoint,
    check_labels,
    leave_one_group_out,
    stratified_folds,
)
from hybridleuk.exceptions import InputError, SplitError

__all__ = ["SPLITS", "Validation", "draw_folds", "fixed_fold", "kinds_of"]

Array = npt.NDArray[Any]
Validation = Literal["train", "test", "leave-out"]
SPLITS = ("group", "random", "both", "logo", "manifest")
VALIDATION = ("train", "test", "leave-out")
_PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}


def kinds_of(split: str | None, *, grouped: bool) -> tuple[str, ...]:
    """Name the kinds of folds that a split stands for; the first is the one that counts.

    Raises
    ------
    InputError
        There is no such split.
    """
    if split is None:
        return ("group",) if grouped else ("random",)
    if split not in SPLITS:
        raise InputError(f"split is {split!r}; expected one of {', '.join(SPLITS)}.")
    return ("group", "random") if split == "both" else (split,)


def draw_folds(
    labels: Array,
    groups: Array | None,
    *,
    split: str,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
    parts: Array | None = None,
    validation: str = "train",
    shared_groups: bool = False,
) -> list[list[Fold]]:
    """Draw the folds that every candidate is given.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    groups : ndarray of shape (n,) or None
    split : {"group", "random", "logo", "manifest"}
        ``"random"`` divides images without regard to groups, as most published figures do;
        ``"logo"`` leaves out one group after the other; ``"manifest"`` is the split of `parts`.
    folds, repeats : int
        Of ``"group"`` and ``"random"``; the other two have nothing to draw.
    random_state : int, default 0
        Repeat `r` is drawn with ``random_state + r``.
    parts : ndarray of shape (n,), optional
        ``train``, ``test`` or ``val`` for each image, as in the manifest's column ``split``.
    validation, shared_groups
        As in :func:`fixed_fold`.

    Returns
    -------
    list of repeats, each a list of (train, test)

    Raises
    ------
    SplitError
        There are no groups or parts to split by, or too few images or groups of a class.
    """
    if split not in SPLITS or split == "both":
        raise InputError(f"split is {split!r}; expected 'group', 'random', 'logo' or 'manifest'.")
    if split in ("group", "logo") and groups is None:
        raise SplitError(
            "A split by group needs groups and none are known; name them with a group column or "
            "a group regex, have pseudo-groups made, or use the split 'random'."
        )
    if repeats < 1:
        raise InputError(f"{repeats} repeats; at least 1 is needed.")
    if split in ("logo", "manifest") and repeats > 1:
        raise InputError(
            f"{repeats} repeats of the split {split!r}, which is the same each time; use 1."
        )
    if split == "manifest":
        fold = fixed_fold(labels, groups, parts, validation=validation, shared_groups=shared_groups)
        return [[fold]]
    if split == "logo":
        assert groups is not None
        return [leave_one_group_out(labels, groups)]
    members = groups if split == "group" else None
    return [
        stratified_folds(labels, members, n_splits=folds, random_state=random_state + repeat)
        for repeat in range(repeats)
    ]


def fixed_fold(
    labels: Array,
    groups: Array | None,
    parts: Array | None,
    *,
    validation: str = "train",
    shared_groups: bool = False,
) -> Fold:
    """Read the one split that the manifest itself gives.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    groups : ndarray of shape (n,) or None
    parts : ndarray of shape (n,) or None
        ``train``, ``test`` or ``val`` for each image, whatever the case (``training``,
        ``testing``, ``valid`` and ``validation`` are understood too).
    validation : {"train", "test", "leave-out"}, default "train"
        What images marked ``val`` are for. Early stopping and tuning divide the training part
        themselves, with groups kept whole.
    shared_groups : bool, default False
        Accept groups that are on both sides.

    Returns
    -------
    (train, test) : tuple of index arrays

    Raises
    ------
    SplitError
        An image has no part or an unknown one, a class is missing on one side, or a group is on
        both and this was not asked for.
    """
    if validation not in VALIDATION:
        raise InputError(f"validation is {validation!r}; expected one of {', '.join(VALIDATION)}.")
    if parts is None or pd.isna(parts).all():
        raise SplitError(
            "The manifest gives no split; expected a column 'split' with train or test for each "
            "image. Add it, or use the split 'group' or 'random'."
        )
    named = np.array([_part(value) for value in parts], dtype=object)
    named[named == "val"] = validation
    train, test = np.flatnonzero(named == "train"), np.flatnonzero(named == "test")
    _check_sides(check_labels(labels), train, test)
    try:
        check_disjoint((train, test), None if shared_groups else groups)
    except SplitError as error:
        raise SplitError(
            f"The manifest's split is no honest one: {error} Correct its column 'split', or say "
            "that groups may be shared, which makes the figures too good."
        ) from error
    return train, test


def _part(value: Any) -> str:
    known = _PARTS.get(str(value).strip().lower())
    if known is None:
        given = "nothing" if pd.isna(value) else repr(value)
        raise SplitError(
            f"An image has {given} in the column 'split'; expected train, test or val."
        )
    return known


def _check_sides(labels: Array, train: Array, test: Array) -> None:
    for rows, name in ((train, "train"), (test, "test")):
        missing = np.setdiff1d(labels, labels[rows])
        if len(missing):
            raise SplitError(
                f"The manifest's split has no image of class {missing[0]!s} in its part {name}; "
                "give each class images on both sides or leave it out."
            )
