"""Figures of a comparison on one line each: intervals, differences, gaps, costs.

Every function takes plain data and returns markup with classes only; the style sheet of the report
gives it color in light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from hybridleuk.report.dots import MIDDLE, estimate_text, grid_lines, marks_of, plot, points, rule
from hybridleuk.report.reading import told_apart
from hybridleuk.report.svg import (
    ROW,
    Scale,
    axis_row,
    element,
    interval_row,
    number,
    picture,
    ticks,
)

__all__ = ["cost_figure", "difference_figure", "gap_figure", "interval_figure"]

Entry = Mapping[str, Any]
_COST_HEIGHT = 250
_MOST_NAMED = 6
_LETTER = 2.0  # percent of a plot that is as wide as on a narrow screen, roughly
_COST_TOP, _COST_BOTTOM = 16, 34


def interval_figure(
    candidates: Sequence[Entry], shortcuts: Sequence[Entry], chance: float
) -> Markup:
    """Draw balanced accuracy with intervals: candidates and shortcut baselines on one axis.

    Parameters
    ----------
    candidates : sequence of mapping
        ``name`` and ``balanced_accuracy`` (``mean``, ``low``, ``high``), in the order drawn.
    shortcuts : sequence of mapping
        ``name``, ``balanced_accuracy``, ``low``, ``high``.
    chance : float
        Where guessing lies.
    """
    estimates = [(c["name"], c["balanced_accuracy"], "candidate") for c in candidates]
    estimates += [
        (
            s["name"],
            {"mean": s["balanced_accuracy"], "low": s["low"], "high": s["high"]},
            "shortcut",
        )
        for s in shortcuts
    ]
    lowest = min([chance, *(_low(estimate) for _, estimate, _ in estimates)])
    scale = Scale(max(0.0, floor(10 * lowest - 0.5) / 10), 1.0)
    values = ticks(scale.low, 1.0)
    grid = [*grid_lines(scale, values), rule(scale, chance, "chance")]
    rows = [
        interval_row(name, estimate_text(estimate), marks_of(scale, estimate, kind), grid)
        for name, estimate, kind in estimates
    ]
    axis = axis_row(scale, values, [f"{value:.1f}" for value in values], "balanced accuracy")
    said = "; ".join(
        f"{name} {estimate_text(estimate).striptags()}" for name, estimate, _ in estimates
    )
    label = f"Balanced accuracy with 95 % intervals, guessing at {chance:.2f}. {said}."
    return plot([*rows, axis], label)


def difference_figure(pairs: Sequence[Entry], negligible: float) -> Markup:
    """Draw paired differences with intervals around zero, as a forest plot.

    Parameters
    ----------
    pairs : sequence of mapping
        ``a``, ``b``, ``difference``, ``low``, ``high``, ``p_holm``, ``negligible``.
    negligible : float
        Half the width of the shaded band of differences that do not matter.
    """
    reach = max([2 * negligible, *(abs(p[key]) for p in pairs for key in ("low", "high"))]) * 1.08
    scale = Scale(-reach, reach)
    values = ticks(-reach, reach, 6)
    band = element(
        "rect",
        x=scale(-negligible),
        y="0",
        width=f"{number(100 * negligible / reach)}%",
        height=str(ROW),
        class_="band",
    )
    grid = [band, *grid_lines(scale, values), rule(scale, 0.0, "zero")]
    rows = [
        interval_row(
            element("span", pair["a"], element("span", " vs. ", class_="quiet"), pair["b"]),
            _difference_text(pair),
            marks_of(scale, {**pair, "mean": pair["difference"]}, _outcome(pair)),
            grid,
        )
        for pair in pairs
    ]
    axis = axis_row(scale, values, [_tick(value) for value in values], "points, first − second")
    said = "; ".join(f"{p['a']} minus {p['b']} {points(p['difference'])}" for p in pairs)
    return plot([*rows, axis], f"Paired differences of balanced accuracy in points. {said}.")


def gap_figure(rows: Sequence[Entry], first: str, second: str) -> Markup:
    """Draw the way from one figure to another of each candidate, such as random to group folds.

    Parameters
    ----------
    rows : sequence of mapping
        ``name``, ``from``, ``to`` and ``gap`` (``mean``, ``low``, ``high``), gap being from − to.
    first, second : str
        What the hollow and the filled mark are called.
    """
    ends = [row[key] for row in rows for key in ("from", "to")]
    scale = Scale(max(0.0, floor(10 * min(ends) - 0.5) / 10), min(1.0, ceil(10 * max(ends)) / 10))
    values = ticks(scale.low, scale.high)
    grid = grid_lines(scale, values)
    drawn = [
        interval_row(row["name"], _gap_text(row), _gap_marks(scale, row), grid) for row in rows
    ]
    axis = axis_row(scale, values, [f"{value:.2f}" for value in values], "balanced accuracy")
    said = "; ".join(f"{r['name']} from {r['from']:.3f} to {r['to']:.3f}" for r in rows)
    return plot([*drawn, axis], f"Balanced accuracy, {first} against {second}. {said}.")


def cost_figure(candidates: Sequence[Entry], key: str, unit: str) -> Markup:
    """Draw balanced accuracy over a cost on a logarithmic axis.

    Up to six points are all named; of more, those that no other point beats in both are named and
    in color.

    Parameters
    ----------
    candidates : sequence of mapping
        With ``balanced_accuracy`` and the cost under `key`.
    key : str
        ``"fit_seconds"`` or ``"predict_ms_per_image"``.
    unit : str
        Name of the horizontal axis.
    """
    costs = [(c["name"], max(c[key], 1e-4), c["balanced_accuracy"]["mean"]) for c in candidates]
    across = Scale(
        log10(min(x for _, x, _ in costs)) - 0.3, log10(max(x for _, x, _ in costs)) + 0.35
    )
    accuracies = [y for *_, y in costs]
    margin = max(0.01, 0.15 * (max(accuracies) - min(accuracies)))
    low, high = max(0.0, min(accuracies) - margin), min(1.0, max(accuracies) + margin)
    front = costs if len(costs) <= _MOST_NAMED else _front(costs)
    placed = _without_overlap([(n, across(log10(x)), _height(y, low, high)) for n, x, y in front])
    others = [
        _point(name, across(log10(x)), _height(y, low, high), front=False)
        for name, x, y in costs
        if (name, x, y) not in front
    ]
    dots = [(float(across(log10(x))[:-1]), _height(y, low, high)) for _, x, y in costs]
    said = "; ".join(f"{name} {x:.3g} at {y:.3f}" for name, x, y in costs)
    return picture(
        *_cost_grid(across, low, high),
        *(_name_of(*point, _free_side(point, dots)) for point in placed),
        element("g", *others, class_="others"),
        *(_point(*point[:3], front=True) for point in placed),
        element("text", unit, x="100%", y=str(_COST_HEIGHT - 2), text_anchor="end", class_="quiet"),
        label=f"Balanced accuracy over {unit}, logarithmic. {said}.",
        height=str(_COST_HEIGHT),
        class_="cost",
    )


def _gap_marks(scale: Scale, row: Entry) -> list[Markup]:
    start, end, y = scale(row["from"]), scale(row["to"]), number(MIDDLE)
    return [
        element("line", x1=start, x2=end, y1=y, y2=y, class_="whisker candidate"),
        element("circle", cx=start, cy=y, r="5", class_="point hollow"),
        element("circle", cx=end, cy=y, r="5", class_="point candidate"),
    ]


def _outcome(pair: Entry) -> str:
    if pair["negligible"]:
        return "even"
    return "candidate" if told_apart(pair) else "open"


def _low(estimate: Entry) -> float:
    return float(estimate["mean"] if estimate["low"] is None else estimate["low"])


def _tick(value: float) -> str:
    return f"{100 * value:+g}".replace("-", "−") if value else "0"


def _difference_text(pair: Entry) -> Markup:
    p = "p < 0.001" if pair["p_holm"] < 0.001 else f"p = {pair['p_holm']:.3f}"
    remark = f"{p}, negligible" if pair["negligible"] else p
    return Markup(f"{points(pair['difference'])} ") + element("span", remark, class_="quiet")


def _gap_text(row: Entry) -> Markup:
    gap = row["gap"]
    change = Markup(f"{points(-gap['mean'])} ")
    if gap["low"] is None:
        return change
    spread = f"{points(-gap['high'])} to {points(-gap['low'])}"
    return change + element("span", spread, class_="quiet")


def _height(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low)
    return _COST_TOP + (1 - share) * (_COST_HEIGHT - _COST_TOP - _COST_BOTTOM)


def _cost_grid(across: Scale, low: float, high: float) -> list[Markup]:
    floor_ = _COST_HEIGHT - _COST_BOTTOM
    drawn = []
    for value in ticks(low, high, 4):
        y = number(_height(value, low, high))
        drawn.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        drawn.append(element("text", f"{value:.2f}", x="0", y=number(float(y) - 4), class_="quiet"))
    for value in _decades(across):
        x = across(log10(value))
        drawn.append(
            element("line", x1=x, x2=x, y1=number(_COST_TOP), y2=str(floor_), class_="grid")
        )
        drawn.append(
            element(
                "text", f"{value:g}", x=x, y=str(floor_ + 14), text_anchor="middle", class_="quiet"
            )
        )
    return drawn


def _decades(across: Scale) -> list[float]:
    powers = range(floor(across.low), ceil(across.high) + 1)
    many = across.high - across.low > 2.5
    values = [factor * 10.0**power for power in powers for factor in ((1,) if many else (1, 2, 5))]
    return [value for value in values if across.low <= log10(value) <= across.high]


def _without_overlap(
    points: Sequence[tuple[str, str, float]], gap: float = 15
) -> list[tuple[str, str, float, float]]:
    """Move names apart from top to bottom; returns name, x, y of the point, y of its name."""
    placed: list[tuple[str, str, float, float]] = []
    for name, x, y in sorted(points, key=lambda point: point[2]):
        lowest = max((text + gap for *_, text in placed), default=0.0)
        placed.append((name, x, y, max(y, lowest)))
    over = placed[-1][3] - (_COST_HEIGHT - _COST_BOTTOM)
    return [(n, x, y, text - over) for n, x, y, text in placed] if over > 0 else placed


def _front(costs: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """List the points that no other one beats in accuracy without costing more."""
    return [
        (name, x, y)
        for name, x, y in costs
        if not any(b >= y and a <= x and (a, b) != (x, y) for _, a, b in costs)
    ]


def _point(name: str, x: str, y: float, *, front: bool) -> Markup:
    kind, radius = ("candidate", "5") if front else ("other", "4")
    title = element("title", name)
    return element("circle", title, cx=x, cy=number(y), r=radius, class_=f"point {kind}")


def _free_side(point: tuple[str, str, float, float], dots: Sequence[tuple[float, float]]) -> bool:
    """Tell whether a name goes to the left of its point: where no other point is in its way."""
    name, place, _, text_y = point
    x, width = float(place.rstrip("%")), len(name) * _LETTER + 4

    def crowded(start: float, end: float) -> bool:
        inside = any(
            start < other < end and other != x and abs(y - text_y) < 9 for other, y in dots
        )
        return inside or start < 0 or end > 100

    left, right = crowded(x - width, x), crowded(x, x + width)
    return x > 55 if left == right else right


def _name_of(name: str, x: str, y: float, text_y: float, left: bool) -> Markup:
    dx = -9 if left else 9
    moved = abs(text_y - y) > 5
    return element(
        "svg",
        *([element("path", d=f"M0 {y:.1f} {dx} {text_y:.1f}", class_="leader")] if moved else []),
        element("text", name, x=str(dx), y=number(text_y + 4), text_anchor="end" if left else None),
        x=x,
        y="0",
        overflow="visible",
    )
