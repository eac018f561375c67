"""The map of embeddings: a point for each image, and its picture when one points at it.

Points are radio buttons of one group. Thus the map is one stop of the Tab key, the arrow keys go
from point to point, and hover, focus and touch all show the picture, without any script.
All pictures are parts of one sheet, which takes a quarter of the room of single files.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

from markupsafe import Markup
from PIL import Image

from hybridleuk.data.images import read_image
from hybridleuk.exceptions import ImageError
from hybridleuk.report.svg import element

__all__ = ["MARKS", "map_figure", "picture_sheet"]

TILE = 64
MARKS = 8
_QUALITY = 68

Point = Mapping[str, Any]


def map_figure(points: Sequence[Point], classes: Sequence[str]) -> Markup:
    """Draw the points, each with the color and the shape of its class.

    Parameters
    ----------
    points : sequence of mapping
        ``image_id``, ``path``, ``label``, ``x``, ``y`` and ``right``.
    classes : sequence of str
        In the order of the marks; beyond eight, marks are used again.
    """
    ordered = sorted(points, key=lambda p: (list(classes).index(p["label"]), p["x"], p["y"]))
    sheet, columns = picture_sheet([point["path"] for point in ordered])
    across = _places([point["x"] for point in ordered])
    up = _places([point["y"] for point in ordered])
    drawn = [
        _point(point, list(classes).index(point["label"]) % MARKS, x, 1 - y, index, columns)
        for index, (point, x, y) in enumerate(zip(ordered, across, up, strict=True))
    ]
    legend = element("legend", "Images by likeness; arrow keys go through them", class_="unseen")
    rows = ceil(len(ordered) / columns)
    style = f"--sheet:url({sheet});--across:{columns};--down:{rows}" if sheet else None
    return element("fieldset", legend, *drawn, class_="map", style=style)


def picture_sheet(paths: Sequence[str]) -> tuple[str | None, int]:
    """Put small pictures of all images on one sheet.

    Returns
    -------
    (address, columns)
        A ``data:`` address, ``None`` when no image can be read; tiles go row by row. The tile of
        an image that is gone stays gray.
    """
    columns = max(1, ceil(sqrt(len(paths))))
    size = (columns * TILE, max(1, ceil(len(paths) / columns)) * TILE)
    sheet = Image.new("RGB", size, (128, 128, 128))
    found = 0
    for index, path in enumerate(paths):
        try:
            small = Image.fromarray(read_image(path))
        except ImageError:
            continue
        found += 1
        small.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        corner = (index % columns * TILE, index // columns * TILE)
        middle = ((TILE - small.width) // 2, (TILE - small.height) // 2)
        sheet.paste(small, (corner[0] + middle[0], corner[1] + middle[1]))
    if not found:
        return None, columns
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", columns


def _places(values: Sequence[float]) -> list[float]:
    """Bring coordinates to shares from 0 to 1."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _point(point: Point, mark: int, x: float, y: float, index: int, columns: int) -> Markup:
    outcome = "called right" if point["right"] else "called wrong"
    button = element(
        "input",
        type="radio",
        name="map",
        aria_label=f"{point['label']}, {outcome}, {point['image_id']}",
    )
    tile = element(
        "span", class_="tile", style=f"--column:{index % columns};--line-of:{index // columns}"
    )
    words = element(
        "span", element("b", point["label"]), f" {outcome}", element("i", point["image_id"])
    )
    side = "low" if y > 0.5 else "high"
    return element(
        "label",
        button,
        element("span", class_="dot-mark", aria_hidden="true"),
        element("span", tile, words, class_=f"seen {side}", aria_hidden="true"),
        class_=f"at mark-{mark}{'' if point['right'] else ' missed'}",
        style=f"--x:{x:.4f};--y:{y:.4f}",
    )
