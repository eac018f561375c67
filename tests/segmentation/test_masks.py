import numpy as np
import pytest
from scipy import ndimage as ndi

from hybridleuk.segmentation.masks import disk, fill_holes, grow, peel, shrink, window_of
from hybridleuk.segmentation.resample import resample


def test_holes_are_filled_as_scipy_does_and_up_to_a_size():
    mask = np.random.default_rng(0).random((40, 50)) < 0.6
    np.testing.assert_array_equal(fill_holes(mask), ndi.binary_fill_holes(mask))
    ring = np.ones((9, 9), dtype=bool)
    ring[1:3, 1:3] = ring[5:8, 5:8] = False
    assert fill_holes(ring, largest=4).sum() == 81 - 9


def test_shrinking_takes_the_rim_but_not_at_the_edge_of_the_image():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5] = True
    np.testing.assert_array_equal(shrink(mask, 2)[:, 0], [True] * 3 + [False] * 7)


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (3, 40), (30, 41)])
@pytest.mark.parametrize("times", [1, 2])
def test_growing_and_peeling_do_as_scipy_does(shape, times):
    for share in (0.05, 0.5, 0.98):
        mask = np.random.default_rng(4).random(shape) < share
        np.testing.assert_array_equal(
            grow(mask, times), ndi.binary_dilation(mask, iterations=times)
        )
        np.testing.assert_array_equal(peel(mask, times), ndi.binary_erosion(mask, iterations=times))


def test_the_window_of_a_mask_is_the_smallest_that_holds_it():
    mask = np.zeros((20, 30), dtype=bool)
    mask[3, 8] = mask[11, 29] = True
    assert window_of(mask) == (slice(3, 12), slice(8, 30))


def test_a_disk_is_symmetric_and_never_empty():
    for radius in (0.0, 1.0, 2.5, 6.0):
        inside = disk(radius)
        np.testing.assert_array_equal(inside, inside.T[::-1])
        assert inside.shape[0] % 2 == 1
        assert inside.any()


@pytest.mark.parametrize("shape", [(7, 9), (40, 31), (80, 100)])
def test_resampling_keeps_the_mean_and_turns_with_the_image(shape):
    image = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    small = resample(image, shape)
    assert small.shape == shape
    assert small.mean() == pytest.approx(image.mean(), abs=0.01)
    turned = resample(np.rot90(image).copy(), shape[::-1])
    np.testing.assert_allclose(turned, np.rot90(small), atol=1e-5)


def test_resampling_to_the_same_size_changes_nothing():
    image = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(resample(image, (3, 4)), image)
