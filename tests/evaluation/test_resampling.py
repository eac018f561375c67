import numpy as np
import pytest
from scipy import stats

from hybridleuk.evaluation.metrics import estimates, replicate
from hybridleuk.evaluation.resampling import Resamples, interval


def test_groups_are_drawn_whole_and_the_first_row_is_the_data():
    codes = np.array([0, 0, 1, 1, 0, 1])
    groups = np.array(list("aabbcc"))
    drawn = Resamples.draw(codes, n_classes=2, groups=groups, n_draws=50)
    assert drawn.counts.shape == (51, 3)
    assert (drawn.counts[0] == 1).all()
    assert (drawn.counts.sum(axis=1) == 3).all()
    assert drawn.unit.tolist() == [0, 0, 1, 1, 2, 2]


def test_every_draw_holds_every_class():
    codes = np.repeat([0, 1, 2], 4)
    groups = np.arange(12) // 2
    drawn = Resamples.draw(codes, n_classes=3, groups=groups, n_draws=500)
    for code in range(3):
        held = np.unique(drawn.unit[codes == code])
        assert (drawn.counts[:, held].sum(axis=1) > 0).all()


def test_units_of_a_class_are_those_that_hold_an_image_of_it():
    codes = np.array([0, 0, 1, 1])
    pure = Resamples.draw(codes, n_classes=3, groups=list("abcc"), n_draws=2)
    assert pure.class_units.tolist() == [2, 1, 0]
    mixed = Resamples.draw(codes, n_classes=2, groups=list("abab"), n_draws=2)
    assert mixed.class_units.tolist() == [2, 2]


def test_few_units_widen_the_interval():
    values = np.concatenate([[0.5], np.linspace(0.3, 0.7, 1001)])
    few, many = interval(values, 6), interval(values, 6000)
    assert few.low < many.low < 0.5 < many.high < few.high


def test_the_interval_of_one_mean_is_the_t_interval():
    sample = np.random.default_rng(0).normal(size=9)
    drawn = Resamples.draw(np.zeros(9, dtype=int), n_classes=1, n_draws=20000)
    means = drawn.sums(np.arange(9), sample)[:, 0] / 9
    found = interval(means, 9, bounded=False)
    expected = stats.t.interval(0.95, 8, sample.mean(), stats.sem(sample))
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.02)


def test_the_interval_of_a_difference_of_two_means_is_that_of_satterthwaite():
    # Means over two classes of unequal size; freedom and error as for samples that vary alike.
    n, m = 6, 14
    draws = np.append(0.0, np.random.default_rng(1).normal(size=200000))
    found = interval(draws, np.array([n, m]), bounded=False)
    parts = np.array([1 / n, 1 / m])
    freedom = parts.sum() ** 2 / (parts**2 / np.array([n - 1, m - 1])).sum()
    inflation = (1 / (n - 1) + 1 / (m - 1)) / parts.sum()
    assert found.high == pytest.approx(stats.t.ppf(0.975, freedom) * inflation**0.5, rel=0.01)
    capped = interval(draws, np.array([10, 10]), most=10, bounded=False)
    assert capped.high == pytest.approx(stats.t.ppf(0.975, 9) * (10 / 9) ** 0.5, rel=0.01)


def test_a_proportion_stays_between_zero_and_one_and_reaches_further_inwards():
    values = np.concatenate([[0.98], 0.98 + 0.015 * np.linspace(-2, 1.3, 101)])
    found = interval(values, 20)
    assert 0 < found.low < 0.98 < found.high < 1
    assert 0.98 - found.low > found.high - 0.98


def spread(mean, deviation, n=4001):
    normal = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return np.append(mean, mean + deviation * normal / normal.std())


def test_the_interval_of_a_share_of_many_units_is_that_of_wilson():
    # statsmodels 0.15: proportion_confint(93, 100, method="wilson")
    found = interval(spread(0.93, np.sqrt(0.93 * 0.07 / 100)), 10**7)
    assert (found.low, found.high) == pytest.approx((0.862504852609, 0.965680738933), abs=1e-5)


def test_the_interval_of_a_faultless_share_is_that_of_clopper_and_pearson():
    # statsmodels 0.15: proportion_confint(20, 20, method="beta")
    assert interval(np.ones(101), 20).low == pytest.approx(0.831566529017)


def test_the_interval_of_an_area_is_symmetric_in_log_odds():
    found = interval(spread(0.95, 0.02), 30, area=True)
    low, mid, high = (np.log(v / (1 - v)) for v in (found.low, found.mean, found.high))
    assert mid - low == pytest.approx(high - mid)
    assert high - mid == pytest.approx(
        stats.t.ppf(0.975, 29) * np.sqrt(30 / 29) * 0.02 / (0.95 * 0.05), rel=1e-3
    )


def test_no_difference_on_a_few_images_is_not_known_to_be_none():
    codes = np.repeat([0, 1], [30, 10])
    drawn = Resamples.draw(codes, n_classes=2, groups=np.arange(40) // 2, n_draws=50)
    never = drawn.interval(np.zeros(51), bounded=False)
    least = np.sqrt(2 / 32**2 + 2 / 12**2) / 2
    freedom = (1 / 15 + 1 / 5) ** 2 / (1 / (15**2 * 14) + 1 / (5**2 * 4))
    assert never.high == -never.low == pytest.approx(stats.t.ppf(0.975, freedom) * least)
    rows = np.arange(0, 40, 2)  # half of the images, of all groups
    fewer = drawn.interval(np.zeros(51), rows=rows, bounded=False)
    assert fewer.high / never.high == pytest.approx(np.sqrt(2 / 17**2 + 2 / 7**2) / 2 / least)
    spread_out = np.append(0, np.random.default_rng(0).normal(0, 0.2, 50))
    expected = interval(spread_out, drawn.class_units, most=20, bounded=False)
    assert drawn.interval(spread_out, bounded=False) == expected


def test_the_interval_of_an_error_is_the_score_interval_of_a_count():
    drawn = Resamples.draw(np.zeros(10**5, dtype=int), n_classes=1, n_draws=1)
    found = drawn.positive(spread(0.1, 0.03))
    reach = stats.norm.ppf(0.975) ** 2 * 0.03**2 / 0.1
    for end in (found.low, found.high):
        assert (end - 0.1) ** 2 == pytest.approx(reach * end, rel=1e-3)
    assert found.high - 0.1 > 0.1 - found.low
    assert drawn.positive(np.array([0.0, 0.0])).as_dict() == {"mean": 0, "low": 0, "high": 0}


def test_a_share_of_images_tells_no_more_than_as_many_independent_ones():
    hardly_any_spread = np.concatenate([[0.9], np.linspace(0.899, 0.901, 100)])
    alone = interval(hardly_any_spread, 50, n_images=50)
    free = interval(hardly_any_spread, 50)
    assert free.high - free.low < 0.01 < 0.1 < alone.high - alone.low


def test_faultless_results_still_have_a_width():
    perfect = interval(np.ones(101), 10)
    assert perfect.high == 1
    assert perfect.low == pytest.approx(0.025 ** (1 / 10))
    hopeless = interval(np.zeros(101), 10)
    assert hopeless.low == 0
    assert hopeless.high == pytest.approx(1 - 0.025 ** (1 / 10))
    lopsided = interval(np.ones(101), np.array([5, 15]))  # tells as much as 15 in equal parts
    assert lopsided.low == pytest.approx(0.025 ** (1 / 15))


def test_classes_that_are_all_right_or_all_wrong_still_have_a_width():
    one_of_three = interval(np.full(101, 1 / 3), np.array([5, 5, 5]))
    reach = 1 - 0.025 ** (1 / 15)
    assert one_of_three.low == pytest.approx(1 / 3 - reach)
    assert one_of_three.high == pytest.approx(1 / 3 + reach)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered, studies = 0, 150
    for seed in range(studies):
        groups = np.repeat(np.arange(16), 10)
        codes = groups % 2
        skill = rng.beta(6, 2, 16)[groups]  # expectation 0.75, far from equal between groups
        right = rng.random(160) < skill
        p = np.eye(2)[np.where(right, codes, 1 - codes)]
        drawn = Resamples.draw(codes, n_classes=2, groups=groups, n_draws=200, random_state=seed)
        found = estimates(replicate(codes, p, drawn), drawn, ["a", "b"])["balanced_accuracy"]
        covered += found.low <= 0.75 <= found.high
    assert 0.90 <= covered / studies <= 0.99


def test_a_class_with_one_unit_widens_a_mean_over_classes_by_what_it_may_be():
    rng = np.random.default_rng(0)
    values = np.append(0.8, 0.8 + 0.01 * rng.normal(size=2000))
    usual = interval(values, np.array([60, 60, 60, 60]))
    lonely = interval(values, np.array([60, 60, 60, 60, 1]))
    assert lonely.low == pytest.approx(usual.low - 0.2, abs=0.005)
    assert lonely.high == pytest.approx(min(usual.high + 0.2, 1.0), abs=0.005)
    drop = interval(values - 0.6, np.array([60, 60, 60, 60, 1]), bounded=False, doubt=1.0)
    assert -0.05 < drop.low < drop.high < 0.45


def test_one_unit_in_all_tells_nothing():
    values = np.append(0.8, np.full(100, 0.8))
    assert interval(values, 1).low == 0
    assert interval(values, 1).high == 1
