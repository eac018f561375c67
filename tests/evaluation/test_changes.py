"""Each change does what it says, to pictures of which the truth was drawn, and nothing else."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage as ndi

from hybridleuk.data.artificial import draw_cell
from hybridleuk.evaluation.changes import (
    CHANGES,
    OTHER_CLASS,
    SAME_CLASS,
    STAIN_FACTORS,
    change,
)
from hybridleuk.segmentation.stain import separate_stains, stain_vectors

NAMES = [kind.name for kind in CHANGES]


@pytest.fixture(scope="module")
def drawn():
    return draw_cell("monocyte", random_state=2)


@pytest.fixture(scope="module")
def image(drawn):
    return drawn.image


@pytest.fixture(scope="module")
def mask(drawn):
    return drawn.instances > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_image_has_the_same_frame_and_is_another(name, image, mask):
    before = image.copy()
    ground = draw_cell("lymphocyte", random_state=5, size=96).image
    changed = change(name, image, mask, ground)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, image)
    assert np.array_equal(image, before), "the original is left alone"


@pytest.mark.parametrize("name", [OTHER_CLASS, SAME_CLASS, "background_flat"])
def test_the_cell_stays_when_the_background_goes(name, image, mask):
    changed = change(name, image, mask, np.zeros((40, 40, 3), np.uint8))
    core = ndi.binary_erosion(mask, iterations=4)
    far = ~ndi.binary_dilation(mask, iterations=4)
    assert np.array_equal(changed[core], image[core])
    if name == "background_flat":
        (color,) = np.unique(changed[far], axis=0)
        assert (color > 150).all()
    else:
        assert changed[far].max() <= 1


def test_the_amounts_of_stain_change_as_said(image, mask):
    vectors = stain_vectors(image)
    changed = change("stain", image, mask)
    inner = ndi.binary_erosion(mask, iterations=3)
    before = separate_stains(image, vectors)[inner].mean(axis=0)
    after = separate_stains(changed, vectors)[inner].mean(axis=0)
    np.testing.assert_allclose(after / before, STAIN_FACTORS, rtol=0.12)


def test_light(image, mask):
    warm = change("warmth", image, mask).astype(float)
    sound = (image > 20).all(axis=2) & (image < 235).all(axis=2)
    np.testing.assert_allclose(
        (warm[sound] / image[sound]).mean(axis=0), (1.04, 1.0, 0.9), atol=0.01
    )
    dark = change("brightness", image, mask)
    np.testing.assert_allclose(dark, image * 0.85, atol=0.5)


def test_blur_takes_detail_and_no_light(image, mask):
    blurred = change("blur", image, mask).astype(float)
    assert abs(blurred.mean() - image.mean()) < 0.2
    assert (
        np.abs(np.diff(blurred, axis=0)).mean() < 0.9 * np.abs(np.diff(image * 1.0, axis=0)).mean()
    )


def test_jpeg_is_of_the_quality_said(image, mask, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=30)
    with Image.open(tmp_path / "a.jpg") as picture:
        assert np.array_equal(change("jpeg", image, mask), np.asarray(picture))


def test_what_is_shown_shrinks_about_the_middle():
    image = np.full((100, 100, 3), 200, np.uint8)
    image[40:60, 30:70] = 20
    shrunk = change("scale", image, image[..., 0] < 100)
    rows, columns = np.nonzero(shrunk[..., 0] < 110)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (16, 32)
    assert (rows.mean(), columns.mean()) == (49.5, 49.5)
