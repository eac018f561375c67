"""The size of red cells, told from fields in which they touch, overlap and are pale within."""

import dataclasses

import numpy as np
import pytest

from hybridleuk.data.artificial import draw_field, draw_patient
from hybridleuk.segmentation.red_cells import circle_radius, look_closely
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
