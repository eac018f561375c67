import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from hybridleuk.evaluation.metrics import estimates, replicate
from hybridleuk.evaluation.ranking import areas
from hybridleuk.evaluation.resampling import Resamples


def scored(n=300, shift=1.2, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    codes = (rng.random(n) < 0.4).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + shift * (2 * codes - 1))))
    score = score if decimals is None else score.round(decimals)
    return codes, np.column_stack([1 - score, score])


def delong(positive, negative):
    """Area and its variance from placements (DeLong, DeLong and Clarke-Pearson 1988)."""
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    of_positive, of_negative = wins.mean(axis=1), wins.mean(axis=0)
    variance = of_positive.var(ddof=1) / len(positive) + of_negative.var(ddof=1) / len(negative)
    return wins.mean(), variance


@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_the_interval_of_ungrouped_images_is_that_of_delong(shift):
    codes, p = scored(shift=shift)
    area, variance = delong(p[codes == 1, 1], p[codes == 0, 1])
    drawn = Resamples.draw(codes, n_classes=2, n_draws=4000)
    found = estimates(replicate(codes, p, drawn), drawn, ["a", "b"])["auroc"]
    reach = stats.norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
    center = np.log(area / (1 - area))
    expected = 1 / (1 + np.exp(-np.array([center - reach, center + reach])))
    assert found.mean == pytest.approx(area)
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.004)


@pytest.mark.parametrize("decimals", [None, 1])
def test_average_precision_is_that_of_scikit_learn_on_weighted_images(decimals):
    codes, p = scored(decimals=decimals)
    drawn = Resamples.draw(codes, n_classes=2, groups=np.arange(300) // 7, n_draws=300)
    found = areas(codes, p, np.arange(300), drawn)["average_precision"]
    for row in (0, 1, 255, 256, 300):
        weights = drawn.counts[row][drawn.unit]
        expected = np.mean(
            [
                metrics.average_precision_score(codes == c, p[:, c], sample_weight=weights)
                for c in (0, 1)
            ]
        )
        assert found[row] == pytest.approx(expected, rel=1e-5)


def test_guessing_reaches_the_share_of_the_class():
    codes, _ = scored()
    drawn = Resamples.draw(codes, n_classes=2, n_draws=2)
    found = areas(codes, np.full((300, 2), 0.5), np.arange(300), drawn)
    assert found["auroc"][0] == 0.5
    assert found["average_precision"][0] == pytest.approx(0.5)  # mean of both classes' shares


def test_a_class_alone_has_no_area():
    drawn = Resamples.draw(np.zeros(5, dtype=int), n_classes=1, n_draws=2)
    found = areas(np.zeros(5, dtype=int), np.ones((5, 1)), np.arange(5), drawn)
    assert np.isnan(found["auroc"]).all()
    assert np.isnan(found["average_precision"]).all()
