"""What the baselines see, on pictures drawn so that it is known."""

import numpy as np
import pytest

from hybridleuk import find_cells
from hybridleuk.data.artificial import draw_cell
from hybridleuk.evaluation.shortcut_measures import background_only, cell_only, region_statistics
from hybridleuk.evaluation.shortcuts import SHORTCUTS, shortcut_features, shortcut_named


@pytest.fixture(scope="module")
def drawn():
    return draw_cell("neutrophil", random_state=3).image


@pytest.fixture(scope="module")
def cells(drawn):
    return find_cells(drawn)


def test_region_statistics_are_those_of_the_region():
    image = np.full((12, 12, 3), 200, np.uint8)
    image[:, ::2] = 190  # columns alternate: 10 levels one pixel across, none down, none 2 apart
    image[3:6, 3:6] = 0
    mask = np.ones((12, 12), bool)
    mask[3:6, 3:6] = False
    found = region_statistics(image, mask)
    assert found[:9].tolist() == [190] * 3 + [190] * 3 + [200] * 3 or found[3] in (190, 195, 200)
    assert 0 < found[12] < 10
    assert found[15:21].tolist() == [0] * 6
    assert found[9] == pytest.approx(np.std(image[mask][:, 0]))


def test_an_empty_region_gives_zeros():
    nothing = region_statistics(np.full((20, 20, 3), 9, np.uint8), np.zeros((20, 20), bool))
    assert nothing.tolist() == [0] * 21


def test_background_only_does_not_see_the_cell(drawn, cells):
    changed = drawn.copy()
    changed[cells.instances > 0] = (10, 200, 30)
    np.testing.assert_array_equal(background_only(changed, cells), background_only(drawn, cells))
    darker = drawn.copy()
    darker[cells.instances == 0] //= 2
    assert not np.allclose(background_only(darker, cells), background_only(drawn, cells))


def test_cell_only_does_not_see_the_background(drawn, cells):
    alone, n_soft = cell_only(drawn, cells), 24
    changed = drawn.copy()
    changed[cells.instances == 0] = 0
    again = cell_only(changed, cells)
    np.testing.assert_array_equal(again[:n_soft], alone[:n_soft])
    # The soft edge mixes in a trace of the ground.
    np.testing.assert_allclose(again[n_soft:], alone[n_soft:], atol=12)


def test_without_a_cell_the_dark_is_taken_for_it():
    image = np.full((96, 96, 3), 230, np.uint8)
    nothing = find_cells(image)
    assert len(nothing) == 0
    assert cell_only(image, nothing).tolist() == [0] * 216
    y, x = np.mgrid[:96, :96] - 48
    image[np.hypot(y, x) < 12] = (90, 50, 140)
    assert background_only(image, nothing)[:9].tolist() == [230] * 9


def test_every_shortcut_is_described_and_measured(drawn):
    features = shortcut_features([drawn, drawn[::-1]], cache=None)
    assert tuple(features) == SHORTCUTS
    for name, values in features.items():
        assert len(values) == 2
        assert np.isfinite(values).all()
        assert shortcut_named(name).description.endswith(".")
    assert [n for n in SHORTCUTS if shortcut_named(n).kind == "contrast"] == [
        "file size",
        "cell only",
    ]
