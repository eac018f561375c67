"""A square plot with two numbered axes, drawn in units of its own and scaled as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from hybridleuk.report.svg import element, number, picture, ticks

__all__ = ["LEFT", "SIDE", "TOP", "Axes", "note", "text"]

SIDE, LEFT, TOP = 190, 42, 8
_MOST_POINTS = 120


@dataclass(frozen=True)
class Axes:
    """The values at the edges of a square plot and what its axes are called.

    Attributes
    ----------
    across, up : str
        Names of the horizontal and the vertical axis, with unit.
    x_low, x_high, y_low, y_high : float
        Values at the edges; ``x_low > x_high`` turns the axis round.
    """

    across: str
    up: str
    x_low: float = 0.0
    x_high: float = 1.0
    y_low: float = 0.0
    y_high: float = 1.0

    def x(self, value: float) -> float:
        """Return where a value lies from the left, held to the frame."""
        return LEFT + SIDE * _share(value, self.x_low, self.x_high)

    def y(self, value: float) -> float:
        """Return where a value lies from the top, held to the frame."""
        return TOP + SIDE * (1 - _share(value, self.y_low, self.y_high))

    def path(self, x: npt.ArrayLike, y: npt.ArrayLike) -> str:
        """Write a curve, without the points on a straight line and with 120 points at most."""
        across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        return "M" + " ".join(
            f"{self.x(across[i]):.1f} {self.y(up[i]):.1f}" for i in _corners(across, up)
        )

    def band(self, x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Markup:
        """Draw the area between two curves, such as an interval."""
        there = self.path(x, high)
        back = self.path(list(x)[::-1], list(low)[::-1]).replace("M", "L", 1)
        return element("path", d=f"{there}{back}Z", class_="spread")

    def rule(self, x: float | None = None, y: float | None = None, *, class_: str) -> Markup:
        """Draw a line across the whole frame at one value."""
        if x is not None:
            at = number(self.x(x))
            return element("line", x1=at, x2=at, y1=TOP, y2=TOP + SIDE, class_=class_)
        at = number(self.y(0.0 if y is None else y))
        return element("line", x1=LEFT, x2=LEFT + SIDE, y1=at, y2=at, class_=class_)

    def panel(self, name: str | Markup, marks: Sequence[Markup], label: str) -> Markup:
        """Put marks into the frame, under a heading; `label` is what is read aloud."""
        drawn = self.drawing(marks, label, class_="panel")
        return element("div", element("h4", name), drawn, class_="panel-box")

    def drawing(self, marks: Sequence[Markup], label: str, **attributes: object) -> Markup:
        """Put marks into the frame; attributes are those of the picture."""
        frame = element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")
        size = f"0 0 {LEFT + SIDE + 8} {TOP + SIDE + 34}"
        return picture(
            frame, *self._numbers(), *self._names(), *marks, label=label, viewBox=size,
            **attributes,
        )  # fmt: skip

    def _numbers(self) -> list[Markup]:
        drawn = []
        for value in _ends(self.x_low, self.x_high):
            place = _share(value, self.x_low, self.x_high)
            anchor = "start" if place < 0.05 else "end" if place > 0.95 else "middle"
            drawn.append(text(f"{value:g}", self.x(value), TOP + SIDE + 14, anchor, "quiet"))
        for value in _ends(self.y_low, self.y_high):
            down = 4 + 4 * _share(value, self.y_low, self.y_high)
            drawn.append(text(_short(value), LEFT - 5, self.y(value) + down, "end", "quiet"))
        return drawn

    def _names(self) -> list[Markup]:
        middle, height = LEFT + SIDE / 2, TOP + SIDE / 2
        turned = element(
            "text",
            self.up,
            x="9",
            y=number(height),
            transform=f"rotate(-90 9 {height:g})",
            text_anchor="middle",
            class_="quiet",
        )
        return [text(self.across, middle, TOP + SIDE + 29, "middle", "quiet"), turned]


def text(words: str, x: float, y: float, anchor: str, class_: str) -> Markup:
    """Write words at a place of the frame."""
    return element("text", words, x=number(x), y=number(y), text_anchor=anchor, class_=class_)


def note(words: str, class_: str, *, top: bool = False) -> Markup:
    """Write words into the lower (or upper) right corner of the frame."""
    return text(words, LEFT + SIDE - 6, TOP + (16 if top else SIDE - 10), "end", class_)


def _share(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _ends(low: float, high: float) -> list[float]:
    """Choose about three round values: a small plot has no place for more."""
    ends = min(low, high), max(low, high)
    found = ticks(*ends, 3)
    return found if len(found) > 1 else ticks(*ends, 5)


def _short(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _corners(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    turns = np.flatnonzero((np.diff(x, 2) != 0) | (np.diff(y, 2) != 0)) + 1
    kept = np.concatenate([[0], turns, [len(x) - 1]]).astype(np.intp)
    if len(kept) > _MOST_POINTS:
        return kept[np.linspace(0, len(kept) - 1, _MOST_POINTS).astype(int)]
    return kept
