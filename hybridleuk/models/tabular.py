"""What the classifiers on feature tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hybridleuk.data.fitting import fit_with_groups
from hybridleuk.data.splits import inner_folds
from hybridleuk.exceptions import SplitError

__all__ = ["TUNING_FOLDS", "TabularClassifier", "held_out_probabilities"]

Array = npt.NDArray[Any]
TUNING_FOLDS = 3


class TabularClassifier(ClassifierMixin, BaseEstimator):
    """Validation, inner folds, the most probable class, and the space that is searched.

    Each classifier's space holds nine settings, so that none is tuned harder than another.
    """

    SPACE: ClassVar[Mapping[str, Sequence[Any]]] = {}

    def _validated(self, X: Any, y: Any) -> tuple[Array, Array]:
        checked, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise SplitError(
                f"Found one class only, {self.classes_[0]!s}; a classifier needs at least two."
            )
        return checked, labels

    def _validated_new(self, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row."""
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities of shape (n, n_classes)."""
        raise NotImplementedError

    def held_out_probabilities(self, X: Any, y: Any, groups: Any = None) -> Array | None:
        """Return probabilities of training rows by classifiers that left them out.

        ``None`` where a class has a single image or group, so that nothing can be left out.
        """
        check_is_fitted(self)
        return held_out_probabilities(self, X, y, groups)

    def tuning(self) -> dict[str, Any] | None:
        """Return what is searched when tuning, or None.

        Returns
        -------
        dict
            ``space`` (parameter to values), ``n_settings`` and ``inner_folds``.
        """
        if not getattr(self, "tune", False):
            return None
        space = {name: list(values) for name, values in self.SPACE.items()}
        n_settings = int(np.prod([len(values) for values in space.values()]))
        return {"space": space, "n_settings": n_settings, "inner_folds": TUNING_FOLDS}

    @classmethod
    def settings(cls) -> list[dict[str, Any]]:
        """List every setting of the space, in a fixed order."""
        return [
            dict(zip(cls.SPACE, values, strict=True)) for values in product(*cls.SPACE.values())
        ]


def held_out_probabilities(
    classifier: Any, X: Any, y: Any, groups: Any = None, *, n_splits: int = TUNING_FOLDS
) -> Array | None:
    """Return probabilities of rows by clones of a classifier that saw neither them nor their group.

    Parameters
    ----------
    classifier : fitted classifier
        Its columns are kept to.
    X : ndarray of shape (n, n_features)
    y : array-like of shape (n,)
    groups : array-like of shape (n,), optional
    n_splits : int, default 3

    Returns
    -------
    ndarray of shape (n, n_classes), or None where nothing can be left out
    """
    X, y = np.asarray(X), np.asarray(y)
    members = None if groups is None else np.asarray(groups)
    seed = getattr(classifier, "random_state", 0)
    held_out = np.zeros((len(X), len(classifier.classes_)))
    folds = inner_folds(y, groups, n_splits, seed if isinstance(seed, int) else 0)
    for train, test in folds:
        part = fit_with_groups(
            clone(classifier), X[train], y[train], None if members is None else members[train]
        )
        columns = np.searchsorted(classifier.classes_, part.classes_)
        held_out[np.ix_(test, columns)] = part.predict_proba(X[test])
    return held_out if folds else None
