"""Fitting any scikit-learn classifier so that groups stay whole wherever it divides its images.

scikit-learn's searches, calibrations and stackings draw inner folds of their own, and most of them
cut groups in two: a grid search with ``cv=5`` ignores the groups it is given. While a classifier is
fitted here, its inner folds are those of :func:`hybridleuk.data.splits.inner_folds`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from hybridleuk.data.splits import Fold, check_disjoint, inner_folds
from hybridleuk.exceptions import SplitError

__all__ = ["fit_with_groups"]

Array = npt.NDArray[Any]
_USUAL = 5  # folds where scikit-learn is told none


def fit_with_groups(estimator: Any, X: Any, y: Any, groups: Any = None) -> Any:
    """Fit a classifier, handing it the groups where it takes them, and folds that keep them whole.

    Parameters
    ----------
    estimator : classifier
        Its own `cv`, and that of the steps of a pipeline, is another only while it is fitted.
    X : sequence of n
    y : array-like of shape (n,)
    groups : array-like of shape (n,), optional

    Returns
    -------
    The fitted estimator.

    Raises
    ------
    SplitError
        Its own inner folds cut a group in two, or a class has a single group, so that no inner
        folds can be made.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from hybridleuk.data.fitting import fit_with_groups
    >>> X, y, patients = np.arange(16.0)[:, None], list("aaaabbbb" * 2), np.arange(16) // 2
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    >>> fit_with_groups(search, X, y, patients).n_splits_
    2
    """
    if groups is None:
        return estimator.fit(X, y)
    labels, members = np.asarray(y), np.asarray(groups)
    name = _parameter(estimator)
    with ExitStack() as kept:
        for part in _dividing(estimator):
            kept.enter_context(_whole_groups(part, labels, members))
        return estimator.fit(X, y, **({} if name is None else {name: members}))


def _parameter(estimator: Any) -> str | None:
    """Name under which ``fit`` takes groups, if it does; a pipeline hands them to its last step."""
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inner = _parameter(last)
        return None if inner is None else f"{step}__{inner}"
    if isinstance(estimator, BaseSearchCV):
        return "groups"
    return "groups" if "groups" in inspect.signature(estimator.fit).parameters else None


def _dividing(estimator: Any) -> Iterator[Any]:
    """Yield what divides all of the images once more: an estimator, or steps of a pipeline."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from _dividing(step)
    elif (
        hasattr(estimator, "get_params")
        and "cv" in estimator.get_params(deep=False)
        and is_classifier(estimator)
        and not isinstance(estimator.cv, (str, float))
    ):
        yield estimator


@contextmanager
def _whole_groups(estimator: Any, labels: Array, groups: Array) -> Iterator[None]:
    """Give an estimator inner folds by group, and its own setting back afterwards."""
    given = estimator.cv
    estimator.set_params(cv=_folds(estimator, labels, groups))
    try:
        yield
    finally:
        estimator.set_params(cv=given)


def _folds(estimator: Any, labels: Array, groups: Array) -> list[Fold]:
    given, kind = estimator.cv, type(estimator).__name__
    if given is None or isinstance(given, int):
        folds = inner_folds(labels, groups, given or _USUAL, 0)
        if not folds:
            raise SplitError(
                f"The {kind} divides its images once more, but a class has a single group, which "
                "cannot be divided; add groups of that class, or fit without a search."
            )
        return folds
    with warnings.catch_warnings():  # whoever takes no notice of groups is found out below
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        folds = list(check_cv(given, labels, classifier=True).split(labels, labels, groups))
    for fold in folds:
        try:
            check_disjoint(fold, groups)
        except SplitError as error:
            raise SplitError(
                f"The inner folds of the {kind} leak: {error} Give it cv=5, or a "
                "StratifiedGroupKFold."
            ) from error
    return folds
