"""What mistakes cost, where the user says so: missing a blast may be worse than a false alarm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.evaluation.resampling import Estimate, Resamples, interval
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["Costs", "costs_section", "mean_cost", "read_costs"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Costs:
    """Cost of calling an image of one class (row) another (column).

    Attributes
    ----------
    classes : tuple of str
    matrix : ndarray of shape (k, k)
        In any unit, none below zero. What is right may cost too, such as a further test.

    Raises
    ------
    InputError
        The matrix is not square, or holds what is no number or below zero.
    """

    classes: tuple[str, ...]
    matrix: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        k = len(self.classes)
        if self.matrix.shape != (k, k):
            raise InputError(
                f"The costs are a table of {' x '.join(map(str, self.matrix.shape))}; expected one "
                f"row and one column for each of the {k} classes."
            )
        if not (np.isfinite(self.matrix).all() and (self.matrix >= 0).all()):
            raise InputError(
                "The costs hold a value that is empty, no number or below zero; expected 0 for "
                "what costs nothing and a positive number for the rest."
            )

    def ordered(self, classes: Sequence[str]) -> Costs:
        """Bring rows and columns into the order of the classes compared.

        Raises
        ------
        InputError
            A class has no costs.
        """
        missing = [name for name in classes if name not in self.classes]
        if missing:
            raise InputError(
                f"The costs say nothing of the class {missing[0]}; expected one row and one column "
                f"for each of {', '.join(classes)}."
            )
        places = [self.classes.index(name) for name in classes]
        return Costs(tuple(classes), self.matrix[np.ix_(places, places)])


def read_costs(path: str | os.PathLike[str]) -> Costs:
    """Read costs from CSV: a row for each true class, a column for each class called.

    The first column names the true class; the heads of the others the class that is called::

        true,blast,normal
        blast,0,10
        normal,1,0

    Raises
    ------
    InputError
        The file cannot be read, or rows and columns name different classes.
    """
    try:
        table = pd.read_csv(path, index_col=0, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The costs cannot be read from {os.fspath(path)} ({error}); expected a CSV file with "
            "a row for each true class and a column for each class called."
        ) from error
    rows = [str(name).strip() for name in table.index]
    columns = [str(name).strip() for name in table.columns]
    if len(set(rows)) != len(rows) or set(rows) != set(columns) or len(columns) != len(rows):
        raise InputError(
            f"The costs in {os.fspath(path)} have the rows {', '.join(rows)} and the columns "
            f"{', '.join(columns)}; expected the same classes in both, each once."
        )
    table.columns, table.index = pd.Index(columns), pd.Index(rows)
    numbers = table.loc[rows, rows].apply(pd.to_numeric, errors="coerce")
    return Costs(tuple(rows), numbers.to_numpy(dtype=np.float64))


def costs_section(context: Context) -> dict[str, Any] | None:
    """Estimate the mean cost of an image under the user's costs; None where there are none.

    Returns
    -------
    dict or None
        ``classes``, ``matrix`` and ``candidates``: ``name``, ``split``, estimates ``as_called``
        (the most probable class is called) and ``at_least_cost`` (the class of the least expected
        cost, ``argmin_j sum_i p_i C_ij``, is called; Elkan 2001, IJCAI).
    """
    if context.settings.costs is None:
        return None
    costs = context.settings.costs.ordered(context.study.classes)
    candidates = [
        {
            "name": name,
            "split": split,
            **{
                rule: _estimate(draws, costs.matrix.max(), context.resamples).as_dict()
                for rule, draws in mean_cost(
                    context.codes, result.probabilities, costs.matrix, context.resamples
                ).items()
            },
        }
        for split, by_name in context.results.items()
        for name, result in by_name.items()
    ]
    return {
        "classes": list(costs.classes),
        "matrix": costs.matrix.tolist(),
        "candidates": candidates,
    }


def _estimate(draws: Array, largest: float, resamples: Resamples) -> Estimate:
    """Take the mean cost for a share of the largest, so that costs of nothing have an interval."""
    scale = float(largest) or 1.0
    found = interval(draws / scale, resamples.n_units)
    return Estimate(found.mean * scale, found.low * scale, found.high * scale)


def mean_cost(
    codes: Array, probabilities: Array, matrix: Array, resamples: Resamples
) -> dict[str, Array]:
    """Compute the mean cost of an image under both rules, for the data and each draw.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    matrix : ndarray of shape (k, k)
        True class x class called.
    resamples : Resamples

    Returns
    -------
    dict of ``as_called``, ``at_least_cost``
        Each of shape (1 + n_draws,).
    """
    rows = np.arange(len(codes))
    calls = {
        "as_called": probabilities.argmax(axis=2),
        "at_least_cost": (probabilities @ matrix).argmin(axis=2),
    }
    sizes = resamples.sums(rows, np.ones(len(rows)))[:, 0]
    return {
        rule: resamples.sums(rows, matrix[codes, called].mean(axis=0))[:, 0] / sizes
        for rule, called in calls.items()
    }
