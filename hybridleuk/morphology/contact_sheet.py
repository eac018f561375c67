"""Many small pictures on one page, to be checked at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from hybridleuk.data.images import RGBImage

__all__ = ["draw_contact_sheet"]

TILE = 240
COLUMNS = 6
MOST_TILES = 36
_CAPTION = 16
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_CAPTION_LENGTH = 38


def draw_contact_sheet(pictures: Iterable[tuple[Path, str]], count: int) -> RGBImage:
    """Lay the first 36 pictures out in rows of six, each with its caption.

    Parameters
    ----------
    pictures : iterable of (path, caption)
        JPEG files; opened one at a time.
    count : int
        How many there are.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    from PIL import Image, ImageDraw

    count = min(count, MOST_TILES)
    columns = min(count, COLUMNS)
    size = (columns * TILE, -(-count // columns) * (TILE + _CAPTION))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (path, caption) in enumerate(islice(pictures, count)):
        y, x = divmod(place, columns)
        with Image.open(path) as picture:
            picture.thumbnail((TILE - 4, TILE - 4))
            sheet.paste(picture, (x * TILE + 2, y * (TILE + _CAPTION) + _CAPTION))
        pen.text((x * TILE + 4, y * (TILE + _CAPTION) + 2), caption[-_CAPTION_LENGTH:], fill=_INK)
    return np.asarray(sheet)
