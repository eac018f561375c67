"""Reading the plain data of ``comparison.json``: which split counts, who is best, which pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "best_of",
    "candidates_of",
    "chance_of",
    "group_word",
    "main_split",
    "oriented",
    "pairs_of",
    "proving",
    "shortcuts_of",
    "split_words",
    "told_apart",
]

Document = Mapping[str, Any]
Entry = Mapping[str, Any]
SIGNIFICANT = 0.05
_SPLITS = {
    "random": "drawn at random",
    "group": "groups kept apart",
    "logo": "each group left out in turn",
    "manifest": "as the manifest divides",
}


def main_split(document: Document) -> str:
    """Name the split that the verdict rests on: by group where there is one."""
    split = document["protocol"]["split"]
    return "group" if split == "both" else str(split)


def candidates_of(document: Document, split: str | None = None) -> list[Entry]:
    """List the candidates on one split, by default the main one, best first."""
    wanted = split or main_split(document)
    found = [entry for entry in document["candidates"] if entry["split"] == wanted]
    return sorted(found, key=lambda entry: -entry["balanced_accuracy"]["mean"])


def best_of(document: Document) -> Entry:
    """Return the candidate of the highest balanced accuracy on the main split."""
    return candidates_of(document)[0]


def shortcuts_of(document: Document) -> list[Entry]:
    """List the shortcut baselines on the main split, strongest first."""
    found = [entry for entry in document["shortcuts"] if entry["split"] == main_split(document)]
    return sorted(found, key=lambda entry: -entry["balanced_accuracy"])


def proving(document: Document) -> list[Entry]:
    """List the shortcut baselines without those that are there for contrast, strongest first."""
    return [entry for entry in shortcuts_of(document) if entry.get("kind") != "contrast"]


def split_words(document: Document) -> str:
    """Say how the folds of the main split were made, with their number where it was chosen."""
    split, protocol = main_split(document), document["protocol"]
    words = _SPLITS.get(split, split).replace("group", group_word(document))
    return words if split in ("logo", "manifest") else f"{protocol['folds']} folds, {words}"


def group_word(document: Document) -> str:
    """Call a guessed group a pseudo-group, wherever the word stands."""
    return "pseudo-group" if document["dataset"].get("group_kind") == "pseudo" else "group"


def pairs_of(document: Document) -> list[Entry]:
    """List the paired differences on the main split."""
    return [pair for pair in document["pairs"] if pair["split"] == main_split(document)]


def oriented(pair: Entry, a: str) -> dict[str, Any] | None:
    """Turn a pair so that `a` comes first; ``None`` when it is not in it.

    Examples
    --------
    >>> from hybridleuk.report.reading import oriented
    >>> pair = {"a": "deep", "b": "hybrid", "difference": -0.1, "low": -0.2, "high": 0.0}
    >>> oriented(pair, "hybrid")["difference"]
    0.1
    """
    if pair["a"] == a:
        return dict(pair)
    if pair["b"] != a:
        return None
    turned = {"a": a, "b": pair["a"], "difference": -pair["difference"]}
    if "only_right" in pair:
        turned["only_right"] = pair["only_right"][::-1]
    return {**pair, **turned, "low": -pair["high"], "high": -pair["low"]}


def told_apart(pair: Entry) -> bool:
    """Whether two candidates differ by more than chance: by test, corrected, and by interval."""
    return bool(pair["p_holm"] < SIGNIFICANT and (pair["low"] > 0 or pair["high"] < 0))


def chance_of(document: Document) -> float:
    """Balanced accuracy of guessing: one over the number of classes."""
    return 1 / len(document["dataset"]["classes"])
