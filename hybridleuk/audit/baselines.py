"""How far classes are told from background and files alone, against what chance gives.

The baselines are those of every comparison (:mod:`hybridleuk.evaluation.shortcuts`). A class that
is told where no cell is seen was photographed in its own way, and a classifier may learn that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score

from hybridleuk import progress
from hybridleuk.audit.exchange import exchanged, p_value
from hybridleuk.data.splits import Fold, inner_folds
from hybridleuk.evaluation.shortcut_estimators import ShortcutClassifier
from hybridleuk.evaluation.shortcuts import shortcut_named

__all__ = ["TOLD", "balanced_accuracies", "folds_of", "is_told", "score_baselines"]

Array = npt.NDArray[Any]

FOLDS, PERMUTATIONS = 5, 499
MOST_IMAGES = 3000
SIGNIFICANT, TOLD = 0.01, 0.2


def score_baselines(
    features: Mapping[str, Array],
    labels: Array,
    groups: Array | None = None,
    *,
    random_state: int = 0,
) -> list[dict[str, Any]]:
    """Cross-validate each baseline, and exchange labels to see what chance gives.

    The p-value keeps the out-of-fold predictions and exchanges the labels they are compared with,
    among groups where these are known. Of over 3,000 images so many are drawn, in proportion.

    Parameters
    ----------
    features : mapping of name of a shortcut to ndarray of shape (n, d)
    labels : ndarray of shape (n,)
    groups : ndarray of shape (n,), optional
    random_state : int, default 0

    Returns
    -------
    list of dict
        ``name``, ``description``, ``balanced_accuracy``, ``chance``, ``p_value``, ``n_images``,
        ``told`` (:func:`is_told`) and ``folds_by``: ``"group"``, or ``"image"`` where no groups are
        known or they are too few.
        The strongest first; empty where classes are too small to cross-validate.
    """
    picked = _picked(labels, random_state)
    labels = labels[picked]
    groups = None if groups is None else groups[picked]
    folds, folds_by = folds_of(labels, groups, FOLDS, random_state)
    if not folds:
        return []
    classes, codes = np.unique(labels, return_inverse=True)
    draws = list(exchanged(codes, groups, times=PERMUTATIONS, random_state=random_state))
    found = []
    with progress.task("Testing shortcuts", len(features), "baselines") as testing:
        for name, values in features.items():
            predicted = _out_of_fold(values[picked], codes, folds)
            reached = float(balanced_accuracy_score(codes, predicted))
            by_chance = balanced_accuracies(draws, predicted, len(classes))
            found.append(
                {
                    "name": name,
                    "description": shortcut_named(name).description,
                    "balanced_accuracy": reached,
                    "chance": 1 / len(classes),
                    "p_value": p_value(reached, by_chance),
                    "n_images": len(codes),
                    "folds_by": folds_by,
                }
            )
            testing.advance()
    judged = [{**entry, "told": is_told(entry)} for entry in found]
    return sorted(judged, key=lambda entry: -entry["balanced_accuracy"])


def is_told(entry: Mapping[str, Any]) -> bool:
    """Whether a baseline tells classes: p at most 0.01, and a fifth of the way to no error."""
    gain = (entry["balanced_accuracy"] - entry["chance"]) / (1 - entry["chance"])
    return bool(entry["p_value"] <= SIGNIFICANT and gain >= TOLD)


def folds_of(
    labels: Array, groups: Array | None, count: int, random_state: int
) -> tuple[list[Fold], str]:
    """Divide into folds by group where groups allow it, else by image; none where impossible."""
    if len(np.unique(labels)) < 2:
        return [], "image"
    by_group = [] if groups is None else inner_folds(labels, groups, count, random_state)
    if by_group:
        return by_group, "group"
    return inner_folds(labels, None, count, random_state), "image"


def _picked(labels: Array, random_state: int) -> Array:
    """Rows to look at: all, or a sample with classes in proportion, at least ten of each."""
    if len(labels) <= MOST_IMAGES:
        return np.arange(len(labels))
    rng = np.random.default_rng(random_state)
    share = MOST_IMAGES / len(labels)
    rows = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    taken = [rng.permutation(r)[: max(10, round(share * len(r)))] for r in rows]
    return np.sort(np.concatenate(taken))


def _out_of_fold(values: Array, codes: Array, folds: list[Fold]) -> Array:
    predicted = np.zeros(len(codes), dtype=codes.dtype)
    varies = np.ptp(values, axis=0) > 0
    for train, test in folds:
        if varies.any():
            machine = ShortcutClassifier().fit(values[train][:, varies], codes[train])
            predicted[test] = machine.predict(values[test][:, varies])
    return predicted


def balanced_accuracies(draws: Sequence[Array], predicted: Array, n_classes: int) -> Array:
    """Balanced accuracy of the same predictions for each draw of labels."""
    found = np.empty(len(draws))
    for row, codes in enumerate(draws):
        sizes = np.bincount(codes, minlength=n_classes)
        hits = np.bincount(codes[codes == predicted], minlength=n_classes)
        found[row] = (hits[sizes > 0] / sizes[sizes > 0]).mean()
    return found
