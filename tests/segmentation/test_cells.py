"""Cells found in drawn images whose truth is known, and in images that are no smears."""

import numpy as np
import pytest
from PIL import Image

from hybridleuk.data.artificial import draw_cell, draw_field, draw_patient
from hybridleuk.data.images import read_image
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


@pytest.mark.parametrize("kind", ["lymphocyte", "neutrophil", "eosinophil", "monocyte"])
def test_drawn_cells_of_other_stains_and_cameras_are_outlined(kind):
    for seed, size in ((1, 96), (2, 200)):
        drawn = draw_cell(kind, size=size, patient=draw_patient(seed), random_state=seed)
        cells = find_cells(drawn.image)
        assert len(cells) == 1
        assert cells.central is not None
        assert dice(cells.instances > 0, drawn.instances > 0) > 0.93
        assert dice(cells.nucleus, drawn.nucleus) > 0.9


def test_a_drawn_field_gives_each_leukocyte_once_and_nothing_else():
    kinds = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "lymphoblast")
    drawn = draw_field(kinds, patient=draw_patient(8), random_state=8)
    cells = find_cells(drawn.image)
    assert len(cells) == len(kinds)
    for cell in drawn.cells:
        found = np.bincount(cells.instances[cell.mask], minlength=len(cells) + 1).argmax()
        assert dice(cells.instances == found, cell.mask) > 0.85


def test_a_field_without_leukocytes_gives_none_despite_red_cells_and_platelets():
    drawn = draw_field((), size=(240, 320), random_state=1)
    cells = find_cells(drawn.image)
    assert cells.flags[-1] == "no_cell" or all("too_small" in c.flags for c in cells.cells)
    image, _, _ = smear((200, 240), (), red=((40, 40, 22), (100, 80, 22), (140, 170, 22)))
    assert len(find_cells(image)) == 0


def test_touching_cells_are_parted_and_lobes_of_one_nucleus_are_not():
    red = ((30, 30, 22), (30, 220, 22), (170, 40, 22), (165, 225, 22))
    pair, truth, _ = smear((200, 260), ((100, 95, 34, 28), (100, 161, 34, 28)), red)
    cells = find_cells(pair)
    assert len(cells) == 2
    for number in (1, 2):
        found = cells.instances == cells.instances[100, 95 if number == 1 else 161]
        assert dice(found, truth == number) > 0.93
    lobed, _, _ = smear((200, 260), ((100, 130, 40, 1),), red)
    for y, x in ((90, 115), (88, 145), (118, 132)):
        lobed[disk(lobed.shape[:2], (y, x), 11)] = NUCLEUS
    assert len(find_cells(lobed)) == 1


def test_platelets_and_a_scale_bar_are_no_leukocytes():
    image, truth, _ = smear(red=((20, 30, 22), (150, 150, 22), (30, 150, 22), (150, 40, 22)))
    image[disk(image.shape[:2], (40, 90), 5)] = NUCLEUS
    image[168:172, 110:170] = 0
    cells = find_cells(image)
    assert len(cells) == 1
    assert dice(cells.instances > 0, truth > 0) > 0.97


def test_a_cell_cut_out_on_black_is_found():
    image, truth, nuclei = smear()
    image[truth == 0] = 0
    cells = find_cells(image)
    assert len(cells) == 1
    assert cells.central is not None
    assert dice(cells.nucleus, nuclei) > 0.9
    assert dice(cells.instances > 0, truth > 0) > 0.9


TURNS = {
    "quarter": lambda a: np.rot90(a),
    "half": lambda a: np.rot90(a, 2),
    "mirror": lambda a: a[:, ::-1],
    "upside down": lambda a: a[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("size", [(96, 131), (300, 411)])
def test_turned_images_give_turned_masks(turn, size):
    drawn = draw_field(("neutrophil",), size=size, patient=draw_patient(3), random_state=3)
    cells = find_cells(drawn.image)
    turned = find_cells(np.ascontiguousarray(TURNS[turn](drawn.image)))
    np.testing.assert_array_equal(TURNS[turn](cells.instances > 0), turned.instances > 0)
    np.testing.assert_array_equal(TURNS[turn](cells.nucleus), turned.nucleus)


def test_twice_the_size_gives_four_times_the_area():
    image, _, _ = smear((160, 160), ((80, 80, 36, 22),))
    large = np.asarray(Image.fromarray(image).resize((320, 320), Image.Resampling.BICUBIC))
    one, two = find_cells(image), find_cells(large)
    assert (two.instances > 0).sum() == pytest.approx(4 * (one.instances > 0).sum(), rel=0.03)
    assert two.nucleus.sum() == pytest.approx(4 * one.nucleus.sum(), rel=0.03)


def test_a_large_image_is_searched_at_reduced_scale_and_masked_at_its_own():
    image, truth, nuclei = smear((90, 120), ((45, 60, 20, 13),))
    large = np.asarray(Image.fromarray(image).resize((2400, 1800), Image.Resampling.BICUBIC))
    cells = find_cells(large)
    assert cells.instances.shape == (1800, 2400)
    assert dice(cells.nucleus, np.kron(nuclei, np.ones((20, 20), dtype=bool))) > 0.96
    assert dice(cells.instances > 0, np.kron(truth, np.ones((20, 20), dtype=int)) > 0) > 0.96


def test_the_published_baseline_finds_what_is_purple():
    image, _, nuclei = smear()
    cells = find_cells(image, method="hsv")
    assert len(cells) == 1
    assert (cells.nucleus & nuclei).sum() > 0.95 * nuclei.sum()
    assert "no_cytoplasm" in cells.cells[0].flags
    assert find_cells(np.full((32, 32, 3), 230, np.uint8), method="hsv").flags == ("no_cell",)


@pytest.mark.real
def test_real_cells_are_outlined_as_people_did(real_data):
    scores = []
    for number in range(2, 300, 30):
        truth = read_image(real_data / "wbc-zheng-1" / f"{number:03d}.png")[..., 0]
        cells = find_cells(read_image(real_data / "wbc-zheng-1" / f"{number:03d}.bmp"))
        scores.append((dice(cells.nucleus, truth == 255), dice(cells.instances > 0, truth > 0)))
    nucleus, whole = np.mean(scores, axis=0)
    assert nucleus > 0.93
    assert whole > 0.93
