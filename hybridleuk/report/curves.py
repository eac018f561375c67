"""Curves of one candidate in color before those of all others in gray: one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hybridleuk.report.axes import Axes, note
from hybridleuk.report.svg import element

__all__ = ["abstention_panels", "decision_panels", "learning_panels", "training_panels"]

Entry = Mapping[str, Any]
Points = tuple[list[float], list[float]]
_NAMED_SHARE = 0.8


def abstention_panels(candidates: Sequence[Entry]) -> list[Markup]:
    """Draw accuracy over the share of images that is answered, surest first.

    Parameters
    ----------
    candidates : sequence of mapping
        ``name``, ``answered`` (shares from 1 down), ``accuracy``, ``low`` and ``high``.
    """
    lowest = min([1.0, *(v for c in candidates for v in _known([*c["accuracy"], *c["low"]]))])
    axes = Axes("share answered", "accuracy", 1.0, 0.0, _round_down(lowest), 1.0)
    drawn = []
    for candidate in candidates:
        shares, accuracies = _curve(candidate, "answered", "accuracy")
        said = ", ".join(
            f"{_percent(s)} answered: {a:.3f} right"
            for s, a in zip(shares, accuracies, strict=True)
            if round(100 * s) % 20 == 0
        )
        kept = [a for s, a in zip(shares, accuracies, strict=True) if s <= _NAMED_SHARE + 1e-9]
        named = [note(f"{_percent(_NAMED_SHARE)}: {kept[0]:.3f}", "strong")] if kept else []
        marks = [
            *_others(axes, candidates, candidate, "answered", "accuracy"),
            *_spread(axes, candidate, "answered"),
            _line(axes, (shares, accuracies), candidate["name"]),
            *named,
        ]
        drawn.append(axes.panel(candidate["name"], marks, f"{candidate['name']}: {said}."))
    return drawn


def decision_panels(section: Entry) -> list[Markup]:
    """Draw net benefit over the threshold probability, with calling all and calling none.

    Parameters
    ----------
    section : mapping
        ``thresholds``, ``treat_all`` and ``candidates`` with ``name`` and ``net_benefit``, and
        ``low`` and ``high`` where intervals are known.
    """
    thresholds = section["thresholds"]
    candidates = [{"thresholds": thresholds, **entry} for entry in section["candidates"]]
    values = [v for c in candidates for v in _curve(c, "thresholds", "net_benefit")[1]]
    top = max([*values, *_known(section["treat_all"]), 1e-3])
    reach = (min(thresholds), max(thresholds))
    axes = Axes("threshold probability", "net benefit", *reach, -0.25 * top, 1.1 * top)
    everyone = _curve({"x": thresholds, "y": section["treat_all"]}, "x", "y")
    above = [(x, y) for x, y in zip(*everyone, strict=True) if y >= axes.y_low]
    drawn = []
    for candidate in candidates:
        curve = _curve(candidate, "thresholds", "net_benefit")
        marks = [
            axes.rule(y=0.0, class_="zero"),
            *_others(axes, candidates, candidate, "thresholds", "net_benefit"),
            *(_spread(axes, candidate, "thresholds") if "low" in candidate else []),
            _dashed(axes, ([x for x, _ in above], [y for _, y in above])),
            _line(axes, curve, candidate["name"]),
        ]
        said = ", ".join(f"at {x:.2f} {y:.3f}" for x, y in _some(curve))
        drawn.append(
            axes.panel(candidate["name"], marks, f"Net benefit of {candidate['name']}: {said}.")
        )
    return drawn


def learning_panels(section: Entry, chance: float) -> list[Markup]:
    """Draw balanced accuracy over the number of groups (or images) fitted on.

    Parameters
    ----------
    section : mapping
        ``unit`` and ``candidates`` with ``name``, ``n``, ``mean``, ``low``, ``high``.
    chance : float
        Where guessing lies.
    """
    candidates = section["candidates"]
    curves = [_curve(candidate, "n", "mean") for candidate in candidates]
    most = max([n for x, _ in curves for n in x], default=1)
    lowest = _round_down(min([chance, *(y for _, up in curves for y in up)]))
    axes = Axes(f"{section['unit']} fitted on", "balanced accuracy", 0.0, most, lowest, 1.0)
    drawn = []
    for candidate, curve in zip(candidates, curves, strict=True):
        marks = [
            axes.rule(y=chance, class_="chance"),
            *_others(axes, candidates, candidate, "n", "mean"),
            *_spread(axes, candidate, "n"),
            _line(axes, curve, candidate["name"]),
            *(_dot(axes, x, y) for x, y in zip(*curve, strict=True)),
        ]
        said = ", ".join(f"{x:g} {section['unit']} {y:.3f}" for x, y in zip(*curve, strict=True))
        drawn.append(axes.panel(candidate["name"], marks, f"{candidate['name']}: {said}."))
    return drawn


def training_panels(entry: Entry) -> list[Markup]:
    """Draw loss and accuracy over the epochs of one candidate, a line for each fold.

    Parameters
    ----------
    entry : mapping
        ``candidate`` and ``folds`` with ``epoch``, ``train_loss``, ``valid_loss``,
        ``valid_balanced_accuracy`` (None where nothing was watched) and ``best_epoch``.
    """
    folds = entry["folds"]
    last = max(1, *(epoch for fold in folds for epoch in fold["epoch"]))
    losses = [v for f in folds for k in ("train_loss", "valid_loss") for v in _known(f[k])]
    shares = [v for f in folds for v in _known(f["valid_balanced_accuracy"])]
    drawn = [_training_panel(entry, "loss", ("train_loss", "valid_loss"), last, (0.0, max(losses)))]
    if shares:
        reach = (_round_down(min(shares)), 1.0)
        curves = ("valid_balanced_accuracy",)
        drawn.append(_training_panel(entry, "balanced accuracy", curves, last, reach))
    return drawn


def _training_panel(
    entry: Entry, up: str, names: Sequence[str], last: int, reach: tuple[float, float]
) -> Markup:
    axes = Axes("epoch", up, 0.0, last, *reach)
    marks, said = [], []
    for number, fold in enumerate(entry["folds"], start=1):
        *others, name = [n for n in names if _known(fold[n])]
        for other in others:
            marks.append(
                element("path", d=axes.path(*_curve(fold, "epoch", other)), class_="curve")
            )
        curve = _curve(fold, "epoch", name)
        marks.append(_line(axes, curve, f"fold {number}"))
        kept = dict(zip(*curve, strict=True)).get(fold["best_epoch"])
        if kept is not None:
            marks.append(_dot(axes, fold["best_epoch"], kept))
            said.append(f"fold {number} kept epoch {fold['best_epoch']} at {kept:.3f}")
    heading = f"{entry['candidate']}: {up}"
    return axes.panel(heading, marks, f"{heading} over {last} epochs; {', '.join(said)}.")


def _curve(entry: Entry, across: str, up: str) -> Points:
    """Take the points of a curve that are known."""
    known = [(x, y) for x, y in zip(entry[across], entry[up], strict=True) if y is not None]
    return [x for x, _ in known], [y for _, y in known]


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _others(
    axes: Axes, candidates: Sequence[Entry], shown: Entry, across: str, up: str
) -> list[Markup]:
    drawn = []
    for candidate in candidates:
        x, y = _curve(candidate, across, up)
        if candidate["name"] != shown["name"] and len(x) > 1:
            title = element("title", candidate["name"])
            drawn.append(element("path", title, d=axes.path(x, y), class_="curve"))
    return drawn


def _spread(axes: Axes, entry: Entry, across: str) -> list[Markup]:
    rows = zip(entry[across], entry["low"], entry["high"], strict=True)
    known = [row for row in rows if None not in row]
    if len(known) < 2:
        return []
    x, low, high = zip(*known, strict=True)
    return [axes.band(list(x), list(low), list(high))]


def _line(axes: Axes, curve: Points, name: str) -> Markup:
    if len(curve[0]) < 2:
        return Markup("")
    return element("path", element("title", name), d=axes.path(*curve), class_="curve lowest")


def _dashed(axes: Axes, curve: Points) -> Markup:
    if len(curve[0]) < 2:
        return Markup("")
    return element("path", d=axes.path(*curve), class_="curve dashed")


def _dot(axes: Axes, x: float, y: float) -> Markup:
    words = element("title", f"{x:g}: {y:.3f}")
    return element(
        "circle", words, cx=f"{axes.x(x):.1f}", cy=f"{axes.y(y):.1f}", r="3", class_="dot"
    )


def _some(curve: Points) -> list[tuple[float, float]]:
    pairs = list(zip(*curve, strict=True))
    return pairs[:: max(1, len(pairs) // 5)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _round_down(value: float) -> float:
    """Round down to a tenth, with a little room below."""
    return max(0.0, int(10 * value - 0.2) / 10)
