import numpy as np
import pytest
from skimage.morphology import convex_hull_image

from hybridleuk.segmentation.masks import window_of
from hybridleuk.segmentation.quality import CellMasks, _is_ragged, assemble
from hybridleuk.segmentation.records import FLAGS


def square(y, x, size, nucleus=None, **doubts):
    cell = np.ones((size, size), dtype=bool)
    inner = np.zeros_like(cell)
    edge = size // 4
    inner[edge:-edge, edge:-edge] = True
    return CellMasks(
        (slice(y, y + size), slice(x, x + size)),
        cell,
        inner if nucleus is None else nucleus,
        **doubts,
    )


def flags_of(masks, shape=(100, 100)):
    return assemble([masks], shape).cells[0].flags


def test_cells_are_numbered_from_the_top_with_boxes_and_centroids():
    cells = assemble([square(60, 10, 20), square(10, 50, 30)], (100, 100))
    assert [cell.number for cell in cells.cells] == [1, 2]
    assert cells.cells[0].box == (10, 50, 40, 80)
    assert cells.cells[0].centroid == (24.5, 64.5)
    assert cells.cell_mask(cells.cells[1]).sum() == 400
    assert cells.flags == ("many_cells", "no_central_cell")


def test_where_two_claim_a_pixel_the_smaller_keeps_it():
    cells = assemble([square(10, 10, 40), square(20, 20, 10)], (80, 80))
    assert sorted(cells.cell_mask(cell).sum() for cell in cells.cells) == [100, 1500]
    assert (cells.instances[cells.nucleus] > 0).all()


def test_the_middle_cell_is_central_and_only_that():
    cells = assemble([square(35, 35, 30), square(2, 2, 30), square(40, 72, 24)], (100, 100))
    assert [cell.central for cell in cells.cells].count(True) == 1
    assert cells.central.box == (35, 35, 65, 65)
    assert cells.regions()[50, 50] == 255
    assert cells.regions()[36, 36] == 128


def test_each_doubt_raises_its_flag():
    everything = np.ones((20, 20), dtype=bool)
    bar = np.zeros((20, 20), dtype=bool)
    bar[:, 9:11] = bar[9:11] = True
    half = np.zeros((20, 20), dtype=bool)
    half[:10] = True
    window = (slice(40, 60), slice(40, 60))
    assert flags_of(square(40, 40, 20)) == ()
    assert flags_of(square(0, 40, 20)) == ("touches_border",)
    assert flags_of(square(40, 40, 20, small=True)) == ("too_small",)
    speck = np.zeros((20, 20), dtype=bool)
    speck[8:12, 8:12] = True
    assert flags_of(square(40, 40, 20, speck)) == ("too_large",)
    assert flags_of(square(40, 40, 20, clumped=True)) == ("clumped",)
    assert flags_of(square(40, 40, 20, cut=True)) == ("touches_border",)
    assert flags_of(square(40, 40, 20, edge=0.5)) == ("out_of_focus",)
    assert flags_of(square(40, 40, 20, contrast=0.01)) == ("low_contrast",)
    assert flags_of(square(40, 40, 20, nucleus=everything)) == ("no_cytoplasm",)
    assert "nucleus_outside" in flags_of(CellMasks(window, half, everything))
    assert "smudge_like" in flags_of(CellMasks(window, bar, bar))


def test_no_cell_is_a_flag_of_the_image_and_every_flag_is_documented():
    cells = assemble([], (20, 30), ("no_color",))
    assert cells.flags == ("no_color", "no_cell")
    assert len(cells) == 0
    assert cells.central is None
    assert all(text.startswith(("cell: ", "image: ")) for text in FLAGS.values())


@pytest.mark.parametrize(("apart", "clumped"), [(0, False), (12, False), (38, True), (40, True)])
def test_two_disks_that_touch_have_a_waist_and_an_oval_has_none(apart, clumped):
    y, x = np.mgrid[:60, :100]
    cell = (np.hypot(y - 30, x - 50 + apart / 2) < 21) | (np.hypot(y - 30, x - 50 - apart / 2) < 21)
    window = (slice(20, 80), slice(10, 110))
    assert ("clumped" in flags_of(CellMasks(window, cell, cell), (120, 120))) == clumped
    oval = np.hypot((y - 30) / 20, (x - 50) / 40) < 1
    assert "clumped" not in flags_of(CellMasks(window, oval, oval), (120, 120))


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.0])
def test_a_cell_is_ragged_just_where_it_fills_under_four_fifths_of_its_hull(turn):
    y, x = np.mgrid[:60, :70]
    y, x = y - 30, x - 35
    told = []
    for bite in np.linspace(0.0, 1.2, 13):
        angle = np.abs((np.arctan2(y, x) - turn + np.pi) % (2 * np.pi) - np.pi)
        both = np.minimum(angle, np.abs(angle - 2.0))
        cell = (np.hypot(y, 0.8 * x) < 26) & (both >= bite / 2)
        hull = convex_hull_image(cell, include_borders=False).sum()
        told.append(_is_ragged(cell[window_of(cell)], int(cell.sum())))
        assert told[-1] == (cell.sum() < 0.8 * hull)
    assert set(told) == {True, False}
