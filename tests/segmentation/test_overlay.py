import numpy as np
import pytest

from hybridleuk.segmentation.fields import FieldCell, FieldCount
from hybridleuk.segmentation.overlay import (
    BOX_COLORS,
    CELL_COLOR,
    NUCLEUS_COLOR,
    draw_counts,
    draw_overlay,
)
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


BOXES = {"WBC": (60, 20, 110, 80), "RBC": (60, 100, 110, 160), "Platelets": (60, 180, 80, 200)}


def counted(flags=()):
    cells = tuple(FieldCell(kind, box, 0.9) for kind, box in BOXES.items())
    return FieldCount(cells, flags, None)


def side(picture, kind):
    """Tell for each pixel of the left side of a box whether it has the color of its kind."""
    y0, x0, y1, _ = BOXES[kind]
    return (picture[y0:y1, x0] == BOX_COLORS[kind]).all(axis=1)


@pytest.mark.parametrize("ground", [0, 90, 255])
def test_kinds_of_boxes_differ_without_their_colors_and_show_on_any_ground(ground):
    image = np.full((200, 260, 3), ground, dtype=np.uint8)
    picture = draw_counts(image, counted())
    assert side(picture, "WBC").all(), "solid"
    changes = {kind: np.abs(np.diff(side(picture, kind).astype(int))).mean() for kind in BOXES}
    assert 0 < changes["RBC"] < changes["Platelets"], "dashed, and dotted"
    for y0, x0, y1, x1 in BOXES.values():
        assert (picture[y0 + 5 : y1, x0 - 1] == 255).all(), "white outside of the line"
        assert (picture[y0 + 5 : y1, x1] == 255).all()
    assert (image == ground).all()


def test_kinds_of_boxes_differ_for_the_color_blind():
    """As seen without cones for red, green or blue (Machado 2009), in linear light."""
    blindness = (
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    )
    linear = (np.array(list(BOX_COLORS.values())) / 255) ** 2.2
    for matrix in blindness:
        seen = 255 * np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(3, 1)]
        assert apart.min() > 150


@pytest.mark.parametrize("shape", [(12, 14), (40, 30), (200, 260), (1200, 1600)])
def test_counts_are_written_in_a_picture_of_any_size(shape):
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    box = (0, 0, shape[0], shape[1])
    tiny = FieldCell("Platelets", (shape[0] - 1, shape[1] - 1, shape[0], shape[1]), 0.9)
    count = FieldCount((FieldCell("WBC", box, 0.9), tiny), ("crowded",), None)
    assert draw_counts(image, count).shape == image.shape
