"""What every page is made with: its templates, its style, the names of its sections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from hybridleuk.report.contents import Part
from hybridleuk.report.dots import as_estimate, points

__all__ = ["environment", "headings_of", "style"]

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> jinja2.Environment:
    """Return what renders templates: text is escaped, and a missing value is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = {"thousands": "{:,}".format, "cost": _cost, "points": points}
    made.filters.update({**filters, "as_estimate": as_estimate})
    return made


def style() -> Markup:
    """Return the style sheet, which goes into the page itself."""
    return Markup((TEMPLATES / "style.css").read_text("utf-8"))


def headings_of(contents: Sequence[Part]) -> dict[str, str]:
    """Give the heading of each part and section by its id."""
    parts = {part.id: part.heading for part in contents}
    return parts | {section.id: section.heading for part in contents for section in part.sections}


def _cost(value: float | None) -> str:
    """Write seconds or milliseconds with as many digits as matter."""
    if value is None:
        return "–"
    if value < 0.01:
        return "<0.01"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
