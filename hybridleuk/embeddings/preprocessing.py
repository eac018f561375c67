"""Views: what of an image a network gets to see, as square pictures of its input size.

``image``
    The whole image, resized. Both sides become the input size, so an image that is not square is
    squeezed: nothing is cropped, because a cell at the edge counts, and nothing is padded, because
    a network sees the padding.
``segmented``
    The whole image with everything outside leukocytes painted black, as in the ``Segmented`` folder
    of the Kaggle ALL data set.
``cells``
    Each leukocyte in a square of its own with a margin, its aspect kept, everything beyond a rim
    around it painted in the mean color of the network's training images. An image has as many
    pictures as usable cells; its embedding is their mean, and zero where no cell is found.

Raise :data:`PREPROCESSING_VERSION` with every change that alters a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from hybridleuk.data.images import RGBImage
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    from hybridleuk.segmentation.cells import Cell, Cells

__all__ = [
    "PREPROCESSING_VERSION",
    "VIEWS",
    "View",
    "check_view",
    "cut_cells",
    "paint_segmented",
    "resize",
    "usable_cells",
    "view_pictures",
]

View = Literal["image", "cells", "segmented"]
VIEWS: tuple[View, ...] = ("image", "cells", "segmented")
PREPROCESSING_VERSION = 1

Pictures = npt.NDArray[np.uint8]

_MARGIN = 0.15  # of the longer side of a cell's box, on each side of it
_RIM = 0.04  # of the picture's side: how far beyond the cell's outline pixels are kept
_UNUSABLE = frozenset({"touches_border", "too_small", "low_contrast"})
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def check_view(view: str) -> None:
    """Refuse a view that does not exist."""
    if view not in VIEWS:
        raise InputError(f"view is {view!r}; expected one of {', '.join(VIEWS)}.")


def view_pictures(
    view: View, image: RGBImage, cells: Cells | None, record: Backbone, size: int | None = None
) -> Pictures:
    """Make the pictures of one image that a network will see.

    Parameters
    ----------
    view : {"image", "cells", "segmented"}
    image : ndarray of shape (H, W, 3), uint8
    cells : Cells or None
        The leukocytes of `image`; the view ``image`` does not need them.
    record : Backbone
    size : int, optional
        Side of the pictures; by default the record's.

    Returns
    -------
    ndarray of shape (n_pictures, size, size, 3), uint8
        One picture, or one for each usable cell.
    """
    side = size or record.input_size
    if view == "image":
        return resize(image, side, record)[None]
    if cells is None:
        raise InputError(f"The view {view!r} needs the cells of the image, got none.")
    if view == "segmented":
        return resize(paint_segmented(image, cells), side, record)[None]
    return cut_cells(image, cells, record, side)


def resize(image: RGBImage, side: int, record: Backbone) -> RGBImage:
    """Resize to a square as ``torchvision.transforms.Resize((side, side))`` does, bit for bit."""
    picture = Image.fromarray(image).resize((side, side), _RESAMPLING[record.interpolation])
    return np.asarray(picture)


def paint_segmented(image: RGBImage, cells: Cells) -> RGBImage:
    """Paint everything outside of leukocytes black."""
    return np.where((cells.instances > 0)[:, :, None], image, np.uint8(0))


def usable_cells(cells: Cells) -> list[Cell]:
    """Choose the cells worth looking at: complete and clear ones, or all where there are none."""
    clear = [cell for cell in cells.cells if not _UNUSABLE.intersection(cell.flags)]
    return clear or list(cells.cells)


def cut_cells(image: RGBImage, cells: Cells, record: Backbone, side: int) -> Pictures:
    """Cut every usable cell out, one picture each."""
    flat = np.round(255 * np.array(record.mean)).astype(np.uint8)
    pictures = [_cut(image, cells, cell, record, side, flat) for cell in usable_cells(cells)]
    return np.stack(pictures) if pictures else np.zeros((0, side, side, 3), dtype=np.uint8)


def _cut(
    image: RGBImage, cells: Cells, cell: Cell, record: Backbone, side: int, flat: npt.NDArray
) -> RGBImage:
    y0, x0, y1, x1 = cell.box
    half = max(y1 - y0, x1 - x0) * (0.5 + _MARGIN)
    # Whole pixels, the same number in both directions; the square may reach beyond the image.
    length = max(round(2 * half), 1)
    top, left = round((y0 + y1 - length) / 2), round((x0 + x1 - length) / 2)
    mask = _window(cells.instances, top, left, length, 0) == cell.number
    picture = resize(_window(image, top, left, length, flat), side, record)
    return np.where(_dilated(mask, side)[:, :, None], picture, flat)


def _window(
    array: npt.NDArray, top: int, left: int, length: int, fill: int | npt.NDArray
) -> npt.NDArray:
    """Copy a square out of an array; where it reaches beyond the array, it holds `fill`."""
    window = np.empty((length, length, *array.shape[2:]), dtype=array.dtype)
    window[...] = fill
    y0, x0 = max(top, 0), max(left, 0)
    part = array[y0 : top + length, x0 : left + length]
    window[y0 - top : y0 - top + part.shape[0], x0 - left : x0 - left + part.shape[1]] = part
    return window


def _dilated(mask: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.bool_]:
    scaled = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
    distance = ndimage.distance_transform_edt(~np.asarray(scaled))
    return np.asarray(distance <= _RIM * side)
