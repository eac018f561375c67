"""Files written with known settings, and pictures with marks drawn at known places."""

import numpy as np
import pytest
from PIL import Image

from hybridleuk import read_image
from hybridleuk.data.artificial import draw_cell
from hybridleuk.data.images import FORMATS
from hybridleuk.evaluation.shortcut_files import (
    burnt_in_marks,
    file_metadata,
    file_size,
    find_marks,
)

HEAD = 3 + len(FORMATS)


@pytest.fixture(scope="module")
def drawn():
    return draw_cell("lymphocyte", random_state=1).image


def saved(image, path, **options):
    Image.fromarray(image).save(path, **options)
    return file_metadata(path)


def test_size_and_bytes(drawn, tmp_path):
    path = tmp_path / "a.png"
    found = saved(drawn[:100], path)
    size = path.stat().st_size
    assert found[:3].tolist() == [100, 128, 100 / 128]
    np.testing.assert_allclose(file_size(path), np.log([size, size / 12800]))
    assert file_size(drawn).tolist() == [0, 0]
    assert found[3 : 3 + len(FORMATS)].tolist() == [name == "PNG" for name in FORMATS]
    assert found[HEAD + 6 :].tolist() == [0] * 129


def test_jpeg_tables_tell_the_quality_and_the_subsampling(drawn, tmp_path):
    low, high = (saved(drawn, tmp_path / f"{q}.jpg", quality=q) for q in (40, 95))
    with Image.open(tmp_path / "40.jpg") as picture:
        tables = picture.quantization
    assert low[HEAD + 7 :].tolist() == [*tables[0], *tables[1]]
    assert (low[HEAD + 7 :] >= high[HEAD + 7 :]).all()
    assert [saved(drawn, tmp_path / f"s{s}.jpg", subsampling=s)[HEAD + 6] for s in (0, 1, 2)] == [
        0,
        1,
        2,
    ]
    grey = Image.fromarray(drawn[..., 1])
    grey.save(tmp_path / "grey.jpg")
    assert file_metadata(tmp_path / "grey.jpg")[HEAD] == 1


def test_headers_are_seen(drawn, tmp_path):
    plain = saved(drawn, tmp_path / "plain.jpg", quality=90)
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    marked = saved(
        drawn, tmp_path / "m.jpg", quality=90, exif=exif, dpi=(300, 300), progressive=True
    )
    assert (marked - plain)[HEAD + 1 : HEAD + 5].tolist() == [1, 1, 0, 1]


def test_of_an_array_only_the_size_is_known(drawn):
    known = file_metadata(drawn)
    assert known[:3].tolist() == [128, 128, 1]
    assert not known[3:].any()
    assert len(known) == HEAD + 6 + 129


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 0, 0), (250, 240, 20)])
@pytest.mark.parametrize("jpeg", [False, True])
def test_a_scale_bar_is_found_where_it_was_drawn(drawn, tmp_path, color, jpeg):
    image = drawn.copy()
    image[112:115, 80:120] = color
    if jpeg:
        Image.fromarray(image).save(tmp_path / "bar.jpg", quality=92, subsampling=0)
        image = read_image(tmp_path / "bar.jpg")
    ((y0, x0, y1, x1),) = find_marks(image)
    np.testing.assert_allclose((y0, x0, y1, x1), (112, 80, 115, 120), atol=2)
    count, length, y, x, *rgb, share = burnt_in_marks(image)
    assert count == 1
    assert length == pytest.approx(40 / 128, abs=0.03)
    np.testing.assert_allclose((y, x), (113.5 / 128, 100 / 128), atol=0.02)
    assert rgb == [level > 127 for level in color]
    assert share == pytest.approx(120 / 128**2, rel=0.5)


def test_marks_turn_with_the_image(drawn):
    image = drawn.copy()
    image[112:114, 80:121] = 0
    (box,) = find_marks(image)
    (turned,) = find_marks(np.ascontiguousarray(image.transpose(1, 0, 2)))
    assert turned == (box[1], box[0], box[3], box[2]) == (80, 112, 121, 114)


def test_cells_are_no_marks_and_neither_is_a_painted_ground(drawn):
    kinds = ("lymphocyte", "neutrophil", "eosinophil", "basophil", "monocyte")
    for kind in kinds:
        for seed in range(4):
            assert find_marks(draw_cell(kind, random_state=seed).image) == []
    cut_out = drawn.copy()
    cut_out[:30], cut_out[-30:], cut_out[:, :30], cut_out[:, -30:] = 0, 0, 0, 0
    assert find_marks(cut_out) == []
    blob = drawn.copy()
    blob[100:112, 100:112] = 0
    assert find_marks(blob) == [], "as long as thick"
    assert burnt_in_marks(drawn).tolist() == [0] * 8
