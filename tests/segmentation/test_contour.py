import itertools

import numpy as np

from hybridleuk.segmentation.contour import _closed_path, star_outline, star_region


def votes_for(mask):
    return np.where(mask, 1.0, -1.0)


def disk(shape, center, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - center[0], x - center[1]) <= radius


def test_the_outline_of_a_disk_is_its_circle_also_from_off_center():
    mask = disk((101, 101), (50, 50), 30)
    outline = star_outline(votes_for(mask), (50, 50), 48.0)
    np.testing.assert_allclose(outline, 30, atol=1.2)
    outline = star_outline(votes_for(mask), (44, 55), 60.0, stiffness=0.05)
    region = star_region(outline, (44, 55), mask.shape)
    assert (region ^ mask).sum() < 0.05 * mask.sum()


def test_a_thin_hair_does_not_draw_the_outline_out():
    mask = disk((121, 121), (60, 60), 25)
    hair = mask.copy()
    hair[59:62, 60:] = True
    outline = star_outline(votes_for(hair), (60, 60), 55.0)
    assert outline.max() < 30


def test_the_closed_path_is_the_best_of_all_paths():
    gain = np.random.default_rng(2).normal(size=(5, 4))
    price = 0.3

    def worth(path):
        jumps = np.abs(np.diff([*path, path[0]]))
        total = sum(gain[k, c] for k, c in enumerate(path)) - price * (jumps**2).sum()
        return -np.inf if jumps.max() > 3 else total

    best = max(itertools.product(range(4), repeat=5), key=worth)
    np.testing.assert_array_equal(_closed_path(gain, price), best)
