"""Compare classifiers on images: the same folds, intervals over groups, shortcuts beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.splits import Fold, check_labels
from hybridleuk.evaluation import document as documents
from hybridleuk.evaluation.checkpoints import Checkpoints
from hybridleuk.evaluation.comparison import Comparison
from hybridleuk.evaluation.context import Context, Results, Settings
from hybridleuk.evaluation.costs import Costs
from hybridleuk.evaluation.crossval import (
    OutOfFold,
    Study,
    cross_validate,
    fit_and_score,
    side_by_side,
    takes_the_machine,
)
from hybridleuk.evaluation.decision_curve import check_positive
from hybridleuk.evaluation.folds import Validation, draw_folds, kinds_of
from hybridleuk.evaluation.leakage import check_unfitted
from hybridleuk.evaluation.learning_curve import learn
from hybridleuk.evaluation.probes import Probe
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.evaluation.shortcut_estimators import ShortcutClassifier
from hybridleuk.evaluation.shortcuts import SHORTCUTS, shortcut_features
from hybridleuk.exceptions import InputError, SplitError

__all__ = ["Comparison", "check_external", "check_wishes", "compare_estimators"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Run:
    """What every candidate of one comparison has in common."""

    study: Study
    plan: Mapping[str, list[list[Fold]]]
    checkpoints: Checkpoints
    advance: Callable[[str], None]
    jobs: int | None


def compare_estimators(
    estimators: Mapping[str, Any],
    manifest: Manifest,
    *,
    split: str | None = None,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
    shortcuts: bool = True,
    directory: str | os.PathLike[str] | None = None,
    external: Mapping[str, Manifest] | None = None,
    notes: Sequence[str] = (),
    contaminated: Sequence[Mapping[str, Any]] = (),
    cache: Any = "default",
    n_draws: int = 1000,
    probes: Sequence[Probe] = (),
    learning_curve: Sequence[str] = (),
    jobs: int | None = None,
    validation: Validation = "train",
    shared_groups: bool = False,
    costs: Costs | None = None,
    positive: Sequence[str] | None = None,
    command: str | None = None,
) -> Comparison:
    """Cross-validate classifiers on identical folds and say what the figures are worth.

    Parameters
    ----------
    estimators : mapping of name to classifier
        scikit-learn classifiers whose `X` is a list of image paths and that have
        ``predict_proba``. They are cloned, not changed; ``fit`` is given ``groups`` if it takes
        them and the split is by group.
    manifest : Manifest
        With labels.
    split : {"group", "random", "both", "logo", "manifest"}, optional
        By default ``"group"`` where groups are known, else ``"random"``. ``"both"`` runs everything
        twice and gives the leakage gap; ``"logo"`` leaves out one group after the other;
        ``"manifest"`` is the fixed split of the manifest's column ``split``.
    folds : int, default 5
    repeats : int, default 1
    random_state : int, default 0
        Of the folds and of the bootstrap.
    shortcuts : bool, default True
        Run the shortcut baselines on the same folds.
    directory : path, optional
        Finished folds are kept in ``directory/folds``; the same call resumes from there.
    external : mapping of name to Manifest, optional
        Every candidate is fitted on all of `manifest` and scored on each.
    notes : sequence of str
        Said at the top of the report, such as that weights are random.
    contaminated : sequence of mapping
        What images the networks of candidates were trained on, as from
        :func:`hybridleuk.models.contamination.contaminated`; said first of all.
    cache : "default", path or None
        Of the shortcut features.
    n_draws : int, default 1000
        Bootstrap draws.
    probes : sequence of Probe
        Asked of every candidate fitted in the first repeat of the main split.
    learning_curve : sequence of str
        Candidates that are also fitted on shares of the main split's training parts.
    jobs : int, optional
        Folds at a time; by default what ``joblib.parallel_config`` says, else one. Figures do not
        depend on it.
    validation : {"train", "test", "leave-out"}, default "train"
        What images that the manifest's split marks ``val`` are for.
    shared_groups : bool, default False
        Accept a manifest's split that has groups on both sides.
    costs : Costs, optional
        What calling an image of one class another costs.
    positive : sequence of str, optional
        Classes that one would act on, for the decision curve; by default those named like leukemia.
    command : str, optional
        What the user typed, for the report.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        There is no candidate, one is no classifier, fails or gives no probabilities, or `split` is
        unknown.
    SplitError
        Labels or groups do not allow the split.
    """
    if not estimators:
        raise InputError("No candidate given; expected at least one classifier.")
    for name, estimator in estimators.items():
        check_unfitted(name, estimator)
    if n_draws < 2:
        raise InputError(f"n_draws is {n_draws}; expected 2 at least, better 1000.")
    study = _study(manifest)
    check_wishes(study.labels, costs, positive)
    kinds = kinds_of(split, grouped=study.groups is not None)
    plan = {
        kind: draw_folds(
            study.labels,
            study.groups,
            split=kind,
            folds=folds,
            repeats=repeats,
            random_state=random_state,
            parts=manifest.frame["split"].to_numpy(dtype=object),
            validation=validation,
            shared_groups=shared_groups,
        )
        for kind in kinds
    }
    if kinds == ("manifest",):
        manifest, plan = _tested_first(manifest, plan["manifest"][0][0])
        study = _study(manifest)
    others = {name: _external_study(name, m, study) for name, m in (external or {}).items()}
    store = Checkpoints(None if directory is None else Path(directory) / "folds")
    fits = sum(len(parts) for repeated in plan.values() for parts in repeated) + bool(others)
    with progress.task("Comparing", len(estimators) * fits, "folds") as task:
        run = _Run(study, plan, store, lambda name: task.advance(detail=name), jobs)
        results = _out_of_fold(run, estimators, probes)
        scored = _scored(run, estimators, others) if others else {}
    baselines = _shortcuts(run, manifest, cache) if shortcuts else {}
    main = next(iter(plan))
    curves = learn(
        {name: estimators[name] for name in learning_curve if main != "manifest"},
        study,
        plan[main][0],
        split=main,
        random_state=random_state,
        checkpoints=store,
        jobs=jobs,
    )
    settings = Settings(
        split or main,
        len(plan[main][0]),
        repeats,
        random_state,
        n_draws,
        group_rule=manifest.group_rule,
        jobs=joblib.effective_n_jobs(jobs),
        validation=validation if main == "manifest" else None,
        costs=costs,
        positive=positive,
        n_train=round(float(np.mean([len(train) for train, _ in plan[main][0]]))),
    )
    if main == "manifest":
        manifest, study, results, baselines = _only_tested(manifest, plan, results, baselines)
    resamples = Resamples.draw(
        np.searchsorted(study.classes, study.labels),
        n_classes=len(study.classes),
        groups=study.groups,
        n_draws=n_draws,
        random_state=random_state,
    )
    context = Context.of(manifest, study, plan, results, baselines, resamples, settings, estimators)
    return documents.build(
        replace(context, curves=curves),
        {name: (m, others[name], scored[name]) for name, m in (external or {}).items()},
        notes=notes,
        contaminated=contaminated,
        command=command,
    )


def _study(manifest: Manifest) -> Study:
    if manifest.labels is None:
        raise SplitError(
            "The images carry no labels; put them in one sub-folder per class or give a manifest "
            "with a column 'label'."
        )
    labels = check_labels(manifest.labels)
    return Study(manifest.paths, labels, manifest.groups, list(manifest.frame["sha256"]))


def _tested_first(manifest: Manifest, fold: Fold) -> tuple[Manifest, dict[str, list[list[Fold]]]]:
    """Bring the images of a fixed test part to the top, so that their rows stay theirs later on."""
    train, test = fold
    places = np.arange(len(test)), len(test) + np.arange(len(train))
    return manifest.subset(np.concatenate([test, train])), {"manifest": [[places[::-1]]]}


def _only_tested(
    manifest: Manifest, plan: Mapping[str, list[list[Fold]]], *results: Results
) -> tuple[Any, ...]:
    """Cut everything down to the images of a fixed test part, which alone are reported on."""
    count = len(plan["manifest"][0][0][1])
    kept = manifest.subset(np.arange(count))
    cut = [
        {
            split: {
                name: replace(result, probabilities=result.probabilities[:, :count])
                for name, result in by_name.items()
            }
            for split, by_name in each.items()
        }
        for each in results
    ]
    return kept, _study(kept), *cut


def check_wishes(
    labels: Iterable[Any], costs: Costs | None, positive: Sequence[str] | None
) -> None:
    """Make sure that costs and the classes looked for are those of the images.

    Raises
    ------
    InputError
        A class has no costs, or one that is looked for is not there.
    """
    classes = sorted({str(label) for label in labels})
    if costs is not None:
        costs.ordered(classes)
    if positive is not None:
        check_positive(positive, classes)


def check_external(name: str, manifest: Manifest, classes: Iterable[Any]) -> None:
    """Make sure that other images can be scored by a classifier of some classes.

    Raises
    ------
    InputError
        They carry no labels, or one that is not among `classes`.
    """
    if manifest.labels is None:
        raise InputError(f"The external images {name!r} carry no labels, so they cannot be scored.")
    known = sorted({str(label) for label in classes})
    unknown = sorted({str(label) for label in manifest.labels} - set(known))
    if unknown:
        raise InputError(
            f"The external images {name!r} have the class {unknown[0]}, which is not among those "
            f"to be learned ({', '.join(known)}); rename it or leave it out."
        )


def _external_study(name: str, manifest: Manifest, study: Study) -> Study:
    check_external(name, manifest, study.classes)
    assert manifest.labels is not None
    return Study(manifest.paths, manifest.labels, manifest.groups, list(manifest.frame["sha256"]))


def _out_of_fold(
    run: _Run, estimators: Mapping[str, Any], probes: Sequence[Probe]
) -> dict[str, dict[str, OutOfFold]]:
    main = next(iter(run.plan))
    return {
        split: {
            name: cross_validate(
                name,
                estimator,
                run.study,
                folds,
                split=split,
                checkpoints=run.checkpoints,
                measure_prediction=True,
                probes=probes if split == main else (),
                jobs=run.jobs,
                on_fold=run.advance,
            )
            for name, estimator in estimators.items()
        }
        for split, folds in run.plan.items()
    }


def _scored(
    run: _Run, estimators: Mapping[str, Any], others: Mapping[str, Study]
) -> dict[str, dict[str, Array]]:
    """Fit each candidate once on all images, and score it on every other set."""
    together = _joined(list(others.values()))
    fold = (np.arange(len(run.study.labels)), np.arange(len(together.labels)))
    options = {
        "grouped": run.study.groups is not None,
        "about": {"external": True},
        "checkpoints": run.checkpoints,
        "test": together,
    }
    ends = np.cumsum([len(other.labels) for other in others.values()])[:-1]
    scored: dict[str, dict[str, Array]] = {name: {} for name in others}
    names = sorted(estimators, key=lambda name: not takes_the_machine(estimators[name]))
    work = [(fit_and_score, (name, estimators[name], run.study, fold), options) for name in names]
    alone = sum(takes_the_machine(estimators[name]) for name in names)
    for name, result in zip(names, side_by_side(work, run.jobs, alone=alone), strict=True):
        for other, part in zip(others, np.split(result.probabilities, ends), strict=True):
            scored[other][name] = part
        run.advance(name)
    return {other: {name: found[name] for name in estimators} for other, found in scored.items()}


def _joined(studies: Sequence[Study]) -> Study:
    return Study(
        np.concatenate([study.images for study in studies]),
        np.concatenate([study.labels for study in studies]),
        None,
        [sha256 for study in studies for sha256 in study.hashes],
    )


def _shortcuts(run: _Run, manifest: Manifest, cache: Any) -> dict[str, dict[str, OutOfFold]]:
    features = shortcut_features(list(manifest.paths), cache=cache)
    jobs = len(SHORTCUTS) * sum(len(parts) for folds in run.plan.values() for parts in folds)
    with progress.task("Comparing shortcuts", jobs, "folds") as task:
        return {
            split: {
                name: cross_validate(
                    name,
                    ShortcutClassifier(),
                    Study(features[name], run.study.labels, run.study.groups, run.study.hashes),
                    folds,
                    split=split,
                    checkpoints=run.checkpoints,
                    jobs=1,  # a moment each; starting processes takes longer
                    on_fold=lambda name: task.advance(detail=name),
                )
                for name in SHORTCUTS
            }
            for split, folds in run.plan.items()
        }
