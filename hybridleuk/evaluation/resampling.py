"""Bootstrap draws over groups, shared by everything that is compared, and intervals from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["LEVEL", "Estimate", "Resamples", "interval"]

Array = npt.NDArray[Any]

LEVEL = 0.95
_ROUNDS = 50
_EPSILON = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the three numbers for JSON; what is not defined becomes ``None``."""
        numbers = {"mean": self.mean, "low": self.low, "high": self.high}
        return {
            name: float(value) if np.isfinite(value) else None for name, value in numbers.items()
        }


@dataclass(frozen=True)
class Resamples:
    """How often each unit (group, or image where no groups are known) is in each draw.

    Every metric of every candidate is computed on the same draws, so that differences are paired.
    Draws in which a class is missing are drawn again.

    Attributes
    ----------
    counts : ndarray of shape (1 + n_draws, n_units), float32
        The first row is all ones: the data as they are. A metric computed on all rows at once has
        its estimate first and its bootstrap distribution behind it.
    unit : ndarray of shape (n,)
        Unit of each image.
    class_units : ndarray of shape (n_classes,)
        Number of units that hold each class.
    strata : int
        Number of classes when each unit holds one class only, else 1.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.resampling import Resamples
    >>> drawn = Resamples.draw(np.array([0, 0, 1, 1]), n_classes=2, groups=list("abab"), n_draws=10)
    >>> drawn.counts.shape, drawn.strata
    ((11, 2), 1)
    """

    counts: Array
    unit: Array
    class_units: Array
    strata: int

    @property
    def n_units(self) -> int:
        """Number of units that are drawn."""
        return int(self.counts.shape[1])

    @classmethod
    def draw(
        cls,
        codes: Array,
        *,
        n_classes: int,
        groups: Sequence[Any] | Array | None = None,
        n_draws: int = 1000,
        random_state: int | None = 0,
    ) -> Resamples:
        """Draw units with replacement, as many as there are.

        Parameters
        ----------
        codes : ndarray of shape (n,), int
            Class number of each image.
        n_classes : int
        groups : array-like of shape (n,), optional
            Without them each image is a unit.
        n_draws : int, default 1000
        random_state : int, default 0
        """
        unit = (
            np.arange(len(codes))
            if groups is None
            else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        )
        n_units = int(unit.max()) + 1
        holds = np.zeros((n_units, n_classes), dtype=bool)
        holds[unit, codes] = True
        drawn = _draw_counts(n_draws, holds, np.random.default_rng(random_state))
        counts = np.vstack([np.ones((1, n_units), np.float32), drawn])
        pure = bool((holds.sum(axis=1) == 1).all())
        present = int(holds.any(axis=0).sum())
        return cls(counts, unit, holds.sum(axis=0), present if pure else 1)

    def sums(self, rows: Array, values: Array) -> Array:
        """Sum values over the images of each draw.

        Parameters
        ----------
        rows : ndarray of shape (m,)
            Image of each value.
        values : ndarray of shape (m,) or (m, d)

        Returns
        -------
        ndarray of shape (1 + n_draws, d), float64
        """
        table = values.reshape(len(values), -1)
        per_unit = np.empty((self.n_units, table.shape[1]))
        for column in range(table.shape[1]):
            per_unit[:, column] = np.bincount(
                self.unit[rows], weights=table[:, column], minlength=self.n_units
            )
        return self.counts @ per_unit


def interval(
    values: Array, n_units: int, *, strata: int = 1, level: float = LEVEL, bounded: bool = True
) -> Estimate:
    """Make an estimate with its interval of a metric computed on every row of `Resamples`.

    Percentiles of the draws, moved outwards for the number of units: the tail is
    ``Phi(t * sqrt(n / (n - strata)))`` with the t quantile of ``n - strata`` degrees of freedom
    (the expanded percentile interval, Hesterberg 2015, American Statistician 69:371-386, for
    one stratum). The plain percentile interval is too narrow for few units.

    A metric that is 1 (or 0) in every draw gets the exact bound of a proportion of `n_units`
    (Clopper and Pearson 1934), because a bootstrap of faultless results has no width.

    Parameters
    ----------
    values : ndarray of shape (1 + n_draws,)
        The estimate first.
    n_units : int
        Number of units behind the metric.
    strata : int, default 1
    level : float, default 0.95
    bounded : bool, default True
        Whether the metric is a proportion or like one, between 0 and 1.
    """
    estimate, draws = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(estimate) or not len(draws):
        return Estimate(estimate, np.nan, np.nan)
    if bounded and np.ptp(draws) < _EPSILON and min(estimate, 1 - estimate) < _EPSILON:
        reach = 1 - ((1 - level) / 2) ** (1 / max(n_units, 1))
        return Estimate(estimate, max(0.0, estimate - reach), min(1.0, estimate + reach))
    tail = _tail(n_units, strata, level)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(estimate, min(float(low), estimate), max(float(high), estimate))


def _tail(n_units: int, strata: int, level: float) -> float:
    freedom = max(n_units - strata, 1)
    reach = stats.t.ppf((1 - level) / 2, freedom) * np.sqrt(n_units / freedom)
    return float(stats.norm.cdf(reach))


def _draw_counts(n_draws: int, holds: Array, rng: np.random.Generator) -> Array:
    n_units = len(holds)
    counts = _counts(n_draws, n_units, rng)
    wanted = holds[:, holds.any(axis=0)].astype(np.float32)
    for _ in range(_ROUNDS):
        lacking = np.flatnonzero((counts @ wanted == 0).any(axis=1))
        if not len(lacking):
            break
        counts[lacking] = _counts(len(lacking), n_units, rng)
    return counts


def _counts(n_draws: int, n_units: int, rng: np.random.Generator) -> Array:
    drawn = rng.integers(0, n_units, size=(n_draws, n_units))
    drawn += np.arange(n_draws)[:, None] * n_units
    counts = np.bincount(drawn.ravel(), minlength=n_draws * n_units)
    return counts.reshape(n_draws, n_units).astype(np.float32)
