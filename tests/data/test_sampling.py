import numpy as np

from hybridleuk.data.sampling import evenly_by_class, in_turns


def test_classes_in_equal_numbers_from_one_end_to_the_other():
    labels = np.repeat(["a", "b", "c"], [100, 10, 1])
    rows = evenly_by_class(labels, 30)
    assert [int(np.sum(labels[rows] == name)) for name in "abc"] == [10, 10, 1]
    assert (rows[0], rows[9], rows[-1]) == (0, 99, 110)
    assert np.all(np.diff(rows) > 0)
    assert len(evenly_by_class(labels, 1)) == 5, "two of each class that has two"


def test_each_key_once_before_any_twice():
    keys = list("bbacab")
    assert "".join(keys[place] for place in in_turns(keys)) == "bacbab"
    assert in_turns([]).tolist() == []
