"""Prediction sets: the classes that cannot be ruled out for an image, at a stated risk."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hybridleuk.conformal import class_thresholds
from hybridleuk.exceptions import InputError

__all__ = ["PredictionSets"]


class PredictionSets(BaseEstimator):
    """Class-conditional conformal prediction sets.

    A class enters the set of an image when its probability is no lower than that of all but a share
    `alpha` of the conformalization images of this class (Vovk 2012, Mondrian conformal prediction;
    score ``1 - p`` of Sadinle et al. 2019). Where conformalization images are exchangeable with new
    ones, the true class is in the set with probability ``1 - alpha`` at least, in each class. Where
    images come in groups it is the groups that must be; see :func:`hybridleuk.conformal.threshold`.

    Parameters
    ----------
    alpha : float, default 0.1
        Accepted risk, between 0 and 1, that the true class is not in the set.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_classes,)
        Least probability with which each class enters a set. A class with fewer than
        ``1 / alpha - 1`` conformalization images, or groups whose images are all alike, has
        threshold 0: it can never be ruled out.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.models.uncertainty import PredictionSets
    >>> probabilities = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, axis=0)
    >>> sets = PredictionSets(alpha=0.1).fit(probabilities, np.repeat([0, 1], 20))
    >>> sets.predict([[0.95, 0.05], [0.5, 0.5]])
    array([[ True, False],
           [False, False]])
    """

    def __init__(self, alpha: float = 0.1) -> None:
        self.alpha = alpha

    def fit(self, probabilities: Any, codes: Any, groups: Any = None) -> Self:
        """Learn the thresholds from probabilities of images the classifier was not fitted on.

        Parameters
        ----------
        probabilities : array-like of shape (n, n_classes)
        codes : array-like of shape (n,)
            Column of the true class of each row.
        groups : array-like of shape (n,), optional
            Patients, or what stands for them.
        """
        if not 0 < self.alpha < 1:
            raise InputError(
                f"alpha is {self.alpha}; expected a risk between 0 and 1, such as 0.1."
            )
        values = np.asarray(probabilities, dtype=np.float64)
        members = None if groups is None else np.asarray(groups)
        self.thresholds_ = class_thresholds(values, np.asarray(codes), self.alpha, members)
        return self

    def predict(self, probabilities: Any) -> npt.NDArray[np.bool_]:
        """Tell which classes are in the set of each row, of shape (n, n_classes)."""
        check_is_fitted(self)
        return np.asarray(probabilities) >= self.thresholds_
