import numpy as np

from hybridleuk.segmentation.overlay import CELL_COLOR, NUCLEUS_COLOR, draw_overlay
from hybridleuk.segmentation.quality import CellMasks, assemble


def cells_in(shape):
    cell = np.ones((30, 30), dtype=bool)
    nucleus = np.zeros((30, 30), dtype=bool)
    nucleus[10:20, 10:20] = True
    return assemble([CellMasks((slice(2, 32), slice(3, 33)), cell, nucleus)], shape)


def test_outlines_lie_on_the_rims_and_the_image_is_not_touched():
    image = np.full((100, 120, 3), 200, dtype=np.uint8)
    picture = draw_overlay(image, cells_in((100, 120)), text=False)
    assert tuple(picture[2, 10]) == CELL_COLOR
    assert tuple(picture[12, 15]) == NUCLEUS_COLOR
    assert tuple(picture[7, 8]) == tuple(picture[60, 60]) == (200, 200, 200)
    assert (image == 200).all()


def test_text_is_written_in_the_picture_of_any_size_and_without_cells():
    image = np.full((100, 120, 3), 200, dtype=np.uint8)
    plain = draw_overlay(image, cells_in((100, 120)), text=False)
    assert (draw_overlay(image, cells_in((100, 120))) != plain).any()
    tiny = np.zeros((16, 16, 3), dtype=np.uint8)
    assert draw_overlay(tiny, assemble([], (16, 16))).shape == (16, 16, 3)
