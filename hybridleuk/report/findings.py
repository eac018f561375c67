"""What an audit found, at a glance and as pictures drawn from numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

from markupsafe import Markup

from hybridleuk.report.dots import Dots, as_estimate, dot_figure
from hybridleuk.report.svg import element

__all__ = [
    "Finding",
    "cluster_table",
    "findings",
    "is_alarming",
    "p_words",
    "shortcut_figure",
]

Document = Mapping[str, Any]
Entry = Mapping[str, Any]
_ACROSS = {
    "split": "in several parts of the split",
    "group": "in several groups",
    "class": "in several classes",
}
_DARK = 0.7


@dataclass(frozen=True)
class Finding:
    """One line of the summary.

    Attributes
    ----------
    kind : str
        What was looked for.
    section : str
        Where the page tells of it.
    count : int or None
        How much was found; ``None`` where it could not be looked for.
    words : str
        Of what kinds it is.
    """

    kind: str
    section: str
    count: int | None
    words: str


def findings(document: Document) -> list[Finding]:
    """Sum up an audit in one line for each thing looked for.

    Parameters
    ----------
    document : mapping
        What ``audit.json`` holds.
    """
    return [
        _duplicates(document["duplicates"]),
        _shortcuts(document["shortcuts"]),
        _clusters(document["acquisition"]),
        _suspects(document),
        _listed("files", "files", document["files"]),
        _listed("quality", "quality", document["quality"]),
        Finding("warnings of balance", "balance", len(document["balance"]["warnings"]), ""),
    ]


def is_alarming(document: Document) -> bool:
    """Tell whether what was found makes figures of a classifier worthless if nothing is done."""
    across = {cluster["across"] for cluster in document["duplicates"]}
    return bool(
        across & {"split", "group"}
        or document["balance"]["shared_groups"]
        or any(cluster["conflict"] for cluster in document["duplicates"])
        or any(entry["told"] for entry in document["shortcuts"])
    )


def shortcut_figure(shortcuts: list[Entry]) -> Markup | None:
    """Draw how far classes are told without a cell, against chance; a baseline a row."""
    if not shortcuts:
        return None
    rows = [
        Dots(
            entry["name"],
            [
                (
                    as_estimate(entry["balanced_accuracy"]),
                    "shortcut" if entry["told"] else "contrast",
                )
            ],
            value=Markup(f"{entry['balanced_accuracy']:.3f} ")
            + element("span", p_words(entry["p_value"]), class_="quiet"),
            remark=entry["description"],
        )
        for entry in shortcuts
    ]
    chance = shortcuts[0]["chance"]
    lowest = min([chance, *(entry["balanced_accuracy"] for entry in shortcuts)])
    low = min(0.9, max(0.0, floor(10 * lowest - 0.5) / 10))
    return dot_figure(rows, "balanced accuracy", low=low, high=1.0, reference=(chance, "chance"))


def cluster_table(acquisition: Entry, classes: list[str]) -> Markup:
    """Lay out how the images of each cluster are spread over the classes.

    The color is the share of the cluster's images, as a help; the number is the count.
    """
    held = acquisition["classes"]
    columns = classes if held is not None else []
    heads = [element("th", element("span", name), scope="col") for name in columns]
    rows = [
        element(
            "tr",
            element("th", f"Cluster {number}", scope="row"),
            element("td", f"{size:,}", class_="total"),
            *(_share(held[number].get(name, 0), size, name) for name in columns),
        )
        for number, size in enumerate(acquisition["sizes"])
    ]
    corner = element("td", "", class_="corner")
    total = element("th", element("span", "images"), scope="col")
    return element(
        "table",
        element("caption", "Images of each class in each cluster of acquisition", class_="unseen"),
        element("thead", element("tr", corner, total, *heads)),
        element("tbody", *rows),
        class_="heat",
    )


def p_words(value: float) -> str:
    """Write a p-value.

    Examples
    --------
    >>> from hybridleuk.report.findings import p_words
    >>> p_words(0.002), p_words(0.0001)
    ('p = 0.002', 'p < 0.001')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _share(count: int, size: int, name: str) -> Markup:
    share = count / size if size else 0.0
    return element(
        "td",
        f"{count:,}" if count else "",
        style=f"--share:{share:.3f}",
        class_=f"held{' dark' if share > _DARK else ''}",
        title=f"{name}: {100 * share:.0f} % of the cluster",
    )


def _duplicates(clusters: list[Entry]) -> Finding:
    kinds = Counter(cluster["kind"] for cluster in clusters)
    across = Counter(cluster["across"] for cluster in clusters)
    conflicts = sum(cluster["conflict"] for cluster in clusters)
    parts = [f"{kinds[kind]} {kind}" for kind in ("bytes", "pixels", "near") if kinds[kind]]
    parts += [f"{conflicts} with two labels"] if conflicts else []
    parts += [f"{across[key]} {words}" for key, words in _ACROSS.items() if across[key]]
    return Finding("sets of duplicates", "duplicates", len(clusters), ", ".join(parts))


def _suspects(document: Document) -> Finding:
    suspects, test = document["suspect_labels"], document["label_test"]
    if test is None:
        return Finding("suspect labels", "labels", None, "")
    if not test["told"]:
        words = (
            "cannot be doubted: the features tell the classes no better than chance "
            f"({p_words(test['p_value'])})"
        )
        return Finding("suspect labels", "labels", None, words)
    words = _counted(f"{e['label']} → {e['suggested']}" for e in suspects)
    return Finding("suspect labels", "labels", len(suspects), words)


def _shortcuts(entries: list[Entry]) -> Finding:
    if not entries:
        return Finding("shortcuts", "shortcuts", None, "")
    first = entries[0]
    words = (
        f"strongest: {first['name']} {first['balanced_accuracy']:.2f}, guessing "
        f"{first['chance']:.2f}, {p_words(first['p_value'])}"
    )
    return Finding("shortcuts", "shortcuts", sum(entry["told"] for entry in entries), words)


def _clusters(acquisition: Entry) -> Finding:
    nmi, chance = acquisition["nmi_with_class"], acquisition["nmi_by_chance"]
    words = "" if nmi is None else f"mutual information with the classes {nmi:.2f}"
    words += "" if chance is None else f", by chance {chance:.2f}"
    return Finding("clusters of acquisition", "acquisition", acquisition["n_clusters"], words)


def _listed(kind: str, section: str, entries: list[Entry]) -> Finding:
    words = _counted(entry["problem"] for entry in entries)
    name = {"files": "remarks on files", "quality": "poor pictures"}[kind]
    return Finding(name, section, len(entries), words)


def _counted(names: Iterable[str], most: int = 6) -> str:
    counts = Counter(names).most_common()
    more = f" and {len(counts) - most} kinds more" if len(counts) > most else ""
    return ", ".join(f"{name} ({n:,})" for name, n in counts[:most]) + more
