"""Leukocytes painted out of an image, or put on another ground.

Used to ask whether a classifier reads cells or what lies around them
(:mod:`hybridleuk.evaluation.counterfactuals`, :mod:`hybridleuk.evaluation.shortcuts`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import grow
from hybridleuk.segmentation.records import Cells
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.scene import look
from hybridleuk.segmentation.stain import estimate_background

__all__ = ["cells_mask", "empty_ground", "paint_out", "put_on"]

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_MARGIN = 0.015  # of the shorter side, so that no halo of a cell stays behind
_SOFTNESS = 0.8  # px
_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))


def cells_mask(image: RGBImage, cells: Cells) -> Mask:
    """Mark all leukocytes with a narrow margin.

    Where none was found, everything stained like a nucleus is marked, so that a cell that was
    missed, or a platelet that the image is about, does not count as background.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cells : Cells
        What :func:`~hybridleuk.segmentation.cells.find_cells` found in it.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    height, width = image.shape[:2]
    mask = cells.instances > 0
    if not len(cells):
        mask = resample(look(image).dark, (height, width)) >= 0.5
    return grow(mask, max(1, round(_MARGIN * min(height, width))))


def paint_out(image: RGBImage, mask: Mask) -> RGBImage:
    """Fill each masked part with what lies beside it, as if the smear went on there.

    Of the eight neighbouring places of the same size the one is copied of which most is inside of
    the image and outside of the mask; what that leaves open is mirrored at the mask's outline, or
    takes the nearest pixel. An image that is masked throughout comes back as it is.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    mask : ndarray of shape (H, W), bool

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.segmentation.painting import paint_out
    >>> image = np.full((20, 20, 3), 230, np.uint8); image[8:12, 8:12] = 60
    >>> bool((paint_out(image, image[..., 0] == 60) == 230).all())
    True
    """
    painted = image.copy()
    if not mask.any() or mask.all():
        return painted
    still = mask.copy()
    labels, _ = ndi.label(mask)
    for number, (rows, columns) in enumerate(ndi.find_objects(labels), start=1):
        y, x = np.nonzero(labels[rows, columns] == number)
        y, x = y + rows.start, x + columns.start
        extent = rows.stop - rows.start, columns.stop - columns.start
        places = [_beside(mask, y + dy * extent[0], x + dx * extent[1]) for dy, dx in _AROUND]
        from_y, from_x, sound = max(places, key=lambda place: int(place[2].sum()))
        painted[y[sound], x[sound]] = image[from_y[sound], from_x[sound]]
        still[y[sound], x[sound]] = False
    return _mirrored(painted, still) if still.any() else painted


def _beside(mask: Mask, y: Places, x: Places) -> tuple[Places, Places, Mask]:
    """Tell which places lie in the image and outside of the mask."""
    height, width = mask.shape
    sound = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    sound[sound] = ~mask[y[sound], x[sound]]
    return y, x, sound


def _mirrored(image: RGBImage, mask: Mask) -> RGBImage:
    """Fill a mask with its surroundings, mirrored at its outline where that is possible."""
    nearest = ndi.distance_transform_edt(mask, return_distances=False, return_indices=True)
    y, x = np.nonzero(mask)
    near_y, near_x = nearest[0][y, x], nearest[1][y, x]
    far_y = np.clip(2 * near_y - y, 0, mask.shape[0] - 1)
    far_x = np.clip(2 * near_x - x, 0, mask.shape[1] - 1)
    inside = mask[far_y, far_x]
    painted = image.copy()
    painted[y, x] = image[np.where(inside, near_y, far_y), np.where(inside, near_x, far_x)]
    return painted


def put_on(image: RGBImage, mask: Mask, ground: RGBImage) -> RGBImage:
    """Put the masked part of an image on another ground, without a hard edge.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    mask : ndarray of shape (H, W), bool
    ground : ndarray of shape (h, w, 3), uint8
        Resized to the image where it is of another size.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    height, width = mask.shape
    if ground.shape[:2] != (height, width):
        resized = Image.fromarray(ground).resize((width, height), Image.Resampling.BILINEAR)
        ground = np.asarray(resized)
    share = ndi.gaussian_filter(mask.astype(np.float32), _SOFTNESS)[..., None]
    mixed = ground + share * (image.astype(np.float32) - ground)
    placed: RGBImage = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return placed


def empty_ground(image: RGBImage) -> RGBImage:
    """Return a picture of the same size that shows nothing but the color of the empty smear."""
    ground = np.empty_like(image)
    ground[...] = np.rint(estimate_background(image)).astype(np.uint8)
    return ground
