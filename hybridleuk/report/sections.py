"""The parts of a report that a comparison may or may not have: each from its own key.

A key that is absent or ``None`` gives nothing, so that older documents still render.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import Any

from markupsafe import Markup

from hybridleuk.report.curves import (
    abstention_panels,
    decision_panels,
    learning_panels,
    training_panels,
)
from hybridleuk.report.dots import Dots, as_estimate, dot_figure, points
from hybridleuk.report.embedding_map import map_figure
from hybridleuk.report.heat import loss_table
from hybridleuk.report.reading import (
    best_of,
    candidates_of,
    chance_of,
    main_split,
    shortcuts_of,
)
from hybridleuk.report.svg import element

__all__ = ["optional_figures"]

Document = Mapping[str, Any]
Entry = Mapping[str, Any]
_FIRST = 8
CALIBRATION_MARKS = ("hollow", "candidate", "third")


def optional_figures(document: Document) -> dict[str, Any]:
    """Draw what the document has keys for.

    Returns
    -------
    dict of key to figure, to a list of figures where there is one per candidate, or to ``None``
    """
    return {
        key: draw(document) or None
        if key == "shortcuts" or _has_content(document.get(key))
        else None
        for key, draw in _DRAWN.items()
    }


def ranked(document: Document, entries: Sequence[Entry]) -> list[Entry]:
    """Order entries of candidates as in the main table, those of the main split alone."""
    by_name = {e["name"]: e for e in entries if e.get("split") in (None, main_split(document))}
    order = [entry["name"] for entry in candidates_of(document)]
    return [by_name[name] for name in order if name in by_name]


def _has_content(section: Any) -> bool:
    if isinstance(section, Mapping) and "candidates" in section:
        return bool(section["candidates"])
    return bool(section)


def _ranked_in(document: Document, key: str) -> list[Entry]:
    return ranked(document, document[key]["candidates"])


def _patients(document: Document) -> Markup | None:
    rows = [
        Dots(entry["name"], [(entry["balanced_accuracy"], "candidate")])
        for entry in _ranked_in(document, "patients")
    ]
    if not rows:
        return None
    low = _floor(rows, chance_of(document))
    name = f"balanced accuracy, {document['patients']['unit']}s"
    return dot_figure(rows, name, low=low, high=1.0, reference=(chance_of(document), "chance"))


def _shortcuts(document: Document) -> Markup | None:
    shortcuts, best, chance = shortcuts_of(document), best_of(document), chance_of(document)
    if not shortcuts:
        return None
    rows = [Dots(best["name"], [(best["balanced_accuracy"], "candidate")], remark="the best")]
    for entry in sorted(shortcuts, key=_for_contrast):
        value = {"mean": entry["balanced_accuracy"], "low": entry["low"], "high": entry["high"]}
        kind = "contrast" if _for_contrast(entry) else "shortcut"
        rows.append(Dots(entry["name"], [(value, kind)], remark=entry.get("description", "")))
    low = _floor(rows, chance)
    return dot_figure(rows, "balanced accuracy", low=low, high=1.0, reference=(chance, "chance"))


def _for_contrast(shortcut: Entry) -> bool:
    return shortcut.get("kind") == "contrast"


def _counterfactuals(document: Document) -> Markup:
    section = document["counterfactuals"]
    return loss_table(section["changes"], _ranked_in(document, "counterfactuals"))


def _calibration(document: Document) -> Markup | None:
    rows = []
    for entry in _ranked_in(document, "calibration"):
        errors = [as_estimate(method["ece"]) for method in entry["methods"].values()]
        marks = [
            ({**error, "low": None, "high": None}, kind)
            for error, kind in zip(errors, CALIBRATION_MARKS, strict=False)
            if error["mean"] is not None
        ]
        words = " · ".join(_figure(error["mean"]) for error in errors)
        rows.append(Dots(entry["name"], marks, value=words))
    most = max([0.05, *(mark["mean"] for row in rows for mark, _ in row.marks)])
    name = "expected calibration error"
    return dot_figure(rows, name, low=0.0, high=1.08 * most) if rows else None


def _prediction_sets(document: Document) -> Markup | None:
    promised = 1 - document["prediction_sets"]["alpha"]
    rows = [
        Dots(
            entry["name"],
            [(entry["coverage"], "candidate")],
            remark=f"{entry['mean_size']:.2f} classes on average",
        )
        for entry in _ranked_in(document, "prediction_sets")
    ]
    if not rows:
        return None
    low = _floor(rows, promised - 0.1)
    return dot_figure(rows, "coverage", low=low, high=1.0, reference=(promised, "chance"))


def _abstention(document: Document) -> list[Markup]:
    entries = _ranked_in(document, "abstention")
    return abstention_panels(entries) if entries else []


def _costs(document: Document) -> Markup | None:
    rows = []
    for entry in _ranked_in(document, "costs"):
        called, least = as_estimate(entry["as_called"]), as_estimate(entry["at_least_cost"])
        words = f"{_figure(called['mean'])} → {_figure(least['mean'])}"
        rows.append(Dots(entry["name"], [(called, "hollow"), (least, "candidate")], value=words))
    if not rows:
        return None
    most = max([1e-6, *(mark["high"] or mark["mean"] for row in rows for mark, _ in row.marks)])
    return dot_figure(rows, "mean cost of an image", low=0.0, high=1.05 * most)


def _decision_curve(document: Document) -> list[Markup]:
    entries = _ranked_in(document, "decision_curve")
    return decision_panels({**document["decision_curve"], "candidates": entries})


def _learning_curve(document: Document) -> list[Markup]:
    entries = _ranked_in(document, "learning_curve")
    if not entries:
        return []
    section = {**document["learning_curve"], "candidates": entries}
    return learning_panels(section, chance_of(document))


def _training(document: Document) -> list[Markup]:
    return [panel for entry in document["training"] for panel in training_panels(entry)]


def _importance(document: Document) -> list[dict[str, Any]]:
    """Draw what is lost without each block and each measurement, for each candidate asked."""
    order = [entry["name"] for entry in candidates_of(document)]
    entries = sorted(document["importance"], key=lambda entry: order.index(entry["candidate"]))
    return [
        {
            "candidate": entry["candidate"],
            "blocks": _loss_rows(entry["blocks"]),
            "measurements": _loss_rows(entry["measurements"][:_FIRST]),
            "further": _loss_rows(entry["measurements"][_FIRST:]),
        }
        for entry in entries
    ]


def _loss_rows(entries: Sequence[Entry]) -> Markup | None:
    rows = [
        Dots(
            element("code", entry["name"]) if entry.get("describes") else entry["name"],
            [(entry["loss"], "candidate")],
            value=_loss_text(entry["loss"]),
            remark=_describes(entry),
        )
        for entry in entries
        if entry["loss"]["mean"] is not None
    ]
    if not rows:
        return None
    ends = [m[key] for row in rows for m, _ in row.marks for key in ("mean", "low", "high")]
    known = [end for end in ends if end is not None]
    low, high = min(0.0, *known), max(0.005, *known)
    room = 0.04 * (high - low)
    return dot_figure(
        rows,
        "points of balanced accuracy lost",
        low=low - room,
        high=high + room,
        reference=(0.0, "zero"),
        tick=lambda value: f"{100 * value:g}".replace("-", "−"),
    )


def _describes(entry: Entry) -> str:
    """Say what a measurement is, and which others are exchanged with it."""
    twins = [name for name in entry.get("members", ()) if name != entry["name"]]
    others = f"with {', '.join(twins[:3])}{' and others' if len(twins) > 3 else ''}"
    return "; ".join(filter(None, [entry.get("describes"), others if twins else ""]))


def _map(document: Document) -> dict[str, Any] | None:
    section = document["map"]
    if not section["points"]:
        return None
    classes = document["dataset"]["classes"]
    return {"picture": map_figure(section["points"], classes), "n": len(section["points"])}


def _attention(document: Document) -> list[Entry]:
    return [entry for entry in document["attention"] if entry.get("picture")]


def _loss_text(loss: Entry) -> Markup:
    words = Markup(points(loss["mean"]).lstrip("+"))
    if loss["low"] is None:
        return words
    spread = f"{points(loss['low']).lstrip('+')} to {points(loss['high']).lstrip('+')}"
    return words + " " + element("span", spread, class_="quiet")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _floor(rows: Sequence[Dots], also: float) -> float:
    """Choose a round low end of an axis of shares that shows every mark."""
    known = [m[key] for row in rows for m, _ in row.marks for key in ("mean", "low")]
    lowest = min([also, *(value for value in known if value is not None)])
    return min(0.9, max(0.0, floor(10 * lowest - 0.5) / 10))


_DRAWN: dict[str, Callable[[Document], Any]] = {
    "patients": _patients,
    "shortcuts": _shortcuts,
    "counterfactuals": _counterfactuals,
    "calibration": _calibration,
    "prediction_sets": _prediction_sets,
    "abstention": _abstention,
    "costs": _costs,
    "decision_curve": _decision_curve,
    "learning_curve": _learning_curve,
    "training": _training,
    "importance": _importance,
    "map": _map,
    "attention": _attention,
}
