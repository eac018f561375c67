"""From out-of-fold probabilities to the plain data of ``comparison.json``."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GridSearchCV, ParameterGrid

import hybridleuk
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.splits import Fold
from hybridleuk.evaluation.abstention import abstention_section
from hybridleuk.evaluation.attention import attention_section
from hybridleuk.evaluation.calibration import calibration_section
from hybridleuk.evaluation.comparison import Comparison
from hybridleuk.evaluation.context import Context, Results
from hybridleuk.evaluation.costs import costs_section
from hybridleuk.evaluation.counterfactuals import counterfactuals_section
from hybridleuk.evaluation.crossval import Study
from hybridleuk.evaluation.decision_curve import decision_curve_section
from hybridleuk.evaluation.embedding_map import map_section
from hybridleuk.evaluation.importance import importance_section
from hybridleuk.evaluation.learning_curve import learning_curve_section
from hybridleuk.evaluation.metrics import (
    METRICS,
    PER_CLASS,
    confusion_matrix,
    estimates,
    replicate,
)
from hybridleuk.evaluation.patients import patients_section
from hybridleuk.evaluation.prediction_sets import prediction_sets_section
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.evaluation.shortcuts import shortcut_named
from hybridleuk.evaluation.statistics import compare_pairs
from hybridleuk.evaluation.training import training_section
from hybridleuk.evaluation.verdict import alarms, shortcut_ratio, verdict, warnings_of

__all__ = ["FORMAT", "SECTIONS", "build", "package_versions"]

FORMAT = 1
Array = npt.NDArray[Any]
External = Mapping[str, tuple[Manifest, Study, Mapping[str, Array]]]
_PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "torch", "torchvision", "xgboost")


# Further sections of the document: key and what makes it. A section is plain data, or ``None``.
SECTIONS: dict[str, Callable[[Context], Any]] = {
    "patients": patients_section,
    "calibration": calibration_section,
    "prediction_sets": prediction_sets_section,
    "abstention": abstention_section,
    "costs": costs_section,
    "decision_curve": decision_curve_section,
    "counterfactuals": counterfactuals_section,
    "learning_curve": learning_curve_section,
    "training": training_section,
    "importance": importance_section,
    "map": map_section,
    "attention": attention_section,
}


def build(
    context: Context,
    external: External,
    *,
    notes: Sequence[str] = (),
    contaminated: Sequence[Mapping[str, Any]] = (),
    command: str | None = None,
) -> Comparison:
    """Score everything, compare every pair, and put it in words.

    Parameters
    ----------
    context : Context
    external : mapping of name to (Manifest, Study, mapping of candidate to probabilities)
    notes : sequence of str
    contaminated : sequence of mapping
    command : str, optional

    Returns
    -------
    Comparison
    """
    study, resamples = context.study, context.resamples
    document: dict[str, Any] = {
        "format": FORMAT,
        "dataset": _dataset(context.manifest, study),
        "protocol": context.settings.as_dict(resamples, context.grouped),
        "candidates": _candidates(context),
        "pairs": _pairs(context),
        "shortcuts": _shortcuts(context.baselines, context.codes, resamples),
        "leakage_gap": _leakage_gaps(context.draws, resamples),
        "external": [
            _external(name, other, scored, context) for name, (_, other, scored) in external.items()
        ],
        "confusion": _confusion(context),
        "contaminated": [dict(found) for found in contaminated],
    }
    _add_shortcut_ratios(document)
    document |= {key: section(context) for key, section in SECTIONS.items()}
    document |= {
        "verdict": verdict(document),
        "alarms": alarms(document),
        "warnings": warnings_of(document),
        "notes": list(notes),
        "versions": package_versions(),
        "command": command,
    }
    return Comparison(
        document,
        _predictions(context.manifest, study, context.plan, context.results),
        _external_predictions(external, study.classes),
    )


def _confusion(context: Context) -> dict[str, Any]:
    return {
        split: {
            name: confusion_matrix(context.codes, result.probabilities).tolist()
            for name, result in by_name.items()
        }
        for split, by_name in context.results.items()
    }


def _dataset(manifest: Manifest, study: Study) -> dict[str, Any]:
    labels = pd.Series(study.labels)
    groups = None if study.groups is None else pd.Series(study.groups)
    per_class = {} if groups is None else groups.groupby(study.labels).nunique().to_dict()
    return {
        "name": manifest.root.name,
        "n_images": len(labels),
        "n_groups": 0 if groups is None else int(groups.nunique()),
        "group_kind": manifest.group_kind,
        "classes": study.classes,
        "images_per_class": {str(name): int(n) for name, n in labels.value_counts().items()},
        "groups_per_class": {str(name): int(n) for name, n in per_class.items()},
        "n_skipped": len(manifest.skipped),
    }


def _candidates(context: Context) -> list[dict[str, Any]]:
    timed = next(iter(context.results.values()))
    classes = context.study.classes
    return [
        {
            "name": name,
            "split": split,
            **_scores(context.draws[split][name], context.resamples, classes),
            "fit_seconds": float(np.median(result.fit_seconds)),
            "predict_ms_per_image": float(timed[name].predict_ms),
            "size_bytes": timed[name].size_bytes,
            "tuning": _tuning(context.estimators[name]),
            "estimator": _written(context.estimators[name]),
        }
        for split, by_name in context.results.items()
        for name, result in by_name.items()
    ]


def _tuning(estimator: Any) -> dict[str, Any] | None:
    """Say what is searched on inner folds: by the candidate's own account, or of a grid search."""
    if hasattr(estimator, "tuning"):
        return estimator.tuning()
    if not isinstance(estimator, GridSearchCV):
        return None
    grid = ParameterGrid(estimator.param_grid)
    space = {name: sorted({str(s[name]) for s in grid if name in s}) for s in grid for name in s}
    folds = estimator.cv if isinstance(estimator.cv, int) else None
    return {"space": space, "n_settings": len(grid), "inner_folds": folds}


def _written(estimator: Any) -> str:
    """Write an estimator with its parameters on one line, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(estimator).split()))


def _scores(draws: dict[str, Array], resamples: Resamples, classes: list[str]) -> dict[str, Any]:
    scored = estimates(draws, resamples, classes)
    flat = {name: scored[name].as_dict() for name in METRICS}
    by_class = {
        name: {label: estimate.as_dict() for label, estimate in scored[name].items()}
        for name in PER_CLASS
    }
    return {**flat, **by_class}


def _pairs(context: Context) -> list[dict[str, Any]]:
    return [
        {**pair, "split": split, "metric": "balanced_accuracy"}
        for split, by_name in context.results.items()
        for pair in compare_pairs(
            context.codes,
            {name: result.probabilities for name, result in by_name.items()},
            {name: context.draws[split][name]["balanced_accuracy"] for name in by_name},
            context.plan[split],
            context.resamples,
            grouped=context.grouped,
        )
    ]


def _shortcuts(baselines: Results, codes: Array, resamples: Resamples) -> list[dict[str, Any]]:
    found = []
    for split, by_name in baselines.items():
        for name, result in by_name.items():
            values = replicate(codes, result.probabilities, resamples)["balanced_accuracy"]
            estimate = resamples.interval(values)
            found.append(
                {
                    "name": name,
                    "split": split,
                    "kind": shortcut_named(name).kind,
                    "description": shortcut_named(name).description,
                    "balanced_accuracy": estimate.mean,
                    "low": estimate.low,
                    "high": estimate.high,
                }
            )
    return found


def _add_shortcut_ratios(document: dict[str, Any]) -> None:
    chance = 1 / len(document["dataset"]["classes"])
    for shortcut in document["shortcuts"]:
        best = max(
            candidate["balanced_accuracy"]["mean"]
            for candidate in document["candidates"]
            if candidate["split"] == shortcut["split"]
        )
        shortcut["ratio"] = shortcut_ratio(shortcut["balanced_accuracy"], best, chance)


def _leakage_gaps(
    draws: Mapping[str, Mapping[str, dict[str, Array]]], resamples: Resamples
) -> dict[str, Any]:
    """Balanced accuracy on random folds less that on folds by group, on the same draws."""
    if len(draws) < 2:
        return {}
    return {
        name: resamples.interval(
            draws["random"][name]["balanced_accuracy"] - values["balanced_accuracy"],
            bounded=False,
        ).as_dict()
        for name, values in draws["group"].items()
    }


def _external(
    name: str, other: Study, scored: Mapping[str, Array], context: Context
) -> dict[str, Any]:
    study, settings = context.study, context.settings
    codes = np.searchsorted(study.classes, other.labels)
    resamples = Resamples.draw(
        codes,
        n_classes=len(study.classes),
        groups=other.groups,
        n_draws=settings.n_draws,
        random_state=settings.seed + 1,
    )
    entries = []
    for candidate, probabilities in scored.items():
        draws = replicate(codes, probabilities, resamples)
        within = context.draws[context.main_split][candidate]["balanced_accuracy"]
        drop = within - draws["balanced_accuracy"]
        entries.append(
            {
                "name": candidate,
                **_scores(draws, resamples, study.classes),
                # Only the external side of the difference can hang on a single unit of a class.
                "drop": resamples.interval(drop, bounded=False, doubt=1.0).as_dict(),
            }
        )
    shared = len(set(other.hashes) & set(study.hashes))
    return {"name": name, "n_images": len(codes), "n_shared": shared, "candidates": entries}


def _predictions(
    manifest: Manifest, study: Study, plan: Mapping[str, list[list[Fold]]], results: Results
) -> pd.DataFrame:
    parts = []
    for split, by_name in results.items():
        for name, result in by_name.items():
            for repeat, folds in enumerate(plan[split]):
                numbers = np.empty(len(study.labels), dtype=np.int64)
                for number, (_, test) in enumerate(folds):
                    numbers[test] = number
                head = {"candidate": name, "split": split, "repeat": repeat, "fold": numbers}
                parts.append(_scored_rows(manifest, result.probabilities[repeat], study, head))
    return pd.concat(parts, ignore_index=True)


def _external_predictions(external: External, classes: list[str]) -> pd.DataFrame:
    parts = [
        _scored_rows(manifest, probabilities, other, {"candidate": name, "set": which}, classes)
        for which, (manifest, other, scored) in external.items()
        for name, probabilities in scored.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _scored_rows(
    manifest: Manifest,
    probabilities: Array,
    study: Study,
    head: dict[str, Any],
    classes: list[str] | None = None,
) -> pd.DataFrame:
    names = classes or study.classes
    identity = manifest.frame[["image_id", "path", "label", "group"]].reset_index(drop=True)
    frame = identity.assign(
        **head, predicted=np.array(names, dtype=object)[probabilities.argmax(axis=1)]
    )
    columns = [*head, *identity.columns, "predicted"]
    chances = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in names])
    return pd.concat([frame[columns], chances], axis=1)


def package_versions() -> dict[str, str]:
    """Return the versions of this package and of those whose results may differ by version."""
    found = {"hybridleuk": hybridleuk.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "platform": f"{platform.system()} {platform.machine()}"}
