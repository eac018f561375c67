import numpy as np

from hybridleuk.segmentation.otsu import _histogram, bright_class, multi_otsu


def test_otsu_parts_two_and_three_levels():
    values = np.repeat([0.0, 10.0, 20.0], [500, 300, 200])
    low, high = multi_otsu(values)
    assert 0 < low < 10 < high < 20
    (level,) = multi_otsu(np.repeat([1.0, 5.0], [90, 10]), classes=2)
    assert 1 < level < 5


def test_otsu_of_one_value_and_of_nothing_is_defined():
    assert multi_otsu(np.full(9, 3.0)) == [3.0, 3.0]
    assert multi_otsu([np.nan], classes=2) == [0.0]


def test_levels_are_counted_as_numpy_counts_them():
    random = np.random.default_rng(6)
    values = random.normal(size=5000)
    counts, edges = _histogram(values, values.min(), values.max())
    expected, expected_edges = np.histogram(values, bins=128)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(edges, expected_edges)


def test_a_reflection_is_not_the_bright_class():
    green = np.repeat(np.array([60, 150, 250], np.uint8), [300, 680, 20])
    np.testing.assert_array_equal(bright_class(green), green >= 150)
    green = np.repeat(np.array([60, 150, 250], np.uint8), [200, 300, 500])
    np.testing.assert_array_equal(bright_class(green), green == 250)
