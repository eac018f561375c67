"""Whether acting on a call does more good than harm (Vickers and Elkin 2006, Med Decis Making 26).

At a threshold probability `t` one acts on an image whose probability of the classes looked for is
at least `t`; whoever chooses `t` holds one miss as bad as ``(1 - t) / t`` false alarms. The net
benefit is ``TP / n - FP / n * t / (1 - t)``: rightly acted on, less false alarms at this exchange.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.resampling import Resamples, interval
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = [
    "THRESHOLDS",
    "check_positive",
    "decision_curve_section",
    "malignant_classes",
    "net_benefit",
]

Array = npt.NDArray[Any]
THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.02), 2)
_MALIGNANT = re.compile(
    r"^(\w*blasts?|all|aml|apl|cll|cml|leuk(a)?emi\w*|early|pre|pro|malignan\w*)$"
)
_HARMLESS = re.compile(r"^(erythroblasts?|normoblasts?|no|non|not|normal|benign|healthy|without)$")


def decision_curve_section(context: Context) -> dict[str, Any] | None:
    """Trace net benefit over the threshold, for the classes looked for.

    Returns
    -------
    dict or None
        ``positive``, ``thresholds``, ``treat_all`` and ``candidates``: ``name``, ``split``,
        ``net_benefit``, ``low``, ``high``. None where no class is named like a leukemia and the
        user named none either.
    """
    classes = context.study.classes
    named = context.settings.positive
    positive = malignant_classes(classes) if named is None else check_positive(named, classes)
    if not positive:
        return None
    wanted = np.isin(classes, positive)
    sick = wanted[context.codes]
    odds = THRESHOLDS / (1 - THRESHOLDS)
    candidates = [
        {
            "name": name,
            "split": split,
            **net_benefit(sick, result.probabilities[:, :, wanted].sum(axis=2), context.resamples),
        }
        for split, by_name in context.results.items()
        for name, result in by_name.items()
    ]
    return {
        "positive": positive,
        "thresholds": THRESHOLDS.tolist(),
        "treat_all": (sick.mean() - (1 - sick.mean()) * odds).tolist(),
        "candidates": candidates,
    }


def net_benefit(
    sick: Array, probability: Array, resamples: Resamples
) -> dict[str, list[float | None]]:
    """Compute the net benefit at each of the thresholds, with its interval.

    Parameters
    ----------
    sick : ndarray of shape (n,), bool
    probability : ndarray of shape (repeats, n)
        Of the classes looked for.
    resamples : Resamples

    Returns
    -------
    dict of lists
        ``net_benefit``, ``low``, ``high``.
    """
    odds = THRESHOLDS / (1 - THRESHOLDS)
    worth = np.where(sick[:, None], 1.0, -odds)
    rows = np.arange(len(sick))
    acted = (probability[:, :, None] >= THRESHOLDS).mean(axis=0)
    sizes = resamples.sums(rows, np.ones(len(rows)))
    draws = resamples.sums(rows, acted * worth) / sizes
    found = [
        interval(draws[:, column], resamples.n_units, bounded=False).as_dict()
        for column in range(len(THRESHOLDS))
    ]
    return {
        "net_benefit": [estimate["mean"] for estimate in found],
        "low": [estimate["low"] for estimate in found],
        "high": [estimate["high"] for estimate in found],
    }


def malignant_classes(classes: Sequence[str]) -> list[str]:
    """List the classes that are named like leukemia or blasts; empty where it is none or all.

    Examples
    --------
    >>> from hybridleuk.evaluation.decision_curve import malignant_classes
    >>> malignant_classes(["Benign", "Early", "Pre", "Pro"])
    ['Early', 'Pre', 'Pro']
    >>> malignant_classes(["erythroblast", "small lymphocyte", "promyelocyte"])
    []
    """
    found = [name for name in classes if _is_malignant(name)]
    return [] if len(found) == len(classes) else found


def check_positive(named: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Put the classes that the user looks for into the order of all.

    Raises
    ------
    InputError
        A class is not known, or no other one is left.
    """
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise InputError(
            f"The class {unknown[0]!r} is looked for and not among those of the images; expected "
            f"one of {', '.join(classes)}."
        )
    if len(set(named)) == len(classes):
        raise InputError(
            f"All {len(classes)} classes are looked for, which leaves none to tell them from; name "
            "those that one would act on."
        )
    return [name for name in classes if name in named]


def _is_malignant(name: str) -> bool:
    words = re.split(r"[^a-z]+", name.lower())
    if any(_HARMLESS.match(word) for word in words):
        return False
    return any(_MALIGNANT.match(word) for word in words)
