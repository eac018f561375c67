"""Bootstrap draws over groups, shared by everything that is compared, and intervals from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

__all__ = ["LEVEL", "Estimate", "Resamples", "interval"]

Array = npt.NDArray[Any]

LEVEL = 0.95
_ROUNDS = 50
_HALVINGS = 30
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
    held : ndarray of shape (n_units, n_classes), int
        Number of images of each class in each unit.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.resampling import Resamples
    >>> drawn = Resamples.draw(np.array([0, 0, 1, 1]), n_classes=2, groups=list("abab"), n_draws=10)
    >>> drawn.counts.shape, drawn.class_units.tolist()
    ((11, 2), [2, 2])
    """

    counts: Array
    unit: Array
    held: Array

    @property
    def n_units(self) -> int:
        """Number of units that are drawn."""
        return int(self.counts.shape[1])

    @property
    def class_units(self) -> Array:
        """Number of units that hold each class, of shape (n_classes,)."""
        return (self.held > 0).sum(axis=0)

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
        held = np.bincount(unit * n_classes + codes, minlength=n_units * n_classes)
        held = held.reshape(n_units, n_classes)
        drawn = _draw_counts(n_draws, held > 0, np.random.default_rng(random_state))
        counts = np.vstack([np.ones((1, n_units), np.float32), drawn])
        return cls(counts, unit, held)

    def interval(
        self,
        values: Array,
        *,
        rows: Array | None = None,
        level: float = LEVEL,
        bounded: bool = True,
        area: bool = False,
        doubt: float | None = None,
    ) -> Estimate:
        """Make an estimate with its interval of a mean over classes; see :func:`interval`.

        A difference of two such means has a standard error of no less than that of one image more
        on either side in each class, ``sqrt(2) / (n + 2)`` (after Bonett and Price 2012, J.
        Educational and Behavioral Statistics 37:479-488): classifiers that never differ on a few
        images are not known to be the same.

        Parameters
        ----------
        values : ndarray of shape (1 + n_draws,)
            The estimate first.
        rows : ndarray of shape (m,), int, optional
            The images that the metric is of, where these are not all.
        level : float, default 0.95
        bounded : bool, default True
            Whether the metric is between 0 and 1; if not it is a difference of two that are.
        area : bool, default False
            Whether it is the area under a curve and no share.
        doubt : float, optional
            As in :func:`interval`.
        """
        held = self.held if rows is None else self.held[np.unique(self.unit[rows])]
        units, most, images = (held > 0).sum(axis=0), len(held), held.sum(axis=0)
        if rows is not None:
            images = images * (len(rows) / images.sum())
        unsure = (2 / (images[units > 1] + 2) ** 2).sum()
        least = 0.0 if bounded else float(np.sqrt(unsure) / max((units > 0).sum(), 1))
        return interval(
            values,
            units,
            most=most,
            level=level,
            bounded=bounded,
            area=area,
            least_error=least,
            doubt=doubt,
        )

    def p_value(self, differences: Array) -> float:
        """Test whether a mean over classes differs from zero, by its interval.

        The interval of :meth:`interval` at the level one less this value ends at zero, so that
        test and interval never contradict each other, however few units there are.

        Parameters
        ----------
        differences : ndarray of shape (1 + n_draws,)
            The estimate first.
        """
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            level = (low + high) / 2
            found = self.interval(differences, level=level, bounded=False)
            low, high = (level, high) if found.low > 0 or found.high < 0 else (low, level)
        return 1 - low

    def positive(self, values: Array, *, level: float = LEVEL) -> Estimate:
        """Make an estimate of an error: a mean over images that is never below zero.

        Its variance grows with it, as that of a count does; hence the score interval of a count,
        which is longer upwards: the ends `y` with ``(y - x) ** 2 = t ** 2 * s ** 2 * y / x``.
        """
        found = interval(values, self.n_units, level=level, bounded=False)
        if not found.mean > 0:
            return found
        shrunk = (found.high - found.mean) ** 2 / found.mean
        half = float(np.sqrt(shrunk * found.mean + shrunk**2 / 4))
        center = found.mean + shrunk / 2
        return Estimate(found.mean, max(0.0, center - half), center + half)

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
    values: Array,
    units: int | Array,
    *,
    most: int | None = None,
    level: float = LEVEL,
    bounded: bool = True,
    area: bool = False,
    n_images: int | None = None,
    least_error: float = 0.0,
    doubt: float | None = None,
) -> Estimate:
    """Make an estimate with its interval of a metric computed on every row of `Resamples`.

    ``x +- t * s``; for a share the score interval of ``x (1 - x) / s ** 2`` images (Wilson 1927,
    JASA 22:209-212; for grouped images Dean and Pagano 2015, J. Survey Statistics and Methodology
    3:484-503); for an area ``x +- t * s`` on the scale of ``log(x / (1 - x))``.

    The standard error `s` is that of the draws times the root of ``sum(1 / (n - 1)) / sum(1 / n)``,
    since a bootstrap of few units spreads too little; `t` is Student's, with the degrees of freedom
    of a mean over classes whose units vary alike (Satterthwaite 1946, Biometrics Bulletin
    2:110-114), ``sum(1 / n) ** 2 / sum(1 / (n ** 2 * (n - 1)))``, at most ``most - 1``. Percentiles
    of the draws are not used: where few groups hold all errors they are too narrow.

    A proportion that is 1 (or 0) in every draw gets the exact bound of that many independent units
    (Clopper and Pearson 1934), because a bootstrap of faultless results has no width; and so, on
    both sides, does a mean over classes that are all faultless or never right. A class with
    a single unit tells nothing of other units: whatever it may be for them is added on both sides
    of a mean over classes.

    Parameters
    ----------
    values : ndarray of shape (1 + n_draws,)
        The estimate first.
    units : int or ndarray of int
        Number of units behind the metric; for a mean over classes that of each class.
    most : int, optional
        Number of different units, where some hold several classes.
    level : float, default 0.95
    bounded : bool, default True
        Whether the metric is a proportion or like one, between 0 and 1.
    area : bool, default False
        Whether it is the area under a curve and no share.
    n_images : int, optional
        Of a share of images: they tell no more than as many independent ones.
    least_error : float, default 0
        What the standard error cannot be less than.
    doubt : float, optional
        How far off the metric may be for a class with a single unit; by default 1 for a
        proportion and 2 for a difference of two.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.resampling import interval
    >>> draws = 0.9 + 0.03 * np.random.default_rng(0).normal(size=1000)
    >>> estimate = interval(np.append(0.9, draws), 20)
    >>> round(estimate.low, 2), round(estimate.high, 2)
    (0.82, 0.95)
    """
    estimate, draws = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(estimate) or not len(draws):
        return Estimate(estimate, np.nan, np.nan)
    counts = np.atleast_1d(np.asarray(units, dtype=np.float64))
    counts = counts[counts > 0]
    at_an_end = min(estimate, 1 - estimate) < _EPSILON
    if bounded and np.ptp(draws) < _EPSILON and (at_an_end or n_images is None):
        alike = len(counts) ** 2 / (1 / counts).sum()
        reach = 1 - ((1 - level) / 2) ** (1 / (alike if most is None else min(alike, most)))
        return Estimate(estimate, max(0.0, estimate - reach), min(1.0, estimate + reach))
    if doubt is None:
        doubt = 1.0 if bounded else 2.0
    alone = counts < 2
    widened = float(alone.mean()) * doubt
    if alone.all():
        return _widened(Estimate(estimate, estimate, estimate), widened, bounded)
    freedom, inflation = _few(counts[~alone], most)
    error = max(float(draws.std() * np.sqrt(inflation)), least_error)
    times = float(stats.t.ppf((1 + level) / 2, freedom))
    if not bounded:
        spread = Estimate(estimate, estimate - times * error, estimate + times * error)
        return _widened(spread, widened, bounded)
    variance = max(estimate * (1 - estimate), _EPSILON)
    if n_images is not None:
        error = max(error, float(np.sqrt(variance / n_images)))
    low, high = (_of_area if area else _of_share)(estimate, times * error, variance)
    spread = Estimate(estimate, min(float(low), estimate), max(float(high), estimate))
    return _widened(spread, widened, bounded)


def _widened(spread: Estimate, by: float, bounded: bool) -> Estimate:
    low, high = spread.low - by, spread.high + by
    if bounded:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(spread.mean, low, high)


def _of_share(estimate: float, reach: float, variance: float) -> Array:
    """Wilson's interval: the ends are as far off as `reach`, had they been true."""
    shrunk = reach**2 / variance  # t ** 2 over the effective number of images
    center = (estimate + shrunk / 2) / (1 + shrunk)
    half = np.sqrt(shrunk * variance + shrunk**2 / 4) / (1 + shrunk)
    return np.array([center - half, center + half])


def _of_area(estimate: float, reach: float, variance: float) -> Array:
    center = special.logit(np.clip(estimate, _EPSILON, 1 - _EPSILON))
    return special.expit(np.array([center - reach / variance, center + reach / variance]))


def _few(counts: Array, most: int | None) -> tuple[float, float]:
    """Degrees of freedom, and how much larger the variance is than that of the draws."""
    less = np.maximum(counts - 1, 0.5)
    freedom = (1 / counts).sum() ** 2 / (1 / (counts**2 * less)).sum()
    inflation = (1 / less).sum() / (1 / counts).sum()
    freedom = freedom if most is None else min(freedom, most - 1)
    return max(float(freedom), 1.0), float(inflation)


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
