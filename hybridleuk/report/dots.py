"""Estimates with their intervals, one row each on a shared axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from hybridleuk.report.svg import (
    ROW,
    Scale,
    axis_row,
    diamond,
    element,
    interval_row,
    number,
    ticks,
)

__all__ = [
    "MIDDLE",
    "Dots",
    "as_estimate",
    "dot_figure",
    "estimate_text",
    "grid_lines",
    "marks_of",
    "plain_text",
    "plot",
    "points",
    "rule",
]

Entry = Mapping[str, Any]
MIDDLE = ROW / 2
_BEYOND = 60


@dataclass(frozen=True)
class Dots:
    """One row: its name, what is drawn on its track, and the value in words.

    Attributes
    ----------
    name : str
    marks : sequence of (estimate, kind)
        An estimate has ``mean``, ``low`` and ``high``; kinds are those of the style sheet:
        ``candidate``, ``hollow``, ``open``, ``even``; as a diamond ``shortcut``, ``third``,
        ``contrast``.
    value : str
        At the end of the row; by default the first estimate with its interval.
    remark : str
        Small, under the name.
    """

    name: str | Markup
    marks: Sequence[tuple[Entry, str]]
    value: str | Markup | None = None
    remark: str = ""


def dot_figure(
    rows: Sequence[Dots],
    axis: str,
    *,
    low: float,
    high: float,
    reference: tuple[float, str] | None = None,
    tick: Callable[[float], str] = "{:g}".format,
) -> Markup:
    """Draw rows of estimates on one axis.

    Parameters
    ----------
    rows : sequence of Dots
    axis : str
        Name of the axis.
    low, high : float
        Its ends; marks beyond are held to them.
    reference : (value, class), optional
        A vertical line through all rows, of class ``chance`` or ``zero``.
    tick : callable
        Writes a number of the axis.
    """
    scale = Scale(low, high)
    values = ticks(low, high)
    lines = grid_lines(scale, values)
    if reference is not None:
        lines.append(rule(scale, *reference))
    drawn = [
        interval_row(
            _named(row),
            estimate_text(row.marks[0][0]) if row.value is None else row.value,
            [mark for estimate, kind in row.marks for mark in marks_of(scale, estimate, kind)],
            lines,
        )
        for row in rows
    ]
    axis_below = axis_row(scale, values, [tick(value) for value in values], axis)
    return plot([*drawn, axis_below], f"{axis}. {'; '.join(_said(row) for row in rows)}.")


def plot(rows: Iterable[Markup], label: str) -> Markup:
    """Put rows under each other into one picture, read aloud as `label`."""
    return element("div", *rows, class_="plot", role="img", aria_label=label)


def grid_lines(scale: Scale, values: Sequence[float]) -> list[Markup]:
    """Draw a thin line at each value of the axis."""
    return [rule(scale, value, "grid") for value in values]


def rule(scale: Scale, value: float, class_: str) -> Markup:
    """Draw a vertical line through a row, however tall its name makes it."""
    x = scale(value)
    return element("line", x1=x, x2=x, y1=str(-_BEYOND), y2=str(ROW + _BEYOND), class_=class_)


def marks_of(scale: Scale, estimate: Entry, kind: str) -> list[Markup]:
    """Draw an estimate: a point, and a whisker where its interval is known."""
    if estimate["mean"] is None:
        return []
    x, y = scale(estimate["mean"]), number(MIDDLE)
    marks = []
    if estimate["low"] is not None:
        ends = {"x1": scale(estimate["low"]), "x2": scale(estimate["high"])}
        marks.append(element("line", **ends, y1=y, y2=y, class_=f"whisker {kind}"))
    if kind in ("shortcut", "third", "contrast"):
        return [*marks, diamond(x, MIDDLE, 6, f"point {kind}")]
    return [*marks, element("circle", cx=x, cy=y, r="5", class_=f"point {kind}")]


def as_estimate(value: Entry | float | None) -> Entry:
    """Take a plain number for an estimate without an interval."""
    if isinstance(value, Mapping):
        return {"low": None, "high": None, **value}
    return {"mean": value, "low": None, "high": None}


def estimate_text(estimate: Entry) -> Markup:
    """Write an estimate with its interval, small."""
    if estimate["mean"] is None:
        return Markup("–")
    if estimate["low"] is None:
        return Markup(f"{estimate['mean']:.3f}")
    spread = f"{estimate['low']:.3f}–{estimate['high']:.3f}"
    return Markup(f"{estimate['mean']:.3f} ") + element("span", spread, class_="quiet")


def plain_text(estimate: Entry | float | None, digits: int = 3) -> str:
    """Write an estimate with its interval in brackets, for tables of plain text.

    Examples
    --------
    >>> from hybridleuk.report.dots import plain_text
    >>> plain_text({"mean": 0.91, "low": 0.9, "high": 0.925}, 2)
    '0.91 (0.90–0.93)'
    """
    known = as_estimate(estimate)
    if known["mean"] is None:
        return "–"
    if known["low"] is None:
        return f"{known['mean']:.{digits}f}"
    return f"{known['mean']:.{digits}f} ({known['low']:.{digits}f}–{known['high']:.{digits}f})"


def points(value: float) -> str:
    """Write a difference in points with a true minus sign."""
    written = f"{100 * value:+.1f}"
    return "0.0" if float(written) == 0 else written.replace("-", "−")


def _named(row: Dots) -> str | Markup:
    if not row.remark:
        return row.name
    return element("span", row.name, element("small", row.remark))


def _said(row: Dots) -> str:
    value = row.marks[0][0] if row.value is None else None
    words = estimate_text(value) if value is not None else Markup(row.value or "")
    name = row.name.striptags() if isinstance(row.name, Markup) else row.name
    return f"{name} {words.striptags()}"
