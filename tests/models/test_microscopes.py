"""Views under other microscopes: in range, by the seed, and the cell stays what it is."""

import math

import pytest
import torch

from hybridleuk.models.microscopes import CELL_ALONE, OtherMicroscope

STILL = OtherMicroscope(
    field=(1.0, 1.0),
    rotation=0.0,
    shift=0.0,
    pixels=(1000.0, 1000.0),
    focus=0.0,
    **dict.fromkeys(("stain", "tint", "hue", "contrast", "lamp", "surroundings"), 0.0),
    noise=0.0,
    compressed=0.0,
)


def changed(**ranges):
    from dataclasses import replace

    return replace(STILL, **ranges)


def disc(n=6, side=64, radius=14.0, level=0.4, at=(0.0, 0.0)):
    places = torch.arange(side) - (side - 1) / 2
    inside = torch.hypot(places[:, None] - at[0], places[None, :] - at[1]) < radius
    light = torch.where(inside, level, 1.0).expand(n, 3, side, side).clone()
    return light, inside.float().expand(n, 1, side, side).clone(), torch.ones(n, 3)


def dark_area(light):
    return (light.mean(1) < 0.65).float().sum((1, 2))


@pytest.mark.parametrize("microscope", [OtherMicroscope(), CELL_ALONE])
def test_views_are_light_between_0_and_1_and_follow_the_seed(microscope):
    given = disc()
    torch.manual_seed(3)
    one = microscope(*given, side=48)
    torch.manual_seed(3)
    same = microscope(*given, side=48)
    other = microscope(*given, side=48)
    assert one.shape == (6, 3, 48, 48)
    assert one.isfinite().all()
    assert 0 <= one.min() <= one.max() <= 1
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert (one - other).abs().max() > 0.02


def test_nothing_changes_where_no_range_is_given():
    torch.manual_seed(0)
    light, cell, smear = disc()
    shown = STILL(light, cell, smear, side=64)
    # Mirroring has no range; a disc in the middle is its own mirror image.
    torch.testing.assert_close(shown, light, rtol=0, atol=2e-3)


def test_magnification_is_what_is_seen():
    torch.manual_seed(0)
    light, cell, smear = disc(n=1)
    shown = changed(field=(0.5, 0.5))(light, cell, smear, side=64)
    assert float(dark_area(shown)) == pytest.approx(4 * math.pi * 14**2, rel=0.04)


def test_more_stain_multiplies_the_density():
    torch.manual_seed(1)
    light, cell, smear = disc(n=200)
    shown = changed(stain=0.3)(light, cell, smear, side=64)
    offset = 4 / 255
    middle = torch.log((1 + offset) / (shown[:, 0, 32, 32] + offset))
    ratio = torch.log(middle / math.log((1 + offset) / (0.4 + offset)))
    assert float(ratio.std()) == pytest.approx(0.3, rel=0.2)
    torch.testing.assert_close(shown[:, :, 0, 0], light[:, :, 0, 0], rtol=0, atol=1e-3)


def test_other_surroundings_leave_the_cell_as_it_is():
    torch.manual_seed(0)
    light, cell, smear = disc(n=16)
    light[:, :, :10] = 0.5  # something else in the picture
    shown = changed(surroundings=1.0)(light, cell, smear, side=64)
    middle = (..., slice(28, 36), slice(28, 36))
    torch.testing.assert_close(shown[middle], light[middle], atol=1e-3, rtol=0)
    assert (shown[:, :, 2, 32] - 0.5).abs().max() > 0.2


def test_a_coarse_camera_loses_what_is_fine():
    torch.manual_seed(0)
    light = (torch.arange(64) % 2).float().expand(2, 3, 64, 64).clone()
    everywhere, smear = torch.ones(2, 1, 64, 64), torch.ones(2, 3)
    coarse = changed(pixels=(16.0, 16.0))(light, everywhere, smear, side=64)
    assert float(coarse.std()) < 0.1 * float(light.std())


def test_the_lamp_takes_the_place_of_the_color_of_the_smear():
    light, cell, smear = disc(n=1)
    yellow = torch.tensor([0.9, 0.8, 0.5]).view(1, 3, 1, 1)
    torch.manual_seed(0)
    one = STILL(light, cell, smear, side=64)
    torch.manual_seed(0)
    other = STILL(light * yellow, cell, smear * yellow.view(1, 3), side=64)
    torch.testing.assert_close(one, other, rtol=0, atol=0.02)
