import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours
from skimage.morphology import reconstruction

from hybridleuk.morphology.outline import (
    convex_hull,
    enclosed_area,
    find_edges,
    find_lobes,
    longest_outline,
)


def blobs(seed, smoothness):
    """Pieces, holes and corners that touch, as chance has it."""
    noise = np.random.default_rng(seed).random((40, 50))
    return np.pad(ndimage.gaussian_filter(noise, smoothness) > 0.5, 1)


MASKS = {
    **{f"blobs-{s}-{w}": blobs(s, w) for s in range(3) for w in (0.0, 0.7, 1.5, 4.0)},
    "pixel": np.pad([[True]], 1),
    "line": np.pad(np.ones((1, 9), dtype=bool), 1),
    "diagonal": np.pad(np.eye(6, dtype=bool), 1),
    "square": np.pad(np.ones((7, 7), dtype=bool), 1),
}
each_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def closed(points):
    return np.concatenate([points, points[:1]])


def length(points):
    return np.linalg.norm(np.diff(points, axis=0), axis=1).sum()


@each_mask
def test_the_outline_is_that_of_marching_squares(mask):
    contours = find_contours(mask.astype(float), 0.5)
    ours = longest_outline(find_edges(mask))
    assert enclosed_area(ours) == pytest.approx(max(map(enclosed_area, contours)))
    np.testing.assert_array_equal(ours[0], ours[-1])
    points = set(map(tuple, ours))
    same = [theirs for theirs in contours if set(map(tuple, theirs)) == points]
    assert length(same[0]) == pytest.approx(length(ours))


@each_mask
def test_the_hull_is_that_of_qhull(mask):
    inside = np.argwhere(mask)
    points = np.concatenate([inside + step for step in ((0, 0.5), (0, -0.5), (0.5, 0), (-0.5, 0))])
    theirs, ours = ConvexHull(points), convex_hull(find_edges(mask))
    assert enclosed_area(closed(ours)) == pytest.approx(theirs.volume)
    assert length(closed(ours)) == pytest.approx(theirs.area)
    assert len(np.unique(ours, axis=0)) == len(ours)


@each_mask
@pytest.mark.parametrize("part", [0.1, 0.2, 0.5])
def test_prominent_lobes_are_those_that_flooding_leaves(mask, part):
    depth = ndimage.distance_transform_edt(mask)
    prominence = part * depth.max()
    flooded = reconstruction(np.maximum(depth - prominence, 0), depth)
    labels, _ = ndimage.label(depth - flooded > 1e-9, np.ones((3, 3)))
    left = np.unique(labels[depth - flooded >= prominence - 1e-9])
    lobes = find_lobes(np.rint(depth**2).astype(np.int64))
    assert sum(lobe.depth - lobe.neck >= prominence - 1e-9 for lobe in lobes) == left.size
    pieces = ndimage.label(mask, np.ones((3, 3)))[1]
    assert sum(lobe.neck == 0 for lobe in lobes) == pieces


def test_the_neck_between_two_lobes_is_as_deep_as_their_bridge():
    mask = np.zeros((41, 80), dtype=bool)
    mask[5:36, 5:36] = mask[10:31, 50:71] = True
    mask[18:23, 30:60] = True
    lobes = find_lobes(np.rint(ndimage.distance_transform_edt(mask) ** 2).astype(np.int64))
    large, small = sorted(lobes, key=lambda lobe: lobe.neck - lobe.depth)[:2]
    assert (large.depth, large.neck) == (16, 0)
    assert (small.depth, small.neck) == (11, 3)
