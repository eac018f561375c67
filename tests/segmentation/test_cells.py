"""Cells found in drawn images whose truth is known, and in images that are no smears."""

import numpy as np
import pytest

from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.cells import (
    FLAGS,
    METHODS,
    Cells,
    find_cells,
    find_cells_cached,
    iter_cells,
)

BACKGROUND = (236, 224, 205)
RED_CELL = (206, 168, 150)
CYTOPLASM = (176, 164, 206)
NUCLEUS = (92, 52, 140)


def disk(shape, center, radius, squeeze=1.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - center[0], (x - center[1]) * squeeze) <= radius


def smear(shape=(180, 180), leukocytes=((90, 90, 40, 25),), red=(), seed=0):
    """Draw disks in disks; return the image and the label of each pixel's cell, and the nuclei."""
    from scipy import ndimage as ndi

    image = np.empty((*shape, 3), dtype=float)
    image[:] = BACKGROUND
    truth, nuclei = np.zeros(shape, dtype=int), np.zeros(shape, dtype=bool)
    for y, x, radius in red:
        image[disk(shape, (y, x), radius)] = RED_CELL
    for number, (y, x, cell, _) in enumerate(leukocytes, start=1):
        image[disk(shape, (y, x), cell)] = CYTOPLASM
        truth[disk(shape, (y, x), cell)] = number
    for y, x, _, nucleus in leukocytes:
        image[disk(shape, (y, x), nucleus)] = NUCLEUS
        nuclei |= disk(shape, (y, x), nucleus)
    image = ndi.gaussian_filter(image, (0.8, 0.8, 0))
    image += np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), truth, nuclei


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_single_cell_is_found_outlined_and_central():
    image, truth, nuclei = smear(red=((20, 30, 22), (150, 150, 22), (30, 150, 22), (150, 40, 22)))
    cells = find_cells(image)
    assert len(cells) == 1
    assert cells.cells[0].central
    assert cells.cells[0].flags == ()
    assert dice(cells.instances > 0, truth > 0) > 0.97
    assert dice(cells.nucleus, nuclei) > 0.97


def test_flat_black_noise_and_tiny_images_have_flags_and_no_cell():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    for image in (np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64, 3), np.uint8), noise):
        cells = find_cells(image)
        assert cells.instances.shape == image.shape[:2]
        assert set(cells.flags) <= set(FLAGS)
    flat = np.full((16, 16, 3), 200, np.uint8)
    assert find_cells(flat).flags == ("low_contrast", "no_color", "no_cell")


@pytest.mark.parametrize("method", METHODS)
def test_packing_loses_nothing(method):
    cells = find_cells(smear()[0], method=method)
    again = Cells.unpack(cells.pack())
    assert again.cells == cells.cells
    assert again.flags == cells.flags
    np.testing.assert_array_equal(again.instances, cells.instances)
    np.testing.assert_array_equal(again.nucleus, cells.nucleus)


def test_an_unknown_method_is_refused_before_any_image_is_read():
    with pytest.raises(InputError, match=r"'magic'; choose one of otsu, hsv"):
        iter_cells(["nowhere.png"], method="magic")


def test_cells_come_in_the_order_of_the_images_with_and_without_cache(tmp_path):
    images = [smear(seed=seed, leukocytes=((60 + 20 * seed, 90, 40, 25),))[0] for seed in range(3)]
    plain = list(iter_cells(images, cache=None))
    first = list(iter_cells(images, cache=tmp_path))
    second = list(iter_cells(images, cache=tmp_path))
    for cells in zip(plain, first, second, strict=True):
        assert cells[0].cells == cells[1].cells == cells[2].cells
    assert find_cells_cached(images[1], cache=tmp_path).cells == plain[1].cells
