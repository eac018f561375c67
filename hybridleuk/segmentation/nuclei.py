"""Which dark things are one nucleus: too small ones dropped, lobes joined, neighbours parted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.segmentation.masks import fill_holes
from hybridleuk.segmentation.scene import Scene, red_cell_radius

__all__ = ["nucleus_groups", "share_one_cell"]

BoolImage = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

_SMALLEST_LOBE = 0.04
_NOTCH = 0.2
_DEEP_NOTCH = 0.6
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
    red = _red_cell_area(parts, scene)
    return _large_enough(_joined(parts, scene, red), red)


def _red_cell_area(parts: Labels, scene: Scene) -> float | None:
    """Area of a red cell, if some are seen that are not absurd beside the largest nucleus."""
    largest = float(np.bincount(parts.ravel())[1:].max())
    around = ndi.distance_transform_edt(parts == 0) < max(2.0, 0.3 * np.sqrt(largest))
    radius = red_cell_radius(scene, ~around, 0.5 * largest)
    if radius is None or not 0.25 < radius / np.sqrt(largest / np.pi) < 3.0:
        return None
    return float(np.pi * radius**2)


def _parts(dark: BoolImage) -> Labels:
    """Label the dark things; those made of several round bodies are cut at their necks."""
    solid = fill_holes(ndi.binary_opening(dark))
    labels, n = ndi.label(solid, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    parts = np.zeros(labels.shape, dtype=np.int32)
    if n == 0:
        return parts
    for k, box in enumerate(ndi.find_objects(labels), start=1):
        if areas[k - 1] >= max(6.0, _SMALLEST_LOBE * areas.max()):
            mask = labels[box] == k
            parts[box][mask] = _cut_at_necks(mask)[mask] + parts.max()
    return parts


def _cut_at_necks(mask: BoolImage) -> Labels:
    """Label the bodies of one thing that are left when 0.6 of its greatest depth is peeled off."""
    from skimage.segmentation import watershed

    padded = np.pad(mask, 3)
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(padded), 1.0)
    cores, n = ndi.label(depth > 0.6 * depth.max(), structure=np.ones((3, 3)))
    if n <= 1:
        return mask.astype(np.int32)
    cut: Labels = watershed(-depth, cores, mask=padded)[3:-3, 3:-3].astype(np.int32)
    return cut


def _joined(parts: Labels, scene: Scene, red: float | None) -> Labels:
    """Give parts that lie in one cell the same label.

    From the largest part down, each is held against every nucleus so far, and joins all those
    with which it can share a cell; once more with the nuclei that came out of it.
    """
    groups = parts
    for _ in range(2):
        groups = _joined_once(groups, scene, red)
    return groups


def _joined_once(parts: Labels, scene: Scene, red: float | None) -> Labels:
    groups = np.zeros_like(parts)
    areas = np.bincount(parts.ravel())
    for part in np.argsort(-areas[1:], kind="stable") + 1:
        if areas[part] == 0:
            break
        groups[parts == part] = part
        for other in np.flatnonzero(np.bincount(groups.ravel()))[1:]:
            if other != part and share_one_cell(groups, part, other, scene, red):
                groups[groups == other] = part
    return groups


def share_one_cell(groups: Labels, a: int, b: int, scene: Scene, red: float | None = None) -> bool:
    """Whether two parts are lobes of one nucleus: what lies between them is cell as well.

    The convex hull of two lobes of one cell is filled by the cell; that of two round neighbours has
    notches of background at its waist. Parts too small to be a nucleus of their own, beside red
    cells of area `red`, may have deeper notches between them. Parts farther apart than lobes of
    their size can be in one cell are not joined.
    """
    from skimage.morphology import convex_hull_image

    one, other = (ndi.find_objects((groups == k).astype(np.uint8))[0] for k in (a, b))
    window = tuple(
        slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(one, other, strict=True)
    )
    first, second = groups[window] == a, groups[window] == b
    union = first | second
    if _extent(union) > _WIDEST * np.sqrt(union.sum()):
        return False
    between = convex_hull_image(union, include_borders=False) & ~union
    empty = between & (scene.contrast[window] < 0.7 * scene.foreground_level)
    least = min(first.sum(), second.sum())
    notch = _DEEP_NOTCH if red is not None and least < 0.9 * red else _NOTCH
    return bool(empty.sum() <= notch * least)


def _extent(mask: BoolImage) -> float:
    """Largest distance between the outermost pixels in eight directions, in pixels."""
    y, x = np.nonzero(mask)
    diagonal = np.sqrt(0.5)
    return float(max(np.ptp(y), np.ptp(x), np.ptp(y + x) * diagonal, np.ptp(y - x) * diagonal)) + 1


def _large_enough(groups: Labels, red: float | None) -> Labels:
    """Drop platelets, stain and dust: by the red cells' size, or by the largest nucleus."""
    areas = np.bincount(groups.ravel())
    areas[0] = 0
    least = 0.25 * float(areas.max()) if red is None else 0.36 * red
    kept: Labels = np.where(areas[groups] >= max(least, 12.0, 0.0008 * groups.size), groups, 0)
    return kept
