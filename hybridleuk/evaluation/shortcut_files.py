"""What a file tells before a pixel is looked at, and what was burnt into the picture.

Collections are put together from several sources; where each class came from a source of its own,
size, compression or a scale bar give the class away.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin
from scipy import ndimage as ndi

from hybridleuk.data.contents import open_content, read_content
from hybridleuk.data.images import FORMATS, ImageLike, RGBImage

__all__ = ["burnt_in_marks", "file_metadata", "file_size", "find_marks", "ink_mask"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_TABLE = 64  # entries of a quantisation table
_INK_LEVEL, _INK_SPREAD = 60, 12  # black: no channel above, none further from another
_PURE_SPREAD = 170  # no stain is that far from grey
_BRIGHT = 127
_LEAST_LENGTH = 0.05  # of the shorter side
_LEAST_PIXELS = 8
_SLENDER = 3.0  # length over thickness


def file_metadata(image: ImageLike) -> Array:
    """Size, format, compression and presence of metadata, nothing of what is shown: 145 numbers.

    Height and width in px, their ratio; one number per format; bands; whether it is progressive,
    has EXIF, a color profile, a resolution; how many entries the header has; JPEG chroma
    subsampling and the first two quantisation tables. Of an array only size and ratio are known,
    the rest is 0.
    """
    if isinstance(image, np.ndarray):
        height, width = image.shape[:2]
        known = np.zeros(_N_METADATA)
        known[:3] = height, width, height / width
        return known
    with open_content(image) as file, Image.open(file, formats=FORMATS) as picture:
        height, width = picture.height, picture.width
        return np.array(
            [
                height,
                width,
                height / width,
                *(float(picture.format == name) for name in FORMATS),
                *_header(picture),
                *_compression(picture),
            ]
        )


_N_METADATA = 3 + len(FORMATS) + 6 + 1 + 2 * _TABLE


def file_size(image: ImageLike) -> Array:
    """Logarithm of the number of bytes, and of bytes per pixel; 0 of an array.

    Both depend on the compression and on what is shown: a busy picture compresses worse.
    """
    if isinstance(image, np.ndarray):
        return np.zeros(2)
    content = read_content(image)
    size = len(content)
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        return np.array([math.log(size), math.log(size / (picture.height * picture.width))])


def burnt_in_marks(image: RGBImage) -> Array:
    """Straight marks that somebody drew into the picture, such as a scale bar: 8 numbers.

    How many there are; of the longest one its length, its middle down and across, each as a part
    of the image's sides, and whether its R, G, B are bright (the exact level of a compressed file
    tells of what lies around the mark); the share of the image that marks cover. All 0 where
    there is none. White marks are not seen, since an empty smear may be as white.
    """
    found = find_marks(image)
    if not found:
        return np.zeros(8)
    height, width = image.shape[:2]
    boxes = np.array(found, dtype=np.float64)
    extents = boxes[:, 2:] - boxes[:, :2]
    longest = int((extents / (height, width)).max(axis=1).argmax())
    y0, x0, y1, x1 = found[longest]
    bright = image[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0) > _BRIGHT
    return np.array(
        [
            len(found),
            max((y1 - y0) / height, (x1 - x0) / width),
            (y0 + y1) / 2 / height,
            (x0 + x1) / 2 / width,
            *bright,
            extents.prod(axis=1).sum() / (height * width),
        ]
    )


def find_marks(image: RGBImage) -> list[tuple[int, int, int, int]]:
    """Find bars along rows and columns that are black or of a color no stain has.

    Black is a level of at most 60 with channels at most 12 apart; a pure color has channels at
    least 170 apart. A bar is 5 % of the shorter side long or longer, at least 8 px, and at least
    three times as long as thick; so the black around cells that were cut out is no mark, and a
    black strip along one edge is.

    Returns
    -------
    list of (y0, x0, y1, x1)
        In px, half-open, those along rows first.
    """
    ink = ink_mask(image)
    length = max(_LEAST_PIXELS, math.ceil(_LEAST_LENGTH * min(image.shape[:2])))
    if np.count_nonzero(ink) < length:
        return []
    return [box for axis in (1, 0) for box in _bars(ink, axis, length)]


def ink_mask(image: RGBImage) -> Mask:
    """Mark what is black, or of a color no stain has: see :func:`find_marks`."""
    red, green, blue = (image[..., channel] for channel in range(3))
    high = np.maximum(np.maximum(red, green), blue)  # several times as fast as along an axis of 3
    spread = high - np.minimum(np.minimum(red, green), blue)
    ink: Mask = ((high <= _INK_LEVEL) & (spread <= _INK_SPREAD)) | (spread >= _PURE_SPREAD)
    return ink


def _bars(ink: Mask, axis: int, length: int) -> list[tuple[int, int, int, int]]:
    """Boxes of what remains of the ink when only runs along an axis are kept."""
    levels = ink.astype(np.uint8)
    inner = ndi.minimum_filter1d(levels, length, axis=axis, mode="constant")
    runs = ndi.maximum_filter1d(inner, length, axis=axis, mode="constant", origin=-1 + length % 2)
    labels, _ = ndi.label(runs)
    boxes = []
    for rows, columns in ndi.find_objects(labels):
        sides = rows.stop - rows.start, columns.stop - columns.start
        if sides[axis] >= _SLENDER * sides[1 - axis]:
            boxes.append((rows.start, columns.start, rows.stop, columns.stop))
    return boxes


def _header(picture: Image.Image) -> list[float]:
    info = picture.info
    return [
        float(len(picture.getbands())),
        float(bool(info.get("progressive") or info.get("interlace"))),
        float("exif" in info),
        float("icc_profile" in info),
        float("dpi" in info),
        float(len(info)),
    ]


def _compression(picture: Image.Image) -> list[float]:
    """Chroma subsampling (-1 where there is none to tell) and quantisation tables, 0 elsewhere."""
    tables = getattr(picture, "quantization", None) or {}
    if picture.format != "JPEG":
        return [0.0] * (1 + 2 * _TABLE)
    flat = [float(value) for number in sorted(tables)[:2] for value in tables[number]]
    return [float(JpegImagePlugin.get_sampling(picture)), *flat, *[0.0] * (2 * _TABLE - len(flat))]
