"""A picture to check a segmentation by at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

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
# Of Okabe and Ito (2008), told apart by color-blind people too; in gray by their lines and words.
BOX_COLORS = {"WBC": (0, 114, 178), "RBC": (213, 94, 0), "Platelets": (0, 0, 0)}
_HALO = (255, 255, 255)
# Width of the line, length of a dash and of the gap after it, in units of the thinnest line.
_LINES = {"WBC": (2, 1, 0), "RBC": (1, 6, 4), "Platelets": (1, 2, 2)}
_BESIDE = {"WBC": "WBC", "Platelets": "PLT"}  # red cells are too many to be named one by one
_KEY = {"WBC": "WBC", "RBC": "RBC", "Platelets": "platelets (PLT)"}
_TEXT_COLOR = (0, 0, 0)
_Box: TypeAlias = tuple[int, int, int, int]


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
        A copy: leukocytes in blue solid lines, red cells in orange dashed and platelets in black
        dotted ones, all on white, so that they show on light and dark ground; leukocytes and
        platelets are named beside their boxes.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    thin = max(1, round(min(image.shape[:2]) / 400))
    boxes = [(cell.kind, _corners(cell.box)) for cell in counted.cells]
    for kind, corners in boxes:  # first, since a halo must not cover the line of a neighbor
        draw.rectangle(_grown(corners, thin), outline=_HALO, width=(_LINES[kind][0] + 2) * thin)
    # Leukocytes last: they are few, and what is looked for.
    for kind, corners in sorted(boxes, key=lambda box: list(_LINES).index(box[0]), reverse=True):
        _draw_box(draw, corners, kind, thin)
    small = ImageFont.load_default(size=max(8, round(min(image.shape[:2]) / 42)))
    for kind, (x0, y0, _, _) in boxes:
        if kind in _BESIDE:
            _write(draw, (x0, y0 - 2 * thin), _BESIDE[kind], small, canvas.size)
    font = ImageFont.load_default(size=max(9, round(min(image.shape[:2]) / 30)))
    _write_key(draw, counted, font, thin, canvas.size)
    return np.asarray(canvas).copy()


def _corners(box: _Box) -> _Box:
    """Turn a half-open box (y0, x0, y1, x1) into the first and last pixel, as Pillow draws it."""
    y0, x0, y1, x1 = box
    return x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)


def _grown(corners: _Box, by: int) -> _Box:
    x0, y0, x1, y1 = corners
    return x0 - by, y0 - by, x1 + by, y1 + by


def _draw_box(draw: ImageDraw.ImageDraw, corners: _Box, kind: str, thin: int) -> None:
    """Draw a box inside its corners, with the line of its kind."""
    x0, y0, x1, y1 = corners
    width, dash, gap = (length * thin for length in _LINES[kind])
    if not gap:
        draw.rectangle(corners, outline=BOX_COLORS[kind], width=width)
        return
    for x in range(x0, x1 + 1, dash + gap):
        for y in (y0, y1 - width + 1):
            _fill(draw, (x, y, min(x + dash - 1, x1), y + width - 1), kind)
    for y in range(y0, y1 + 1, dash + gap):
        for x in (x0, x1 - width + 1):
            _fill(draw, (x, y, x + width - 1, min(y + dash - 1, y1)), kind)


def _fill(draw: ImageDraw.ImageDraw, corners: _Box, kind: str) -> None:
    draw.rectangle(corners, fill=BOX_COLORS[kind])


def _write_key(
    draw: ImageDraw.ImageDraw,
    counted: FieldCount,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    thin: int,
    size: tuple[int, int],
) -> None:
    """Write number and line of each kind into the corner, then the flags of the field."""
    numbers = {"WBC": counted.wbc, "RBC": counted.rbc, "Platelets": counted.platelets}
    x, height = 1, int(draw.textbbox((0, 0), "Wp", font=font)[3])
    sample = 22 * thin
    for kind, number in numbers.items():
        words = f"{_KEY[kind]} {number}"
        width = sample + int(draw.textlength(words, font=font)) + 10 * thin
        draw.rectangle((x - 1, 0, x + width, height + 1), fill=_HALO)
        middle = height // 2
        thick, dash, gap = (length * thin for length in _LINES[kind])
        for left in range(x + thin, x + sample - 4 * thin, dash + gap):
            right = min(left + dash - 1, x + sample - 4 * thin)
            _fill(draw, (left, middle, right, middle + thick - 1), kind)
        draw.text((x + sample, 0), words, fill=_TEXT_COLOR, font=font)
        x += width
    if counted.flags:
        _write(draw, (x, 1), "  ".join(counted.flags), font, size)


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
