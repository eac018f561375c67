import numpy as np
import pandas as pd
import pytest

from hybridleuk.data.splits import check_labels, hold_out, stratified_folds
from hybridleuk.exceptions import SplitError


@pytest.fixture
def patients():
    labels = np.repeat(["blast", "normal"], [60, 140])
    groups = np.concatenate([np.repeat(np.arange(6), 10), np.repeat(np.arange(6, 20), 10)])
    return labels, groups


@pytest.mark.parametrize("seed", range(5))
def test_no_group_on_both_sides_and_every_image_tested_once(patients, seed):
    labels, groups = patients
    folds = stratified_folds(labels, groups, n_splits=3, random_state=seed)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert abs((labels[test] == "blast").mean() - 0.3) < 0.12
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(200))


def test_same_seed_same_folds(patients):
    first, second = (stratified_folds(*patients, n_splits=3, random_state=4) for _ in range(2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_hold_out_keeps_groups_whole(patients):
    labels, groups = patients
    train, held_out = hold_out(labels, groups, fraction=0.25)
    assert not set(groups[train]) & set(groups[held_out])
    assert 0.1 < len(held_out) / 200 < 0.4
    assert set(labels[held_out]) == {"blast", "normal"}


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "message"),
    [
        (["a"] * 4, None, 2, "only the class a; a classifier needs at least two"),
        (["a", "a", "b"], None, 2, "Class b has 1 image, so no image of it is left to test on"),
        (["a"] * 9 + ["b"] * 3, None, 5, "Class b has 3 images, fewer than 5 folds; use at most 3"),
        (["a", "a", "b", "b"], ["p", "q", "r", "r"], 2, "Class b has 1 group, so no group"),
        (["a", "a", "b", "b"], ["p", "q", None, "r"], 2, "needs a group once one has it"),
        (["a", None, "b"], None, 2, "needs one label; some are missing"),
        (["a", "a", "b", "b"], None, 1, "1 folds; at least 2"),
    ],
)
def test_impossible_splits_say_why(labels, groups, folds, message):
    with pytest.raises(SplitError, match=message):
        stratified_folds(labels, groups, n_splits=folds)


def test_labels_become_plain_text():
    assert check_labels(np.array(["a", "b"], dtype=object)).dtype.kind == "U"


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_label_is_no_class_of_its_own(missing):
    for labels in (["ALL", missing, "normal"], np.array(["ALL", missing, "normal"], dtype=object)):
        with pytest.raises(SplitError, match="some are missing"):
            check_labels(labels)


def test_fraction_is_checked():
    with pytest.raises(SplitError, match="fraction is 0.9"):
        hold_out(["a", "b"], fraction=0.9)


def test_groups_that_leave_a_class_out_of_a_part_are_drawn_again():
    rng = np.random.default_rng(0)
    for _ in range(25):  # the last of these layouts fails with the first seed
        groups, drawn = rng.integers(0, 8, 48), rng.integers(0, 4, 48)
        codes = np.where(rng.random(48) < 0.7, groups % 4, drawn)
    with pytest.raises(SplitError, match="one of 3 folds has no image of class 3"):
        stratified_folds(codes, groups, n_splits=3)
    train, held_out = hold_out(codes, groups)
    assert set(codes[train]) == set(codes[held_out]) == {0, 1, 2, 3}
    assert not set(groups[train]) & set(groups[held_out])
    assert len(held_out) <= len(codes) / 2
