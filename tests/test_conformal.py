import numpy as np
import pytest

from hybridleuk.conformal import class_thresholds, effective_units, threshold


def split_conformal(probabilities, alpha):
    """The textbook's rank, counted from below: floor(alpha (n + 1))."""
    rank = int(np.floor(alpha * (len(probabilities) + 1) + 1e-9))
    return np.sort(probabilities)[rank - 1] if rank else 0.0


@pytest.mark.parametrize("n", [1, 5, 8, 9, 10, 18, 19, 20, 29, 99, 100, 500])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_without_groups_it_is_the_rank_of_split_conformal_prediction(n, alpha):
    values = np.random.default_rng(n).random(n)
    assert threshold(values, alpha) == split_conformal(values, alpha)
    assert threshold(values, alpha, np.arange(n)) == split_conformal(values, alpha)


@pytest.mark.parametrize("n_groups", [5, 9, 19, 40])
def test_groups_of_equal_images_count_once(n_groups):
    values = np.random.default_rng(n_groups).random(n_groups)
    sizes = np.random.default_rng(1).integers(1, 9, n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    assert threshold(values[groups], 0.1, groups) == split_conformal(values, 0.1)


def test_groups_that_do_not_matter_hardly_change_it():
    values = np.random.default_rng(0).random(3000)
    groups = np.arange(3000) // 10
    assert threshold(values, 0.1, groups) == pytest.approx(threshold(values, 0.1), abs=0.01)


def test_a_large_group_weighs_no_more_than_a_small_one():
    values = np.concatenate([np.full(900, 0.05), np.linspace(0.5, 0.9, 90)])
    groups = np.concatenate([np.zeros(900), 1 + np.arange(90)])
    assert threshold(values, 0.1) == 0.05
    assert threshold(values, 0.1, groups) > 0.5


def test_no_image_of_a_class_and_too_few_groups_rule_nothing_out():
    p = np.tile([0.9, 0.1], (40, 1))
    assert class_thresholds(p, np.zeros(40, dtype=int), 0.1).tolist() == [0.9, 0]
    few = np.arange(40) // 10
    assert class_thresholds(p, np.zeros(40, dtype=int), 0.1, few).tolist() == [0, 0]


@pytest.mark.parametrize("rho", [0.1, 0.4])
def test_effective_units_are_those_of_the_design_effect(rho):
    # A share rho of the groups' images copies one draw of the group: correlation rho within it.
    rng, n_groups, m = np.random.default_rng(0), 4000, 10
    common = rng.random((n_groups, 1)) < 0.3
    takes = rng.random((n_groups, m)) < np.sqrt(rho)
    event = np.where(takes, common, rng.random((n_groups, m)) < 0.3).ravel()
    expected = n_groups * m / (1 + (m - 1) * rho)
    assert effective_units(event, np.repeat(np.arange(n_groups), m)) == pytest.approx(
        expected, rel=0.06
    )


def test_new_groups_are_covered_as_promised():
    rng, covered = np.random.default_rng(3), []
    for _ in range(300):
        skill = rng.normal(size=(60, 1))
        values = 1 / (1 + np.exp(-(skill + rng.normal(size=(60, 8)))))
        limit = threshold(values[:30].ravel(), 0.1, np.repeat(np.arange(30), 8))
        covered.append((values[30:] >= limit).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)
