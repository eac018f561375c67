"""How far probabilities can be taken at their word, as given and after they were mended.

Temperature
    ``p_k ** (1 / T)`` normalised, with one `T` for all classes, under which the true classes are
    most likely (Guo et al. 2017, ICML).
Isotonic
    A monotone step function for each class against the rest, normalised (Zadrozny and Elkan 2002,
    KDD). With n images it stays ``1 / (n + 2)`` away from 0 and 1 (Platt 1999), so that one image
    cannot make the log loss infinite.

Both are fitted on the out-of-fold predictions of other folds
(:mod:`~hybridleuk.evaluation.other_folds`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from hybridleuk.evaluation.metrics import bin_of, probability_errors
from hybridleuk.evaluation.other_folds import fitted_on_others
from hybridleuk.evaluation.resampling import Resamples

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["calibration_section", "fit_isotonic", "fit_temperature", "reliability_bins"]

Array = npt.NDArray[Any]
Mend = Callable[[Array], Array]
_LEAST = 1e-12
_HOW = (
    "temperature and isotonic regression are fitted on the predictions for the other folds, {}, "
    "and applied to this one"
)
_ALONE = (
    "there is no other fold that temperature and isotonic regression could be fitted on, so that "
    "only the probabilities as given are there"
)


def calibration_section(context: Context) -> dict[str, Any]:
    """Measure ECE, Brier score and log loss, as given and after temperature and isotonic.

    Returns
    -------
    dict
        ``how`` and ``candidates``: ``name``, ``split``, ``methods`` (each with estimates ``ece``,
        ``brier``, ``log_loss``) and ``bins`` of the probabilities as given.
    """
    apart = "which share no group with it" if context.grouped else "which share no image with it"
    if context.main_split == "random":
        apart = "which share no image with it"
    candidates = [
        {
            "name": name,
            "split": split,
            "methods": _methods(context, split, result.probabilities),
            "bins": reliability_bins(context.codes, result.probabilities),
        }
        for split, by_name in context.results.items()
        for name, result in by_name.items()
    ]
    mended = any(len(entry["methods"]) > 1 for entry in candidates)
    return {"how": _HOW.format(apart) if mended else _ALONE, "candidates": candidates}


def fit_temperature(probabilities: Array, codes: Array) -> Mend:
    """Find the temperature under which the true classes are most likely.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k)
    codes : ndarray of shape (n,), int

    Returns
    -------
    callable
        Maps probabilities of shape (m, k) to calibrated ones.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.calibration import fit_temperature
    >>> too_sure = np.array([[0.99, 0.01]] * 10)
    >>> mended = fit_temperature(too_sure, np.array([0] * 8 + [1] * 2))
    >>> mended(too_sure[:1]).round(3)
    array([[0.8, 0.2]])
    """
    logs, rows = np.log(np.maximum(probabilities, _LEAST)), np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logs / np.exp(log_temperature), axis=1)[rows, codes].mean())

    best = float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
    return lambda given: softmax(np.log(np.maximum(given, _LEAST)) / best, axis=1)


def fit_isotonic(probabilities: Array, codes: Array) -> Mend:
    """Fit a monotone function for each class against the rest; parameters as `fit_temperature`."""
    margin = 1 / (len(codes) + 2)
    columns = [
        IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip").fit(
            probabilities[:, code], codes == code
        )
        for code in range(probabilities.shape[1])
    ]

    def mended(given: Array) -> Array:
        table = np.column_stack(
            [column.predict(given[:, code]) for code, column in enumerate(columns)]
        )
        return table / table.sum(axis=1, keepdims=True)

    return mended


def reliability_bins(codes: Array, probabilities: Array) -> list[dict[str, Any]]:
    """Compare confidence with accuracy in bins of equal width, leaving out empty ones.

    Returns
    -------
    list of dict
        ``confidence`` and ``accuracy``, means over the bin, and ``n``, images times repeats.
    """
    confidence = probabilities.max(axis=-1).ravel()
    right = (probabilities.argmax(axis=-1) == codes).ravel()
    bins = bin_of(confidence)
    return [
        {
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
            "n": int((bins == number).sum()),
        }
        for number in np.unique(bins)
    ]


def _methods(context: Context, split: str, probabilities: Array) -> dict[str, Any]:
    codes, groups = context.codes, context.groups_of(split)
    found = {"as given": _errors(codes, probabilities, context.resamples)}
    for name, fit in (("temperature", fit_temperature), ("isotonic", fit_isotonic)):
        mended = fitted_on_others(codes, probabilities, context.plan[split], groups, _plain(fit))
        if mended is not None:
            found[name] = _errors(codes, mended, context.resamples)
    return found


def _plain(fit: Callable[[Array, Array], Mend]) -> Callable[[Array, Array, Array | None], Mend]:
    return lambda probabilities, codes, _: fit(probabilities, codes)


def _errors(codes: Array, probabilities: Array, resamples: Resamples) -> dict[str, Any]:
    draws = probability_errors(codes, probabilities, resamples)
    return {name: resamples.positive(values).as_dict() for name, values in draws.items()}
