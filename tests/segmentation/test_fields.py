"""Counts of drawn fields whose truth is known, and of images that are no fields."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from hybridleuk.data.artificial import draw_cell, draw_field, draw_patient
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.detector import KINDS, overlaps
from hybridleuk.segmentation.fields import FIELD_FLAGS, count_cells, iter_counts
from hybridleuk.segmentation.overlay import BOX_COLORS, draw_counts
from hybridleuk.segmentation.records import FLAGS

KINDS_DRAWN = ("neutrophil", "lymphocyte", "monocyte")


def field(seed, kinds=KINDS_DRAWN, size=(480, 640), **options):
    patient = dataclasses.replace(draw_patient(seed), red_cell_density=6.0)
    return draw_field(kinds, size=size, patient=patient, random_state=seed, **options)


def hit(found, drawn):
    """How many drawn boxes have a found one that is mostly the same."""
    boxes = np.array([cell.box for cell in found], dtype=float).reshape(-1, 4)
    return sum(len(boxes) > 0 and overlaps(box, boxes).max() >= 0.5 for box in drawn.astype(float))


@pytest.mark.parametrize("seed", [901, 902, 903])
def test_drawn_cells_are_counted_one_by_one(seed):
    drawn = field(seed)
    counted = count_cells(drawn.image)
    assert counted.wbc == len(KINDS_DRAWN)
    assert hit(counted.of_kind("WBC"), np.array([c.box for c in drawn.cells])) == 3
    assert counted.rbc == pytest.approx(len(drawn.red_cells), rel=0.2)
    assert hit(counted.of_kind("RBC"), drawn.red_cells) >= 0.75 * len(drawn.red_cells)
    assert abs(counted.platelets - len(drawn.platelets)) <= 0.34 * len(drawn.platelets) + 1


def overlapping_pairs(boxes):
    return [
        (a, b)
        for a in range(len(boxes))
        for b in range(a)
        if 0.05 < overlaps(boxes[a], boxes[[b]])[0] < 0.3
        and (boxes[[a, b]] > 4).all()
        and (boxes[[a, b]] < 296).all()
    ]


def test_most_red_cells_that_overlap_are_two():
    """Of 42 pairs in these fields 31 were told apart when this was written."""
    n_pairs = apart = 0
    for seed in range(21, 33):
        patient = dataclasses.replace(draw_patient(seed), red_cell_density=9.0)
        drawn = draw_field((), size=(300, 300), spacing=0.16, patient=patient, random_state=seed)
        boxes = drawn.red_cells.astype(float)
        found = np.array([c.box for c in count_cells(drawn.image).of_kind("RBC")], dtype=float)
        nearest = [overlaps(box, found).argmax() for box in boxes]
        pairs = overlapping_pairs(boxes)
        n_pairs += len(pairs)
        apart += sum(nearest[a] != nearest[b] for a, b in pairs)
    assert n_pairs >= 30, "the fields were drawn to have some"
    assert apart >= 0.58 * n_pairs


def test_cells_have_boxes_in_the_image_and_scores():
    drawn = field(904)
    counted = count_cells(drawn.image)
    assert counted.wbc + counted.rbc + counted.platelets == len(counted.cells)
    for cell in counted.cells:
        y0, x0, y1, x1 = cell.box
        assert 0 <= y0 < y1 <= 480
        assert 0 <= x0 < x1 <= 640
        assert 0 < cell.score <= 1
        assert cell.kind in KINDS
    radius = np.median(drawn.red_cells[:, 2] - drawn.red_cells[:, 0]) / 2
    assert counted.red_radius == pytest.approx(radius, rel=0.2)


def test_magnification_hardly_matters():
    image = field(905, ("lymphocyte",), (480, 640), spacing=0.1).image
    near = count_cells(image)
    far = count_cells(np.asarray(Image.fromarray(image).resize((320, 240), Image.Resampling.BOX)))
    assert near.wbc == far.wbc == 1
    assert far.red_radius == pytest.approx(near.red_radius / 2, rel=0.15)
    assert abs(near.rbc - far.rbc) <= 3


def test_a_turned_over_field_has_the_same_counts():
    image = field(906).image
    counted, turned = count_cells(image), count_cells(np.ascontiguousarray(image[:, ::-1]))
    assert counted.wbc == turned.wbc
    assert abs(counted.rbc - turned.rbc) <= 2


def test_images_that_are_no_fields_give_flagged_counts():
    crop = draw_cell("neutrophil", random_state=2)
    grey = np.repeat(crop.image.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    cut_out = np.where(crop.instances[..., None] > 0, crop.image, 0).astype(np.uint8)
    assert count_cells(crop.image).wbc == 1
    assert "no_color" in count_cells(grey).flags
    alone = count_cells(cut_out)
    assert (alone.wbc, alone.rbc) == (1, 0)
    assert "no_red_cells" in alone.flags
    for level in (0, 235):
        blank = count_cells(np.full((200, 220, 3), level, np.uint8))
        assert blank.cells == ()
        assert {"low_contrast", "no_cell", "no_red_cells"} <= set(blank.flags)
    tiny = count_cells(crop.image[:16, :16])
    assert set(tiny.flags) <= {*FLAGS, *FIELD_FLAGS}


def test_each_flag_of_a_field_is_raised():
    bare = np.full((120, 120, 3), (236, 224, 205), np.uint8)
    y, x = np.mgrid[:120, :120] - 60
    bare[np.hypot(y, x) < 30] = (176, 164, 206)
    bare[np.hypot(y, x) < 20] = (92, 52, 140)
    assert {"red_cell_size_unknown", "no_red_cells"} <= set(count_cells(bare).flags)
    slab = np.full((300, 400, 3), (236, 224, 205), np.uint8)
    slab[40:260, 30:370] = (206, 150, 140)
    assert "crowded" in count_cells(slab).flags
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    assert "no_background" in count_cells(noise).flags


def test_no_image_is_refused():
    with pytest.raises(InputError):
        count_cells(np.zeros((20, 20, 2), np.uint8))


def test_cached_counts_are_the_same(tmp_path):
    images = [field(seed, ("lymphocyte",), (200, 240)).image for seed in (907, 908)]
    plain = list(iter_counts(images, cache=None))
    first = list(iter_counts(images, cache=tmp_path))
    assert plain == first == list(iter_counts(images, cache=tmp_path))


def test_the_picture_shows_the_boxes():
    image = field(909, ("lymphocyte",), (240, 320)).image
    counted = count_cells(image)
    picture = draw_counts(image, counted)
    y0, x0, y1, _ = counted.of_kind("WBC")[0].box
    assert tuple(picture[(y0 + y1) // 2, x0]) == BOX_COLORS["WBC"]
    assert picture.shape == image.shape


def test_fields_that_people_annotated(real_data):
    from hybridleuk.data.images import read_image

    folder = real_data / "bccd-trainval"
    stems = (folder / "val.txt").read_text().split()[::12]
    counts = [count_cells(read_image(folder / "JPEGImages" / f"{s}.jpg")) for s in stems]
    assert sum(counted.wbc == 1 for counted in counts) >= len(stems) - 2
    assert all(3 <= counted.rbc <= 30 for counted in counts)


def marked(image):
    """Lay a scale bar and two specks of stain over a field of 300 x 400 px."""
    image = image.copy()
    image[285:291, 300:380] = 0
    y, x = np.mgrid[:300, :400]
    for top, left in ((20, 30), (150, 350)):
        image[np.hypot(y - top, x - left) < 2.5] = (70, 40, 120)
    return image


def test_a_scale_bar_and_specks_of_stain_count_as_nothing():
    """In each of 12 fields tried the first three held; in one a platelet's box met the bar."""
    kept = []
    for seed in range(910, 916):
        image = field(seed, ("lymphocyte",), (300, 400)).image
        plain, with_marks = count_cells(image), count_cells(marked(image))
        kept.append(
            (
                (with_marks.wbc, plain.wbc) == (1, 1),
                abs(with_marks.rbc - plain.rbc) <= 1,
                with_marks.platelets - plain.platelets <= 2,  # specks may pass, a bar not
                all(c.box[2] < 280 or c.box[3] < 295 for c in with_marks.of_kind("Platelets")),
            )
        )
    assert (np.sum(kept, axis=0) >= [6, 5, 5, 5]).all()
