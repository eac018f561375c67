"""Late fusion: the probabilities of several classifiers, combined by a logistic regression."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.fitting import fit_with_groups
from hybridleuk.data.images import check_images
from hybridleuk.data.splits import check_disjoint, check_labels, inner_folds
from hybridleuk.exceptions import InputError
from hybridleuk.models.linear import LogisticClassifier

__all__ = ["StackedClassifier"]

Array = npt.NDArray[Any]
_LEAST = 1e-4  # below it probabilities are all the same: their logarithms would outvote the rest
_PENALTY = 1.0


class StackedClassifier(TakesImages, ClassifierMixin, BaseEstimator):
    """Combine classifiers on images by what each says of images it has not seen.

    Each classifier is fitted on inner, group-disjoint folds of the training images, and its
    probabilities for the images left out become features of a logistic regression (stacked
    generalisation: Wolpert 1992, Neural Networks 5:241-259, on probabilities: Ting and Witten 1999,
    JAIR 10:271-289). Then each is fitted once more on all training images.

    Parameters
    ----------
    classifiers : sequence of (name, classifier)
        Classifiers that take images as `X`.
    folds : int, default 3
        Inner folds, fewer where a class has fewer images or groups. Every classifier is fitted
        once more than there are folds.
    class_weight : "balanced", dict or None, default "balanced"
        Of the logistic regression.
    checkpoint : path, optional
        Folder in which classifiers that are trained for long leave their state.
    random_state : int, default 0
        Of the inner folds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    fitted_ : list of (name, classifier)
        Each fitted on all training images.
    combiner_ : LogisticClassifier or None
        On logarithms of probabilities. None, with a warning, where a class has a single image or
        group: the mean of the probabilities is then taken.

    Examples
    --------
    >>> from hybridleuk import HybridClassifier
    >>> from hybridleuk.data.artificial import draw_cell
    >>> from hybridleuk.models.stacking import StackedClassifier
    >>> kinds = ["lymphocyte", "neutrophil"] * 6
    >>> images = [draw_cell(kind, random_state=i).image for i, kind in enumerate(kinds)]
    >>> parts = [(c, HybridClassifier(c, "morphology", cache=None)) for c in ("svm", "knn")]
    >>> StackedClassifier(parts, folds=2).fit(images, kinds).predict(images[:2])
    array(['lymphocyte', 'neutrophil'], dtype='<U10')
    """

    def __init__(
        self,
        classifiers: Sequence[tuple[str, Any]],
        *,
        folds: int = 3,
        class_weight: Any = "balanced",
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.classifiers = classifiers
        self.folds = folds
        self.class_weight = class_weight
        self.checkpoint = checkpoint
        self.random_state = random_state

    @property
    def uses_all_cores(self) -> bool:
        """Whether one of the classifiers takes the whole machine for itself."""
        return any(getattr(part, "uses_all_cores", False) for _, part in self.classifiers)

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit every classifier on inner folds and on all images, and what combines them.

        Parameters
        ----------
        X : sequence of n paths or (H, W, 3) uint8 arrays
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Patients; every inner split keeps each on one side.

        Raises
        ------
        InputError
            There are no classifiers, or two of one name.
        SplitError
            Labels are missing or all the same.
        """
        images, labels = _listed(check_images(X)), check_labels(y)
        members = None if groups is None else np.asarray(groups)
        names = [name for name, _ in self.classifiers]
        if not names or len(set(names)) < len(names):
            raise InputError(f"classifiers are {names}; expected at least one, each name once.")
        self.classes_ = np.unique(labels)
        self.combiner_ = self._combined(images, labels, members)
        self.fitted_ = [
            (name, self._fit_part(name, "all", images, labels, members)) for name in names
        ]
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities of shape (n, n_classes), columns in the order of ``classes_``."""
        check_is_fitted(self)
        images = check_images(X)
        found = np.stack([self._aligned(part, images) for _, part in self.fitted_])
        if self.combiner_ is None:
            return np.asarray(found.mean(axis=0))
        return self.combiner_.predict_proba(_as_features(found))

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each image."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def tuning(self) -> dict[str, Any] | None:
        """Return what is searched in the classifiers that are combined, or None."""
        found = {name: part.tuning() for name, part in self.classifiers if hasattr(part, "tuning")}
        tuned = {name: said for name, said in found.items() if said}
        if not tuned:
            return None
        return {
            "space": {
                f"{name}: {key}": values
                for name, said in tuned.items()
                for key, values in said["space"].items()
            },
            "n_settings": max(said["n_settings"] for said in tuned.values()),
            "inner_folds": max(said["inner_folds"] for said in tuned.values()),
        }

    def network_bytes(self) -> int:
        """Return the bytes of the networks that its classifiers embed with."""
        check_is_fitted(self)
        return sum(part.network_bytes() for _, part in self.fitted_ if _embeds(part))

    def _combined(self, images: Array, labels: Array, groups: Any) -> LogisticClassifier | None:
        folds = inner_folds(labels, groups, self.folds, self.random_state)
        if not folds:
            warnings.warn(
                "A class has a single image or group, so nothing could be left out to learn how to "
                "combine classifiers, and their mean is taken; add images or groups of that class.",
                UserWarning,
                stacklevel=3,
            )
            return None
        shape = (len(self.classifiers), len(labels), len(self.classes_))
        held_out = np.zeros(shape)
        for number, (train, test) in enumerate(folds):
            check_disjoint((train, test), groups)
            members = None if groups is None else groups[train]
            for place, (name, _) in enumerate(self.classifiers):
                part = self._fit_part(name, str(number), images[train], labels[train], members)
                held_out[place, test] = self._aligned(part, images[test])
        combiner = LogisticClassifier(_PENALTY, class_weight=self.class_weight)
        return combiner.fit(_as_features(held_out), labels)

    def _fit_part(self, name: str, where: str, images: Any, labels: Any, groups: Any) -> Any:
        part = clone(dict(self.classifiers)[name])
        if self.checkpoint is not None and "checkpoint" in part.get_params(deep=False):
            part.set_params(checkpoint=Path(self.checkpoint) / f"{name}-{where}")
        return fit_with_groups(part, images, labels, groups)

    def _aligned(self, part: Any, images: Any) -> Array:
        found = np.zeros((len(images), len(self.classes_)))
        found[:, np.searchsorted(self.classes_, part.classes_)] = part.predict_proba(images)
        return found


def _embeds(part: Any) -> bool:
    return hasattr(part, "network_bytes")


def _listed(images: Sequence[Any]) -> Array:
    """Put paths or pictures into an array of objects, which can be picked from by rows."""
    listed = np.empty(len(images), dtype=object)
    for place, image in enumerate(images):
        listed[place] = image
    return listed


def _as_features(probabilities: Array) -> Array:
    """Logarithms less their mean, (n_classifiers, n, k) to (n, n_classifiers * k)."""
    logs = np.log(np.maximum(probabilities, _LEAST))
    centred = logs - logs.mean(axis=2, keepdims=True)
    return np.concatenate(list(centred), axis=1)
