"""Whether one candidate is better than another: paired on the same folds, images and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from hybridleuk.data.splits import Fold
from hybridleuk.evaluation.resampling import Estimate, Resamples

__all__ = [
    "NEGLIGIBLE",
    "compare_pairs",
    "corrected_t_test",
    "effect",
    "fold_scores",
    "holm",
    "mcnemar",
]

Array = npt.NDArray[Any]

NEGLIGIBLE = 0.01
FEWEST_FOLDS = 5
T_TEST = "corrected resampled t-test"


def corrected_t_test(differences: Array, *, test_share: float) -> float:
    """Test the mean of differences over folds, corrected for training sets that overlap.

    ``t = mean / sqrt((1 / J + n_test / n_train) * variance)`` with ``J - 1`` degrees of freedom
    (Nadeau and Bengio 2003, Machine Learning 52:239-281). The naive t-test takes folds for
    independent and finds differences where there are none.

    Parameters
    ----------
    differences : ndarray of shape (J,)
        One per fold and repeat.
    test_share : float
        ``n_test / n_train``, such as 0.25 for five folds.

    Returns
    -------
    float
        Two-sided p-value.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.statistics import corrected_t_test
    >>> round(corrected_t_test(np.array([.02, .03, .01, .04, .02]), test_share=0.25), 3)
    0.035
    """
    differences = np.asarray(differences, dtype=np.float64)
    n, mean, variance = len(differences), differences.mean(), differences.var(ddof=1)
    if variance < 1e-24:
        return 1.0 if abs(mean) < 1e-12 else 0.0
    t = mean / np.sqrt((1 / n + test_share) * variance)
    return float(2 * stats.t.sf(abs(t), n - 1))


def mcnemar(right_a: Array, right_b: Array) -> float:
    """Test whether two classifiers err equally often on the same images: McNemar, mid-p.

    With `b` images only the first gets right and `c` only the second, twice the lower binomial tail
    of ``min(b, c)`` of ``b + c`` at one half, less the probability of that value (Fagerland,
    Lydersen and Laake 2013, BMC Medical Research Methodology 13:91). Images are taken for
    independent, which images of one patient are not.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.statistics import mcnemar
    >>> right = np.ones(20, dtype=bool)
    >>> round(mcnemar(right, np.arange(20) >= 6), 6)
    0.015625
    """
    first = int(np.sum(right_a & ~right_b))
    second = int(np.sum(~right_a & right_b))
    smaller, total = min(first, second), first + second
    tail = 2 * stats.binom.cdf(smaller, total, 0.5) - stats.binom.pmf(smaller, total, 0.5)
    return float(min(tail, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many there are (Holm 1979, Scand. J. Statistics 6:65-70).

    Examples
    --------
    >>> from hybridleuk.evaluation.statistics import holm
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps: Array = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return [float(value) for value in corrected]


def fold_scores(codes: Array, probabilities: Array, folds: list[list[Fold]]) -> Array:
    """Balanced accuracy on each fold, over the classes that are in it.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    folds : as given to every candidate

    Returns
    -------
    ndarray of shape (repeats * folds,)
    """
    right = probabilities.argmax(axis=2) == codes
    return np.array(
        [
            np.mean([right[repeat, test][codes[test] == c].mean() for c in np.unique(codes[test])])
            for repeat, parts in enumerate(folds)
            for _, test in parts
        ]
    )


def effect(estimate: Estimate, negligible: float = NEGLIGIBLE) -> str:
    """Say what an interval of a difference shows, which a p-value does not.

    Returns
    -------
    str
        ``"negligible"``: all of the interval is too small to matter, which is more than a
        difference that was not found. ``"large"``: none of it is. ``"some"``: there is a
        difference, perhaps too small to matter. ``"unclear"``: there may be none or one that does.

    Examples
    --------
    >>> from hybridleuk.evaluation.resampling import Estimate
    >>> from hybridleuk.evaluation.statistics import effect
    >>> effect(Estimate(0.002, -0.001, 0.005)), effect(Estimate(0.002, -0.04, 0.05))
    ('negligible', 'unclear')
    """
    low, high = estimate.low, estimate.high
    if -negligible < low and high < negligible:
        return "negligible"
    if low >= negligible or high <= -negligible:
        return "large"
    return "some" if low > 0 or high < 0 else "unclear"


def compare_pairs(
    codes: Array,
    probabilities: Mapping[str, Array],
    draws: Mapping[str, Array],
    folds: list[list[Fold]],
    resamples: Resamples,
    *,
    grouped: bool,
    negligible: float = NEGLIGIBLE,
) -> list[dict[str, Any]]:
    """Compare every two candidates by balanced accuracy.

    The interval of a difference is bootstrapped over groups. The p-value is of the corrected
    resampled t-test where there are at least five folds in all; with fewer, of the bootstrap where
    groups are known, and of McNemar's test otherwise.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : mapping of candidate to ndarray of shape (repeats, n, k)
    draws : mapping of candidate to ndarray of shape (1 + n_draws,)
        Balanced accuracy on the same `resamples`.
    folds : as given to every candidate
    resamples : Resamples
    grouped : bool
        Whether the units of `resamples` are groups.
    negligible : float, default 0.01
        A difference whose whole interval is smaller is marked as one that does not matter.

    Returns
    -------
    list of dict
        ``a``, ``b``, ``difference`` (a minus b), ``low``, ``high``, ``p_value``, ``test``,
        ``p_holm``, ``p_mcnemar``, ``effect`` as from :func:`effect`, ``negligible``, and
        ``only_right``: the images that only `a`, and that only `b`, gets right.
    """
    right = {
        name: table.mean(axis=0).argmax(axis=1) == codes for name, table in probabilities.items()
    }
    scores = {name: fold_scores(codes, table, folds) for name, table in probabilities.items()}
    share = float(np.mean([len(test) / len(train) for parts in folds for train, test in parts]))
    enough = sum(len(parts) for parts in folds) >= FEWEST_FOLDS
    test = T_TEST if enough else "bootstrap over groups" if grouped else "McNemar mid-p"
    pairs: list[dict[str, Any]] = []
    for a, b in combinations(probabilities, 2):
        differences = draws[a] - draws[b]
        estimate = resamples.interval(differences, bounded=False)
        p_mcnemar = mcnemar(right[a], right[b])
        by_fold, shown = scores[a] - scores[b], effect(estimate, negligible)
        if test == T_TEST:
            p_value = corrected_t_test(by_fold, test_share=share)
        else:
            p_value = resamples.p_value(differences) if grouped else p_mcnemar
        pairs.append(
            {
                "a": a,
                "b": b,
                "difference": estimate.mean,
                "low": estimate.low,
                "high": estimate.high,
                "p_value": p_value,
                "test": test,
                "p_mcnemar": p_mcnemar,
                "only_right": [
                    int(np.sum(right[a] & ~right[b])),
                    int(np.sum(~right[a] & right[b])),
                ],
                "effect": shown,
                "negligible": shown == "negligible",
            }
        )
    for pair, corrected in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair["p_holm"] = corrected
    return pairs
