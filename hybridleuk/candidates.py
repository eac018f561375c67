"""The built-in candidates by name, and the comparison of any candidates on one manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import joblib

from hybridleuk.data.manifest import Manifest
from hybridleuk.models.contamination import contaminated
from hybridleuk.models.hybrid import HybridClassifier
from hybridleuk.models.importance import PermutationProbe
from hybridleuk.models.memory import available_memory, kernel_memory
from hybridleuk.models.named import (
    CANDIDATES,
    DEFAULT_CANDIDATES,
    make_candidate,
    make_candidates,
    parts_of,
)

if TYPE_CHECKING:
    from hybridleuk.evaluation.compare import Comparison
    from hybridleuk.evaluation.costs import Costs
    from hybridleuk.evaluation.folds import Validation
    from hybridleuk.evaluation.probes import Probe

__all__ = ["CANDIDATES", "DEFAULT_CANDIDATES", "compare", "make_candidate", "make_candidates"]

MOST_CURVES = 6
_BYTES_OF_A_PROCESS = 500 * 2**20  # Python with the libraries that a fold loads
_BYTES_OF_AN_IMAGE = 200_000  # some copies of 5,000 features


def compare(
    manifest: Manifest,
    candidates: Sequence[str | tuple[str, Any]] = DEFAULT_CANDIDATES,
    *,
    split: str | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    directory: str | os.PathLike[str] | None = None,
    external: Mapping[str, Manifest] | None = None,
    finetuning: Mapping[str, Any] | None = None,
    learning_curve: bool = True,
    counterfactuals: int = 200,
    jobs: int | None = None,
    validation: Validation = "train",
    shared_groups: bool = False,
    group_rule: str = "",
    costs: Costs | None = None,
    positive: Sequence[str] | None = None,
    command: str | None = None,
    **features: Any,
) -> Comparison:
    """Compare classifiers on the same folds, with shortcut baselines beside them.

    Parameters
    ----------
    manifest : Manifest
        With labels. Images that cannot be decoded are left out before anything is split.
    candidates : sequence of str or of (name, estimator)
        Names as in :data:`CANDIDATES`; an estimator takes images as `X`.
    split : {"group", "random", "both", "logo", "manifest"}, optional
        By default ``"group"`` where the manifest has groups, else ``"random"``; see
        :func:`~hybridleuk.evaluation.compare.compare_estimators`.
    folds, repeats, seed : int
    directory : path, optional
        Where each finished fold is kept; the same call resumes from there.
    external : mapping of name to Manifest, optional
        Other image sets: every candidate is fitted on all of `manifest` and scored on each.
    finetuning : mapping, optional
        Parameters of :class:`hybridleuk.FineTunedCNN`, such as ``{"epochs": 10}``.
    learning_curve : bool, default True
        Fit candidates that are fitted quickly also on shares of each training part.
    counterfactuals : int, default 200
        How many unseen images are changed (background exchanged, stain shifted, blurred, ...) to
        see what each fitted candidate loses; 0 for none.
    jobs : int, optional
        Folds at a time, as far as memory allows; by default what ``joblib.parallel_config`` says,
        else one. Networks that are trained take their turn.
    validation : {"train", "test", "leave-out"}, default "train"
        What images that the manifest's own split marks ``val`` are for.
    shared_groups : bool, default False
        Accept a manifest's own split that has groups on both sides.
    group_rule : str, optional
        How groups came to be, for the report.
    costs : Costs, optional
        What mistakes cost, as from :func:`hybridleuk.evaluation.costs.read_costs`.
    positive : sequence of str, optional
        Classes that one would act on, for the decision curve; by default those named like leukemia.
    command : str, optional
        What the user typed, for the report.
    **features
        Parameters of :class:`hybridleuk.HybridClassifier`, such as ``backbone="resnet50"`` or
        ``tune=True``.

    Returns
    -------
    Comparison
    """
    from hybridleuk.evaluation.compare import check_external, check_wishes, compare_estimators
    from hybridleuk.evaluation.leakage import check_unfitted

    features.setdefault("random_state", seed)
    estimators = make_candidates(candidates, finetuning=finetuning, **features)
    for name, estimator in estimators.items():
        check_unfitted(name, estimator)
    cache = features.get("cache", "default")
    checked = manifest.checked(cache=cache)
    if group_rule:
        checked = replace(checked, group_rule=group_rule)
    others = {name: other.checked(cache=cache) for name, other in (external or {}).items()}
    for name, other in others.items():  # before anything slow
        check_external(name, other, () if checked.labels is None else checked.labels)
    check_wishes(() if checked.labels is None else checked.labels, costs, positive)
    _extract_once(estimators, checked)
    return compare_estimators(
        estimators,
        checked,
        split=split,
        folds=folds,
        repeats=repeats,
        random_state=seed,
        directory=directory,
        external=others or None,
        notes=_notes(estimators),
        contaminated=contaminated(estimators, {"": checked, **others}),
        cache=cache,
        probes=_probes(estimators, seed, counterfactuals, cache),
        learning_curve=_quickly_fitted(estimators) if learning_curve else (),
        jobs=_as_memory_allows(jobs, len(checked), tuned=bool(features.get("tune"))),
        validation=validation,
        shared_groups=shared_groups,
        costs=costs,
        positive=positive,
        command=command,
    )


def _as_memory_allows(jobs: int | None, n: int, *, tuned: bool) -> int | None:
    """Take fewer folds at a time where the memory that is free does not hold more of them."""
    free = available_memory()
    if jobs is None or jobs == 1 or free is None:
        return jobs
    each = kernel_memory(n, tuned=tuned) + _BYTES_OF_A_PROCESS + n * _BYTES_OF_AN_IMAGE
    return max(1, min(joblib.effective_n_jobs(jobs), free // each))


def _extract_once(estimators: Mapping[str, Any], manifest: Manifest) -> None:
    """Fill the cache before the first fold, so that no candidate pays for another's features."""
    extractors = {
        repr(extractor): extractor
        for whole in estimators.values()
        for estimator in parts_of(whole)
        if isinstance(estimator, HybridClassifier) and estimator.cache is not None
        for extractor in estimator.unfitted_features().extractors().values()
    }
    for extractor in extractors.values():  # weights that cannot be had are said at once
        extractor.fit(manifest.paths)
    for extractor in extractors.values():
        extractor.transform(manifest.paths)


def _probes(
    estimators: Mapping[str, Any], seed: int, counterfactuals: int, cache: Any
) -> list[Probe]:
    """Make the questions that the fitted candidates are asked."""
    from hybridleuk.evaluation.counterfactual_probe import Counterfactuals

    probes: list[Probe] = [PermutationProbe(random_state=seed)]
    if counterfactuals:
        probes.append(Counterfactuals(counterfactuals, cache))
    if any("epochs" in getattr(e, "get_params", dict)() for e in estimators.values()):
        from hybridleuk.models.attention import AttentionProbe  # loads torch
        from hybridleuk.models.training_curves import TrainingProbe

        probes += [AttentionProbe(), TrainingProbe()]
    return probes


def _quickly_fitted(estimators: Mapping[str, Any]) -> list[str]:
    """Name the candidates for a learning curve, which costs most of a further comparison.

    Without networks that are trained, and without trees on wide embeddings; of many candidates
    only built-in ones, and no more than :data:`MOST_CURVES`.
    """
    quick = [name for name, estimator in estimators.items() if not _fitted_slowly(estimator)]
    if len(quick) > MOST_CURVES:
        quick = [name for name in quick if name in CANDIDATES]
    return quick[:MOST_CURVES]


def _fitted_slowly(estimator: Any) -> bool:
    if len(list(parts_of(estimator))) > 1:  # each of them is fitted several times
        return True
    if isinstance(estimator, HybridClassifier):
        return estimator.classifier == "xgboost" and estimator.features != "morphology"
    return "epochs" in getattr(estimator, "get_params", dict)()


def _notes(estimators: Mapping[str, Any]) -> list[str]:
    random = [name for name, e in estimators.items() if any(map(_has_random_weights, parts_of(e)))]
    if not random:
        return []
    return [
        f"RANDOM WEIGHTS: the networks of {', '.join(random)} were never trained, so these "
        "figures say nothing about what pretrained networks reach."
    ]


def _has_random_weights(estimator: Any) -> bool:
    weights = getattr(estimator, "weights", None)
    listed = weights if isinstance(weights, (list, tuple)) else [weights]
    return "random" in listed and getattr(estimator, "features", "deep") != "morphology"
