import numpy as np
import pytest

from hybridleuk.audit.exchange import exchanged, p_value


def test_images_are_exchanged_one_by_one():
    codes = np.repeat([0, 1, 2], [5, 3, 2])
    for drawn in exchanged(codes, None, times=5):
        assert np.bincount(drawn).tolist() == [5, 3, 2]


def test_groups_of_one_class_stay_of_one_class():
    groups = np.repeat(list("abcdef"), [1, 2, 3, 4, 5, 6])
    codes = np.repeat([0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 5, 6])
    seen = set()
    for drawn in exchanged(codes, groups, times=40):
        by_group = [set(drawn[groups == name].tolist()) for name in "abcdef"]
        assert all(len(held) == 1 for held in by_group)
        seen.add(tuple(held.pop() for held in by_group))
    assert 10 < len(seen) <= 20, "of six groups, three of each class, there are 20 ways"


def test_groups_of_all_classes_keep_their_proportions():
    groups, codes = np.repeat(np.arange(10), 8), np.tile([0, 0, 0, 1], 20)
    for drawn in exchanged(codes, groups, times=5):
        assert all(np.bincount(drawn[groups == name]).tolist() == [6, 2] for name in range(10))


@pytest.mark.parametrize(("observed", "p"), [(1.0, 0.2), (0.5, 0.6), (0.0, 1.0)])
def test_p_value_counts_the_observed(observed, p):
    assert p_value(observed, np.array([0.1, 0.2, 0.5, 0.7])) == pytest.approx(p)
