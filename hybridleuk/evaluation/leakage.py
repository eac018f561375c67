"""Finding candidates that bring along what they learned elsewhere, perhaps on the test images.

A candidate is cloned before each fit, which takes away whatever it had learned. What a clone keeps
all the same is looked for here: parts frozen on purpose, and fitted objects hidden in functions,
such as ``FunctionTransformer(scaler.transform)`` with a scaler fitted on all images.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.base import BaseEstimator, clone

from hybridleuk.exceptions import InputError, SplitError

__all__ = ["check_unfitted", "fitted_parts"]

_DEEPEST = 8


def check_unfitted(name: str, estimator: Any) -> None:
    """Refuse a candidate that is no classifier, or that is still fitted after it was cloned.

    Raises
    ------
    InputError
        It cannot be fitted or cloned.
    SplitError
        Some part of it was fitted before the folds were drawn, and would stay so.
    """
    if isinstance(estimator, type) or not all(hasattr(estimator, n) for n in ("fit", "get_params")):
        raise InputError(
            f"The candidate {name!r} is {estimator!r}; expected a scikit-learn classifier, such as "
            "RandomForestClassifier(), with its brackets."
        )
    found = next(fitted_parts(clone(estimator)), None)
    if found is not None:
        raise SplitError(
            f"The candidate {name!r} holds a {type(found).__name__} that was fitted beforehand, "
            "perhaps on images it is tested on; give it unfitted, as a step of a pipeline, so that "
            "it is fitted on each training part."
        )


def fitted_parts(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield every fitted estimator within a value: in parameters, containers and functions.

    Networks and other objects that are no scikit-learn estimators are not looked into: weights
    from elsewhere are the point of a pretrained network.

    Examples
    --------
    >>> from sklearn.preprocessing import FunctionTransformer, StandardScaler
    >>> from hybridleuk.evaluation.leakage import fitted_parts
    >>> scaler = StandardScaler().fit([[0.0], [1.0]])
    >>> [type(part).__name__ for part in fitted_parts(FunctionTransformer(scaler.transform))]
    ['StandardScaler']
    """
    if depth > _DEEPEST:
        return
    if isinstance(value, BaseEstimator):
        if _learned(value):
            yield value
        inside: Any = value.get_params(deep=False).values()
    elif isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value if len(value) < 1000 else ()
    elif isinstance(value, functools.partial):
        inside = (value.func, value.args, value.keywords)
    elif callable(value) and not isinstance(value, type):
        inside = _enclosed(value)
    else:
        return
    for part in inside:
        yield from fitted_parts(part, depth + 1)


def _learned(estimator: BaseEstimator) -> bool:
    """Tell whether an estimator carries learned attributes; one without state never does."""
    parameters = estimator.get_params(deep=False)
    return any(
        name.endswith("_") and not name.startswith("_") and name not in parameters
        for name in vars(estimator)
    )


def _enclosed(function: Any) -> list[Any]:
    """List what a function was bound to, what it closes over, and its default values."""
    cells = getattr(function, "__closure__", None) or ()
    found = [getattr(function, "__self__", None), getattr(function, "__defaults__", None)]
    for cell in cells:
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not yet filled
            continue
    return found
