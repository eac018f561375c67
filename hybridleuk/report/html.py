"""The report: one HTML file that opens offline, made of nothing but plain data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from hybridleuk.exceptions import InputError
from hybridleuk.report.contents import contents_of
from hybridleuk.report.figures import cost_figure, difference_figure, gap_figure, interval_figure
from hybridleuk.report.gallery import mistakes
from hybridleuk.report.page import environment, headings_of, style
from hybridleuk.report.panels import (
    confusion_table,
    precision_recall_panel,
    reliability_panel,
    roc_panel,
)
from hybridleuk.report.reading import (
    best_of,
    candidates_of,
    chance_of,
    group_word,
    main_split,
    oriented,
    pairs_of,
    proving,
    shortcuts_of,
    split_words,
)
from hybridleuk.report.sections import optional_figures, ranked

__all__ = ["comparison_report", "report_from_folder"]

Document = Mapping[str, Any]
STRONGEST = 3
ALWAYS = (
    *("results", "classes", "roc", "precision", "errors", "reliability", "cost"),
    *("protocol", "repeat"),
)
_SECTION_OF = {
    "prediction_sets": "sets",
    "costs": "mistake-costs",
    "decision_curve": "decision",
    "learning_curve": "learning",
    "training": "training",
}
_RANKED = ("patients", "counterfactuals", "calibration", "prediction_sets")


def comparison_report(
    document: Document, predictions: pd.DataFrame, *, n_mistakes: int = 12
) -> str:
    """Write the report of a comparison.

    Parameters
    ----------
    document : mapping
        What ``comparison.json`` holds.
    predictions : DataFrame
        What ``predictions.parquet`` holds. Images of the error gallery are read from its paths;
        one that is gone is named without a picture.
    n_mistakes : int, default 12
        Images in the error gallery.

    Returns
    -------
    str
        HTML that makes no request to anywhere.
    """
    own = predictions[predictions["split"] == main_split(document)]
    shown, n_wrong = mistakes(own[own["candidate"] == best_of(document)["name"]], limit=n_mistakes)
    figures, extra = _figures(document), optional_figures(document)
    contents = contents_of(_present(figures, extra))
    return (
        environment()
        .get_template("comparison.html")
        .render(
            style=style(),
            document=document,
            contents=contents,
            headings=headings_of(contents),
            best=best_of(document),
            candidates=candidates_of(document),
            shortcuts=shortcuts_of(document),
            strongest=proving(document)[:STRONGEST],
            split=split_words(document),
            group=group_word(document),
            chance=chance_of(document),
            remarks=[said for said in document["verdict"] if said not in document["alarms"]],
            figures=figures,
            extra=extra,
            ranked=_ranked(document, extra),
            panels=_panels(document, own),
            mistakes=shown,
            n_wrong=n_wrong,
        )
    )


def report_from_folder(directory: str | os.PathLike[str]) -> str:
    """Write the report again from ``comparison.json`` and ``predictions.parquet`` in a folder.

    Raises
    ------
    InputError
        The files are not there or cannot be read.
    """
    folder = Path(directory)
    try:
        document = json.loads((folder / "comparison.json").read_text("utf-8"))
        predictions = pd.read_parquet(folder / "predictions.parquet")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no finished comparison ({error}); run the comparison again."
        ) from error
    return comparison_report(document, predictions)


def _present(figures: Mapping[str, Any], extra: Mapping[str, Any]) -> set[str]:
    """Name the sections that this report has."""
    optional = {_SECTION_OF.get(key, key) for key, drawn in extra.items() if drawn}
    asked = {key for key in ("differences", "leakage", "external") if figures[key]}
    return {*ALWAYS, *asked, *optional}


def _ranked(document: Document, extra: Mapping[str, Any]) -> dict[str, list[Any]]:
    """List the candidates of each section that has a table of them, best first."""
    return {key: ranked(document, document[key]["candidates"]) for key in _RANKED if extra[key]}


def _figures(document: Document) -> dict[str, Any]:
    candidates = candidates_of(document)
    first, others = _ordered_pairs(document)
    negligible = document["protocol"]["negligible"]
    strongest = proving(document)[:STRONGEST]
    return {
        "candidates": interval_figure(candidates, strongest, chance_of(document)),
        "differences": difference_figure(first, negligible) if first else None,
        "other_differences": difference_figure(others, negligible) if others else None,
        "leakage": _leakage(document),
        "external": [_external(document, other) for other in document["external"]],
        "costs": _cost_figures(candidates),
    }


def _cost_figures(candidates: list[Mapping[str, Any]]) -> list[Markup]:
    """Draw accuracy over each cost that is known of any candidate."""
    megabytes = [
        {**entry, "megabytes": entry["size_bytes"] / 1e6}
        for entry in candidates
        if entry.get("size_bytes")
    ]
    axes = (
        (candidates, "predict_ms_per_image", "milliseconds per image"),
        (candidates, "fit_seconds", "seconds to fit one fold"),
        (megabytes, "megabytes", "megabytes on disk"),
    )
    drawn = []
    for entries, key, unit in axes:
        known = [entry for entry in entries if entry[key] is not None]
        if known:
            drawn.append(cost_figure(known, key, unit))
    return drawn


def _ordered_pairs(document: Document) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """List the pairs with the best candidate, and the rest, each with its better one first."""
    ranks = {entry["name"]: rank for rank, entry in enumerate(candidates_of(document))}
    turned = []
    for pair in pairs_of(document):
        better = min((pair["a"], pair["b"]), key=ranks.__getitem__)
        turned.append(oriented(pair, better) or {})
    turned.sort(key=lambda pair: (ranks[pair["a"]], ranks[pair["b"]]))
    best = best_of(document)["name"]
    return [p for p in turned if p["a"] == best], [p for p in turned if p["a"] != best]


def _leakage(document: Document) -> Markup | None:
    gaps = document["leakage_gap"]
    if not gaps:
        return None
    random = {c["name"]: c["balanced_accuracy"]["mean"] for c in candidates_of(document, "random")}
    rows = [
        {
            "name": entry["name"],
            "from": random[entry["name"]],
            "to": entry["balanced_accuracy"]["mean"],
            "gap": gaps[entry["name"]],
        }
        for entry in candidates_of(document)
    ]
    return gap_figure(rows, "random folds", f"{group_word(document)}s kept apart")


def _external(document: Document, other: Mapping[str, Any]) -> Markup:
    """Draw the way from out-of-fold to external images for each candidate."""
    scored = {entry["name"]: entry for entry in other["candidates"]}
    rows = [
        {
            "name": entry["name"],
            "from": entry["balanced_accuracy"]["mean"],
            "to": scored[entry["name"]]["balanced_accuracy"]["mean"],
            "gap": scored[entry["name"]]["drop"],
        }
        for entry in candidates_of(document)
    ]
    return gap_figure(rows, "out of fold", other["name"])


def _panels(document: Document, predictions: pd.DataFrame) -> dict[str, list[Markup]]:
    classes = document["dataset"]["classes"]
    confusion = document["confusion"][main_split(document)]
    kinds = ("confusion", "roc", "precision", "reliability")
    made: dict[str, list[Markup]] = {kind: [] for kind in kinds}
    for entry in candidates_of(document):
        name = entry["name"]
        truth, probabilities = _arrays(predictions[predictions["candidate"] == name], classes)
        made["confusion"].append(confusion_table(name, confusion[name], classes))
        made["roc"].append(roc_panel(name, truth, probabilities, classes))
        made["precision"].append(precision_recall_panel(name, truth, probabilities, classes))
        made["reliability"].append(
            reliability_panel(name, truth, probabilities, entry["ece"]["mean"])
        )
    return made


def _arrays(
    rows: pd.DataFrame, classes: list[str]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(dtype=np.float64)
    return np.searchsorted(classes, rows["label"].to_numpy(dtype=object)), probabilities
