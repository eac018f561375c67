"""What changes to the images cost each candidate: a table with cells colored by the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hybridleuk.report.dots import points
from hybridleuk.report.svg import element

__all__ = ["loss_table"]

Entry = Mapping[str, Any]


def loss_table(changes: Sequence[Entry], candidates: Sequence[Entry]) -> Markup:
    """Lay out the loss of balanced accuracy of each candidate under each change.

    A loss whose interval lies above zero is set in bold; the color is a help, not the only sign.

    Parameters
    ----------
    changes : sequence of mapping
        ``name``, ``label`` and ``description``, one row each.
    candidates : sequence of mapping
        ``name`` and ``changes``: by name of the change, ``loss`` (``mean``, ``low``, ``high``)
        and ``flipped``, the share of calls that change.
    """
    most = max([0.05, *(abs(loss["mean"]) for loss in _losses(candidates))])
    heads = [element("th", element("span", entry["name"]), scope="col") for entry in candidates]
    rows = [
        element(
            "tr",
            element("th", change["label"], scope="row", title=change["description"]),
            *(_cell(entry["changes"].get(change["name"]), most) for entry in candidates),
        )
        for change in changes
    ]
    corner = element("td", "points lost", class_="corner")
    return element(
        "table",
        element("caption", "Points of balanced accuracy lost under each change", class_="unseen"),
        element("thead", element("tr", corner, *heads)),
        element("tbody", *rows),
        class_="heat",
    )


def _losses(candidates: Sequence[Entry]) -> list[Entry]:
    found = [change["loss"] for entry in candidates for change in entry["changes"].values()]
    return [loss for loss in found if loss["mean"] is not None]


def _cell(change: Entry | None, most: float) -> Markup:
    if change is None or change["loss"]["mean"] is None:
        return element("td", "–", class_="quiet", title="not measured")
    loss = change["loss"]
    words = points(loss["mean"]).lstrip("+")
    sure = loss["low"] is not None and (loss["low"] > 0 or loss["high"] < 0)
    share = min(abs(loss["mean"]) / most, 1.0)
    kind = "lost" if loss["mean"] > 0 else "gained"
    return element(
        "td",
        element("b", words) if sure else words,
        style=f"--share:{share:.3f}",
        class_=f"{kind}{' dark' if share > 0.8 else ''}",
        title=_title(change),
    )


def _title(change: Entry) -> str:
    loss = change["loss"]
    spread = "" if loss["low"] is None else f", {points(loss['low'])} to {points(loss['high'])}"
    flipped = change.get("flipped")
    called = "" if flipped is None else f"; {100 * flipped:.0f} % of the calls change"
    return f"{points(loss['mean'])} points lost{spread}{called}"
