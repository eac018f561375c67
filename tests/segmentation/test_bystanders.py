"""What is smaller than a red cell: a platelet or a sliver among red cells, and no leukocyte."""

import numpy as np
import pytest

from hybridleuk.segmentation.bystanders import is_bystander
from hybridleuk.segmentation.cells import find_cells
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


def test_without_a_yardstick_nothing_is_a_bystander():
    image, _, _ = smear((120, 120), ((60, 60, 20, 12),))
    mask = np.ones((10, 10), dtype=bool)
    masks = CellMasks((slice(0, 10), slice(0, 10)), mask, mask)
    scene = look(image)
    assert not is_bystander(masks, image, scene, None)
    assert is_bystander(masks, image, scene, 1000.0)
    assert not is_bystander(masks, image, scene, 50.0)
