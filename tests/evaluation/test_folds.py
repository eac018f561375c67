import numpy as np
import pytest

from hybridleuk.data.splits import MOST_GROUPS, leave_one_group_out
from hybridleuk.evaluation.folds import draw_folds, fixed_fold, kinds_of
from hybridleuk.exceptions import InputError, SplitError

LABELS = np.array(["blast", "lymphocyte"] * 10, dtype=object)
GROUPS = np.array([f"P{i // 4}" for i in range(20)], dtype=object)
PARTS = np.array(["train"] * 12 + ["val"] * 4 + ["test"] * 4, dtype=object)


def test_each_group_is_left_out_once():
    ((*folds,),) = draw_folds(LABELS, GROUPS, split="logo")
    assert [set(GROUPS[test]) for _, test in folds] == [{f"P{i}"} for i in range(5)]
    assert all(len(train) + len(test) == 20 for train, test in folds)


def test_too_many_groups_say_what_to_do():
    labels = np.tile(["a", "b"], MOST_GROUPS)
    groups = np.arange(2 * MOST_GROUPS) % (MOST_GROUPS + 1)
    with pytest.raises(SplitError, match=r"each of 101 groups .* use|Use the split 'group'"):
        leave_one_group_out(labels, groups)


@pytest.mark.parametrize(
    ("validation", "n_train", "n_test"), [("train", 16, 4), ("test", 12, 8), ("leave-out", 12, 4)]
)
def test_the_manifest_says_what_is_tested(validation, n_train, n_test):
    train, test = fixed_fold(LABELS, GROUPS, PARTS, validation=validation)
    assert (len(train), len(test)) == (n_train, n_test)
    assert set(PARTS[test]) == ({"val", "test"} if validation == "test" else {"test"})


def test_a_group_on_both_sides_of_the_manifest_is_refused_unless_said():
    groups = np.where(np.arange(20) == 19, "P0", GROUPS)
    with pytest.raises(SplitError, match=r"no honest one: Group P0 is in both"):
        fixed_fold(LABELS, groups, PARTS)
    assert len(fixed_fold(LABELS, groups, PARTS, shared_groups=True)[1]) == 4


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (None, "gives no split"),
        (np.array([None] * 20, dtype=object), "gives no split"),
        (np.array(["train"] * 19 + ["tset"], dtype=object), "has 'tset' in the column 'split'"),
        (np.array(["train"] * 19 + [None], dtype=object), "has nothing in the column 'split'"),
        (np.array(["train"] * 19 + ["test"], dtype=object), "no image of class blast in its part"),
    ],
)
def test_manifests_without_a_usable_split_say_why(parts, message):
    with pytest.raises(SplitError, match=message):
        fixed_fold(LABELS, None, parts)


def test_words_for_parts_are_understood():
    parts = np.array(["Training"] * 12 + ["valid"] * 4 + ["TESTING "] * 4, dtype=object)
    assert len(fixed_fold(LABELS, GROUPS, parts)[0]) == 16


def test_what_is_the_same_each_time_is_not_repeated():
    for split in ("logo", "manifest"):
        with pytest.raises(InputError, match="the same each time"):
            draw_folds(LABELS, GROUPS, split=split, repeats=2, parts=PARTS)
    with pytest.raises(InputError, match="validation is 'x'; expected one of train"):
        fixed_fold(LABELS, GROUPS, PARTS, validation="x")


def test_kinds():
    assert kinds_of(None, grouped=True) == ("group",)
    assert kinds_of(None, grouped=False) == ("random",)
    assert kinds_of("both", grouped=True) == ("group", "random")
    with pytest.raises(InputError, match="expected one of group, random, both, logo, manifest"):
        kinds_of("loso", grouped=True)
