"""Views: what of an image a network gets to see, as square pictures of its input size.

``image``
    The whole image, resized. Both sides become the input size, so an image that is not square is
    squeezed: nothing is cropped, because a cell at the edge counts, and nothing is padded, because
    a network sees the padding.
``segmented``
    The whole image with everything outside leukocytes painted black, as in the ``Segmented`` folder
    of the Kaggle ALL data set.
``cells``
    Each leukocyte alone on white at standard magnification, sharpness and stain
    (:func:`hybridleuk.segmentation.standard.standard_picture`), so that neither background nor
    microscope shows. The central cell of a single-cell crop, else every usable one; the embedding
    of an image is the mean over its pictures, and zero where no cell is found.

Raise :data:`PREPROCESSING_VERSION` with every change that alters a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybridleuk.data.images import RGBImage
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.stain import estimate_background
from hybridleuk.segmentation.standard import standard_picture

if TYPE_CHECKING:
    from hybridleuk.segmentation.records import Cells

__all__ = [
    "ORIENTATIONS",
    "PREPROCESSING_VERSION",
    "VIEWS",
    "View",
    "check_view",
    "cut_cells",
    "paint_segmented",
    "resize",
    "view_pictures",
]

View = Literal["image", "cells", "segmented"]
VIEWS: tuple[View, ...] = ("image", "cells", "segmented")
ORIENTATIONS = (1, 2, 4, 8)
PREPROCESSING_VERSION = 2

Pictures = npt.NDArray[np.uint8]

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
    return cut_cells(image, cells, side)


def resize(image: RGBImage, side: int, record: Backbone) -> RGBImage:
    """Resize to a square as ``torchvision.transforms.Resize((side, side))`` does, bit for bit."""
    picture = Image.fromarray(image).resize((side, side), _RESAMPLING[record.interpolation])
    return np.asarray(picture)


def paint_segmented(image: RGBImage, cells: Cells) -> RGBImage:
    """Paint everything outside of leukocytes black."""
    return np.where((cells.instances > 0)[:, :, None], image, np.uint8(0))


def cut_cells(image: RGBImage, cells: Cells, side: int) -> Pictures:
    """Draw every usable cell alone, one picture each."""
    background = estimate_background(image)
    pictures = [
        standard_picture(image, cells.cell_mask(cell), background, side) for cell in cells.usable()
    ]
    return np.stack(pictures) if pictures else np.zeros((0, side, side, 3), dtype=np.uint8)
