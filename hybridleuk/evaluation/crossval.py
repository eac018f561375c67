"""Out-of-fold probabilities: each image judged by a classifier that saw neither it nor its group.

The folds are drawn once and are the same for every candidate. Before a candidate is fitted on a
fold, the fold is checked again: an image or a group on both sides is an error, not a number; and so
is a candidate that was fitted beforehand.

Folds run side by side through joblib, so that a backend of one's own (``joblib.parallel_config``)
can take them elsewhere. Linear algebra keeps to one thread in each, so that figures do not depend
on how many run at once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hybridleuk.data.fitting import fit_with_groups
from hybridleuk.data.images import read_image
from hybridleuk.data.splits import Fold, check_disjoint
from hybridleuk.evaluation.checkpoints import Checkpoints, FoldResult, fingerprint
from hybridleuk.evaluation.folds import draw_folds
from hybridleuk.evaluation.leakage import check_unfitted
from hybridleuk.evaluation.probes import Answer, Probe, applicable
from hybridleuk.evaluation.size import size_of
from hybridleuk.exceptions import HybridLeukError, InputError, SplitError

__all__ = [
    "OutOfFold",
    "Study",
    "check_disjoint",
    "cross_validate",
    "draw_folds",
    "fit_and_score",
    "side_by_side",
    "takes_the_machine",
]

Array = npt.NDArray[Any]
TIMED_IMAGES = 16
_ROUNDING = 1e-3


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
    size_bytes : int or None
        Of one fitted candidate, with the networks it predicts with; None where it has no size.
    """

    probabilities: npt.NDArray[np.float64]
    fit_seconds: npt.NDArray[np.float64]
    predict_ms: float
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    size_bytes: int | None = None


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
    jobs: int | None = 1,
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
    split : {"group", "random", "logo", "manifest"}
    checkpoints : Checkpoints, optional
    measure_prediction : bool, default False
        Time predictions in the first fold on images that no cache knows, and take the size.
    probes : sequence of Probe
        Asked in each fold of the first repeat, where they apply to the candidate.
    jobs : int or None, default 1
        Folds at a time; None leaves it to joblib (one, unless ``joblib.parallel_config`` says
        otherwise). The first fold runs alone where something is measured, and so do all folds of
        a candidate that has ``uses_all_cores`` set.
    on_fold : callable
        Called with a short text after each fold.

    Raises
    ------
    SplitError
        A group is on both sides of a fold, or the candidate was fitted beforehand.
    """
    check_unfitted(name, estimator)
    store = checkpoints or Checkpoints(None)
    grouped = split != "random" and study.groups is not None
    asked = applicable(probes, estimator)
    numbered = [
        (repeat, number, fold)
        for repeat, parts in enumerate(folds)
        for number, fold in enumerate(parts)
    ]
    for _, _, fold in numbered:
        # A split of the manifest may share groups only where the user said so, and was checked.
        check_disjoint(fold, study.groups if grouped and split != "manifest" else None)

    def job(repeat: int, number: int, fold: Fold) -> tuple[Any, ...]:
        options = {
            "grouped": grouped,
            "about": {"split": split, "repeat": repeat, "fold": number},
            "checkpoints": store,
            "timed": measure_prediction and repeat == 0 and number == 0,
            "probes": asked if repeat == 0 else (),
        }
        return (fit_and_score, (name, estimator, study, fold), options)

    work = [job(*item) for item in numbered]
    done = []
    alone = len(work) if takes_the_machine(estimator) else int(measure_prediction)
    for result in side_by_side(work, jobs, alone=alone):
        done.append(result)
        on_fold(name)
    return _collected(done, numbered, study, len(folds), [probe.name for probe in asked], split)


def takes_the_machine(estimator: Any) -> bool:
    """Tell whether a candidate uses all cores by itself, so that its folds wait for each other."""
    return bool(getattr(estimator, "uses_all_cores", False))


def side_by_side(work: Sequence[tuple[Any, ...]], jobs: int | None, *, alone: int) -> Iterator[Any]:
    """Do the first `alone` calls one after the other, and the rest as many as `jobs` allow.

    Parameters
    ----------
    work : sequence of (function, arguments, keywords)
    jobs : int or None
    alone : int

    Yields
    ------
    What the functions return, in the order of the work.
    """
    for function, arguments, options in work[:alone]:
        yield function(*arguments, **options)
    if len(work) > alone:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs")
        yield from parallel(work[alone:])


def _collected(
    done: list[FoldResult],
    numbered: list[tuple[int, int, Fold]],
    study: Study,
    repeats: int,
    probes: list[str],
    split: str,
) -> OutOfFold:
    probabilities = np.full((repeats, len(study.labels), len(study.classes)), np.nan)
    answers: dict[str, list[Answer]] = {probe: [] for probe in probes}
    for result, (repeat, _, fold) in zip(done, numbered, strict=True):
        probabilities[repeat, fold[1]] = result.probabilities
        for probe, arrays in result.answers.items():
            answers[probe].append(Answer(fold[1], arrays))
    if split != "manifest" and np.isnan(probabilities).any():
        raise SplitError("The folds leave some images untested; each must be tested once.")
    seconds = np.array([result.fit_seconds for result in done])
    first = done[0]
    return OutOfFold(probabilities, seconds, first.predict_ms, answers, first.size_bytes)


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
    with threadpool_limits(1, user_api="blas"):
        fitted, seconds = _fitted(name, _prepared(estimator, training), study, train, grouped)
        if known is None:
            probabilities = _probabilities(name, fitted, tested.images[rows], study.classes)
            known = FoldResult(probabilities, seconds)
            if timed:
                speed = _milliseconds(fitted, tested.images[rows])
                known = replace(known, predict_ms=speed, size_bytes=size_of(fitted))
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


def _fitted(
    name: str, estimator: Any, study: Study, train: Array, grouped: bool
) -> tuple[Any, float]:
    groups = study.groups[train] if grouped and study.groups is not None else None
    start = time.perf_counter()
    with _named(name, "fitted"):
        fitted = fit_with_groups(estimator, study.images[train], study.labels[train], groups)
    return fitted, time.perf_counter() - start


@contextmanager
def _named(name: str, done: str) -> Iterator[None]:
    """Say which candidate failed, in a sentence, where scikit-learn says only what it was given."""
    try:
        yield
    except SplitError as error:
        raise SplitError(
            f"The candidate {name!r} needs more than a fold leaves to learn from: {error} Or take "
            "more folds, or leave this candidate out; what was computed is kept."
        ) from error
    except HybridLeukError:
        raise
    except (ValueError, TypeError) as error:
        first = (str(error).strip().splitlines() or ["no message"])[0]
        raise InputError(
            f"The candidate {name!r} failed while it was {done} ({type(error).__name__}: {first}); "
            "mend it or leave it out. What was computed is kept."
        ) from error


def _probabilities(name: str, fitted: Any, images: Array, classes: list[str]) -> Array:
    if not hasattr(fitted, "predict_proba"):
        raise InputError(
            f"The candidate {name!r} gives no probabilities (no predict_proba); wrap it in "
            "sklearn.calibration.CalibratedClassifierCV."
        )
    with _named(name, "asked"):
        given = np.asarray(fitted.predict_proba(images), dtype=np.float64)
    _check_probabilities(name, given)
    aligned = np.zeros((len(given), len(classes)))
    aligned[:, np.searchsorted(classes, [str(label) for label in fitted.classes_])] = given
    return aligned


def _check_probabilities(name: str, given: Array) -> None:
    if not np.isfinite(given).all():
        raise InputError(f"The candidate {name!r} gave probabilities that are not numbers.")
    sums = given.sum(axis=1)
    if given.min() < -_ROUNDING or np.abs(sums - 1).max() > _ROUNDING:
        worst = sums[np.abs(sums - 1).argmax()]
        raise InputError(
            f"The candidate {name!r} gave probabilities from {given.min():.3g} to "
            f"{given.max():.3g} that sum to {worst:.3g} for one image; expected 0 to 1, and a sum "
            "of 1."
        )


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
