import numpy as np
import pytest

from hybridleuk.morphology import zones
from hybridleuk.morphology.region import CellRegions, Region


def square(start, stop, size=100):
    mask = np.zeros((size, size), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def painted(*layers):
    image = np.full((100, 100, 3), 240, dtype=np.uint8)
    for mask, grey in layers:
        image[mask] = grey
    return image


def test_a_nucleus_within_cytoplasm_is_not_exposed():
    nucleus, cell = square(40, 60), square(20, 80)
    assert zones.nucleus_exposed(CellRegions(nucleus, cell & ~nucleus)) == 0


def test_a_nucleus_without_cytoplasm_is_all_exposed():
    nucleus = square(40, 60)
    assert zones.nucleus_exposed(CellRegions(nucleus, np.zeros_like(nucleus))) == 1


def test_a_nucleus_at_the_surface_is_exposed_there():
    nucleus, cell = square(20, 60), square(20, 80)
    assert zones.nucleus_exposed(CellRegions(nucleus, cell & ~nucleus)) == 0.5


def test_holes_of_the_nucleus_that_hold_no_cytoplasm_are_exposed():
    nucleus, cell = square(40, 60), square(20, 80)
    nucleus[50, 50] = False
    cell[50, 50] = False
    assert zones.nucleus_exposed(CellRegions(nucleus, cell & ~nucleus)) == 4 / 84


def test_a_dark_rim_of_the_nucleus_is_measured():
    # 40 px wide: the outer half of the depth is 10 px.
    image = painted((square(30, 70), 50), (square(40, 60), 100))
    assert zones.rim_contrast(Region(square(30, 70), image)) == pytest.approx(np.log10(2))
    image = painted((square(30, 70), 50))
    assert zones.rim_contrast(Region(square(30, 70), image)) == 0
    assert zones.rim_contrast(Region(square(30, 31), image)) == 0


def test_a_pale_zone_at_the_nucleus_is_measured():
    nucleus, cell = square(40, 60), square(10, 90)
    # The cell's diameter is 90 px: the zone reaches 9 px to each side.
    image = painted((cell, 100), (square(31, 69), 200), (nucleus, 30))
    regions = CellRegions(nucleus, cell & ~nucleus, image)
    assert zones.perinuclear_pallor(regions) == pytest.approx(np.log10(2))
    image = painted((cell, 200), (square(31, 69), 100), (nucleus, 30))
    regions = CellRegions(nucleus, cell & ~nucleus, image)
    assert zones.perinuclear_pallor(regions) == pytest.approx(-np.log10(2))


def test_a_cell_without_nucleus_or_cytoplasm_has_no_pallor():
    nothing, something = np.zeros((100, 100), dtype=bool), square(10, 90)
    image = painted((something, 100))
    assert zones.perinuclear_pallor(CellRegions(nothing, something, image)) == 0
    assert zones.perinuclear_pallor(CellRegions(something, nothing, image)) == 0
    thin = square(9, 91) & ~something
    assert zones.perinuclear_pallor(CellRegions(something, thin, image)) == 0
    assert zones.nucleus_exposed(CellRegions(nothing, something, image)) == 0
