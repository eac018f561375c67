import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from hybridleuk.morphology import texture
from hybridleuk.morphology.region import Region


def region_of(green):
    image = np.repeat(np.asarray(green, dtype=np.uint8)[:, :, None], 3, axis=2)
    return Region(np.ones(image.shape[:2], dtype=bool), image)


@pytest.fixture(scope="module")
def noise():
    return region_of(np.random.default_rng(3).integers(60, 180, (40, 56)))


def pairs_one_by_one(region, distance):
    """Count pairs in the four directions, pixel by pixel."""
    levels, (h, w) = region.shared(texture._levels), region.mask.shape
    counts = np.zeros((16, 16))
    for y, x in np.argwhere(region.mask):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            far = (y + distance * dy, x + distance * dx)
            if 0 <= far[0] < h and 0 <= far[1] < w and region.mask[far]:
                counts[levels[y, x], levels[far]] += 1
    return counts + counts.T


def test_cooccurrence_agrees_with_scikit_image(noise):
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    levels = noise.shared(texture._levels)
    theirs = graycomatrix(levels, [1], angles, levels=16, symmetric=True).sum(axis=(2, 3))
    np.testing.assert_allclose(texture.cooccurrence(noise, 1), theirs / theirs.sum())


@pytest.mark.parametrize("distance", [1, 3, 11, 70])
def test_cooccurrence_counts_pairs_within_the_region(drawn, noise, distance):
    nucleus, cytoplasm, image = drawn
    for region in (noise, Region(nucleus[::2, ::2], image[::2, ::2]), Region(cytoplasm, image)):
        expected = pairs_one_by_one(region, distance)
        ours = texture.cooccurrence(region, distance)
        np.testing.assert_allclose(ours * expected.sum(), expected, atol=1e-9)


def test_statistics_agree_with_scikit_image(noise):
    p = texture.cooccurrence(noise, 1)[:, :, None, None]
    for ours, theirs in (
        ("contrast", "contrast"),
        ("homogeneity", "homogeneity"),
        ("energy", "energy"),
        ("correlation", "correlation"),
        ("entropy", "entropy"),
    ):
        expected = graycoprops(p, theirs)[0, 0]
        expected /= np.log(2) if theirs == "entropy" else 1
        value = texture.cooccurrence_statistic(noise, ours, 0.0)
        assert value == pytest.approx(expected, rel=1e-6)


def test_pairs_that_leave_the_region_do_not_count():
    green = np.full((30, 30), 100, dtype=np.uint8)
    green[:, 15:] = 200
    image = np.repeat(green[:, :, None], 3, axis=2)
    left = np.zeros((30, 30), dtype=bool)
    left[:, :15] = True
    assert texture.cooccurrence_statistic(Region(left, image), "contrast", 0.0) == 0
    assert texture.cooccurrence_statistic(Region(left | True, image), "contrast", 0.0) > 0


def test_stripes_of_two_levels_have_known_statistics():
    stripes = region_of(np.tile([[50], [150]], (20, 40)))
    assert texture.cooccurrence_statistic(stripes, "energy", 0.0) == pytest.approx(
        np.sqrt((texture.cooccurrence(stripes, 1) ** 2).sum())
    )
    # Along the stripes nothing changes; across and aslant each pair spans all 15 levels.
    pairs = np.array([40 * 39, 39 * 40, 39 * 39, 39 * 39])
    expected = 225 * pairs[1:].sum() / pairs.sum()
    assert texture.cooccurrence_statistic(stripes, "contrast", 0.0) == pytest.approx(expected)


def test_cluster_shade_tells_rare_bright_from_rare_dark():
    green = np.full((40, 40), 120)
    green[::8, ::8] = 220
    bright = texture.cooccurrence_statistic(region_of(green), "cluster_shade", 0.0)
    dark = texture.cooccurrence_statistic(region_of(255 - green), "cluster_shade", 0.0)
    assert bright > 1
    assert dark == pytest.approx(-bright)


def patterns(region, radius=1):
    return [texture.local_binary_pattern(region, p, radius) for p in range(texture.LBP_PATTERNS)]


def test_binary_patterns_of_flat_edge_and_spot():
    assert patterns(region_of(np.full((20, 20), 90))) == [0] * 8 + [1, 0]
    ramp = patterns(region_of(np.tile(np.arange(20) * 5, (20, 1))))
    assert ramp[5] == 1  # three brighter, two equal, three darker
    spot = np.full((9, 9), 50)
    spot[4, 4] = 200
    assert patterns(region_of(spot))[0] == pytest.approx(1 / 49)


@pytest.mark.parametrize("radius", [1, 3])
def test_binary_patterns_share_the_region_among_them(noise, radius):
    assert sum(patterns(noise, radius)) == pytest.approx(1)


def test_dark_grains_are_found_at_their_size_only():
    green = np.full((80, 80), 200)
    for y in range(13, 63, 20):
        for x in range(13, 63, 20):
            green[y : y + 5, x : x + 5] = 100
    grains = region_of(green)
    density = np.log10(200 / 100) * 9 * 25 / 6400
    # The equivalent diameter is 90 px: squares of 10 % are 11 px, of 2 % 3 px.
    assert texture.granularity(grains, 0.1) == pytest.approx(density)
    assert texture.granularity(grains, 0.02) == pytest.approx(0)
    assert texture.vacuolation(grains, 0.1) == pytest.approx(0)


def test_bright_holes_are_vacuoles():
    green = np.full((80, 80), 100)
    green[20:24, 20:24] = 200
    holes = region_of(green)
    assert texture.vacuolation(holes, 0.1) == pytest.approx(np.log10(2) * 16 / 6400)
    assert texture.granularity(holes, 0.1) == pytest.approx(0)


def test_nothing_outside_of_the_region_is_a_grain(drawn):
    nucleus, _, image = drawn
    painted = image.copy()
    painted[~nucleus] = 0
    for name in ("granularity", "vacuolation"):
        function = getattr(texture, name)
        assert function(Region(nucleus, painted), 0.1) == function(Region(nucleus, image), 0.1)


def test_local_entropy_of_flat_and_of_two_levels():
    flat = region_of(np.full((40, 40), 80))
    assert texture.local_entropy_mean(flat) == 0
    board = region_of(np.indices((40, 40)).sum(axis=0) % 2 * 100 + 50)
    assert texture.local_entropy_mean(board) == pytest.approx(1, abs=0.05)
    assert texture.local_entropy_std(board) < 0.05


@pytest.mark.parametrize("reach", [1, 7, 8, 9])
def test_local_entropy_counts_what_lies_in_the_window(noise, reach):
    levels = noise.shared(texture._levels)
    y, x = 20, 30
    window = levels[y - reach : y + reach + 1, x - reach : x + reach + 1] // 2
    place = np.array([y * levels.shape[1] + x])
    counts = texture._level_counts(levels, reach, place)
    np.testing.assert_array_equal(counts[0], np.bincount(window.ravel(), minlength=8))


@pytest.mark.parametrize("reach", [7, 8, 127])
def test_a_window_of_one_level_is_counted_in_full(reach):
    side = 2 * reach + 1
    levels = np.full((side, side), 5, dtype=np.uint8)
    counts = texture._level_counts(levels, reach, np.array([reach * side + reach]))
    assert counts.tolist() == [[0, 0, side * side, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("radius", [1, 3])
def test_binary_patterns_are_counted_within_the_region(drawn, radius):
    nucleus, _, image = drawn
    region = Region(nucleus, image)
    ring = radius * np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
    mask, green = (np.pad(part, 3).astype(int) for part in (region.mask, region.green))
    expected = np.zeros(texture.LBP_PATTERNS)
    for y, x in np.argwhere(mask):
        around = [(y + dy, x + dx) for dy, dx in ring]
        if all(mask[place] for place in around):
            bits = [int(green[place] >= green[y, x]) for place in around]
            changes = sum(bits[i] != bits[i - 1] for i in range(8))
            expected[sum(bits) if changes <= 2 else 9] += 1
    assert patterns(region, radius) == pytest.approx(expected / expected.sum())


def test_edge_strength_of_a_ramp_of_absorbance():
    steps = np.round(255 * 10 ** (-0.02 * np.arange(40))).astype(np.uint8)
    ramp = region_of(np.tile(steps, (40, 1)))
    # One of the two directions climbs 0.02 a pixel; the radius is 40/sqrt pi.
    assert texture.edge_strength(ramp) == pytest.approx(0.01 * 40 / np.sqrt(np.pi), rel=0.01)
