"""An audit in plain words, what is most serious first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from hybridleuk.audit.baselines import is_told
from hybridleuk.audit.files import UNREADABLE
from hybridleuk.evaluation.verdict_words import listed, p_written

__all__ = ["verdict"]

Document = Mapping[str, Any]
_NOTABLE_NMI = 0.1
_CERTAIN = 0.01


def verdict(document: Document) -> list[str]:
    """Sum up an audit in sentences.

    Parameters
    ----------
    document : mapping
        The keys of ``audit.json`` up to ``balance``.
    """
    parts = (_leakage, _conflicts, _shortcuts, _files, _duplicates, _labels, _quality)
    found = [sentence for part in parts for sentence in part(document)]
    if not found:
        found = [
            f"Nothing was found wrong with the {document['dataset']['n_images']} image(s), apart "
            "from what is said of their number."
        ]
    return [*found, *_balance(document)]


def _leakage(document: Document) -> Iterator[str]:
    counts = Counter(cluster["across"] for cluster in _whole(document))
    if counts["split"]:
        yield (
            f"{counts['split']} set(s) of duplicates lie in several parts of the split: what is "
            "tested was trained on. The cleaned manifest keeps one image of each."
        )
    shared = document["balance"]["shared_groups"]
    if shared:
        yield (
            f"{len(shared)} group(s) are in several parts of the split, first {shared[0]}: the "
            "test does not show how unseen patients are told."
        )
    if counts["group"]:
        yield (
            f"{counts['group']} set(s) of duplicates lie in several groups: a split by group does "
            "not keep them apart."
        )


def _conflicts(document: Document) -> Iterator[str]:
    found = [cluster for cluster in _whole(document) if cluster["conflict"]]
    if found:
        names = listed(sorted({str(label) for label in found[0]["labels"]}))
        left = "" if document["cleaned"]["n_images"] else ", and no image is left"
        yield (
            f"{len(found)} set(s) of duplicates carry different labels, the first {names}: an "
            f"error of the data. The cleaned manifest leaves all of them out{left}."
        )


def _shortcuts(document: Document) -> Iterator[str]:
    told = [entry for entry in document["shortcuts"] if is_told(entry)]
    if told:
        first = told[0]
        also = [f"{entry['name']} {entry['balanced_accuracy']:.2f}" for entry in told[1:]]
        more = f"; likewise {listed(also)}" if also else ""
        yield (
            f"Classes can be told without a cell: {first['name']} alone reaches a balanced "
            f"accuracy of {first['balanced_accuracy']:.2f} where guessing reaches "
            f"{first['chance']:.2f} ({p_written(first['p_value'])}){more}."
        )
    taken = document["acquisition"]
    nmi, chance, p = (taken[name] for name in ("nmi_with_class", "nmi_by_chance", "p_value"))
    if p is not None and p <= _CERTAIN and nmi - chance >= _NOTABLE_NMI:
        yield (
            f"The images fall into {taken['n_clusters']} clusters of stain, light and camera, and "
            f"these go together with the classes (normalised mutual information {nmi:.2f}, by "
            f"chance {chance:.2f})."
        )


def _files(document: Document) -> Iterator[str]:
    counts = Counter(entry["problem"] for entry in document["files"])
    bad = sum(counts[problem] for problem in UNREADABLE)
    if bad:
        yield f"{bad} file(s) cannot be read and are left out."
    others = [f"{problem} ({n})" for problem, n in counts.items() if problem not in UNREADABLE]
    if others:
        yield f"Files to look at: {listed(others)}."


def _duplicates(document: Document) -> Iterator[str]:
    found = _whole(document)
    if found:
        extra = sum(len(cluster["images"]) - 1 for cluster in found)
        kinds = Counter(cluster["kind"] for cluster in document["duplicates"])
        said = listed(
            [f"{kinds[kind]} {kind}" for kind in ("bytes", "pixels", "near") if kinds[kind]]
        )
        yield (
            f"{extra} image(s) show what another one shows, in {len(found)} set(s) (clusters by "
            f"kind: {said}); random folds would train and test on the same."
        )


def _labels(document: Document) -> Iterator[str]:
    suspects = document["suspect_labels"]
    if suspects:
        first = suspects[0]
        share = len(suspects) / max(document["dataset"]["n_images"], 1)
        yield (
            f"{len(suspects)} label(s) ({100 * share:.1f} %) are suspect, most of all "
            f"{first['path']}, labelled {first['label']} and more like {first['suggested']}: have "
            "them looked at."
        )


def _quality(document: Document) -> Iterator[str]:
    counts = Counter(entry["problem"] for entry in document["quality"])
    if counts:
        yield f"Images of poor quality: {listed([f'{name} ({n})' for name, n in counts.items()])}."


def _balance(document: Document) -> Iterator[str]:
    # Shared groups lead the verdict.
    yield from (
        text for text in document["balance"]["warnings"] if "parts of the split:" not in text
    )


def _whole(document: Document) -> list[Mapping[str, Any]]:
    """Clusters that are no part of another one, so that each image counts once."""
    rank = {"bytes": 0, "pixels": 1, "near": 2}
    held: dict[str, int] = {}
    found = []
    for cluster in sorted(document["duplicates"], key=lambda cluster: -rank[cluster["kind"]]):
        if not any(image in held for image in cluster["images"]):
            found.append(cluster)
            held |= dict.fromkeys(cluster["images"], 1)
    return found
