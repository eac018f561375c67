"""Shortcuts as scikit-learn estimators: transformers of images, and the baselines' classifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from hybridleuk.data.images import check_images
from hybridleuk.evaluation.shortcuts import shortcut_features

__all__ = ["BackgroundColor", "MeanColor", "ShortcutClassifier", "Thumbnail"]

Array = npt.NDArray[Any]


class _ShortcutTransformer(TransformerMixin, BaseEstimator):
    """A shortcut as a scikit-learn transformer over images; ``fit`` learns nothing."""

    shortcut: str
    columns: tuple[str, ...]

    def __init__(self, cache: Any = "default") -> None:
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the images; nothing is learned."""
        check_images(X)
        return self

    def transform(self, X: Any) -> Array:
        """Measure each image: ndarray of shape (n, n_features), float64."""
        return shortcut_features(X, [self.shortcut], cache=self.cache)[self.shortcut]

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns."""
        return np.array(self.columns, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class BackgroundColor(_ShortcutTransformer):
    """Six numbers of the background of each image.

    See :func:`~hybridleuk.evaluation.shortcut_measures.background_color`.
    """

    shortcut = "background color"
    columns = tuple(f"background_{c}_{s}" for s in ("median", "std") for c in "rgb")


class MeanColor(_ShortcutTransformer):
    """Three numbers of each image.

    See :func:`~hybridleuk.evaluation.shortcut_measures.mean_color`.
    """

    shortcut = "mean color"
    columns = tuple(f"mean_{c}" for c in "rgb")


class Thumbnail(_ShortcutTransformer):
    """192 numbers of each image: see :func:`~hybridleuk.evaluation.shortcut_measures.thumbnail`."""

    shortcut = "8 x 8 thumbnail"
    columns = tuple(f"thumbnail_{y}_{x}_{c}" for y in range(8) for x in range(8) for c in "rgb")


class ShortcutClassifier(ClassifierMixin, BaseEstimator):
    """RBF support vector machine on shortcut features, scaled to unit variance.

    Its probabilities are the softmax of decision values: good for the predicted class and for
    ranking, not calibrated.

    Parameters
    ----------
    C : float, default 10.0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    """

    def __init__(self, C: float = 10.0) -> None:
        self.C = C

    def fit(self, X: Any, y: Any) -> Self:
        """Fit scaling and machine on features of shape (n, n_features)."""
        self.scaler_ = StandardScaler().fit(X)
        self.machine_ = SVC(C=self.C, class_weight="balanced", break_ties=True)
        self.machine_.fit(self.scaler_.transform(X), y)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return an array of shape (n, n_classes) whose rows sum to 1."""
        check_is_fitted(self)
        decision = self.machine_.decision_function(self.scaler_.transform(X))
        if decision.ndim == 1:
            decision = np.column_stack([-decision, decision])
        odds = np.exp(decision - decision.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """Return the class of each row."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
