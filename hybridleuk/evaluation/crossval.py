"""Out-of-fold probabilities: each image judged by a classifier that saw neither it nor its group.

The folds are drawn once and are the same for every candidate. Before a candidate is fitted on a
fold, the fold is checked again: an image or a group on both sides is an error, not a number.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from hybridleuk.data.images import read_image
from hybridleuk.data.splits import Fold, stratified_folds
from hybridleuk.evaluation.checkpoints import Checkpoints, FoldResult, fingerprint
from hybridleuk.evaluation.probes import Answer, Probe, applicable
from hybridleuk.exceptions import InputError, SplitError

__all__ = ["OutOfFold", "Study", "check_disjoint", "cross_validate", "draw_folds", "fit_and_score"]

Array = npt.NDArray[Any]
TIMED_IMAGES = 16


@dataclass(frozen=True)
class Study:
    """The images of a comparison, row by row.

    Attributes
    ----------
    images : ndarray of shape (n,), object
        Paths, or whatever a candidate takes as `X`.
    labels : ndarray of shape (n,), object
    groups : ndarray of shape (n,), object, or None
    hashes : sequence of n str
        What identifies each image by content.
    """

    images: Array
    labels: Array
    groups: Array | None
    hashes: Sequence[str]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(set(self.labels))

    def identity(self, rows: Array, *, with_groups: bool) -> str:
        """Hash what a result on these rows depends on: images, labels and, if used, groups."""
        groups = self.groups[rows].tolist() if with_groups and self.groups is not None else None
        content = [[self.hashes[row] for row in rows], self.labels[rows].tolist(), groups]
        return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of one candidate for every image, each from the fold that left it out.

    Attributes
    ----------
    probabilities : ndarray of shape (repeats, n, n_classes)
    fit_seconds : ndarray of shape (repeats * folds,)
    predict_ms : float
        Per image, decoding and features included, none of them from a cache.
    answers : mapping of probe to list of Answer, one per fold of the first repeat
    """

    probabilities: npt.NDArray[np.float64]
    fit_seconds: npt.NDArray[np.float64]
    predict_ms: float
    answers: dict[str, list[Answer]] = field(default_factory=dict)


def draw_folds(
    labels: Array,
    groups: Array | None,
    *,
    split: str,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
) -> list[list[Fold]]:
    """Draw the folds that every candidate is given.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    groups : ndarray of shape (n,) or None
    split : {"group", "random"}
        ``"random"`` divides images without regard to groups, as most published figures do.
    folds, repeats : int
    random_state : int, default 0
        Repeat `r` is drawn with ``random_state + r``.

    Returns
    -------
    list of repeats, each a list of (train, test)

    Raises
    ------
    SplitError
        There are no groups to split by, or too few images or groups of a class.
    """
    if split not in ("group", "random"):
        raise InputError(f"split is {split!r}; expected 'group', 'random' or 'both'.")
    if split == "group" and groups is None:
        raise SplitError(
            "A split by group needs groups and none are known; name them with a group column or "
            "a group regex, or use the split 'random'."
        )
    if repeats < 1:
        raise InputError(f"{repeats} repeats; at least 1 is needed.")
    members = groups if split == "group" else None
    return [
        stratified_folds(labels, members, n_splits=folds, random_state=random_state + repeat)
        for repeat in range(repeats)
    ]


def check_disjoint(fold: Fold, groups: Array | None) -> None:
    """Refuse a fold that has an image, or a group, in its training and in its test part.

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
    leaked = sorted(set(groups[train]) & set(groups[test]))
    if leaked:
        raise SplitError(
            f"Group {leaked[0]!s} is in both the training and the test part of a fold "
            f"({len(leaked)} such group(s)); a group may be in one only."
        )


def cross_validate(
    name: str,
    estimator: Any,
    study: Study,
    folds: list[list[Fold]],
    *,
    split: str,
    checkpoints: Checkpoints | None = None,
    measure_prediction: bool = False,
    probes: Sequence[Probe] = (),
    on_fold: Callable[[str], None] = lambda _: None,
) -> OutOfFold:
    """Fit a clone of the estimator on each fold and collect probabilities for the rest.

    Parameters
    ----------
    name : str
        Of the candidate.
    estimator : classifier
        Not changed. Its ``fit`` is given ``groups`` when it takes them and the split is by group.
    study : Study
    folds : as from :func:`draw_folds`
    split : {"group", "random"}
    checkpoints : Checkpoints, optional
    measure_prediction : bool, default False
        Time predictions in the first fold on images that no cache knows.
    probes : sequence of Probe
        Asked in each fold of the first repeat, where they apply to the candidate.
    on_fold : callable
        Called with a short text after each fold.

    Raises
    ------
    SplitError
        A group is on both sides of a fold.
    """
    store = checkpoints or Checkpoints(None)
    grouped = split == "group"
    shape = (len(folds), len(study.labels), len(study.classes))
    probabilities = np.full(shape, np.nan)
    costs = []
    asked = applicable(probes, estimator)
    answers: dict[str, list[Answer]] = {probe.name: [] for probe in asked}
    for repeat, parts in enumerate(folds):
        for number, fold in enumerate(parts):
            check_disjoint(fold, study.groups if grouped else None)
            first = repeat == 0 and number == 0
            result = fit_and_score(
                name,
                estimator,
                study,
                fold,
                grouped=grouped,
                about={"split": split, "repeat": repeat, "fold": number},
                checkpoints=store,
                timed=measure_prediction and first,
                probes=asked if repeat == 0 else (),
            )
            for probe, arrays in result.answers.items():
                answers[probe].append(Answer(fold[1], arrays))
            probabilities[repeat, fold[1]] = result.probabilities
            costs.append(result)
            on_fold(name)
    if np.isnan(probabilities).any():
        raise SplitError("The folds leave some images untested; each must be tested once.")
    return OutOfFold(
        probabilities, np.array([cost.fit_seconds for cost in costs]), costs[0].predict_ms, answers
    )


def fit_and_score(
    name: str,
    estimator: Any,
    study: Study,
    fold: Fold,
    *,
    grouped: bool,
    about: dict[str, Any],
    checkpoints: Checkpoints,
    timed: bool = False,
    test: Study | None = None,
    probes: Sequence[Probe] = (),
) -> FoldResult:
    """Fit on the training rows and score the test rows, of `test` where it is another study.

    A finished fold is read from `checkpoints` instead; it is fitted again only where a probe has
    not been asked yet.
    """
    train, rows = fold
    tested = test or study
    key = fingerprint(
        name,
        estimator,
        study.identity(train, with_groups=grouped),
        tested.identity(rows, with_groups=False),
        {**about, "grouped": grouped, "timed": timed},
    )
    known = checkpoints.load(key, (len(rows), len(study.classes)))
    names = {probe.name: fingerprint(f"{name}.{probe.name}", key, probe) for probe in probes}
    answers = {probe: checkpoints.load_answer(names[probe]) for probe in names}
    if known is not None and None not in answers.values():
        return replace(known, answers=answers)
    training = checkpoints.training_folder(key)
    fitted, seconds = _fitted(_prepared(estimator, training), study, train, grouped)
    if known is None:
        probabilities = _probabilities(name, fitted, tested.images[rows], study.classes)
        speed = _milliseconds(fitted, tested.images[rows]) if timed else float("nan")
        known = FoldResult(probabilities, seconds, speed)
        checkpoints.save(key, known, study.classes, {"candidate": name, **about})
    for probe in probes:
        if answers[probe.name] is None:
            answer = answers[probe.name] = probe.ask(fitted, study, fold)
            checkpoints.save_answer(names[probe.name], answer)
    if training is not None:
        shutil.rmtree(training, ignore_errors=True)
    return replace(known, answers=answers)


def _prepared(estimator: Any, training: Any) -> Any:
    prepared = clone(estimator)
    if training is not None and prepared.get_params(deep=False).get("checkpoint", "") is None:
        prepared.set_params(checkpoint=training)
    return prepared


def _fitted(estimator: Any, study: Study, train: Array, grouped: bool) -> tuple[Any, float]:
    parameter = _groups_parameter(estimator)
    given = {}
    if grouped and study.groups is not None and parameter is not None:
        given[parameter] = study.groups[train]
    start = time.perf_counter()
    fitted = estimator.fit(study.images[train], study.labels[train], **given)
    return fitted, time.perf_counter() - start


def _groups_parameter(estimator: Any) -> str | None:
    """Name under which ``fit`` takes groups, if it does; a pipeline hands them to its last step."""
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inner = _groups_parameter(last)
        return None if inner is None else f"{step}__{inner}"
    if isinstance(estimator, BaseSearchCV):
        return "groups"
    return "groups" if "groups" in inspect.signature(estimator.fit).parameters else None


def _probabilities(name: str, fitted: Any, images: Array, classes: list[str]) -> Array:
    if not hasattr(fitted, "predict_proba"):
        raise InputError(
            f"The candidate {name!r} gives no probabilities (no predict_proba); wrap it in "
            "sklearn.calibration.CalibratedClassifierCV."
        )
    given = np.asarray(fitted.predict_proba(images), dtype=np.float64)
    if not np.isfinite(given).all():
        raise InputError(f"The candidate {name!r} gave probabilities that are not numbers.")
    aligned = np.zeros((len(given), len(classes)))
    aligned[:, np.searchsorted(classes, [str(label) for label in fitted.classes_])] = given
    return aligned


def _milliseconds(fitted: Any, images: Array) -> float:
    """Time decoding and prediction per image on images that no cache has seen."""
    picked = images[np.linspace(0, len(images) - 1, TIMED_IMAGES).astype(int)]
    start = time.perf_counter()
    fitted.predict_proba([_unseen(image) for image in picked])
    return (time.perf_counter() - start) * 1000 / len(picked)


def _unseen(image: Any) -> Array:
    changed = read_image(image).copy()
    changed[0, :16] = np.random.default_rng().integers(0, 256, size=(16, 3))
    return changed
