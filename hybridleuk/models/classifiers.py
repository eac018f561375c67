"""Classifiers on feature tables: an SVM with calibrated probabilities, and XGBoost.

Both are scikit-learn estimators whose ``fit`` also takes ``groups``: wherever training data is
divided once more (calibration, tuning), a group stays on one side.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from hybridleuk.data.splits import Fold, inner_folds
from hybridleuk.models.boosting import BinnedTable, boosted
from hybridleuk.models.calibration import fit_slope, pairwise_log_probabilities
from hybridleuk.models.kernels import radial_kernel, squared_distances
from hybridleuk.models.memory import check_kernel_memory
from hybridleuk.models.tabular import TUNING_FOLDS, TabularClassifier

__all__ = ["SVMClassifier", "XGBoostClassifier", "inner_folds"]

Array = npt.NDArray[Any]
_COLUMNS = 400
_BINS = 64


class SVMClassifier(TabularClassifier):
    """Support vector machine whose probabilities are calibrated on inner, group-disjoint folds.

    The machine is fitted on all rows. Each of its decisions between two classes becomes a
    probability by a sigmoid (Platt 1999), and the probability of a class is proportional to the
    product over its pairs (Hinton 2002). All sigmoids share one slope, the one that fits decisions
    on rows that the deciding machine has not seen, nor their groups: a single number cannot learn
    patients by heart, however few they are.

    Parameters
    ----------
    C : float, default 10.0
        Cost of a violated margin.
    gamma : "scale" or float, default "scale"
        Of the radial kernel ``exp(-gamma * |x - y|^2)``; "scale" is
        ``1 / (n_features * variance of X)``.
    class_weight : "balanced", dict or None, default "balanced"
        Of the machine and of the calibration, so that probabilities refer to equally frequent
        classes when balanced.
    calibration_folds : int, default 3
        Inner folds; fewer are used where a class has fewer images or groups.
    tune : bool, default False
        Choose `C` from 1, 10, 100 and `gamma` from a quarter, one and four times what is given by
        balanced accuracy on three inner folds.
    random_state : int, default 0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    machine_ : sklearn.svm.SVC
        On a precomputed kernel: distances are computed once and serve every inner fold.
    support_vectors_ : ndarray of shape (n_support, n_features)
    gamma_ : float
    slope_ : float
        Of the sigmoids.
    calibration_ : {"inner folds", "training scores"}
        The latter, with a warning, where a class has a single image or group.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hybridleuk.models.classifiers import SVMClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> SVMClassifier().fit(X, y).predict_proba(X[:1]).round(1)
    array([[1., 0., 0.]])
    """

    SPACE: ClassVar[dict[str, tuple[float, ...]]] = {
        "gamma_factor": (1.0, 0.25, 4.0),
        "C": (10.0, 1.0, 100.0),
    }

    def __init__(
        self,
        C: float = 10.0,
        gamma: float | str = "scale",
        *,
        class_weight: Any = "balanced",
        calibration_folds: int = 3,
        tune: bool = False,
        random_state: int | None = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.class_weight = class_weight
        self.calibration_folds = calibration_folds
        self.tune = tune
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit machine and calibration.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Patients; the inner folds keep each on one side.

        Raises
        ------
        SplitError
            There is only one class.
        InputError
            The distances of all pairs of rows do not fit into memory.
        """
        X, y = self._validated(X, y)
        check_kernel_memory(len(X), tuned=self.tune, folds=self.calibration_folds)
        folds = inner_folds(y, groups, self.calibration_folds, self.random_state)
        distances = squared_distances(X)
        C, self.gamma_ = self.C, _gamma(X, self.gamma)
        if self.tune and folds:
            searched = inner_folds(y, groups, TUNING_FOLDS, self.random_state)
            C, self.gamma_ = self._tuned(distances, y, searched)
        kernel = radial_kernel(distances, self.gamma_, out=distances)
        self.machine_ = self._machine(C).fit(kernel, y)
        self.support_vectors_ = X[self.machine_.support_]
        self.calibration_ = "inner folds" if folds else "training scores"
        if folds:
            decisions = _held_out_decisions(self.machine_, kernel, y, folds)
        else:
            _warn_not_calibrated()
            decisions = _decisions(self.machine_, kernel)
        weights = compute_sample_weight(self.class_weight, y)
        self.slope_ = fit_slope(decisions, np.searchsorted(self.classes_, y), weights)
        return self

    def held_out_probabilities(self, X: Any, y: Any, groups: Any = None) -> Array | None:
        """Return calibrated probabilities of training rows by machines that left them out.

        ``None`` where a class has a single image or group, so that nothing can be left out.
        """
        check_is_fitted(self)
        folds = inner_folds(y, groups, self.calibration_folds, self.random_state)
        if not folds:
            return None
        distances = squared_distances(np.asarray(X))
        kernel = radial_kernel(distances, self.gamma_, out=distances)
        decisions = _held_out_decisions(self.machine_, kernel, np.asarray(y), folds)
        return np.exp(pairwise_log_probabilities(decisions, self.slope_))

    def predict_proba(self, X: Any) -> Array:
        """Return calibrated probabilities of shape (n, n_classes)."""
        X = self._validated_new(X)
        # The machine asks for a column per training row, but reads those of support vectors only.
        kernel = np.zeros((len(X), self.machine_.shape_fit_[0]))
        distances = squared_distances(X, self.support_vectors_)
        kernel[:, self.machine_.support_] = np.exp(-self.gamma_ * distances)
        return np.exp(pairwise_log_probabilities(_decisions(self.machine_, kernel), self.slope_))

    def _machine(self, C: float) -> SVC:
        return SVC(
            C=C,
            kernel="precomputed",
            decision_function_shape="ovo",
            class_weight=self.class_weight,
            random_state=self.random_state,
        )

    def _tuned(self, distances: Array, y: Array, folds: list[Fold]) -> tuple[float, float]:
        """Choose C and gamma by balanced accuracy on inner folds; ties go to the first."""
        best, chosen = -1.0, (self.C, self.gamma_)
        kernel = np.empty_like(distances)
        for factor in self.SPACE["gamma_factor"]:
            gamma = factor * self.gamma_
            radial_kernel(distances, gamma, out=kernel)
            for C in self.SPACE["C"]:
                machine = self._machine(C)
                found = np.empty_like(y)
                for train, test in folds:
                    machine.fit(kernel[np.ix_(train, train)], y[train])
                    found[test] = machine.predict(kernel[np.ix_(test, train)])
                score = balanced_accuracy_score(y, found)
                if score > best:
                    best, chosen = score, (C, gamma)
        return chosen


class XGBoostClassifier(TabularClassifier):
    """Gradient-boosted trees with balanced classes, on any labels.

    Parameters
    ----------
    n_estimators : int, default 200
        Boosting rounds; fixed, so that nothing is stopped on data that is reported.
    max_depth : int, default 4
    learning_rate : float, default 0.1
    subsample : float, default 0.8
        Share of rows that each tree sees.
    colsample_bytree : float, optional
        Share of columns that each block of ten rounds sees; by default 0.3, but no more than 400
        columns (:mod:`hybridleuk.models.boosting`).
    class_weight : "balanced", dict or None, default "balanced"
    tune : bool, default False
        Choose `max_depth` from 3, 4 and 6 and `learning_rate` from 0.05, 0.1 and 0.2 by balanced
        accuracy on three inner, group-disjoint folds.
    n_jobs : int or None, default 1
        Threads; on tables of a block's width more of them wait longer than they work. ``None`` is
        every core.
    random_state : int, default 0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    booster_ : xgboost.Booster

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hybridleuk.models.classifiers import XGBoostClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> XGBoostClassifier(n_estimators=20).fit(X, y).predict(X[:3])
    array([0, 0, 0])
    """

    SPACE: ClassVar[dict[str, tuple[float, ...]]] = {
        "max_depth": (4, 3, 6),
        "learning_rate": (0.1, 0.05, 0.2),
    }

    def __init__(
        self,
        n_estimators: int = 200,
        max_depth: int = 4,
        learning_rate: float = 0.1,
        *,
        subsample: float = 0.8,
        colsample_bytree: float | None = None,
        class_weight: Any = "balanced",
        tune: bool = False,
        n_jobs: int | None = 1,
        random_state: int | None = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.class_weight = class_weight
        self.tune = tune
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the trees.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Used when tuning: the inner folds keep each group on one side.
        """
        X, y = self._validated(X, y)
        codes = np.searchsorted(self.classes_, y)
        weights = compute_sample_weight(self.class_weight, y)
        chosen = self._searched(X, codes, weights, groups) if self.tune else {}
        table = self._binned(X, codes, weights)
        self.booster_ = boosted(table, self._parameters(chosen), self.n_estimators)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities of shape (n, n_classes)."""
        import xgboost

        X = self._validated_new(X)
        scores = self.booster_.predict(xgboost.DMatrix(X.astype(np.float32)))
        if scores.ndim == 1:
            return np.column_stack([1 - scores, scores]).astype(np.float64)
        probabilities = scores.astype(np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def _binned(self, X: Array, codes: Array, weights: Array) -> BinnedTable:
        share = self.colsample_bytree or min(0.3, _COLUMNS / X.shape[1])
        return BinnedTable.of(
            X,
            codes,
            weights,
            width=max(1, round(share * X.shape[1])),
            rounds=self.n_estimators,
            bins=_BINS,
            seed=self.random_state or 0,
            threads=self.n_jobs,
        )

    def _parameters(self, chosen: dict[str, Any]) -> dict[str, Any]:
        many = len(self.classes_) > 2
        return {
            "objective": "multi:softprob" if many else "binary:logistic",
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "max_bin": _BINS,
            "seed": self.random_state or 0,
            **({"num_class": len(self.classes_)} if many else {}),
            **({"nthread": self.n_jobs} if self.n_jobs else {}),
            **chosen,
        }

    def _searched(self, X: Array, codes: Array, weights: Array, groups: Any) -> dict[str, Any]:
        """Choose by balanced accuracy on inner folds, each binned once; ties go to the first."""
        import xgboost

        settings = self.settings()
        called = np.empty((len(settings), len(codes)), dtype=int)
        folds = inner_folds(codes, groups, TUNING_FOLDS, self.random_state)
        for train, test in folds:
            table = self._binned(X[train], codes[train], weights[train])
            unseen = xgboost.DMatrix(X[test].astype(np.float32))
            for number, setting in enumerate(settings):
                trees = boosted(table, self._parameters(setting), self.n_estimators)
                called[number, test] = _most_probable(trees.predict(unseen))
        scores = [balanced_accuracy_score(codes, found) for found in called] if folds else [0]
        return settings[int(np.argmax(scores))] if folds else {}


def _most_probable(scores: Array) -> Array:
    return scores.argmax(axis=1) if scores.ndim > 1 else (scores > 0.5).astype(int)


def _gamma(X: Array, gamma: float | str) -> float:
    if gamma != "scale":
        return float(gamma)
    variance = float(X.var())
    return 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0


def _held_out_decisions(machine: SVC, kernel: Array, y: Array, folds: list[Fold]) -> Array:
    """Decide each row by a machine like this one that has not seen it."""
    n_classes = len(machine.classes_)
    decisions = np.empty((len(kernel), n_classes * (n_classes - 1) // 2))
    for train, test in folds:
        part = clone(machine).fit(kernel[np.ix_(train, train)], y[train])
        decisions[test] = _decisions(part, kernel[np.ix_(test, train)])
    return decisions


def _decisions(machine: SVC, kernel: Array) -> Array:
    """Decide between each pair i < j of classes: (n, n_pairs), positive for class i."""
    decisions = machine.decision_function(kernel)
    return -decisions[:, None] if decisions.ndim == 1 else decisions


def _warn_not_calibrated() -> None:
    warnings.warn(
        "A class has a single image or group, so probabilities were calibrated on training scores "
        "and are too certain; add images or groups of that class.",
        UserWarning,
        stacklevel=3,
    )
