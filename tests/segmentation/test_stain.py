import numpy as np
import pytest

from hybridleuk.segmentation.stain import (
    estimate_background,
    match_background,
    optical_density,
    separate_stains,
    stain_vectors,
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


def test_background_is_the_empty_smear_not_the_cells_on_it():
    image = stained(two_stains())
    np.testing.assert_allclose(estimate_background(image), EMPTY, atol=1)


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
