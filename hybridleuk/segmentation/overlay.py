"""A picture to check a segmentation by at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.records import Cells

if TYPE_CHECKING:
    from hybridleuk.segmentation.fields import FieldCount

__all__ = ["BOX_COLORS", "CELL_COLOR", "NUCLEUS_COLOR", "draw_counts", "draw_overlay"]

CELL_COLOR = (0, 170, 60)
CENTRAL_COLOR = (0, 110, 255)
NUCLEUS_COLOR = (255, 210, 0)
BOX_COLORS = {"WBC": (0, 90, 255), "RBC": (225, 40, 30), "Platelets": (0, 150, 50)}
_TEXT_COLOR = (0, 0, 0)


def draw_overlay(image: RGBImage, cells: Cells, *, text: bool = True) -> RGBImage:
    """Outline cells and nuclei on the image, and write numbers and flags.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cells : Cells
        What :func:`~hybridleuk.segmentation.cells.find_cells` found in it.
    text : bool, default True
        Whether to write each cell's number with its flags, and the flags of the image.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        A copy: cells outlined in green, the central one in blue, nuclei in yellow.
    """
    picture = image.copy()
    thick = max(1, round(min(image.shape[:2]) / 250))
    central = cells.central
    outline = _outline(cells.instances, thick)
    picture[outline] = CELL_COLOR
    if central is not None:
        picture[outline & (cells.instances == central.number)] = CENTRAL_COLOR
    picture[_outline(cells.nucleus.astype(np.uint16) * cells.instances, thick)] = NUCLEUS_COLOR
    return _labelled(picture, cells) if text else picture


def draw_counts(image: RGBImage, counted: FieldCount) -> RGBImage:
    """Draw the box of each counted cell, and write the counts and flags of the field.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    counted : FieldCount
        What :func:`~hybridleuk.segmentation.fields.count_cells` counted in it.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        A copy: leukocytes boxed in blue, red cells in red, platelets in green.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    thick = max(1, round(min(image.shape[:2]) / 250))
    for cell in counted.cells:
        y0, x0, y1, x1 = cell.box
        corners = (x0, y0, max(x1 - 1, x0), max(y1 - 1, y0))
        draw.rectangle(corners, outline=BOX_COLORS[cell.kind], width=thick)
    font = ImageFont.load_default(size=max(9, round(min(image.shape[:2]) / 30)))
    words = f"WBC {counted.wbc}  RBC {counted.rbc}  platelets {counted.platelets}"
    _write(draw, (1, 1), "  ".join([words, *counted.flags]), font, canvas.size)
    return np.asarray(canvas).copy()


def _outline(labels: npt.NDArray[np.uint16], thick: int) -> npt.NDArray[np.bool_]:
    """Mark the rim of each label, inside of it."""
    size = 2 * thick + 1
    low = ndi.minimum_filter(labels, size=size, mode="nearest")
    high = ndi.maximum_filter(labels, size=size, mode="nearest")
    rim: npt.NDArray[np.bool_] = (labels > 0) & (low != high)
    return rim


def _labelled(picture: RGBImage, cells: Cells) -> RGBImage:
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=max(9, round(min(picture.shape[:2]) / 30)))
    for cell in cells.cells:
        words = " ".join([str(cell.number), *cell.flags])
        _write(draw, (cell.box[1], cell.box[0]), words, font, canvas.size)
    if cells.flags:
        _write(draw, (1, 1), ", ".join(cells.flags), font, canvas.size)
    return np.asarray(canvas).copy()


def _write(
    draw: ImageDraw.ImageDraw,
    where: tuple[int, int],
    words: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Write on a pale ground, moved so far that it stays in the picture."""
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    x = max(0, min(where[0], size[0] - int(right - left) - 2))
    y = max(0, min(where[1] - int(bottom), size[1] - int(bottom) - 2))
    box = (x, y + top - 1, x + right - left + 1, y + bottom + 1)
    draw.rectangle(box, fill=(255, 255, 255))
    draw.text((x, y), words, fill=_TEXT_COLOR, font=font)
