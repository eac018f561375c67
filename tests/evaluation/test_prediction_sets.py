import numpy as np
import pytest

from hybridleuk.evaluation.prediction_sets import BLOCKS, blocks_apart, coverage, cross_conformal
from hybridleuk.evaluation.resampling import Resamples


def case(n=300, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    scores = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[codes]
    odds = np.exp(scores)
    return codes, odds / odds.sum(axis=1, keepdims=True)


def test_sets_of_a_group_do_not_depend_on_its_own_labels():
    codes, p = case()
    groups = np.arange(300) // 20
    sets = cross_conformal(codes, p[None], groups)
    own = groups == 3
    changed = np.where(own, 2 - codes, codes)
    again = cross_conformal(changed, p[None], groups)
    assert (again[0, own] == sets[0, own]).all()
    assert not (again == sets).all()


def test_blocks_keep_groups_whole_and_reach_every_image_once():
    groups = np.arange(300) // 7
    parts = blocks_apart(300, groups)
    assert len(parts) == BLOCKS
    assert sorted(np.concatenate([own for _, own in parts])) == list(range(300))
    for others, own in parts:
        assert not set(groups[others]) & set(groups[own])
    assert len(blocks_apart(300, np.arange(300) // 60)) == 5
    assert cross_conformal(np.zeros(4, dtype=int), np.ones((1, 4, 2)), np.zeros(4)) is None


def test_ungrouped_sets_agree_with_a_plain_rule_by_hand():
    codes, p = case()
    sets = cross_conformal(codes, p[None], None, alpha=0.2)
    for others, own in blocks_apart(300, None):
        for code in range(3):
            known = np.sort(p[others][codes[others] == code, code])
            limit = known[int(np.floor(0.2 * (len(known) + 1))) - 1]
            assert (sets[0, own, code] == (p[own, code] >= limit)).all()


def test_a_classifier_of_each_fold_that_is_surer_than_the_next_spoils_nothing():
    # All calls are right; how sure they are depends on the fold and hardly on the image.
    rng = np.random.default_rng(0)
    codes, fold = np.arange(3000) % 2, np.arange(3000) // 600
    sure = 0.9 + 0.02 * fold + 0.001 * rng.random(3000)
    p = np.where(np.eye(2, dtype=bool)[codes], sure[:, None], 1 - sure[:, None])
    sets = cross_conformal(codes, p[None], np.arange(3000) // 2 % 1500)
    assert sets[0, np.arange(3000), codes].mean() == pytest.approx(0.9, abs=0.02)


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
