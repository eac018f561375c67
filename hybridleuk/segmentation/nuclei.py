"""Which dark things are one nucleus: too small ones dropped, lobes joined, neighbours parted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.segmentation.scene import Scene, red_cell_radius

__all__ = ["nucleus_groups", "share_one_cell"]

BoolImage = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

_SMALLEST_LOBE = 0.04
_NOTCH = 0.2
_WIDEST = 2.4


def nucleus_groups(scene: Scene) -> Labels:
    """Label the nuclei of leukocytes in a scene, all lobes of one nucleus alike.

    Returns
    -------
    ndarray of shape (h, w), int32
        0 is no nucleus; labels are not in any order that matters.
    """
    parts = _parts(scene.dark)
    if parts.max() == 0:
        return parts
    groups = _joined(parts, scene)
    return _large_enough(groups, scene)


def _parts(dark: BoolImage) -> Labels:
    """Label the dark things; those made of several round bodies are cut at their necks."""
    from skimage.segmentation import watershed

    solid = ndi.binary_fill_holes(ndi.binary_opening(dark))
    labels, n = ndi.label(solid, structure=np.ones((3, 3)))
    if n == 0:
        return labels.astype(np.int32)
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(solid), 1.0)
    depth[~solid] = 0.0
    markers = _cores(depth, labels, n)
    return watershed(-depth, markers, mask=solid).astype(np.int32)


def _cores(depth: npt.NDArray[Any], labels: Labels, n: int) -> Labels:
    """Label what is left of each thing when a third of its greatest depth is peeled off."""
    deepest = np.concatenate([[0.0], ndi.maximum(depth, labels, np.arange(1, n + 1))])
    cores, _ = ndi.label(depth > 0.6 * deepest[labels], structure=np.ones((3, 3)))
    return cores.astype(np.int32)


def _joined(parts: Labels, scene: Scene) -> Labels:
    """Give parts that lie in one cell the same label."""
    n = int(parts.max())
    areas = np.bincount(parts.ravel(), minlength=n + 1)
    boxes = ndi.find_objects(parts)
    order = [k for k in np.argsort(-areas[1:], kind="stable") + 1 if areas[k] > 0]
    root = np.arange(n + 1)
    keep = max(_SMALLEST_LOBE * areas[1:].max(), 6)
    for i, a in enumerate(order):
        for b in order[:i]:
            if areas[a] < keep or not _near(boxes[a - 1], boxes[b - 1], areas[a], areas[b]):
                continue
            if share_one_cell(parts, a, b, boxes, scene):
                root[root == root[a]] = root[b]
    return root[parts].astype(np.int32)


def _near(one: tuple[slice, ...], other: tuple[slice, ...], area: float, other_area: float) -> bool:
    gaps = [max(p.start - q.stop, q.start - p.stop, 0) for p, q in zip(one, other, strict=True)]
    return float(np.hypot(*gaps)) <= 0.6 * float(np.sqrt(max(area, other_area)))


def share_one_cell(parts: Labels, a: int, b: int, boxes: Any, scene: Scene) -> bool:
    """Whether two parts are lobes of one nucleus: what lies between them is cell as well.

    The convex hull of two lobes of one cell, widened a little, is filled by the cell; that of two
    round neighbours has notches of background or of red cells at its waist.
    """
    from skimage.morphology import convex_hull_image

    pad = int(0.3 * np.sqrt(np.sum([(parts == k).sum() for k in (a, b)]))) + 2
    one, other = boxes[a - 1], boxes[b - 1]
    window = tuple(
        slice(max(0, min(p.start, q.start) - pad), max(p.stop, q.stop) + pad)
        for p, q in zip(one, other, strict=True)
    )
    first, second = parts[window] == a, parts[window] == b
    union = first | second
    if _extent(union) > _WIDEST * np.sqrt(union.sum()):
        return False
    between = convex_hull_image(union, include_borders=False) & ~union
    if not between.any():
        return True
    cell = scene.foreground[window]
    return bool((between & ~cell).sum() <= _NOTCH * min(first.sum(), second.sum()))


def _extent(mask: BoolImage) -> float:
    """Largest distance between the outermost pixels in eight directions, in pixels."""
    y, x = np.nonzero(mask)
    diagonal = np.sqrt(0.5)
    return float(max(np.ptp(y), np.ptp(x), np.ptp(y + x) * diagonal, np.ptp(y - x) * diagonal)) + 1


def _large_enough(groups: Labels, scene: Scene) -> Labels:
    """Drop platelets, stain and dust: by the red cells' size, or by the largest nucleus."""
    areas = np.bincount(groups.ravel())
    areas[0] = 0
    least = max(0.25 * float(areas.max()), 12.0, 0.0008 * groups.size)
    around = ndi.binary_dilation(groups > 0, iterations=max(2, int(0.3 * np.sqrt(areas.max()))))
    red = red_cell_radius(scene, ~around)
    if red is not None and 0.3 < red / np.sqrt(areas.max() / np.pi) < 2.0:
        least = max(0.3 * np.pi * red**2, 12.0)
    kept: Labels = np.where(areas[groups] >= least, groups, 0)
    return kept
