"""Borders laid around and over drawn fields, whose cells and smear are known without them."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage as ndi

from hybridleuk.data.artificial import draw_cell, draw_field, draw_patient
from hybridleuk.segmentation.cells import find_cells
from hybridleuk.segmentation.fields import count_cells
from hybridleuk.segmentation.stain import estimate_background
from hybridleuk.segmentation.void import _median_level, find_void

SHAPE = (300, 400)


@pytest.fixture(scope="module")
def field():
    kinds = ("neutrophil", "lymphocyte", "monocyte")
    return draw_field(kinds, size=SHAPE, patient=draw_patient(5), random_state=5)


def from_middle(shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2)


def jpeg(image, quality=80):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def eyepiece(image):
    return np.where((from_middle() < 190)[..., None], image, 0).astype(np.uint8)


def soft_eyepiece(image):
    light = 1 / (1 + np.exp((from_middle() - 190) / 2))
    noise = np.random.default_rng(1).normal(4, 3, image.shape)
    return np.clip(image * light[..., None] + noise, 0, 255).astype(np.uint8)


def strip(image, level):
    painted = image.copy()
    painted[:, :70] = level
    return painted


def turned(image, level):
    return np.asarray(Image.fromarray(image).rotate(12, Image.Resampling.BICUBIC, fillcolor=level))


BORDERS = {
    "eyepiece": eyepiece,
    "eyepiece, JPEG": lambda image: jpeg(eyepiece(image)),
    "soft eyepiece": soft_eyepiece,
    "white strip": lambda image: strip(image, 255),
    "black strip, JPEG": lambda image: jpeg(strip(image, 0)),
    "white strip, JPEG": lambda image: jpeg(strip(image, 255)),
    "turned on black": lambda image: turned(image, (0, 0, 0)),
    "turned on white": lambda image: turned(image, (255, 255, 255)),
}


def dice(one, other):
    return 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)


@pytest.mark.parametrize("border", BORDERS)
def test_a_border_is_void_and_no_smear(field, border):
    image = BORDERS[border](field.image)
    void = find_void(image)
    grey = BORDERS[border](np.full((*SHAPE, 3), 128, np.uint8)).astype(int)
    painted = np.abs(grey - 128).max(axis=2) > 100
    assert void.smear_seen
    assert (void.mask & painted).sum() > 0.98 * painted.sum()
    reach = 16 if border == "soft eyepiece" else 8
    assert ndi.distance_transform_edt(~painted)[void.mask].max() <= reach
    np.testing.assert_allclose(estimate_background(image), estimate_background(field.image), atol=4)


@pytest.mark.parametrize("border", [k for k in BORDERS if "turned" not in k])
def test_cells_within_a_border_are_outlined_as_without_it(field, border):
    plain, found = find_cells(field.image), find_cells(BORDERS[border](field.image))
    hidden = ndi.binary_dilation(find_void(BORDERS[border](field.image)).mask, iterations=3)
    whole = [c for c in plain.cells if not c.flags and not hidden[plain.cell_mask(c)].any()]
    assert whole, "the field was drawn to have some"
    for cell in whole:
        mask = plain.cell_mask(cell)
        number = np.bincount(found.instances[mask]).argmax()
        assert number > 0
        assert dice(found.instances == number, mask) > 0.95
        assert not found.cells[number - 1].flags


@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_changes_no_count_and_no_mask(field, level):
    framed = np.pad(field.image, ((40, 40), (60, 20), (0, 0)), constant_values=level)
    plain, counted = count_cells(field.image), count_cells(framed)
    assert [c.score for c in counted.cells] == [c.score for c in plain.cells]
    assert counted.flags == plain.flags
    moved = np.array([c.box for c in counted.cells]) - [40, 60, 40, 60]
    np.testing.assert_array_equal(moved, [c.box for c in plain.cells])
    cells, bare = find_cells(framed), find_cells(field.image)
    np.testing.assert_array_equal(cells.instances[40:-40, 60:-20], bare.instances)
    np.testing.assert_array_equal(cells.nucleus[40:-40, 60:-20], bare.nucleus)
    assert [c.flags for c in cells.cells] == [c.flags for c in bare.cells]


@pytest.mark.parametrize("border", ["eyepiece", "white strip", "soft eyepiece"])
def test_red_cells_within_a_border_are_counted_as_without_it(field, border):
    image = BORDERS[border](field.image)
    hidden = find_void(image).mask
    seen = [c.box for c in count_cells(field.image).of_kind("RBC")]
    seen = [b for b in seen if not hidden[(b[0] + b[2] - 1) // 2, (b[1] + b[3] - 1) // 2]]
    assert len(seen) > 5
    assert count_cells(image).rbc == pytest.approx(len(seen), rel=0.25)


def test_a_cell_cut_off_by_a_border_says_so(field):
    plain = find_cells(field.image)
    cell = next(c for c in plain.cells if not c.flags)
    image = field.image.copy()
    image[:, : round(cell.centroid[1])] = 255
    cut = find_cells(image)
    kept = cut.instances[round(cell.centroid[0]), round(cell.centroid[1]) + 4]
    assert "touches_border" in cut.cells[kept - 1].flags


def test_a_round_border_cuts_cells_off_as_well(field):
    cell = next(c for c in find_cells(field.image).cells if not c.flags)
    reach = np.hypot(cell.centroid[0] - SHAPE[0] / 2, cell.centroid[1] - SHAPE[1] / 2)
    image = np.where((from_middle() < max(reach, 145))[..., None], field.image, 0).astype(np.uint8)
    found = find_cells(image)
    numbers = np.unique(found.instances[ndi.binary_dilation(find_void(image).mask, iterations=3)])
    for number in numbers[numbers > 0]:
        assert "touches_border" in found.cells[number - 1].flags


def test_ordinary_pictures_have_no_void(field):
    for image in (field.image, draw_cell("monocyte", random_state=3).image):
        void = find_void(image)
        assert void.smear_seen
        assert not void.mask.any()
        assert void.photograph == (slice(0, image.shape[0]), slice(0, image.shape[1]))


def test_a_smear_exposed_to_white_stays_the_smear(field):
    empty = estimate_background(field.image)
    image = np.clip(field.image * (270.0 / empty), 0, 255).astype(np.uint8)
    void = find_void(image)
    assert void.smear_seen
    assert not void.mask.any()
    np.testing.assert_array_equal(estimate_background(image), 255)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("kind", ["lymphocyte", "neutrophil", "lymphoblast"])
def test_a_cell_cut_out_has_no_smear(kind, level):
    drawn = draw_cell(kind, size=160, patient=draw_patient(4), random_state=4)
    image = np.where(drawn.instances[..., None] > 0, drawn.image, level).astype(np.uint8)
    assert not find_void(image).smear_seen
    assert (estimate_background(image) >= 200).all()
    cells = find_cells(image)
    assert "no_background" in cells.flags
    assert len(cells) == 1
    assert dice(cells.instances > 0, drawn.instances > 0) > 0.95


def test_nothing_but_black_or_white_is_defined():
    for level in (0, 255):
        image = np.full((40, 50, 3), level, np.uint8)
        assert np.isfinite(estimate_background(image)).all()
        assert "no_cell" in find_cells(image).flags


def test_a_burnt_in_bar_is_void_and_a_black_nucleus_is_none(field):
    image = field.image.copy()
    image[280:286, 250:370] = 0
    void = find_void(image).mask
    assert void[280:286, 250:370].all()
    assert void.sum() < 2 * 6 * 120
    plain, found = find_cells(field.image), find_cells(image)
    assert len(found) == len(plain)
    assert dice(found.nucleus, plain.nucleus) > 0.95
    dark = field.image.copy()
    dark[ndi.binary_erosion(field.nucleus, iterations=4)] = 5
    assert not find_void(dark).mask.any()


def test_text_in_a_white_margin_is_part_of_it(field):
    image = np.pad(field.image, ((0, 40), (0, 0), (0, 0)), constant_values=255)
    image[310:320, 50:150] = 0
    void = find_void(image)
    assert void.mask[300:].all()
    assert not void.mask[:300].any()


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_the_median_of_bytes_is_the_median(n):
    for seed in range(5):
        levels = np.random.default_rng(seed).integers(0, 256, n).astype(np.uint8)
        assert _median_level(levels) == np.median(levels)


def test_writing_close_together_is_no_division_by_nothing():
    """Strokes that enclose each other have no room beside them of their own."""
    image = np.full((60, 90, 3), 225, np.uint8)
    for inset in (0, 3, 6):
        image[10 + inset : 40 - inset, 10 + inset : 60 - inset] = 0
        image[11 + inset : 39 - inset, 11 + inset : 59 - inset] = 225
    find_void(image)


def test_cells_within_a_border_are_packed(field):
    image = np.zeros((360, 460, 3), np.uint8)
    image[30:330, 30:430] = field.image
    cells = find_cells(image)
    assert len(cells)
    assert type(cells).unpack(cells.pack()).cells == cells.cells
