import numpy as np
import pytest
from scipy import stats

from hybridleuk.data.splits import stratified_folds
from hybridleuk.evaluation.metrics import replicate
from hybridleuk.evaluation.resampling import Estimate, Resamples
from hybridleuk.evaluation.statistics import (
    compare_pairs,
    corrected_t_test,
    effect,
    fold_scores,
    holm,
    mcnemar,
)


def test_without_overlap_the_corrected_test_is_the_t_test():
    differences = np.random.default_rng(0).normal(0.02, 0.02, 10)
    naive = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_t_test(differences, test_share=0) == pytest.approx(naive)
    assert corrected_t_test(differences, test_share=0.25) > naive


def test_equal_folds_do_not_divide_by_zero():
    assert corrected_t_test(np.zeros(5), test_share=0.25) == 1
    assert corrected_t_test(np.full(5, 0.1), test_share=0.25) == 0


def test_corrected_test_keeps_its_level_on_overlapping_training_sets():
    # Folds share most of their training data: correlation n_test / (n_test + n_train) = 0.2.
    rng, rejected, trials = np.random.default_rng(1), 0, 2000
    for _ in range(trials):
        shared = rng.normal(0, np.sqrt(0.2))
        folds = shared + rng.normal(0, np.sqrt(0.8), 5)
        rejected += corrected_t_test(folds, test_share=0.25) < 0.05
    assert 0.03 < rejected / trials < 0.07


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 3), (1, 9), (12, 4)])
def test_mid_p_is_the_exact_test_less_half_of_both_tails(b, c):
    right_a = np.array([True] * b + [False] * c + [True] * 5)
    right_b = np.array([False] * b + [True] * c + [True] * 5)
    exact = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    expected = exact - stats.binom.pmf(b, b + c, 0.5) if b != c else 1.0
    assert mcnemar(right_a, right_b) == pytest.approx(expected)
    assert mcnemar(right_b, right_a) == pytest.approx(expected)


def test_holm_is_monotone_and_below_bonferroni():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([]) == []


def test_corrections_and_tests_agree_with_statsmodels():
    # statsmodels 0.15: multipletests(p, method="holm"); mcnemar([[5, 12], [4, 5]], exact=True)
    p_values = [0.012, 0.03, 0.0004, 0.2, 0.03, 0.8]
    assert holm(p_values) == pytest.approx([0.06, 0.12, 0.0024, 0.4, 0.12, 0.8])
    right_a = np.array([True] * 12 + [False] * 4)
    half = stats.binom.pmf(4, 16, 0.5)
    assert mcnemar(right_a, ~right_a) == pytest.approx(0.076812744140625 - half)


def test_the_p_value_of_the_bootstrap_is_that_of_a_z_test_of_many_groups():
    rng = np.random.default_rng(0)
    by_group = rng.normal(0.02, 0.1, 200)
    drawn = Resamples.draw(np.zeros(200, dtype=int), n_classes=1, n_draws=5000)
    means = drawn.sums(np.arange(200), by_group)[:, 0] / 200
    z = by_group.mean() / (by_group.std() / np.sqrt(200))
    assert drawn.p_value(means) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.01)
    assert drawn.p_value(-means) == pytest.approx(drawn.p_value(means))
    found = drawn.interval(means, level=1 - drawn.p_value(means), bounded=False)
    assert min(abs(found.low), abs(found.high)) == pytest.approx(0, abs=1e-6)


def test_two_patients_tell_no_classifiers_apart():
    """However many images each of them has: neither is known to stand for others."""
    codes = np.repeat([0, 1], 30)
    tables = {"right": np.eye(2)[codes][None], "wrong": np.eye(2)[1 - codes][None]}
    drawn = Resamples.draw(codes, n_classes=2, groups=codes, n_draws=100)
    draws = {name: replicate(codes, t, drawn)["balanced_accuracy"] for name, t in tables.items()}
    folds = [stratified_folds(codes, n_splits=3)]
    (pair,) = compare_pairs(codes, tables, draws, folds, drawn, grouped=True)
    assert pair["difference"] == 1
    assert pair["p_value"] == 1
    assert pair["low"] < 0


def test_a_small_difference_of_wide_interval_is_not_called_negligible():
    codes = np.arange(40) % 2
    right = np.arange(40) >= 8
    tables = {
        "a": np.eye(2)[np.where(right, codes, 1 - codes)][None],
        "b": np.eye(2)[np.where(right[::-1], codes, 1 - codes)][None],
    }
    drawn = Resamples.draw(codes, n_classes=2, n_draws=100)
    draws = {name: replicate(codes, t, drawn)["balanced_accuracy"] for name, t in tables.items()}
    folds = [stratified_folds(codes, n_splits=3)]
    (pair,) = compare_pairs(codes, tables, draws, folds, drawn, grouped=False)
    assert pair["difference"] == 0
    assert not pair["negligible"]
    assert pair["effect"] == "unclear"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.009, 0.009, "negligible"),
        (0.001, 0.009, "negligible"),
        (0.011, 0.05, "large"),
        (-0.05, -0.011, "large"),
        (0.001, 0.05, "some"),
        (-0.05, -0.001, "some"),
        (-0.05, 0.004, "unclear"),
        (np.nan, np.nan, "unclear"),
    ],
)
def test_an_effect_is_called_what_its_interval_shows(low, high, expected):
    assert effect(Estimate((low + high) / 2, low, high)) == expected


def paired(n_folds, grouped, shift=0.25, n=400):
    codes = np.arange(n) % 2
    groups = np.arange(n) // 8
    tables = {}
    for name, accuracy in (("good", 0.9), ("poor", 0.9 - shift), ("copy", 0.9)):
        right = np.random.default_rng(5).random(n) < accuracy
        chosen = np.eye(2)[np.where(right, codes, 1 - codes)]
        tables[name] = (0.9 * chosen + 0.05)[None]
    folds = [stratified_folds(codes, groups if grouped else None, n_splits=n_folds)]
    drawn = Resamples.draw(codes, n_classes=2, groups=groups if grouped else None, n_draws=200)
    draws = {
        name: replicate(codes, table, drawn)["balanced_accuracy"] for name, table in tables.items()
    }
    return compare_pairs(codes, tables, draws, folds, drawn, grouped=grouped)


@pytest.mark.parametrize(
    ("n_folds", "grouped", "test"),
    [
        (5, True, "corrected resampled t-test"),
        (3, True, "bootstrap over groups"),
        (3, False, "McNemar mid-p"),
    ],
)
def test_a_clear_difference_is_found_and_none_is_called_negligible(n_folds, grouped, test):
    pairs = {(pair["a"], pair["b"]): pair for pair in paired(n_folds, grouped)}
    clear, none = pairs["good", "poor"], pairs["good", "copy"]
    assert clear["test"] == test
    assert clear["difference"] == pytest.approx(0.25, abs=0.06)
    assert clear["low"] > 0
    assert clear["p_value"] <= clear["p_holm"] < 0.05
    assert not clear["negligible"]
    assert none["negligible"]
    assert (clear["effect"], none["effect"]) == ("large", "negligible")
    assert none["difference"] == 0
    assert none["p_value"] == 1


def test_fold_scores_are_balanced_accuracies_of_each_fold():
    codes = np.array([0, 0, 1, 1, 1, 1])
    p = np.eye(2)[[0, 1, 1, 1, 1, 0]][None]
    folds = [
        [(np.array([3, 4, 5]), np.array([0, 1, 2])), (np.array([0, 1, 2]), np.array([3, 4, 5]))]
    ]
    np.testing.assert_allclose(fold_scores(codes, p, folds), [0.75, 2 / 3])
