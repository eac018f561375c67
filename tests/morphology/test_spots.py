import numpy as np
import pytest

from hybridleuk.morphology import spots
from hybridleuk.morphology.region import Region

# A square of 100 px has an equivalent diameter of 113: squares of 5 % are 7 px, of 10 % 13 px,
# the smallest spot has 6 px, and the border is 5 px wide.
SIDE, CORE = 100, 90 * 90


def cytoplasm(paint, ground=150):
    green = np.full((SIDE, SIDE), ground, dtype=np.uint8)
    paint(green)
    image = np.repeat(green[:, :, None], 3, axis=2)
    return Region(np.ones((SIDE, SIDE), dtype=bool), image)


def squares(value, width, places):
    def paint(green):
        for y, x in places:
            green[y : y + width, x : x + width] = value

    return paint


PLACES = [(20, 20), (20, 60), (70, 35)]


def test_granules_are_counted_and_measured():
    region = cytoplasm(squares(60, 5, PLACES))
    assert spots.granule_count(region) == 3
    assert spots.granule_share(region) == pytest.approx(3 * 25 / CORE)
    assert spots.vacuole_count(region) == spots.vacuole_share(region) == 0


def test_vacuoles_are_counted_and_measured():
    region = cytoplasm(squares(250, 10, PLACES), ground=120)
    assert spots.vacuole_count(region) == 3
    assert spots.vacuole_share(region) == pytest.approx(3 * 100 / CORE)
    assert spots.granule_count(region) == spots.granule_share(region) == 0


def test_faint_wide_and_tiny_spots_do_not_count():
    faint = round(150 * 10**-0.14)
    assert spots.granule_share(cytoplasm(squares(faint, 5, PLACES))) == 0
    assert spots.granule_share(cytoplasm(squares(60, 9, PLACES))) == 0
    assert spots.vacuole_share(cytoplasm(squares(250, 20, PLACES))) == 0
    tiny = cytoplasm(squares(60, 2, PLACES))
    assert spots.granule_count(tiny) == 0
    assert spots.granule_share(tiny) == pytest.approx(3 * 4 / CORE)


def test_what_touches_the_border_does_not_count():
    assert spots.granule_share(cytoplasm(squares(60, 4, [(0, 30), (1, 70), (96, 50)]))) == 0


def test_spots_that_touch_at_a_corner_are_one():
    assert spots.granule_count(cytoplasm(squares(60, 3, [(20, 20), (23, 23)]))) == 1


def test_a_region_that_is_all_border_has_no_spots():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    ring = np.ones((60, 60), dtype=bool)
    ring[2:-2, 2:-2] = False
    for mask in (ring, np.zeros_like(ring)):
        for measure in (spots.granule_count, spots.granule_share, spots.vacuole_share):
            assert measure(Region(mask, image)) == 0
