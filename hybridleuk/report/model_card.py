"""A model card of the best candidate, in Markdown, from the comparison's document alone.

The headings follow Mitchell et al., Model Cards for Model Reporting, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridleuk.report.dots import plain_text, points
from hybridleuk.report.reading import best_of, main_split, shortcuts_of, split_words
from hybridleuk.report.tables import COLUMNS

__all__ = ["card_text"]

Document = Mapping[str, Any]
_GROUPS = {"patient": "patients", "pseudo": "pseudo-groups, which are guesses", "none": "groups"}
_PURPOSE = (
    "Research on leukocytes in images of stained blood smears: to compare ways of classifying them "
    "and to study what classifiers rest on. Images should be made as those described under Data."
)
_NOT_FOR = (
    "Not a medical device. Not for diagnosis, triage or treatment of any person, nor to replace "
    "a differential count by a trained person. Not for images of another stain, microscope, "
    "magnification or population before it was tested on them."
)


def card_text(document: Document) -> str:
    """Write the card.

    Parameters
    ----------
    document : mapping
        What ``comparison.json`` holds.

    Returns
    -------
    str
        Markdown with the parts: what it is, intended use, not intended, data, protocol, results,
        by class, shortcuts and changed pictures, other images, limits, to repeat it.
    """
    parts = (
        ("", _about(document)),
        ("Intended use", [_PURPOSE]),
        ("Not intended", [_NOT_FOR]),
        ("Data", _data(document)),
        ("Protocol", _protocol(document)),
        ("Results", _results(document)),
        ("By class", _by_class(document)),
        ("Shortcuts", _shortcuts(document)),
        ("Changed pictures", _changes(document)),
        ("Other images", _external(document)),
        ("Limits", _limits(document)),
        ("To repeat it", _repeat(document)),
    )
    lines = [f"# Model card: {_safe(best_of(document)['name'])}", ""]
    for heading, content in parts:
        if content:
            lines += [*([f"## {heading}", ""] if heading else []), *content, ""]
    return "\n".join(lines)


def _about(document: Document) -> list[str]:
    best = best_of(document)
    rivals = len({entry["name"] for entry in document["candidates"]})
    name = _safe(document["dataset"]["name"])
    lines = [
        f"The best of {rivals} candidates on {name}, by balanced accuracy on images it had not "
        "seen. This card describes the way of fitting, not one fitted file.",
        "",
        f"    {best['estimator']}",
    ]
    for alarm in document["alarms"]:
        lines += ["", f"**{_safe(alarm)}**"]
    return lines


def _data(document: Document) -> list[str]:
    data = document["dataset"]
    groups = f" from {data['n_groups']} {_GROUPS[data['group_kind']]}" if data["n_groups"] else ""
    known = "" if data["n_groups"] else "; which patient an image is of is not known"
    lines = [f"- {data['n_images']} images{groups}{known}"]
    for label in data["classes"]:
        of_groups = data["groups_per_class"].get(label)
        told = f" in {of_groups} groups" if of_groups else ""
        lines.append(f"- {_safe(label)}: {data['images_per_class'][label]} images{told}")
    if data["n_skipped"]:
        lines.append(f"- {data['n_skipped']} files could not be used")
    return lines


def _protocol(document: Document) -> list[str]:
    protocol, tuning = document["protocol"], best_of(document).get("tuning")
    told = [
        f"{split_words(document)}; repeats: {protocol['repeats']}, seed: {protocol['seed']}",
        f"groups: {protocol['group_rule']}" if protocol.get("group_rule") else "",
        f"inside a fold: {protocol['inner']}" if protocol.get("inner") else "",
        f"tuning: best of {tuning['n_settings']} settings" if tuning else "tuning: none",
        f"intervals: {100 * protocol['level']:.0f} %, bootstrap of {protocol['n_units']} "
        f"{protocol['resampled']}",
    ]
    return [f"- {_safe(line)}" for line in told if line]


def _results(document: Document) -> list[str]:
    best = best_of(document)
    lines = ["| figure | out of fold, with 95 % interval |", "| --- | ---: |"]
    lines += [f"| {COLUMNS[m]} | {plain_text(best[m])} |" for m in COLUMNS if m in best]
    for entry in _own(document, "patients"):
        figure = plain_text(entry["balanced_accuracy"])
        lines.append(f"| Balanced accuracy by {document['patients']['unit']} | {figure} |")
    for entry in _own(document, "prediction_sets"):
        promised = f"{100 * (1 - document['prediction_sets']['alpha']):.0f} %"
        figure = plain_text(entry["coverage"])
        lines.append(f"| Coverage of prediction sets, {promised} promised | {figure} |")
    return lines


def _by_class(document: Document) -> list[str]:
    best = best_of(document)
    lines = ["| class | sensitivity | specificity |", "| --- | ---: | ---: |"]
    for label in document["dataset"]["classes"]:
        found, spared = (plain_text(best[m][label]) for m in ("sensitivity", "specificity"))
        lines.append(f"| {_safe(label)} | {found} | {spared} |")
    return lines


def _shortcuts(document: Document) -> list[str]:
    lines = []
    for entry in shortcuts_of(document):
        ratio = entry.get("ratio")
        share = "" if ratio is None else f", {100 * ratio:.0f} % of the gain over guessing"
        contrast = " (for contrast, no shortcut)" if entry.get("kind") == "contrast" else ""
        reached = f"balanced accuracy {entry['balanced_accuracy']:.3f}{share}{contrast}"
        lines.append(f"- {_safe(entry['name'])}: {reached}")
    return lines


def _changes(document: Document) -> list[str]:
    names = {
        change["name"]: change["label"]
        for change in (document.get("counterfactuals") or {}).get("changes", [])
    }
    return [
        f"- {_safe(names.get(name, name))}: {points(found['loss']['mean']).lstrip('+')} points lost"
        for entry in _own(document, "counterfactuals")
        for name, found in entry["changes"].items()
        if found["loss"]["mean"] is not None
    ]


def _external(document: Document) -> list[str]:
    best = best_of(document)["name"]
    return [
        f"- {_safe(other['name'])}, {other['n_images']} images: balanced accuracy "
        f"{plain_text(entry['balanced_accuracy'])}"
        for other in document["external"]
        for entry in other["candidates"]
        if entry["name"] == best
    ]


def _limits(document: Document) -> list[str]:
    lines = [f"- {_safe(said)}" for said in [*document["warnings"], *document["notes"]]]
    if not document["external"]:
        lines.append("- It was not tested on images of another source.")
    if document["dataset"]["group_kind"] != "patient":
        lines.append("- Patients are not known: how it does on a new patient was not measured.")
    return lines


def _repeat(document: Document) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    command = document.get("command")
    return [*([f"    {command}", ""] if command else []), f"Versions: {versions}"]


def _own(document: Document, key: str) -> list[Mapping[str, Any]]:
    """List what a section says of the best candidate on the main split."""
    section, best, split = document.get(key), best_of(document)["name"], main_split(document)
    entries = section["candidates"] if section else []
    return [e for e in entries if e["name"] == best and e.get("split") in (None, split)]


def _safe(text: str) -> str:
    """Keep names of classes and files from being read as Markdown or HTML."""
    marks = {mark: f"\\{mark}" for mark in "\\`*_[]|#"} | {"<": "&lt;", ">": "&gt;"}
    return "".join(marks.get(letter, letter) for letter in str(text))
