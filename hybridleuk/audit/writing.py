"""Writing burnt into a picture: a magnification, a date, a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.evaluation.shortcut_files import ink_mask

__all__ = ["find_writing"]

Boxes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_FEWEST_SIGNS = 4
_LOWEST, _HIGHEST = 6, 0.15  # height of a sign in px, and as a part of the image's height
_NARROWEST, _WIDEST = 0.1, 2.0  # width over height
_FILLED = (0.12, 0.95)  # share of its box that a sign covers; strokes leave some of it free
_ALIKE = 0.5  # height of the lower of two signs over that of the higher
_LEVEL = 0.4  # of the height: how far middles of signs of one line lie apart
_GAP = 1.2  # of the height
_DARK, _GREYISH = 100, 45  # compression mixes a letter with what is around it
_WHITE, _RARE = 240, 0.05


def find_writing(image: RGBImage) -> list[tuple[int, int, int, int]]:
    """Find lines of at least four signs, side by side and about as high as each other.

    Ink is black or nearly so, or of a color no stain has, as of a scale bar
    (:func:`hybridleuk.evaluation.shortcut_files.find_marks`), or white where at most a twentieth of
    the image is white.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    list of (y0, x0, y1, x1)
        One box around each line, in px, half-open.
    """
    red, green, blue = (image[..., channel] for channel in range(3))
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    dark: Mask = ink_mask(image) | ((high <= _DARK) & (high - low <= _GREYISH))
    inks = [dark] + ([low >= _WHITE] if (low >= _WHITE).mean() <= _RARE else [])
    return [box for ink in inks for box in _lines(_signs(ink))]


def _signs(ink: Mask) -> Boxes:
    """Boxes of connected ink that may be a letter, from left to right."""
    if np.count_nonzero(ink) < _FEWEST_SIGNS * _LOWEST:
        return np.empty((0, 4), dtype=np.int64)
    labels, n = ndi.label(ink, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    boxes = np.array([_box(found) for found in ndi.find_objects(labels)], dtype=np.int64)
    high, wide = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    filled = areas / (high * wide)
    good = (high >= _LOWEST) & (high <= _HIGHEST * ink.shape[0])
    good &= (wide >= _NARROWEST * high) & (wide <= _WIDEST * high)
    good &= (filled >= _FILLED[0]) & (filled <= np.where(wide < 0.5 * high, 1.0, _FILLED[1]))
    return boxes[good][np.argsort(boxes[good, 1], kind="stable")]


def _box(found: Any) -> tuple[int, int, int, int]:
    rows, columns = found
    return rows.start, columns.start, rows.stop, columns.stop


def _lines(signs: Boxes) -> list[tuple[int, int, int, int]]:
    """Chain signs that follow one another on a line; what is too short is dropped."""
    open_lines: list[list[npt.NDArray[np.int64]]] = []
    for sign in signs:
        line = next((line for line in open_lines if _follows(line[-1], sign)), None)
        if line is None:
            open_lines.append([sign])
        else:
            line.append(sign)
    long = [np.array(line) for line in open_lines if len(line) >= _FEWEST_SIGNS]
    return [
        (int(line[:, 0].min()), int(line[:, 1].min()), int(line[:, 2].max()), int(line[:, 3].max()))
        for line in long
    ]


def _follows(last: npt.NDArray[np.int64], sign: npt.NDArray[np.int64]) -> bool:
    heights = last[2] - last[0], sign[2] - sign[0]
    higher = max(heights)
    apart = abs((last[0] + last[2]) - (sign[0] + sign[2])) / 2
    gap = sign[1] - last[3]
    return bool(
        min(heights) >= _ALIKE * higher
        and apart <= _LEVEL * higher
        and -0.2 * higher <= gap <= _GAP * higher
    )
