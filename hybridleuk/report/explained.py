"""The pictures of explanations: outlines beside bars of evidence, or the image under its heat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.overlay import draw_overlay
from hybridleuk.segmentation.records import Cells

__all__ = ["AGAINST", "FOR", "evidence_picture", "heat_picture"]

FOR, AGAINST = (0, 114, 178), (213, 94, 0)  # Okabe and Ito: told apart by all
_INK, _GRAY, _PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
_HEIGHT, _PANEL, _MARGIN, _TITLE, _ROW = 400, 460, 14, 40, 50
_SIDE = 320
_MOST = 7
_LEAST = 0.05
_FULL = 2.0  # evidence that fills half the panel, unless there is more


def evidence_picture(
    image: RGBImage,
    cells: Cells,
    title: str,
    weights: Mapping[str, float],
    remarkable: Mapping[str, tuple[str, float]],
) -> RGBImage:
    """Outline the cells, and draw what speaks for and against the call beside them.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cells : Cells
    title : str
        The class called, with its probability.
    weights : mapping of str to float
        Evidence of each group, strongest first; the first 7 above 0.05 either way are drawn.
    remarkable : mapping of str to (str, float)
        A measurement of each group, and its distance from the training mean in deviations.

    Returns
    -------
    ndarray of shape (400, width, 3), uint8
    """
    shown = Image.fromarray(image)
    width = max(1, round(shown.width * _HEIGHT / shown.height))
    outlined = draw_overlay(
        np.asarray(shown.resize((width, _HEIGHT))), _resized(cells, (_HEIGHT, width)), text=False
    )
    canvas = Image.new("RGB", (width + _PANEL, _HEIGHT), _PAPER)
    canvas.paste(Image.fromarray(outlined), (0, 0))
    draw = ImageDraw.Draw(canvas)
    left = width + _MARGIN
    draw.text((left, 8), title, fill=_INK, font=_font(20))
    strong = [(name, w) for name, w in weights.items() if abs(w) >= _LEAST][:_MOST]
    if not len(cells):
        words, remarkable = "No leukocyte was found: every measurement is 0.", {}
        draw.text((left, _HEIGHT - 24), words, fill=_INK, font=_font(14))
        strong = strong[: _MOST - 1]
    if not strong:
        draw.text((left, _TITLE), "No single group changes the call.", fill=_GRAY, font=_font(14))
    strong.sort(key=lambda item: -item[1])
    reach = max([_FULL, *(abs(weight) for _, weight in strong)])
    for row, (name, weight) in enumerate(strong):
        _draw_bar(
            draw, left, _TITLE + row * _ROW, name, weight, weight / reach, remarkable.get(name)
        )
    return np.asarray(canvas).copy()


def heat_picture(picture: RGBImage, heat: npt.NDArray[np.float64], title: str) -> RGBImage:
    """Put the image and the image under its heat side by side, below the class called.

    Parameters
    ----------
    picture : ndarray of shape (size, size, 3), uint8
        What the network saw.
    heat : ndarray of shape (size, size)
        0 to 1.
    title : str

    Returns
    -------
    ndarray of shape (360, 640, 3), uint8
    """
    from hybridleuk.models.attention import draw_heat  # loads torch

    both = Image.fromarray(draw_heat(picture, heat)).resize((2 * _SIDE, _SIDE))
    canvas = Image.new("RGB", (2 * _SIDE, _SIDE + _TITLE), _PAPER)
    canvas.paste(both, (0, _TITLE))
    ImageDraw.Draw(canvas).text((_MARGIN, 8), title, fill=_INK, font=_font(20))
    return np.asarray(canvas).copy()


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    left: int,
    top: int,
    name: str,
    weight: float,
    share: float,
    remarkable: tuple[str, float] | None,
) -> None:
    """Draw one line: what, how much for (to the right) or against (to the left), and why."""
    side, color = ("for", FOR) if weight > 0 else ("against", AGAINST)
    draw.text((left, top), name, fill=_INK, font=_font(15))
    words = f"{side} {abs(weight):.1f}"
    right = left + _PANEL - 2 * _MARGIN
    draw.text((right - draw.textlength(words, _font(15)), top), words, fill=color, font=_font(15))
    middle, half = (left + right) // 2, (right - left) // 2
    end = middle + round(share * half)
    draw.rectangle((min(middle, end), top + 21, max(middle, end), top + 28), fill=color)
    draw.line((middle, top + 18, middle, top + 31), fill=_GRAY)
    if remarkable is not None:
        measurement, deviation = remarkable
        where = "above" if deviation > 0 else "below"
        note = f"{measurement} {abs(deviation):.1f} SD {where} the mean of training"
        draw.text((left, top + 31), note, fill=_GRAY, font=_font(11))


def _resized(cells: Cells, shape: tuple[int, int]) -> Cells:
    """Scale the masks, so that outlines are drawn as thin as the enlarged image allows."""
    rows = np.arange(shape[0]) * cells.instances.shape[0] // shape[0]
    columns = np.arange(shape[1]) * cells.instances.shape[1] // shape[1]
    places = np.ix_(rows, columns)
    return Cells(cells.instances[places], cells.nucleus[places], cells.cells, cells.flags)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
