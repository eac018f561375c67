"""Small building blocks of figures: escaped elements, positions in percent, round axis ticks.

Marks are placed in percent of their track, so that a figure takes any width while text and marks
keep their size. Colors are never set here: classes are, and the style sheet knows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape

__all__ = ["Scale", "axis_row", "diamond", "element", "interval_row", "number", "picture", "ticks"]

ROW = 28
_VOID = ("img", "input")


def element(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """Make an element; `class_` is ``class``, underscores are hyphens, ``None`` is left out.

    Examples
    --------
    >>> from hybridleuk.report.svg import element
    >>> str(element("text", "a < b", class_="quiet", text_anchor="end"))
    '<text class="quiet" text-anchor="end">a &lt; b</text>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>")


def number(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def picture(*children: Markup, label: str, **attributes: object) -> Markup:
    """Make an image that is read aloud as `label`."""
    return element("svg", *children, role="img", aria_label=label, **attributes)


@dataclass(frozen=True)
class Scale:
    """From values to percent of a track."""

    low: float
    high: float

    def __call__(self, value: float) -> str:
        """Return the position of a value, held to the ends of the track."""
        share = (value - self.low) / (self.high - self.low)
        return f"{number(100 * min(max(share, 0.0), 1.0))}%"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Choose about `wanted` round values from `low` to `high`.

    Examples
    --------
    >>> from hybridleuk.report.svg import ticks
    >>> ticks(0.12, 1.0)
    [0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.7)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def diamond(x: str, y: float, radius: float, class_: str) -> Markup:
    """Draw a diamond around a position in percent."""
    r = number(radius)
    shape = element("path", d=f"M0 -{r} {r} 0 0 {r} -{r} 0Z", class_=class_)
    return element("svg", shape, x=x, y=number(y), overflow="visible", class_="mark")


def interval_row(
    label: str | Markup, value: str | Markup, marks: Sequence[Markup], grid: Sequence[Markup]
) -> Markup:
    """Lay out one row of an interval plot: its name, its track, its value in words."""
    track = element("svg", *grid, *marks, height=str(ROW), class_="track", aria_hidden="true")
    return element(
        "div",
        element("span", label, class_="row-label"),
        track,
        element("span", value, class_="row-value"),
        class_="row",
    )


def axis_row(scale: Scale, values: Sequence[float], texts: Sequence[str], caption: str) -> Markup:
    """Lay out the axis below the rows of an interval plot."""
    labels = [
        element("text", text, x=scale(value), y="12", text_anchor=_anchor(scale, value))
        for value, text in zip(values, texts, strict=True)
    ]
    track = element("svg", *labels, height="16", class_="track axis", aria_hidden="true")
    return element(
        "div",
        element("span", caption, class_="row-label quiet"),
        track,
        element("span", "", class_="row-value"),
        class_="row row-axis",
    )


def _anchor(scale: Scale, value: float) -> str:
    share = (value - scale.low) / (scale.high - scale.low)
    return "start" if share < 0.02 else "end" if share > 0.98 else "middle"
