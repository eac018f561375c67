"""Nearest neighbours whose votes count as much for rare classes as for frequent ones."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.class_weight import compute_class_weight

from hybridleuk.data.splits import inner_folds
from hybridleuk.exceptions import InputError
from hybridleuk.models.tabular import TUNING_FOLDS, TabularClassifier

__all__ = ["KNNClassifier"]

Array = npt.NDArray[Any]


class KNNClassifier(TabularClassifier):
    """The nearest training rows vote, and one further vote is shared by all classes.

    The shared vote (Laplace's rule of succession, spread over the classes) keeps a class that no
    neighbour has from being called impossible.

    Parameters
    ----------
    n_neighbors : int, default 10
        All rows, where there are fewer.
    class_weight : "balanced", dict or None, default "balanced"
        Weight of a vote for each class.
    tune : bool, default False
        Choose `n_neighbors` from nine values between 1 and 50 by balanced accuracy on three inner,
        group-disjoint folds.
    random_state : int, default 0
        Of the inner folds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    rows_ : ndarray of shape (n, n_features), float32
    codes_ : ndarray of shape (n,)
        Class of each row.
    votes_ : ndarray of shape (n_classes,)
        Weight of a vote.
    n_neighbors_ : int
        As given, or chosen.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hybridleuk.models.neighbors import KNNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> KNNClassifier(n_neighbors=4).fit(X, y).predict_proba(X[:1]).round(2)
    array([[0.87, 0.07, 0.07]])
    """

    SPACE: ClassVar[dict[str, tuple[int, ...]]] = {"n_neighbors": (1, 3, 5, 7, 10, 15, 20, 30, 50)}

    def __init__(
        self,
        n_neighbors: int = 10,
        *,
        class_weight: Any = "balanced",
        tune: bool = False,
        random_state: int | None = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.class_weight = class_weight
        self.tune = tune
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Keep the rows.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Used when tuning: the inner folds keep each group on one side.
        """
        X, y = self._validated(X, y)
        if self.n_neighbors < 1:
            raise InputError(f"n_neighbors is {self.n_neighbors}; expected at least 1.")
        self.rows_ = X.astype(np.float32)
        self.codes_ = np.searchsorted(self.classes_, y)
        self.votes_ = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        self.n_neighbors_ = self._tuned(groups) if self.tune else self.n_neighbors
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities of shape (n, n_classes)."""
        X = self._validated_new(X).astype(np.float32)
        near = _nearest(self.rows_, X, self.n_neighbors_)
        return self._shares(self.codes_[near])

    def _shares(self, codes: Array) -> Array:
        """Probabilities from the classes of neighbours, of shape (n, k)."""
        n_classes = len(self.classes_)
        counts = np.stack([(codes == k).sum(axis=1) for k in range(n_classes)], axis=1)
        votes = counts * self.votes_
        return (votes + 1 / n_classes) / (votes.sum(axis=1, keepdims=True) + 1)

    def _tuned(self, groups: Any) -> int:
        """Choose the number of neighbours; they are found once for all numbers."""
        folds = inner_folds(self.codes_, groups, TUNING_FOLDS, self.random_state)
        if not folds:
            return self.n_neighbors
        numbers = self.SPACE["n_neighbors"]
        called = np.empty((len(numbers), len(self.codes_)), dtype=int)
        for train, test in folds:
            near = _nearest(self.rows_[train], self.rows_[test], max(numbers))
            for place, number in enumerate(numbers):
                shares = self._shares(self.codes_[train][near[:, :number]])
                called[place, test] = shares.argmax(axis=1)
        scores = [balanced_accuracy_score(self.codes_, found) for found in called]
        return numbers[int(np.argmax(scores))]


def _nearest(rows: Array, X: Array, number: int) -> Array:
    """Places of the nearest rows, nearest first."""
    search = NearestNeighbors(n_neighbors=min(number, len(rows)), algorithm="brute").fit(rows)
    return search.kneighbors(X, return_distance=False)
