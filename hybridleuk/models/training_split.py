"""The training images divided once more: to learn from, and to know when to stop."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.splits import Fold, hold_out
from hybridleuk.exceptions import SplitError

__all__ = ["inner_split"]

_LARGEST_SHARE = 0.5


def inner_split(
    labels: npt.NDArray[Any],
    groups: Any,
    fraction: float,
    seed: int,
    known: npt.NDArray[np.bool_] | None = None,
) -> Fold:
    """Divide the training images once more: to learn from, and to know when to stop.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    groups : array-like of shape (n,) or None
    fraction : float
        Share of the images to watch.
    seed : int
    known : ndarray of bool of shape (n,), optional
        Which images the first weights were learned from. These are not watched, since the network
        would seem best before it has learned anything, unless too few others are there.

    Returns
    -------
    (learned, watched) : tuple of index arrays
        Both in ascending order. With `fraction` 0 the second is empty.

    Raises
    ------
    SplitError
        A class has too few images or groups to be on both sides.
    """
    if fraction == 0:
        return np.arange(len(labels)), np.array([], dtype=np.intp)
    groups = None if groups is None else np.asarray(groups)
    try:
        watched = None if known is None else _fresh(labels, groups, fraction, seed, known)
        if watched is None:
            watched = hold_out(labels, groups, fraction=fraction, random_state=seed)[1]
    except SplitError as error:
        raise SplitError(
            f"Early stopping needs a part of the training images to watch. {error} Or, in "
            "Python, set validation_fraction=0 to train a fixed number of epochs without early "
            "stopping."
        ) from error
    learned = np.setdiff1d(np.arange(len(labels)), watched)
    if groups is not None:
        _assert_apart(learned, watched, groups)
    return learned, np.sort(watched)


def _fresh(
    labels: npt.NDArray[Any],
    groups: npt.NDArray[Any] | None,
    fraction: float,
    seed: int,
    known: npt.NDArray[np.bool_],
) -> npt.NDArray[np.intp] | None:
    """Choose images to watch of which, and of whose patients, the first weights know nothing."""
    if not known.any():
        return None
    rows = np.flatnonzero(~(known if groups is None else np.isin(groups, groups[known])))
    share = fraction * len(labels) / max(len(rows), 1)
    if share <= _LARGEST_SHARE and len(np.unique(labels[rows])) == len(np.unique(labels)):
        own = None if groups is None else groups[rows]
        with contextlib.suppress(SplitError):
            return rows[hold_out(labels[rows], own, fraction=share, random_state=seed)[1]]
    progress.note(
        f"The first weights were learned from {known.sum():,} of the {len(labels):,} training "
        "images, and too few others are there to watch: early stopping and calibration look at "
        "images that the network knew from the beginning."
    )
    return None


def _assert_apart(
    learned: npt.NDArray[np.intp], watched: npt.NDArray[np.intp], members: npt.NDArray[Any]
) -> None:
    shared = np.intersect1d(members[learned], members[watched])
    if len(shared):
        raise AssertionError(f"on both sides of the inner split: {shared[:3]}")
