import numpy as np
import pytest

from hybridleuk.data.splits import stratified_folds
from hybridleuk.evaluation.prediction_sets import coverage, cross_conformal
from hybridleuk.evaluation.resampling import Resamples


def case(n=300, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    scores = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[codes]
    odds = np.exp(scores)
    return codes, odds / odds.sum(axis=1, keepdims=True)


def test_sets_of_a_fold_do_not_depend_on_its_own_labels():
    codes, p = case()
    folds = stratified_folds(codes.astype(str), None, n_splits=5)
    sets = cross_conformal(codes, p[None], [folds], None)
    changed = codes.copy()
    changed[folds[0][1]] = 2 - changed[folds[0][1]]
    again = cross_conformal(changed, p[None], [folds], None)
    assert (again[0, folds[0][1]] == sets[0, folds[0][1]]).all()
    assert not (again == sets).all()


def test_ungrouped_sets_agree_with_a_plain_rule_by_hand():
    codes, p = case()
    folds = stratified_folds(codes.astype(str), None, n_splits=3)
    sets = cross_conformal(codes, p[None], [folds], None, alpha=0.2)
    for train, test in folds:
        for code in range(3):
            own = np.sort(p[train][codes[train] == code, code])
            limit = own[int(np.floor(0.2 * (len(own) + 1))) - 1]
            assert (sets[0, test, code] == (p[test, code] >= limit)).all()


def test_coverage_is_the_share_of_true_classes_in_the_sets():
    codes, p = case()
    sets = np.stack([p > 0.3, p > 0.5])
    drawn = Resamples.draw(codes, n_classes=3, groups=np.arange(300) // 5, n_draws=100)
    overall, by_class = coverage(codes, sets, drawn, 3)
    inside = sets[:, np.arange(300), codes]
    assert overall.mean == pytest.approx(inside.mean())
    for code, found in enumerate(by_class):
        assert found.mean == pytest.approx(inside[:, codes == code].mean())
        assert 0 <= found.low < found.mean < found.high <= 1


def test_a_class_that_is_missing_has_no_coverage():
    codes = np.zeros(20, dtype=int)
    drawn = Resamples.draw(codes, n_classes=2, n_draws=10)
    _, by_class = coverage(codes, np.ones((1, 20, 2), dtype=bool), drawn, 2)
    assert by_class[1].as_dict() == {"mean": None, "low": None, "high": None}
