import numpy as np
import pytest

from hybridleuk.segmentation.stain import (
    _histogram,
    _median_level,
    estimate_background,
    match_background,
    multi_otsu,
    optical_density,
    separate_stains,
    stain_vectors,
    void_mask,
)

EMPTY = np.array([240.0, 230.0, 210.0])
STAINS = np.array([[0.60, 0.75, 0.28], [0.07, 0.72, 0.69]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)


def stained(amounts):
    """Paint amounts of two stains (H, W, 2) by the law of Beer and Lambert."""
    light = 10.0 ** -(amounts @ STAINS)
    return np.clip(np.rint((EMPTY + 4) * light - 4), 0, 255).astype(np.uint8)


def two_stains():
    amounts = np.zeros((60, 60, 2))
    amounts[5:20, 5:55, 0] = np.linspace(0.3, 0.7, 50)
    amounts[30:50, 5:55, 1] = np.linspace(0.2, 0.6, 50)
    return amounts


def test_otsu_parts_two_and_three_levels():
    values = np.repeat([0.0, 10.0, 20.0], [500, 300, 200])
    low, high = multi_otsu(values)
    assert 0 < low < 10 < high < 20
    (level,) = multi_otsu(np.repeat([1.0, 5.0], [90, 10]), classes=2)
    assert 1 < level < 5


def test_otsu_of_one_value_and_of_nothing_is_defined():
    assert multi_otsu(np.full(9, 3.0)) == [3.0, 3.0]
    assert multi_otsu([np.nan], classes=2) == [0.0]


def test_background_is_the_empty_smear_not_the_cells_on_it():
    image = stained(two_stains())
    np.testing.assert_allclose(estimate_background(image), EMPTY, atol=1)


def test_black_around_a_cut_out_cell_is_void_and_no_background():
    image = np.zeros((50, 50, 3), dtype=np.uint8)
    image[15:35, 15:35] = (120, 80, 160)
    void = void_mask(image)
    assert void.sum() == 2500 - 400
    assert (estimate_background(image) >= 200).all()
    assert not void_mask(image[15:35, 15:35]).any()


def test_optical_density_is_zero_on_background_and_adds_up():
    image = np.array([[[240, 230, 210], [0, 0, 0]]], dtype=np.uint8)
    density = optical_density(image, EMPTY)
    np.testing.assert_allclose(density[0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(density[0, 1], np.log10((EMPTY + 4) / 4), rtol=1e-6)
    assert np.isfinite(density).all()


def test_background_takes_the_color_asked_for():
    matched = match_background(stained(two_stains()), (200, 200, 200))
    np.testing.assert_array_equal(matched[0, 0], [200, 200, 200])


def test_stains_are_found_from_the_pixels_and_taken_apart():
    amounts = two_stains()
    image = stained(amounts)
    found = stain_vectors(image)
    assert (np.sum(found * STAINS, axis=1) > 0.995).all()
    np.testing.assert_allclose(separate_stains(image, STAINS), amounts, atol=0.02)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_has_stains_and_amounts_that_are_finite(level):
    image = np.full((20, 20, 3), level, dtype=np.uint8)
    assert np.isfinite(separate_stains(image)).all()
    np.testing.assert_allclose(np.linalg.norm(stain_vectors(image), axis=1), 1)


def test_levels_are_counted_as_numpy_counts_them():
    random = np.random.default_rng(6)
    values = random.normal(size=5000)
    counts, edges = _histogram(values, values.min(), values.max())
    expected, expected_edges = np.histogram(values, bins=128)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(edges, expected_edges)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_the_median_of_bytes_is_the_median(n):
    for seed in range(5):
        levels = np.random.default_rng(seed).integers(0, 256, n).astype(np.uint8)
        assert _median_level(levels) == np.median(levels)
