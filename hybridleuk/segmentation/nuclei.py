"""Which dark things are one nucleus: too small ones dropped, lobes joined, neighbours parted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.segmentation.masks import disk, fill_holes, grow, peel, window_of
from hybridleuk.segmentation.red_cells import best_circle
from hybridleuk.segmentation.scene import (
    WORK_PIXELS,
    Scene,
    red_cell_depth,
    red_cell_radius,
)

__all__ = ["RedCells", "nucleus_groups", "share_one_cell"]

BoolImage = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]

_SMALLEST_LOBE = 0.04
_NOTCH = 0.2
_PART_TO_RED_CELL = (0.65, 0.95, 1.45)
_NOTCHES = (0.8, 0.4, 0.2)
_WIDEST = 2.4
_ROUGH_TO_RIM = 1.15
_BODY_TO_RIM = 1.2
_HOLE = 0.1
_MARGIN = 0.2
_SMALLEST_TO_RED_CELL = 0.22
_HEAVY_TO_RED_CELL = 0.65
_LIGHTEST = 1.27
_LIGHT = 0.4
_SURE = 1.0


@dataclass(frozen=True)
class RedCells:
    """How large a red cell is: the yardstick of a scene, in its pixels.

    Attributes
    ----------
    area : float
        As the rims tell.
    least : float
        The least that rims or bodies tell: in a clump either may be far too large.
    sure : bool
        Whether the rims of several cells agree all around.
    """

    area: float
    least: float
    sure: bool


def nucleus_groups(scene: Scene) -> tuple[Labels, RedCells | None]:
    """Label the nuclei of leukocytes in a scene, all lobes of one nucleus alike.

    Returns
    -------
    groups : ndarray of shape (h, w), int32
        0 is no nucleus; labels are not in any order that matters.
    red_cells : RedCells or None
        None where none are seen.
    """
    parts = _parts(scene.dark)
    if parts.max() == 0:
        return parts, None
    seen = _red_cells(parts, scene)
    red = None if seen is None else seen.area
    return _large_enough(_joined(parts, scene, red), scene, red), seen


def _red_cells(parts: Labels, scene: Scene) -> RedCells | None:
    """Measure the red cells, if some fit beside the largest nucleus.

    That some are seen at all is told by their bodies, how large they are by their rims. Where the
    rims agree they are believed even beside a largest thing so small that it can be no nucleus.
    """
    largest = float(np.bincount(parts.ravel())[1:].max())
    away = ndi.distance_transform_edt(parts == 0) >= max(2.0, 0.3 * np.sqrt(largest))
    rough = red_cell_radius(scene, away, 0.5 * largest)
    if rough is None:
        return None
    radius, agreement = best_circle(scene, away) or (_ROUGH_TO_RIM * rough, 0.0)
    sure, ratio = agreement >= _SURE, radius / np.sqrt(largest / np.pi)
    if ratio <= 0.25 or (ratio >= 3.0 and not sure):
        return None
    least = min(radius, _BODY_TO_RIM * rough)
    return RedCells(float(np.pi * radius**2), float(np.pi * least**2), sure)


def _parts(dark: BoolImage) -> Labels:
    """Label the dark things; those made of several round bodies are cut at their necks."""
    labels, n = ndi.label(grow(peel(dark)), structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    parts = np.zeros(labels.shape, dtype=np.int32)
    if n == 0:
        return parts
    for k, box in enumerate(ndi.find_objects(labels), start=1):
        if areas[k - 1] >= max(6.0, _SMALLEST_LOBE * areas.max()):
            mask = fill_holes(np.pad(labels[box] == k, 1), _HOLE * areas[k - 1])[1:-1, 1:-1]
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
    once = _joined_once(parts, scene, red)
    return once if np.array_equal(once, parts) else _joined_once(once, scene, red)


def _joined_once(parts: Labels, scene: Scene, red: float | None) -> Labels:
    groups = np.zeros_like(parts)
    areas = np.bincount(parts.ravel())
    for part in np.argsort(-areas[1:], kind="stable") + 1:
        if areas[part] == 0:
            break
        groups[parts == part] = part
        near = _labels_near(groups, part)
        for other in near:
            if other != part and share_one_cell(groups, part, other, scene, red):
                groups[groups == other] = part
    return groups


def _labels_near(groups: Labels, part: int) -> npt.NDArray[np.int64]:
    """Labels so near to one that they could share a cell with it, all of them where it is large.

    Two groups no larger than the largest can only share a cell where their union is no wider than
    2.4 times the root of its area; what lies farther than that from this one need not be tried.
    """
    largest = float(np.bincount(groups.ravel())[1:].max())
    reach = int(_WIDEST * np.sqrt(2.0 * largest)) + 1
    rows, columns = window_of(groups == part)
    window = groups[
        max(0, rows.start - reach) : rows.stop + reach,
        max(0, columns.start - reach) : columns.stop + reach,
    ]
    near = np.bincount(window.ravel())
    near[0] = 0
    return np.flatnonzero(near)


def share_one_cell(groups: Labels, a: int, b: int, scene: Scene, red: float | None = None) -> bool:
    """Whether two parts are lobes of one nucleus: what lies between them is cell as well.

    The convex hull of two lobes of one cell is filled by the cell; that of two round neighbours has
    notches of background at its waist. How deep a notch is allowed depends on whether the parts
    could be nuclei of their own, beside red cells of area `red`. Parts farther apart than lobes of
    their size can be in one cell are not joined.
    """
    from skimage.morphology import convex_hull_image

    one, other = (window_of(groups == k) for k in (a, b))
    pad = int(_MARGIN * np.sqrt((groups == a).sum())) + 1
    window = tuple(
        slice(max(0, min(p.start, q.start) - pad), max(p.stop, q.stop) + pad)
        for p, q in zip(one, other, strict=True)
    )
    first, second = groups[window] == a, groups[window] == b
    union = first | second
    if _extent(union) > _WIDEST * np.sqrt(union.sum()):
        return False
    margin = disk(_MARGIN * np.sqrt(min(first.sum(), second.sum()) / np.pi))
    widened = ndi.binary_dilation(union, margin)
    between = convex_hull_image(widened, include_borders=False) & ~widened
    empty = between & (scene.contrast[window] < 0.7 * scene.foreground_level)
    least = min(first.sum(), second.sum())
    return bool(empty.sum() <= _notch_allowed(least, red) * least)


def _notch_allowed(least: float, red: float | None) -> float:
    """Share of the smaller part's area that may be empty between two lobes of one nucleus.

    Much where it is too small to be a nucleus of its own, little where it is large enough.
    """
    if red is None:
        return _NOTCH
    return float(np.interp(least / red, _PART_TO_RED_CELL, _NOTCHES))


def _extent(mask: BoolImage) -> float:
    """Largest distance between the outermost pixels in eight directions, in pixels."""
    y, x = np.nonzero(mask)
    diagonal = np.sqrt(0.5)
    return float(max(np.ptp(y), np.ptp(x), np.ptp(y + x) * diagonal, np.ptp(y - x) * diagonal)) + 1


def _large_enough(groups: Labels, scene: Scene, red: float | None) -> Labels:
    """Drop platelets, stain and dust: by size and depth beside red cells, or by the largest."""
    areas = np.bincount(groups.ravel())
    areas[0] = 0
    least = 0.25 * float(areas.max()) if red is None else _SMALLEST_TO_RED_CELL * red
    keep = areas >= max(least, 12.0, 0.0008 * min(groups.size, WORK_PIXELS))
    if red is not None:
        weights = {int(k): _weight(groups == k, scene, red) for k in np.flatnonzero(keep)}
        least = max(_LIGHTEST, _LIGHT * max(weights.values(), default=0.0))
        for k, weight in weights.items():
            keep[k] = weight >= least or areas[k] >= _HEAVY_TO_RED_CELL * red
    kept: Labels = np.where(keep[groups], groups, 0)
    return kept


def _weight(nucleus: BoolImage, scene: Scene, red: float) -> float:
    """Radius times depth of stain, both in units of a red cell.

    Under 1.5 for debris; about 3 for a large platelet and over 4 for the smallest nuclei in a
    picture of strong contrast, about half of that in a pale one.
    """
    green = scene.density[..., 1]
    core = peel(nucleus, 2)
    depth = np.median(green[core if core.sum() >= 5 else nucleus])
    return float(np.sqrt(nucleus.sum() / red) * depth / red_cell_depth(scene))
