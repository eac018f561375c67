import numpy as np
import pytest
from sklearn import metrics

from hybridleuk.evaluation.metrics import METRICS, confusion_matrix, estimates, replicate
from hybridleuk.evaluation.resampling import Resamples


def random_case(n=400, k=4, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    p = rng.random((n, k)) + np.eye(k)[codes] * rng.random((n, 1))
    p = np.round(p, 1) + 0.01 if ties else p
    return codes, p / p.sum(axis=1, keepdims=True)


def by_sklearn(codes, p, weights=None):
    k, called = p.shape[1], p.argmax(axis=1)
    areas = [metrics.roc_auc_score(codes == c, p[:, c], sample_weight=weights) for c in range(k)]
    precisions = [
        metrics.average_precision_score(codes == c, p[:, c], sample_weight=weights)
        for c in range(k)
    ]
    hits = {"y_true": codes, "y_pred": called, "sample_weight": weights}
    return {
        "accuracy": metrics.accuracy_score(**hits),
        "balanced_accuracy": metrics.balanced_accuracy_score(**hits),
        "macro_f1": metrics.f1_score(**hits, average="macro"),
        "auroc": np.mean(areas),
        "average_precision": np.mean(precisions),
        "brier": np.average(((p - np.eye(k)[codes]) ** 2).sum(axis=1), weights=weights),
        "sensitivity": metrics.recall_score(**hits, average=None),
        "specificity": [
            metrics.recall_score(codes != c, called != c, sample_weight=weights) for c in range(k)
        ],
    }


@pytest.mark.parametrize("k", [2, 3, 8])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_data_and_every_draw_agree_with_scikit_learn(k, ties, grouped):
    codes, p = random_case(k=k, ties=ties, seed=k)
    groups = np.arange(len(codes)) % 40 if grouped else None
    drawn = Resamples.draw(codes, n_classes=k, groups=groups, n_draws=3, random_state=1)
    values = replicate(codes, p, drawn)
    for row in range(4):
        expected = by_sklearn(codes, p, drawn.counts[row][drawn.unit])
        for name, value in expected.items():
            np.testing.assert_allclose(values[name][row], value, rtol=1e-5, err_msg=name)


def test_repeats_are_pooled():
    codes, p = random_case()
    other = random_case(seed=9)[1]
    drawn = Resamples.draw(codes, n_classes=4, n_draws=5)
    pooled = replicate(codes, np.stack([p, other]), drawn)
    singly = [replicate(codes, table, drawn)["accuracy"] for table in (p, other)]
    np.testing.assert_allclose(pooled["accuracy"], np.mean(singly, axis=0), rtol=1e-5)


def test_calibration_error_has_its_known_value():
    codes = np.array([0] * 8 + [1] * 2)
    p = np.tile([0.9, 0.1], (10, 1))
    drawn = Resamples.draw(codes, n_classes=2, n_draws=3)
    assert replicate(codes, p, drawn)["ece"][0] == pytest.approx(0.1)
    assert replicate(codes, np.eye(2)[codes], drawn)["ece"][0] == pytest.approx(0)


def test_estimates_lie_in_their_intervals():
    codes, p = random_case()
    drawn = Resamples.draw(codes, n_classes=4, n_draws=200)
    found = estimates(replicate(codes, p, drawn), drawn, list("abcd"))
    flat = [found[name] for name in METRICS] + [*found["sensitivity"].values()]
    for estimate in [*flat, *found["specificity"].values()]:
        assert 0 <= estimate.low < estimate.mean < estimate.high


def test_a_class_that_is_missing_is_not_a_number_and_not_counted():
    codes, p = random_case(k=3)
    p, codes = p[codes < 2], codes[codes < 2]
    drawn = Resamples.draw(codes, n_classes=3, n_draws=20)
    found = estimates(replicate(codes, p, drawn), drawn, list("abc"))
    assert found["sensitivity"]["c"].as_dict() == {"mean": None, "low": None, "high": None}
    both = [found["sensitivity"][name].mean for name in "ab"]
    assert found["balanced_accuracy"].mean == pytest.approx(np.mean(both))


def test_confusion_counts_every_repeat():
    codes, p = random_case()
    called = p.argmax(axis=1)
    expected = 2 * metrics.confusion_matrix(codes, called)
    np.testing.assert_array_equal(confusion_matrix(codes, np.stack([p, p])), expected)
