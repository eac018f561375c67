"""The hybrid classifier: features of frozen networks and of morphology into a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.fitting import fit_with_groups
from hybridleuk.data.splits import check_labels
from hybridleuk.exceptions import InputError
from hybridleuk.features import FeatureTable
from hybridleuk.hybrid import FeatureKind, HybridFeatures, Measurements
from hybridleuk.models.classifiers import SVMClassifier, XGBoostClassifier
from hybridleuk.models.linear import LogisticClassifier
from hybridleuk.models.memory import check_kernel_memory
from hybridleuk.models.neighbors import KNNClassifier
from hybridleuk.models.tabular import TabularClassifier, held_out_probabilities
from hybridleuk.models.uncertainty import PredictionSets

__all__ = ["CLASSIFIERS", "HybridClassifier"]

CLASSIFIERS: dict[str, type[TabularClassifier]] = {
    "svm": SVMClassifier,
    "xgboost": XGBoostClassifier,
    "logistic": LogisticClassifier,
    "knn": KNNClassifier,
}


class HybridClassifier(TakesImages, ClassifierMixin, BaseEstimator):
    """Classify images by morphology, frozen embeddings, or both.

    Parameters
    ----------
    classifier : {"svm", "xgboost", "logistic", "knn"} or estimator, default "svm"
        A scikit-learn classifier of one's own takes the scaled features, an array of shape
        (n, n_features), needs ``predict_proba``, is given `groups` where its ``fit`` takes them,
        and keeps its own settings: `class_weight` and `tune` are not for it.
    features : {"hybrid", "morphology", "deep"}, default "hybrid"
    measurements, backbone, weights, view, orientations, layers, pooling
        As in :class:`hybridleuk.HybridFeatures`.
    spacing, device, precision, cache, workers
        As in :class:`hybridleuk.HybridFeatures`.
    class_weight : "balanced", dict or None, default "balanced"
    tune : bool, default False
        Search the classifier's settings on inner, group-disjoint folds.
    alpha : float, optional
        Accepted risk of prediction sets, such as 0.1; without it none are made. Classifiers other
        than the SVM are then fitted three more times, on inner folds.
    random_state : int, default 0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    features_ : HybridFeatures
        Fitted scaling; extraction itself learns nothing.
    head_ : classifier
        On scaled features.
    prediction_sets_ : PredictionSets or None
        ``None`` without `alpha`, or where a class has a single image or group.

    Examples
    --------
    >>> from hybridleuk import HybridClassifier
    >>> from hybridleuk.data.artificial import draw_cell
    >>> kinds = ["lymphocyte", "neutrophil"] * 6
    >>> images = [draw_cell(kind, random_state=i).image for i, kind in enumerate(kinds)]
    >>> classifier = HybridClassifier(features="morphology", cache=None).fit(images, kinds)
    >>> classifier.predict_proba(images[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        classifier: Any = "svm",
        features: FeatureKind = "hybrid",
        *,
        measurements: Measurements = "weighted",
        backbone: str | Sequence[str] = "squeezenet1_0",
        weights: Any = "default",
        view: str = "image",
        orientations: int = 1,
        layers: str | Sequence[str] = "upper",
        pooling: str = "default",
        spacing: float | None = None,
        class_weight: Any = "balanced",
        tune: bool = False,
        alpha: float | None = None,
        device: str = "auto",
        precision: str = "fp32",
        cache: Any = "default",
        workers: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.classifier = classifier
        self.features = features
        self.measurements = measurements
        self.backbone = backbone
        self.weights = weights
        self.view = view
        self.orientations = orientations
        self.layers = layers
        self.pooling = pooling
        self.spacing = spacing
        self.class_weight = class_weight
        self.tune = tune
        self.alpha = alpha
        self.device = device
        self.precision = precision
        self.cache = cache
        self.workers = workers
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Extract features where they are not cached, then fit scaling and classifier.

        Parameters
        ----------
        X : sequence of n paths or (H, W, 3) uint8 arrays, or a FeatureTable
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Patients; every inner split keeps each on one side.

        Raises
        ------
        ImageError
            An image cannot be decoded.
        SplitError
            Labels are missing or all the same.
        InputError
            A support vector machine on so many images does not fit into memory.
        """
        labels = check_labels(y)
        if len(labels) != len(X):
            raise InputError(f"{len(X)} images but {len(labels)} labels; one each is needed.")
        head = self._head()
        if isinstance(head, SVMClassifier):  # before hours of extraction, not after them
            check_kernel_memory(len(labels), tuned=self.tune)
        table = X if isinstance(X, FeatureTable) else self.unfitted_features().extract(X)
        self.features_ = self.unfitted_features().fit(table)
        scaled = self.features_.transform(table)
        self.head_ = fit_with_groups(head, scaled, labels, groups)
        self.classes_ = self.head_.classes_
        self.prediction_sets_ = self._prediction_sets(scaled, labels, groups)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return probabilities of shape (n, n_classes), columns in the order of ``classes_``."""
        check_is_fitted(self)
        return np.asarray(self.head_.predict_proba(self.features_.transform(X)))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each image."""
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def _prediction_sets(self, X: Any, labels: Any, groups: Any) -> PredictionSets | None:
        if self.alpha is None:
            return None
        own = getattr(self.head_, "held_out_probabilities", None)
        ask = own if own is not None else partial(held_out_probabilities, self.head_)
        held_out = ask(X, labels, groups)
        if held_out is None:
            return None
        codes = np.searchsorted(self.classes_, labels)
        return PredictionSets(self.alpha).fit(held_out, codes, groups)

    def unfitted_features(self) -> HybridFeatures:
        """Make the extractor with this classifier's settings."""
        names = HybridFeatures().get_params(deep=False)
        return HybridFeatures(**{name: getattr(self, name) for name in names})

    def tuning(self) -> dict[str, Any] | None:
        """Return the space that is searched when tuning, as the classifier states it, or None."""
        head = self._head()
        return head.tuning() if isinstance(head, TabularClassifier) else None

    def network_bytes(self) -> int:
        """Return the bytes of the networks it embeds with, which it loads and does not hold."""
        check_is_fitted(self)
        networks = [e for n, e in self.features_.extractors().items() if n != "morphology"]
        states = [extractor.network_state() for extractor in networks]
        return sum(t.nbytes for state in states for t in state.values())

    def _head(self) -> Any:
        if isinstance(self.classifier, str) and self.classifier in CLASSIFIERS:
            return CLASSIFIERS[self.classifier](
                class_weight=self.class_weight,
                tune=self.tune,
                random_state=self.random_state,
            )
        if not _is_classifier(self.classifier):
            raise InputError(
                f"classifier is {self.classifier!r}; expected one of {', '.join(CLASSIFIERS)}, or "
                "a scikit-learn classifier, unfitted."
            )
        if self.tune:
            raise InputError(
                f"tune is for the classifiers {', '.join(CLASSIFIERS)}; put a "
                f"{type(self.classifier).__name__} into a GridSearchCV, or leave tune out."
            )
        return clone(self.classifier)


def _is_classifier(value: Any) -> bool:
    return isinstance(value, BaseEstimator) and is_classifier(value)
