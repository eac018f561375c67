"""Accuracy over the number of groups that were learned from: key ``learning_curve``.

Each training part of the main folds is thinned to a tenth, a quarter and a half of its groups
(images where the folds are made of images), and each candidate fitted again on what is left and
scored on the same, untouched test part. The smaller parts lie in the larger ones, groups are taken
whole, and every class keeps its share. The end of the curve is the comparison itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.splits import Fold
from hybridleuk.evaluation.checkpoints import Checkpoints
from hybridleuk.evaluation.crossval import (
    Study,
    check_disjoint,
    fit_and_score,
    side_by_side,
    takes_the_machine,
)
from hybridleuk.evaluation.recalls import balanced_accuracies

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["SHARES", "Step", "learn", "learning_curve_section", "thinned"]

Array = npt.NDArray[Any]
SHARES = (0.1, 0.25, 0.5)
# With fewer of a class nothing can be held out for calibration or tuning.
FEWEST_PER_CLASS = 2
# Of a comparison that leaves out one group after the other, the curve would cost many times more.
MOST_FOLDS = 10


@dataclass(frozen=True)
class Step:
    """A candidate after learning from a share of each training part.

    Attributes
    ----------
    n_units : float
        Groups, or images, that were learned from; mean over the folds.
    probabilities : ndarray of shape (n, n_classes)
        Out of fold, for every image.
    """

    n_units: float
    probabilities: npt.NDArray[np.float64]


def learn(
    estimators: Mapping[str, Any],
    study: Study,
    folds: Sequence[Fold],
    *,
    split: str,
    random_state: int = 0,
    checkpoints: Checkpoints | None = None,
    jobs: int | None = 1,
) -> dict[str, list[Step]]:
    """Fit candidates on growing shares of each training part, and score the same test parts.

    Parameters
    ----------
    estimators : mapping of name to classifier
    study : Study
    folds : list of (train, test)
        One repeat.
    split : {"group", "random", "logo"}
        What the folds are made of, and thus what is thinned: images where it is "random".
    random_state : int, default 0
        Of the order in which groups join.
    checkpoints : Checkpoints, optional
        Finished fits are kept, and not repeated.
    jobs : int or None, default 1
        Folds at a time, as in :func:`~hybridleuk.evaluation.crossval.cross_validate`.

    Returns
    -------
    dict of name to list of Step
        Ascending. A share is left out, with a note, where a candidate refuses so few images.
        Nothing where there are more than 10 folds.
    """
    if not estimators or len(folds) > MOST_FOLDS:
        return {}
    store = checkpoints or Checkpoints(None)
    grouped = _by_group(study, split)
    plan = list(_plan(study, folds, grouped, random_state))
    curves: dict[str, list[Step]] = {}
    with progress.task("Learning curve", len(estimators) * len(plan) * len(folds), "folds") as task:
        for name, estimator in estimators.items():
            for share, parts in plan:
                about = {"split": split, "repeat": 0, "share": share}
                step = _step(name, estimator, study, parts, about, store, jobs, task)
                curves.setdefault(name, []).extend([] if step is None else [step])
    return curves


def thinned(
    study: Study, rows: Array, share: float, *, grouped: bool, random_state: int
) -> npt.NDArray[np.intp]:
    """Keep a share of each class's groups, or images, of a training part.

    Parameters
    ----------
    study : Study
    rows : ndarray of shape (n_train,), int
    share : float
        Above 0, at most 1. At least two units of each class are kept, or all it has. A group of
        several classes counts as one of its most frequent class.
    grouped : bool
    random_state : int
        With the same one, a smaller share is a part of a larger one.

    Returns
    -------
    ndarray of int, ascending
    """
    units = study.groups[rows] if grouped and study.groups is not None else rows
    names, member = np.unique(units.astype(str), return_inverse=True)
    classes = _classes_of(member.ravel(), study.labels[rows], len(names))
    order = np.random.default_rng(random_state).permutation(len(names))
    kept = np.zeros(len(names), dtype=bool)
    for label in np.unique(classes):
        of_class = order[classes[order] == label]
        kept[of_class[: max(FEWEST_PER_CLASS, ceil(share * len(of_class)))]] = True
    return np.sort(rows[kept[member.ravel()]])


def learning_curve_section(context: Context) -> dict[str, Any] | None:
    """Put the curves into figures with intervals.

    Returns
    -------
    dict, or None where no candidate was fitted on less than all
        ``unit``: ``"groups"`` or ``"images"``; ``metric``; ``candidates``: ``name``, and for each
        step ``n``, ``mean``, ``low`` and ``high``, the last being the comparison's first repeat;
        ``left_out``: names of the candidates without a curve.
    """
    curves = {name: steps for name, steps in context.curves.items() if steps}
    if not curves:
        return None
    split = context.main_split
    folds, grouped = context.plan[split][0], _by_group(context.study, split)
    full = float(np.mean([_count(context.study, train, grouped) for train, _ in folds]))
    results = context.results[split]
    return {
        "unit": "groups" if grouped else "images",
        "metric": "balanced_accuracy",
        "candidates": [
            _curve(name, [*steps, Step(full, results[name].probabilities[0])], context)
            for name, steps in curves.items()
        ],
        "left_out": [name for name in results if name not in curves],
    }


def _by_group(study: Study, split: str) -> bool:
    return split != "random" and study.groups is not None


def _plan(
    study: Study, folds: Sequence[Fold], grouped: bool, random_state: int
) -> Iterator[tuple[float, list[Fold]]]:
    """Yield each share that is more than the one before it and less than all, with its folds."""
    before = -1
    everything = sum(len(train) for train, _ in folds)
    for share in SHARES:
        parts = [
            (thinned(study, train, share, grouped=grouped, random_state=random_state + i), test)
            for i, (train, test) in enumerate(folds)
        ]
        size = sum(len(train) for train, _ in parts)
        if before < size < everything:
            yield share, parts
            before = size


def _step(
    name: str,
    estimator: Any,
    study: Study,
    parts: list[Fold],
    about: dict[str, Any],
    store: Checkpoints,
    jobs: int | None,
    task: progress.Task,
) -> Step | None:
    grouped = _by_group(study, about["split"])
    work = []
    for number, fold in enumerate(parts):
        check_disjoint(fold, study.groups if grouped else None)
        options = {"about": {**about, "fold": number}, "grouped": grouped, "checkpoints": store}
        work.append((fit_and_score, (name, estimator, study, fold), options))
    alone = len(work) if takes_the_machine(estimator) else 0
    probabilities = np.full((len(study.labels), len(study.classes)), np.nan)
    try:
        for fold, result in zip(parts, side_by_side(work, jobs, alone=alone), strict=True):
            probabilities[fold[1]] = result.probabilities
            task.advance(detail=name)
    except ValueError as error:  # of too few images; the comparison itself is complete
        why = _first_line(error.__cause__ or error)
        progress.note(f"The learning curve of {name} lacks {len(parts[0][0])} images: {why}")
        return None
    units = [_count(study, train, grouped) for train, _ in parts]
    return Step(float(np.mean(units)), probabilities)


def _curve(name: str, steps: list[Step], context: Context) -> dict[str, Any]:
    codes, resamples = context.codes, context.resamples
    right = np.stack([step.probabilities.argmax(axis=1) == codes for step in steps])
    draws = balanced_accuracies(
        codes, np.arange(len(codes)), right, resamples, len(context.study.classes)
    )
    found = [resamples.interval(row) for row in draws]
    return {
        "name": name,
        "n": [step.n_units for step in steps],
        **{key: [one.as_dict()[key] for one in found] for key in ("mean", "low", "high")},
    }


def _classes_of(member: Array, labels: Array, n_units: int) -> Array:
    """Name the most frequent class of each unit; the first in order of names among equals."""
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.zeros((n_units, len(classes)), dtype=np.intp)
    np.add.at(counts, (member, codes.ravel()), 1)
    return classes[counts.argmax(axis=1)]


def _count(study: Study, rows: Array, grouped: bool) -> int:
    return len(Counter(study.groups[rows])) if grouped and study.groups is not None else len(rows)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
