"""Logistic regression with balanced classes, kept as plain numbers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from hybridleuk.data.splits import inner_folds
from hybridleuk.models.tabular import TUNING_FOLDS, TabularClassifier

__all__ = ["LogisticClassifier"]

Array = npt.NDArray[Any]


class LogisticClassifier(TabularClassifier):
    """Multinomial logistic regression with an L2 penalty (scikit-learn's, solver lbfgs).

    Parameters
    ----------
    C : float, default 10.0
        Inverse of the penalty, for columns as :class:`~hybridleuk.scaling.BlockScaler` leaves
        them, whose variances add up to 1 in each block.
    class_weight : "balanced", dict or None, default "balanced"
    tune : bool, default False
        Choose `C` from nine values between 0.1 and 1000 by balanced accuracy on three inner,
        group-disjoint folds.
    max_iter : int, default 1000
    random_state : int, default 0
        Of the inner folds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_classes, n_features)
    intercept_ : ndarray of shape (n_classes,)
    n_iter_ : int
        Steps of the solver.
    C_ : float
        As given, or chosen.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hybridleuk.models.linear import LogisticClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticClassifier().fit(X, y).predict(X[:2])
    array([0, 0])
    """

    SPACE: ClassVar[dict[str, tuple[float, ...]]] = {
        "C": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    }

    def __init__(
        self,
        C: float = 10.0,
        *,
        class_weight: Any = "balanced",
        tune: bool = False,
        max_iter: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.tune = tune
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the coefficients.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Used when tuning: the inner folds keep each group on one side.
        """
        X, y = self._validated(X, y)
        self.C_ = self._tuned(X, y, groups) if self.tune else self.C
        found = self._regression(self.C_).fit(X, y)
        two = len(self.classes_) == 2  # scikit-learn then keeps the second class alone
        self.coef_ = np.vstack([0 * found.coef_, found.coef_]) if two else found.coef_
        self.intercept_ = np.append([0.0] * two, found.intercept_)
        self.n_iter_ = int(np.max(found.n_iter_))
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities of shape (n, n_classes)."""
        X = self._validated_new(X)
        return softmax(X @ self.coef_.T + self.intercept_, axis=1)

    def _regression(self, C: float, *, warm: bool = False) -> LogisticRegression:
        return LogisticRegression(
            C=C, class_weight=self.class_weight, max_iter=self.max_iter, warm_start=warm
        )

    def _tuned(self, X: Array, y: Array, groups: Any) -> float:
        """Choose C, each fit starting where that of the next smaller C ended; ties go to it."""
        folds = inner_folds(y, groups, TUNING_FOLDS, self.random_state)
        if not folds:
            return self.C
        found = np.empty((len(self.SPACE["C"]), len(y)), dtype=y.dtype)
        for train, test in folds:
            machine = self._regression(1.0, warm=True)
            for number, C in enumerate(self.SPACE["C"]):
                machine.set_params(C=C).fit(X[train], y[train])
                found[number, test] = machine.predict(X[test])
        scores = [balanced_accuracy_score(y, called) for called in found]
        return self.SPACE["C"][int(np.argmax(scores))]
