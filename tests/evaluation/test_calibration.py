import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from hybridleuk.data.splits import stratified_folds
from hybridleuk.evaluation.calibration import fit_isotonic, fit_temperature, reliability_bins
from hybridleuk.evaluation.metrics import probability_errors, replicate
from hybridleuk.evaluation.other_folds import MOST_PARTS, fitted_on_others, parts_of_others
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.exceptions import SplitError


def drawn_case(n=600, k=3, sharpness=1.0, seed=0):
    """Labels drawn from the probabilities themselves, which are then distorted by a power."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.ones(k), n)
    codes = (honest.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    distorted = honest**sharpness
    return codes, distorted / distorted.sum(axis=1, keepdims=True), honest


def test_errors_of_probabilities_agree_with_scikit_learn_on_every_draw():
    codes, p, _ = drawn_case()
    drawn = Resamples.draw(codes, n_classes=3, groups=np.arange(600) // 10, n_draws=3)
    found = probability_errors(codes, p[None], drawn)
    assert (found["brier"] == replicate(codes, p, drawn)["brier"]).all()
    for row in range(4):
        weights = drawn.counts[row][drawn.unit]
        expected = metrics.log_loss(codes, p, sample_weight=weights)
        assert found["log_loss"][row] == pytest.approx(expected, rel=1e-6)


def test_a_probability_of_zero_costs_as_much_as_in_scikit_learn():
    codes, p = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    drawn = Resamples.draw(codes, n_classes=2, n_draws=2)
    expected = metrics.log_loss(codes, p)
    assert probability_errors(codes, p[None], drawn)["log_loss"][0] == pytest.approx(expected)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_temperature_undoes_a_power(sharpness):
    codes, p, honest = drawn_case(n=20000, sharpness=sharpness)
    np.testing.assert_allclose(fit_temperature(p, codes)(p), honest, atol=0.03)


def test_temperature_of_two_classes_is_a_logistic_slope():
    codes, p, _ = drawn_case(n=2000, k=2, sharpness=2.5)
    log_odds = np.log(p[:, 1] / p[:, 0])[:, None]
    logistic = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(log_odds, codes)
    expected = logistic.predict_proba(log_odds)
    np.testing.assert_allclose(fit_temperature(p, codes)(p), expected, atol=1e-4)


def test_isotonic_mends_what_no_temperature_can_and_never_rules_out():
    rng = np.random.default_rng(0)
    score = rng.random(5000)
    codes = (rng.random(5000) < 0.2 + 0.6 * (score > 0.7)).astype(int)
    p = np.column_stack([1 - score, score])
    mended = fit_isotonic(p, codes)(p)
    np.testing.assert_allclose(mended.sum(axis=1), 1)
    assert mended[score > 0.72, 1].mean() == pytest.approx(0.8, abs=0.03)
    assert mended[score < 0.68, 1].mean() == pytest.approx(0.2, abs=0.03)
    assert (mended > 0).all()


def test_bins_average_to_the_whole_and_give_the_calibration_error():
    codes, p, _ = drawn_case(sharpness=2.0)
    bins = reliability_bins(codes, p[None])
    n = np.array([entry["n"] for entry in bins])
    gaps = np.array([entry["confidence"] - entry["accuracy"] for entry in bins])
    drawn = Resamples.draw(codes, n_classes=3, n_draws=2)
    assert n.sum() == 600
    assert np.abs(gaps) @ n / 600 == pytest.approx(replicate(codes, p, drawn)["ece"][0])


def test_each_fold_is_mended_by_the_others_alone():
    labels = np.arange(60) % 2
    groups = np.arange(60) // 4
    folds = stratified_folds(labels, groups, n_splits=5)
    seen = []

    def remember(given, codes, members):
        seen.append((set(given[:, 0]), set(members)))
        return lambda own: own + 100

    table = np.stack([np.arange(60.0), np.zeros(60)], axis=1)[None]
    found = fitted_on_others(labels, table, [folds], groups, remember)
    assert (found == table + 100).all()
    for (rows, members), (_, test) in zip(seen, folds, strict=True):
        assert rows == set(np.delete(np.arange(60.0), test))
        assert not members & set(groups[test])


def test_many_folds_are_taken_together_and_one_gives_nothing():
    many = [(np.arange(0), np.array([row])) for row in range(37)]
    parts = parts_of_others(many, None)
    assert len(parts) == MOST_PARTS
    assert sorted(np.concatenate([own for _, own in parts])) == list(range(37))
    assert parts_of_others(many[:1], None) == []
    assert fitted_on_others(np.zeros(1), np.ones((1, 1, 2)), [many[:1]], None, None) is None


def test_a_group_in_two_folds_is_caught():
    leaky = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))]
    with pytest.raises(SplitError):
        parts_of_others(leaky, np.array(["P1", "P2", "P2", "P3"]))
