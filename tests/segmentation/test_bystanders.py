"""What is smaller than a red cell: a platelet or a sliver among red cells, and no leukocyte."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from hybridleuk.segmentation.bystanders import bystander, graininess
from hybridleuk.segmentation.cells import find_cells
from hybridleuk.segmentation.nuclei import RedCells
from hybridleuk.segmentation.quality import CellMasks
from hybridleuk.segmentation.scene import look

from .test_cells import CYTOPLASM, NUCLEUS, disk, smear

RED = ((40, 40, 24), (40, 150, 24), (150, 40, 24), (190, 190, 24), (100, 215, 24), (210, 100, 24))


def test_a_platelet_among_red_cells_is_no_leukocyte():
    image, _, _ = smear((240, 240), (), RED)
    assert len(find_cells(image)) == 0
    image[disk(image.shape[:2], (115, 115), 12)] = (150, 120, 185)
    image[disk(image.shape[:2], (115, 115), 9)] = (120, 85, 165)
    assert find_cells(image).flags[-1] == "no_cell"


def test_the_same_size_counts_where_no_red_cells_are_seen():
    image, _, _ = smear((120, 120), ((60, 60, 14, 10),))
    assert len(find_cells(image)) == 1


@pytest.mark.parametrize(("offset", "counted"), [(18, 1), (-15, 0)])
def test_a_cell_cut_off_counts_where_a_red_cell_of_it_is_seen(offset, counted):
    image, _, _ = smear((240, 240), (), RED)
    image[disk(image.shape[:2], (120, offset), 34)] = CYTOPLASM
    image[disk(image.shape[:2], (120, offset), 26)] = NUCLEUS
    cells = find_cells(image)
    assert len(cells) == counted
    assert all("touches_border" in cell.flags for cell in cells.cells)


def body_among_red_cells(stain, grains, radius=23):
    """Draw one round body of the size of a red cell; `grains` is the spread of its stain."""
    image, _, _ = smear((240, 240), (), RED)
    noise = ndi.gaussian_filter(np.random.default_rng(5).normal(size=(240, 240)), 2.0)
    amount = np.clip(1 + grains * noise / noise.std(), 0.2, 2.5)[..., None] * np.array(stain)
    amount = amount * ndi.gaussian_filter(disk((240, 240), (115, 115), radius) * 1.0, 1)[..., None]
    return np.rint(image * 10.0**-amount).astype(np.uint8)


def test_a_grainy_body_like_a_red_cell_with_little_dye_is_a_platelet_and_leaves_a_trace():
    cells = find_cells(body_among_red_cells((0.25, 0.45, 0.10), grains=0.35))
    assert len(cells) == 0
    assert cells.flags == ("large_platelet", "no_cell")


@pytest.mark.parametrize(
    ("stain", "grains"),
    [((0.25, 0.45, 0.10), 0.05), ((0.75, 1.0, 0.25), 0.35)],
    ids=["smooth", "with the dye of a nucleus"],
)
def test_what_speaks_against_a_platelet_keeps_a_body_of_that_size(stain, grains):
    cells = find_cells(body_among_red_cells(stain, grains))
    assert len(cells) == 1
    assert "large_platelet" not in cells.flags


def test_graininess_is_the_spread_over_the_mean_whatever_the_amount_and_the_magnification():
    noise = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(200, 200)), 6.0)
    dark = disk((200, 200), (100, 100), 80)
    green = 0.5 + 0.1 * noise / noise[dark].std()
    told = graininess(green, dark, 100.0)
    assert told == pytest.approx(0.2, rel=0.15)
    assert graininess(3 * green, dark, 100.0) == pytest.approx(told)
    half = green.reshape(100, 2, 100, 2).mean(axis=(1, 3)), dark[::2, ::2]
    assert graininess(*half, 50.0) == pytest.approx(told, rel=0.05)
    assert graininess(green, np.zeros_like(dark), 100.0) == 0.0


def test_without_a_yardstick_nothing_is_a_bystander():
    image, _, _ = smear((120, 120), ((60, 60, 20, 12),))
    mask = np.ones((10, 10), dtype=bool)
    masks = CellMasks((slice(0, 10), slice(0, 10)), mask, mask)
    scene = look(image)
    assert bystander(masks, image, scene, None) is None
    assert bystander(masks, image, scene, RedCells(1000.0, 1000.0, False)) == "cut_off"
    assert bystander(masks, image, scene, RedCells(50.0, 50.0, True)) is None
