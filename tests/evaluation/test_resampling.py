import numpy as np
import pytest

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


def test_strata_are_classes_only_where_units_hold_one_each():
    codes = np.array([0, 0, 1, 1])
    assert Resamples.draw(codes, n_classes=2, groups=list("aabb"), n_draws=2).strata == 2
    assert Resamples.draw(codes, n_classes=2, groups=list("abab"), n_draws=2).strata == 1


def test_few_units_widen_the_interval():
    values = np.concatenate([[0.5], np.linspace(0.3, 0.7, 1001)])
    few, many = interval(values, 6), interval(values, 6000)
    assert few.low < many.low < 0.5 < many.high < few.high
    assert many.low == pytest.approx(0.31, abs=1e-3)


def test_faultless_results_still_have_a_width():
    perfect = interval(np.ones(101), 10)
    assert perfect.high == 1
    assert perfect.low == pytest.approx(0.025 ** (1 / 10))
    hopeless = interval(np.zeros(101), 10)
    assert hopeless.low == 0
    assert hopeless.high == pytest.approx(1 - 0.025 ** (1 / 10))


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
