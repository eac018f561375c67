"""The size of red cells, told from fields in which they touch, overlap and are pale within."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage as ndi

from hybridleuk.data.artificial import draw_field, draw_patient
from hybridleuk.segmentation.red_cells import _highest_peaks, _top, circle_radius, look_closely
from hybridleuk.segmentation.scene import look


def field(seed, size=(240, 320), spacing=0.25, **traits):
    patient = dataclasses.replace(draw_patient(seed), **{"red_cell_density": 9.0, **traits})
    return draw_field((), size=size, spacing=spacing, patient=patient, random_state=seed)


def drawn_radius(drawn):
    inside = (drawn.red_cells[:, :2] > 0).all(axis=1)
    inside &= (drawn.red_cells[:, 2:] < np.array(drawn.image.shape[:2])).all(axis=1)
    sides = drawn.red_cells[inside, 2:] - drawn.red_cells[inside, :2]
    return np.median(sides) / 2


@pytest.mark.parametrize("pallor", [0.0, 0.9])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_radius_is_told_within_a_fifth(seed, pallor):
    drawn = field(seed, pallor=pallor)
    scene = look(drawn.image)
    radius = circle_radius(scene, ~scene.dark)
    assert radius * scene.scale == pytest.approx(drawn_radius(drawn), rel=0.2)


@pytest.mark.parametrize(("apart", "shape"), [(1, (60, 70)), (4, (61, 43)), (9, (40, 200))])
def test_the_highest_peaks_are_those_of_a_maximum_filter(apart, shape):
    random = np.random.default_rng(apart)
    share = ndi.gaussian_filter(random.random(shape), apart / 2).astype(np.float32)
    away = random.random(shape) < 0.8
    local = share == ndi.maximum_filter(share, size=2 * apart + 1)
    expected = np.sort(share[local & away])[::-1][:6]
    np.testing.assert_array_equal(_highest_peaks(share, apart, away), expected)
    assert _highest_peaks(np.zeros(shape, np.float32), apart, away) == []


def test_the_top_of_a_parabola_lies_between_its_points():
    assert _top(-((np.arange(7) - 3.3) ** 2), 3) == pytest.approx(0.3)
    assert _top(np.array([3.0, 2.0, 1.0]), 0) == 0.0
    assert _top(np.ones(3), 1) == 0.0


def test_a_field_turned_or_mirrored_has_the_same_radius():
    drawn = field(15)
    scene = look(drawn.image)
    told = circle_radius(scene, ~scene.dark)
    for image in (np.rot90(drawn.image), drawn.image[::-1], drawn.image[:, ::-1]):
        scene = look(np.ascontiguousarray(image))
        assert circle_radius(scene, ~scene.dark) == pytest.approx(told, rel=0.08)


def test_an_empty_or_a_tiny_image_has_no_radius():
    for shape in ((90, 120), (16, 16)):
        everywhere = np.ones(shape, dtype=bool)
        assert circle_radius(look(np.full((*shape, 3), 220, np.uint8)), everywhere) is None


def test_a_large_field_of_small_cells_is_looked_at_more_closely():
    drawn = field(14, size=(1200, 1500), spacing=0.3, red_cell_density=6.0)
    assert look(drawn.image).scale > 5
    scene = look_closely(drawn.image)
    assert drawn_radius(drawn) / scene.scale > 9
    small = drawn.image[:200, :240]
    assert look_closely(small).scale == look(small).scale
    assert scene.red_radius * scene.scale == pytest.approx(drawn_radius(drawn), rel=0.25)


def test_the_radius_that_parts_of_a_large_image_told_is_kept_to():
    drawn = field(15)
    scene = look(drawn.image)
    told = circle_radius(scene, ~scene.dark)
    near, far = (dataclasses.replace(scene, red_radius=k * told) for k in (1.2, 3.0))
    assert circle_radius(near, ~scene.dark) == pytest.approx(told, rel=0.1)
    assert circle_radius(far, ~scene.dark) > 1.8 * told
    beyond = dataclasses.replace(scene, red_radius=10.0 * scene.density.shape[0])
    assert circle_radius(beyond, ~scene.dark) is None
