import itertools

import numpy as np
import pytest
from skimage.measure import regionprops

from hybridleuk.morphology import shape
from hybridleuk.morphology.region import CellRegions, Region


def rectangle(height, width, size=100):
    mask = np.zeros((size, size), dtype=bool)
    mask[7 : 7 + height, 11 : 11 + width] = True
    return Region(mask)


def lobed(centers, radius=12, neck=3, size=120):
    """Draw disks joined one to the next by straight necks."""
    y, x = np.indices((size, size))
    mask = np.zeros((size, size), dtype=bool)
    for cy, cx in centers:
        mask |= np.hypot(y - cy, x - cx) < radius
    for (ay, ax), (by, bx) in itertools.pairwise(centers):
        for t in np.linspace(0, 1, 80):
            mask |= np.hypot(y - ay - t * (by - ay), x - ax - t * (bx - ax)) < neck
    return Region(mask)


DISK = {
    "area": (np.pi * 50.2**2, 0.005),
    "perimeter": (2 * np.pi * 50.2, 0.01),
    "equivalent_diameter": (100.4, 0.005),
    "major_axis": (100.4, 0.005),
    "minor_axis": (100.4, 0.005),
    "feret_max": (100.4, 0.02),
    "feret_min": (100.4, 0.02),
    "feret_ratio": (1, 0.03),
    "circularity": (1, 0.02),
    "solidity": (1, 0.01),
    "convexity": (1, 0.01),
    "elliptic_extent": (1, 0.005),
    "inscribed_ratio": (1, 0.02),
    "thickness_mean": (1, 0.02),
    "lobe_count": (1, 0),
    "parts": (1, 0),
}


@pytest.mark.parametrize(("name", "expected"), DISK.items(), ids=DISK)
def test_a_disk_has_known_values(disk, name, expected):
    value, tolerance = expected
    assert getattr(shape, name)(Region(disk)) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("name", ["eccentricity", "indentation", "roughness"])
def test_a_disk_has_neither_length_nor_dent_nor_roughness(disk, name):
    assert getattr(shape, name)(Region(disk)) < 0.01


def test_hu_moments_of_a_disk_are_known(disk):
    first = np.log10(1 + 1 / (2 * np.pi) / 1e-5)
    assert shape.hu_moment(Region(disk), 1) == pytest.approx(first, rel=0.001)
    assert [shape.hu_moment(Region(disk), order) for order in range(2, 8)] == pytest.approx(
        [0] * 6, abs=1e-3
    )


def test_a_rectangle_has_known_values():
    region = rectangle(40, 20)
    assert shape.area(region) == 800
    assert shape.eccentricity(region) == pytest.approx(np.sqrt(0.75), rel=0.001)
    assert shape.feret_max(region) == pytest.approx(np.hypot(40, 20), rel=0.02)
    assert shape.feret_min(region) == pytest.approx(20)
    assert shape.solidity(region) == pytest.approx(1)
    assert shape.inscribed_ratio(region) == pytest.approx(10 / np.sqrt(800 / np.pi), rel=0.05)
    # Hu's first moment of a rectangle: (h^2 + w^2) / (12 h w).
    assert shape.hu_moment(region, 1) == pytest.approx(
        np.log10(1 + (40**2 + 20**2) / (12 * 800) / 1e-5), rel=0.001
    )


def test_moments_agree_with_regionprops(drawn):
    nucleus, _, _ = drawn
    theirs, ours = regionprops(nucleus.astype(np.uint8))[0], Region(nucleus)
    assert ours.area == theirs.area
    # Pixels here are squares, as in MATLAB; there they are points, without the 1/12 of a square.
    major, minor = np.sqrt(16 * (np.array(theirs.inertia_tensor_eigvals) + 1 / 12))
    assert shape.major_axis(ours) == pytest.approx(major, rel=1e-9)
    assert shape.minor_axis(ours) == pytest.approx(minor, rel=1e-9)
    assert shape.eccentricity(ours) == pytest.approx(theirs.eccentricity, rel=1e-3)
    assert shape.perimeter(ours) == pytest.approx(theirs.perimeter_crofton, rel=0.01)
    assert shape.solidity(ours) == pytest.approx(theirs.solidity, rel=0.02)
    assert shape.feret_max(ours) == pytest.approx(theirs.feret_diameter_max, rel=0.02)
    hu = np.abs(theirs.moments_hu)
    assert [abs(shape.hu_moment(ours, i)) for i in range(1, 8)] == pytest.approx(
        np.log10(1 + hu / 1e-5), rel=0.01, abs=1e-3
    )


@pytest.mark.parametrize("lobes", [1, 2, 3, 4, 5])
def test_lobes_joined_by_necks_are_counted(lobes):
    angles = np.linspace(0, 1.6 * np.pi, lobes, endpoint=False)
    centers = [(60 + 38 * np.sin(a), 60 + 38 * np.cos(a)) for a in angles]
    region = lobed(centers)
    assert shape.lobe_count(region) == lobes
    assert shape.parts(region) == 1


@pytest.mark.parametrize("neck", [2, 5, 8])
def test_the_waist_of_two_lobes_is_their_bridge_over_the_lesser(neck):
    mask = np.zeros((60, 120), dtype=bool)
    mask[10:50, 10:50] = mask[15:45, 70:100] = True
    mask[30 - neck : 30 + neck, 40:80] = True
    # The lesser square is 30 px wide, and so 15 deep.
    assert shape.waist(Region(mask)) == pytest.approx((neck - 0.5) / 14.5)


def test_the_waist_of_one_lobe_is_1_and_of_pieces_0(disk):
    assert shape.waist(Region(disk)) == 1
    assert shape.waist(lobed([(30, 30), (80, 80)], neck=0)) == 0
    three = lobed([(20, 20), (60, 60), (100, 100)])
    assert 0 < shape.waist(three) < 0.3


def test_lobes_of_separate_pieces_are_counted_and_specks_are_not():
    region = lobed([(30, 30), (80, 80)], neck=0)
    assert (shape.lobe_count(region), shape.parts(region)) == (2, 2)
    mask = np.zeros((120, 120), dtype=bool)
    mask[20:60, 20:60] = True
    mask[100:102, 100:102] = True
    assert shape.lobe_count(Region(mask)) == 1


def test_a_dent_of_known_depth_is_measured():
    mask = np.zeros((80, 80), dtype=bool)
    mask[10:70, 10:70] = True
    mask[10:40, 38:42] = False
    expected = 30 / (2 * np.sqrt(mask.sum() / np.pi))
    assert shape.indentation(Region(mask)) == pytest.approx(expected, rel=0.02)
    assert shape.convexity(Region(mask)) < 0.85


def test_a_cogged_outline_is_rougher_than_a_smooth_one(disk):
    y, x = np.indices(disk.shape) - 60
    angle = np.arctan2(y, x)
    cogged = np.hypot(y, x) < 48 + 3 * np.sin(14 * angle)
    # The RMS of a sine of amplitude 3 px is 3/sqrt 2.
    assert shape.roughness(Region(cogged)) == pytest.approx(3 / np.sqrt(2) / 48, rel=0.1)
    assert shape.roughness(Region(disk)) < 0.005


def test_harmonics_of_a_circle_and_of_three_lobes(disk):
    assert Region(disk).harmonics[0] == pytest.approx(50.2**2, rel=0.02)
    y, x = np.indices((200, 200)) - 100
    three_lobed = Region(np.hypot(y, x) < 60 + 12 * np.sin(3 * np.arctan2(y, x)))
    amplitudes = [shape.harmonic(three_lobed, order) for order in range(2, 7)]
    # A wave of three on the radius is a wave of two and one of four on the coordinates.
    assert np.argmax(amplitudes) == 0
    assert amplitudes[0] > 0.05
    assert max(shape.harmonic(Region(disk), order) for order in range(2, 7)) < 0.005


def test_ratio_and_place_of_the_nucleus_are_known():
    nucleus, cell = np.zeros((2, 100, 100), dtype=bool)
    cell[10:90, 10:90] = True
    nucleus[10:50, 10:90] = True
    regions = CellRegions(nucleus, cell & ~nucleus)
    assert shape.nc_ratio_cell(regions) == 0.5
    assert shape.nc_ratio_cytoplasm(regions) == 1.0
    assert shape.nucleus_offset(regions) == pytest.approx(20 / np.sqrt(6400 / np.pi))
    assert 0 < shape.cytoplasm_thickness(regions) < 0.5


def test_a_cell_without_cytoplasm_has_the_largest_ratio():
    nucleus = np.ones((20, 20), dtype=bool)
    regions = CellRegions(nucleus, np.zeros_like(nucleus))
    assert shape.nc_ratio_cell(regions) == 1.0
    assert shape.nc_ratio_cytoplasm(regions) == shape.LARGEST_NC_RATIO
    assert shape.cytoplasm_thickness(regions) == 0.0


def test_a_feature_of_color_asks_for_the_image(disk):
    with pytest.raises(ValueError, match="needs the image"):
        _ = Region(disk).bands
