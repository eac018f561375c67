"""Painted-out cells leave the ground that was drawn; cells put elsewhere stay as they are."""

import numpy as np
import pytest

from hybridleuk import find_cells
from hybridleuk.data.artificial import draw_cell
from hybridleuk.segmentation.painting import cells_mask, empty_ground, paint_out, put_on


@pytest.fixture(scope="module")
def drawn():
    return draw_cell("lymphocyte", random_state=1)


def test_the_mask_holds_the_cell_and_little_more(drawn):
    mask = cells_mask(drawn.image, find_cells(drawn.image))
    truth = drawn.instances > 0
    assert (mask & truth).sum() >= 0.97 * truth.sum()
    assert mask.sum() <= 1.4 * truth.sum()


def test_a_periodic_ground_is_continued_through_the_hole():
    ground = np.full((60, 60, 3), 220, np.uint8)
    ground[:, ::2] = 200
    image, mask = ground.copy(), np.zeros((60, 60), bool)
    mask[20:41, 20:41] = True
    image[mask] = 30
    painted = paint_out(image, mask)
    assert np.unique(painted[..., 0]).tolist() == [200, 220]
    assert np.array_equal(painted[~mask], image[~mask])
    assert 0.35 < (painted[mask][:, 0] == 200).mean() < 0.65


def test_what_cannot_be_painted_out_is_left(drawn):
    image = drawn.image
    nothing, all_of_it = np.zeros(image.shape[:2], bool), np.ones(image.shape[:2], bool)
    for mask in (nothing, all_of_it):
        painted = paint_out(image, mask)
        assert np.array_equal(painted, image)
        assert painted is not image
    edge = nothing.copy()
    edge[:, :100] = True
    assert np.isin(paint_out(image, edge)[:, :100], image[:, 100:]).all()


def test_the_cell_is_not_changed_and_the_ground_is(drawn):
    image, mask = drawn.image, drawn.instances > 0
    ground = np.zeros((64, 50, 3), np.uint8)
    placed = put_on(image, mask, ground)
    assert placed.shape == image.shape
    inner = np.zeros_like(mask)
    inner[4:-4, 4:-4] = True
    for shift in range(-4, 5):
        inner &= np.roll(mask, shift, 0) & np.roll(mask, shift, 1)
    assert np.array_equal(placed[inner], image[inner])
    outer = np.zeros_like(mask)
    for shift in range(-4, 5):
        outer |= np.roll(mask, shift, 0) | np.roll(mask, shift, 1)
    assert (placed[~outer] <= 1).all()


def test_an_empty_ground_is_of_one_color(drawn):
    ground = empty_ground(drawn.image)
    assert ground.shape == drawn.image.shape
    (color,) = np.unique(ground.reshape(-1, 3), axis=0)
    assert (color > np.median(drawn.image, axis=(0, 1)) - 5).all()
