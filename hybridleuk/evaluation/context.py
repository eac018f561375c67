"""What the sections of a comparison's document are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.manifest import Manifest
from hybridleuk.data.splits import Fold
from hybridleuk.evaluation.costs import Costs
from hybridleuk.evaluation.crossval import OutOfFold, Study
from hybridleuk.evaluation.learning_curve import Step
from hybridleuk.evaluation.metrics import replicate
from hybridleuk.evaluation.resampling import LEVEL, Resamples
from hybridleuk.evaluation.statistics import NEGLIGIBLE
from hybridleuk.report.reading import main_split

__all__ = ["Context", "Results", "Settings"]

Array = npt.NDArray[Any]
Results = Mapping[str, Mapping[str, OutOfFold]]

INNER = (
    "Scaling, calibration, tuning, prediction sets, early stopping and stacking are fitted on the "
    "training part of a fold alone; wherever it is divided once more, each {} stays on one side."
)


@dataclass(frozen=True)
class Settings:
    """The protocol as it was asked for, with costs of mistakes and the classes looked for."""

    split: str
    folds: int
    repeats: int
    seed: int
    n_draws: int
    group_rule: str = ""
    jobs: int = 1
    validation: str | None = None
    n_train: int | None = None
    costs: Costs | None = None
    positive: Sequence[str] | None = None

    def as_dict(self, resamples: Resamples, grouped: bool) -> dict[str, Any]:
        """Return what ``comparison.json`` says of the protocol."""
        return {
            "split": self.split,
            "folds": self.folds,
            "repeats": self.repeats,
            "seed": self.seed,
            "level": LEVEL,
            "n_draws": self.n_draws,
            "resampled": "groups" if grouped else "images",
            "n_units": resamples.n_units,
            "negligible": NEGLIGIBLE,
            "group_rule": self.group_rule or None,
            "inner": INNER.format("group" if grouped and self.split != "random" else "image"),
            "jobs": self.jobs,
            "n_train": self.n_train,
            **({} if self.validation is None else {"validation": self.validation}),
        }


@dataclass(frozen=True)
class Context:
    """All that was computed, for those who write a section of the document.

    Attributes
    ----------
    manifest, study : Manifest, Study
        The same images.
    plan : mapping of split to folds
    results, baselines : mapping of split to mapping of name to OutOfFold
        Of candidates and of shortcut baselines.
    resamples : Resamples
        Bootstrap draws shared by everything.
    settings : Settings
    estimators : mapping of name to unfitted classifier
    draws : mapping of split to mapping of candidate to mapping of metric to ndarray
        Every metric on every draw, the data itself first.
    curves : mapping of candidate to list of Step
        What it makes of shares of the training parts, where that was asked for.
    """

    manifest: Manifest
    study: Study
    plan: Mapping[str, list[list[Fold]]]
    results: Results
    baselines: Results
    resamples: Resamples
    settings: Settings
    estimators: Mapping[str, Any]
    draws: Mapping[str, Mapping[str, dict[str, Array]]]
    curves: Mapping[str, list[Step]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        study: Study,
        plan: Mapping[str, list[list[Fold]]],
        results: Results,
        baselines: Results,
        resamples: Resamples,
        settings: Settings,
        estimators: Mapping[str, Any],
    ) -> Context:
        """Compute every metric on every draw, and keep all of it together."""
        codes = np.searchsorted(study.classes, study.labels)
        draws = {
            split: {
                name: replicate(codes, result.probabilities, resamples)
                for name, result in by_name.items()
            }
            for split, by_name in results.items()
        }
        return cls(
            manifest, study, plan, results, baselines, resamples, settings, estimators, draws
        )

    @property
    def codes(self) -> Array:
        """True class of each image as a column of the probabilities, of shape (n,)."""
        return np.searchsorted(self.study.classes, self.study.labels)

    @property
    def grouped(self) -> bool:
        """Whether groups are known, so that they are what is resampled."""
        return self.study.groups is not None

    def groups_of(self, split: str) -> Array | None:
        """Return the groups that a split keeps apart, None where it was drawn at random."""
        return None if split == "random" else self.study.groups

    @property
    def main_split(self) -> str:
        """The split that the verdict rests on."""
        return main_split({"protocol": {"split": self.settings.split}})
