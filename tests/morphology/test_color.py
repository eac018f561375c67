import colorsys

import numpy as np
import pytest
from scipy.stats import skew
from skimage.color import rgb2lab

from hybridleuk.morphology import color
from hybridleuk.morphology.region import CellRegions, Region


def painted(*colors):
    """Make a region of as many equal stripes as colors are given."""
    image = np.repeat(np.array(colors, dtype=np.uint8), 6, axis=0)[None].repeat(10, axis=0)
    return Region(np.ones(image.shape[:2], dtype=bool), image)


def channels_of(pixels):
    return dict(zip(color.PIXEL_CHANNELS, color.color_channels(pixels.T), strict=True))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (500, 3), dtype=np.uint8)


def test_hsv_agrees_with_the_standard_library(pixels):
    ours = channels_of(pixels)
    theirs = np.array([colorsys.rgb_to_hsv(*(pixel / 255.0)) for pixel in pixels])
    apart = (ours["hue"] - 360 * theirs[:, 0] + 180) % 360 - 180
    assert np.abs(apart).max() < 1e-4
    assert ours["hue"].min() >= 90
    assert ours["hue"].max() < 450
    np.testing.assert_allclose(ours["saturation"], theirs[:, 1], atol=1e-6)
    brightest = color.color_mean(Region(np.ones((20, 25)), pixels.reshape(20, 25, 3)), "value")
    assert brightest == pytest.approx(theirs[:, 2].mean())


def test_lab_agrees_with_scikit_image(pixels):
    ours = channels_of(pixels)
    theirs = rgb2lab(pixels[None])[0]
    np.testing.assert_allclose(
        np.stack([ours["lab_l"], ours["lab_a"], ours["lab_b"]], axis=1), theirs, atol=0.01
    )


def test_optical_density_is_absorbance():
    assert color.OPTICAL_DENSITY[[255, 0, 1]] == pytest.approx([0, np.log10(255), np.log10(255)])


def test_pure_stains_are_told_apart():
    density = 0.6 * color._STAINS
    azure, eosin = np.round(255 * 10**-density).astype(np.uint8)
    assert color.color_mean(painted(azure), "azure") == pytest.approx(0.6, abs=0.01)
    assert color.color_mean(painted(azure), "eosin") == pytest.approx(0, abs=0.01)
    assert color.basophilia(painted(azure)) == pytest.approx(1, abs=0.02)
    assert color.basophilia(painted(eosin)) == pytest.approx(0, abs=0.02)


def test_mean_spread_and_skewness_are_known():
    region = painted((100, 80, 200), (100, 80, 200), (130, 80, 200))
    assert color.color_mean(region, "red") == pytest.approx(110)
    assert color.color_std(region, "red") == pytest.approx(np.sqrt(200))
    assert color.color_std(region, "green") == 0
    # A value that a third of the pixels have: skewness 1/sqrt 2, and OD falls as brightness grows.
    assert color.color_skew(region, "od_red") == pytest.approx(-1 / np.sqrt(2))
    assert color.color_skew(region, "od_green") == 0


def values_of(pixels, channel):
    if channel in color.PIXEL_CHANNELS:
        return channels_of(pixels)[channel].astype(float)
    if channel == "value":
        return pixels.max(axis=1) / 255
    band = pixels[:, ("red", "green", "blue").index(channel.removeprefix("od_"))]
    return color.OPTICAL_DENSITY[band] if channel.startswith("od_") else band.astype(float)


@pytest.mark.parametrize("channel", color.CHANNELS)
def test_moments_are_those_of_the_pixels(pixels, channel):
    region = Region(np.ones((20, 25), dtype=bool), pixels.reshape(20, 25, 3))
    values = values_of(pixels, channel)
    assert color.color_mean(region, channel) == pytest.approx(values.mean(), rel=1e-9)
    assert color.color_std(region, channel) == pytest.approx(values.std(), rel=1e-9)
    if channel in color.SKEWED:
        assert color.color_skew(region, channel) == pytest.approx(skew(values), rel=1e-9)


def test_reds_on_both_sides_of_360_degrees_have_a_red_mean():
    region = painted((200, 40, 60), (200, 60, 40))
    assert color.color_mean(region, "hue") == pytest.approx(360)
    assert color.color_std(region, "hue") < 10


def test_percentiles_are_those_of_the_pixels():
    grey = np.arange(1, 101, dtype=np.uint8)
    image = np.repeat(grey[None, :, None], 3, axis=2)
    region = Region(np.ones((1, 100), dtype=bool), image)
    assert color.green_percentile(region, 5) == pytest.approx(np.log10(255 / 96))
    assert color.green_percentile(region, 50) == pytest.approx(np.log10(255 / 51))
    assert color.green_percentile(region, 95) == pytest.approx(np.log10(255 / 6))


def test_percentiles_of_the_eosin_part_agree_with_numpy(pixels):
    region = Region(np.ones((20, 25), dtype=bool), pixels.reshape(20, 25, 3))
    azure, eosin = color.color_channels(pixels.T)[-2:]
    expected = np.percentile(eosin / np.maximum(azure + eosin, 1e-6), 25)
    assert color.stain_percentile(region, 25) == pytest.approx(expected)


def test_parts_of_the_absorbance_add_up_to_one(drawn):
    region = Region(drawn[0], drawn[2])
    parts = [color.od_part(region, f"od_{name}") for name in ("red", "green", "blue")]
    assert sum(parts) == pytest.approx(1)
    assert max(parts) == parts[1]


def test_contrast_is_nucleus_minus_cytoplasm():
    image = np.full((10, 10, 3), 200, dtype=np.uint8)
    nucleus = np.zeros((10, 10), dtype=bool)
    nucleus[3:6, 3:6] = True
    image[nucleus] = 20
    regions = CellRegions(nucleus, ~nucleus, image, background=np.array([250.0] * 3))
    assert color.contrast(regions, "od_green") == pytest.approx(1)
    assert color.difference_lab(regions) == pytest.approx(abs(color.contrast(regions, "lab_l")))
    darker = color.contrast_to_background(regions, "green", part="nucleus")
    assert darker == pytest.approx(np.log10(250 / 20))


def test_only_pixels_of_the_region_count(drawn):
    nucleus, _, image = drawn
    changed = image.copy()
    changed[~nucleus] = 7
    before, after = Region(nucleus, image), Region(nucleus, changed)
    for channel in color.CHANNELS:
        assert color.color_mean(before, channel) == color.color_mean(after, channel)
