import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hybridleuk.audit.writing import find_writing
from hybridleuk.data.artificial import draw_cell, draw_field


def write(image, text, *, size=14, fill="black", at=(10, 10)):
    picture = Image.fromarray(image.copy())
    ImageDraw.Draw(picture).text(at, text, fill=fill, font=ImageFont.load_default(size=size))
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("fill", "size"),
    [("black", 14), ("yellow", 14), ("red", 14), ("blue", 14), ("black", 24), ("white", 24)],
)
def test_writing_is_found_where_it_stands(fill, size):
    image = write(
        draw_cell("neutrophil", size=256, random_state=1).image, "x1000 2019", size=size, fill=fill
    )
    boxes = find_writing(image)
    assert boxes
    assert all(box[0] >= 6 and box[1] >= 6 and box[2] <= 10 + 2 * size for box in boxes)


@pytest.mark.parametrize("kind", ["neutrophil", "eosinophil", "lymphocyte"])
def test_cells_are_no_writing(kind):
    for seed in range(3):
        assert find_writing(draw_cell(kind, size=200, random_state=seed).image) == []


def test_a_field_and_a_bar_are_no_writing():
    field = draw_field(("neutrophil", "lymphocyte"), size=(240, 320), random_state=2).image.copy()
    field[220:224, 200:280] = 0
    assert find_writing(field) == []


def test_white_ground_is_no_ink():
    assert find_writing(np.full((60, 60, 3), 255, np.uint8)) == []
