"""A comparison in plain words: which candidate is best, and how far its figures can be trusted.

Everything is read from the plain data of ``comparison.json``, so that a report made from files says
the same. The **shortcut ratio** is the share of the best candidate's gain over chance that a
shortcut baseline reaches alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridleuk.evaluation.verdict_shortcuts import (
    shortcut_alarms,
    shortcut_ratio,
    shortcut_sentences,
)
from hybridleuk.evaluation.verdict_words import (
    above_chance,
    listed,
    p_written,
    points,
    with_interval,
)
from hybridleuk.report.reading import (
    best_of,
    candidates_of,
    chance_of,
    group_word,
    main_split,
    oriented,
    pairs_of,
    told_apart,
)

__all__ = ["alarms", "shortcut_ratio", "verdict", "warnings_of"]

Document = Mapping[str, Any]

_WHERE = {
    "group": "on groups kept apart",
    "random": "on random folds",
    "logo": "each group left out in turn",
    "manifest": "on the test part of the manifest",
}
FEW_GROUPS = 20
FEW_GROUPS_PER_CLASS = 5


def verdict(document: Document) -> list[str]:
    """Sum up a comparison in sentences, what to worry about first.

    Parameters
    ----------
    document : mapping
        The keys of ``comparison.json`` up to ``external``.
    """
    return [
        *alarms(document),
        _best_sentence(document),
        *shortcut_sentences(document),
        *_leakage_sentences(document),
        *_hybrid_sentences(document),
        *_external_sentences(document),
    ]


def alarms(document: Document) -> list[str]:
    """Tell why the best figure does not show that cells were read; empty when nothing says so."""
    best = best_of(document)
    chance = chance_of(document)
    seen = _contamination_alarms(document)
    if not above_chance(best, chance):
        return [
            *seen,
            f"No candidate is clearly better than chance: the best, {best['name']}, reaches a "
            f"balanced accuracy of {with_interval(best['balanced_accuracy'])} where guessing "
            f"reaches {chance:.2f}.",
        ]
    return [*seen, *shortcut_alarms(document)]


def _contamination_alarms(document: Document) -> list[str]:
    return [
        f"CONTAMINATED: the network {found['backbone']} was trained on {found['n_learned']:,} of "
        f"the {found['n_images']:,} images{' of ' * bool(found['set'])}{found['set']}, so there "
        f"the figures of {listed(found['candidates'])} are too good; leave these images out, or "
        "give other weights."
        for found in document.get("contaminated", [])
    ]


def warnings_of(document: Document) -> list[str]:
    """Tell what weakens any figure of this comparison, whatever its results."""
    return [
        *_group_warnings(document),
        *_overlap_warnings(document),
        *_training_warnings(document),
    ]


def _group_warnings(document: Document) -> list[str]:
    dataset, split = document["dataset"], document["protocol"]["split"]
    kind, n_groups, group = dataset["group_kind"], dataset["n_groups"], group_word(document)
    if not n_groups:
        return [
            "No groups are known, so images of one patient may be on both sides of a fold and "
            "every figure may be too good; name patients with a group column or a group regex, or "
            "have pseudo-groups made."
        ]
    found = []
    fewest = min(dataset["groups_per_class"].values())
    if n_groups < FEW_GROUPS or fewest < FEW_GROUPS_PER_CLASS:
        found.append(
            f"Only {n_groups} {group}s, {fewest} in the smallest class: a few of them decide these "
            "figures, and intervals and p-values are rough."
        )
    if kind == "pseudo":
        found.append(
            "The groups are pseudo-groups, guessed from the images and not known patients; "
            "leakage between patients may remain."
        )
    if split == "random":
        found.append(
            f"Images of one {group} are on both sides of the folds (split 'random'), so every "
            "figure may be too good; use the split 'group' or 'both'."
        )
    return found


def _overlap_warnings(document: Document) -> list[str]:
    return [
        f"{other['n_shared']} of the {other['n_images']} images of {other['name']} are byte for "
        "byte among those fitted on, so its figures are too good; leave them out."
        for other in document.get("external", [])
        if other["n_shared"]
    ]


def _training_warnings(document: Document) -> list[str]:
    kept = {
        entry["candidate"]: [fold["best_epoch"] for fold in entry["folds"]]
        for entry in document.get("training") or []
    }
    return [
        f"In {epochs.count(0)} of {len(epochs)} folds the training of {name} never beat the frozen "
        "features on the images watched, and what is compared there is a logistic regression on "
        "them; it may need more epochs, more images or a lower learning rate."
        for name, epochs in kept.items()
        if 0 in epochs
    ]


def _best_sentence(document: Document) -> str:
    best = best_of(document)
    reached = with_interval(best["balanced_accuracy"])
    where = _WHERE[main_split(document)].replace("group", group_word(document))
    if len(candidates_of(document)) == 1:
        return f"{best['name']} reaches a balanced accuracy of {reached}, {where}."
    sentence = f"{best['name']} has the highest balanced accuracy, {reached}, {where}"
    close = [
        pair["b"]
        for pair in (oriented(p, best["name"]) for p in pairs_of(document))
        if pair is not None and not told_apart(pair)
    ]
    if not close:
        return f"{sentence}; it is ahead of every other candidate."
    return f"{sentence}; this comparison cannot tell it from {listed(close)}."


def _leakage_sentences(document: Document) -> list[str]:
    gap = document.get("leakage_gap", {}).get(best_of(document)["name"])
    if not gap:
        return []
    name, gain = best_of(document)["name"], 100 * gap["mean"]
    group = group_word(document)
    if gap["low"] is not None and gap["low"] > 0:
        return [
            f"Random folds flatter: {name} gains {gain:.1f} points ({100 * gap['low']:.1f} to "
            f"{100 * gap['high']:.1f}) when images of one {group} may be on both sides."
        ]
    return [
        f"No leakage gap is shown: random folds give {name} {points(gap['mean'])} points "
        f"({points(gap['low'])} to {points(gap['high'])}) over folds by {group}."
    ]


def _hybrid_sentences(document: Document) -> list[str]:
    names = {candidate["name"] for candidate in candidates_of(document)}
    said = []
    for hybrid in sorted(name for name in names if name.startswith("hybrid+")):
        blocks = [hybrid.replace("hybrid", block, 1) for block in ("deep", "morphology")]
        pairs = [_pair(document, hybrid, block) for block in blocks if block in names]
        if len(pairs) == 2:
            said.append(_hybrid_sentence(hybrid, pairs))
            if not all(_is_won(pair) for pair in pairs):
                said += _why_not_better(document, *blocks)
    return said


def _why_not_better(document: Document, deep: str, morphology: str) -> list[str]:
    """Say what one block could add to the other, as images that only one of them gets right."""
    pair = _pair(document, deep, morphology)
    mended, spoilt = pair.get("only_right", (0, 0))
    added, stronger = deep, morphology
    if mended > spoilt:
        mended, spoilt, added, stronger = spoilt, mended, morphology, deep
    if not spoilt:
        return []
    return [
        f"Why: {added} gets {mended} images right that {stronger} gets wrong, but {spoilt} wrong "
        "that it gets right; weighted equally, there is that much to gain and that much to lose."
    ]


def _hybrid_sentence(hybrid: str, pairs: list[dict[str, Any]]) -> str:
    clauses = listed([_against(pair) for pair in pairs])
    if all(_is_won(pair) for pair in pairs):
        return f"{hybrid} beats both of its blocks: {clauses}."
    if all(pair["difference"] > 0 for pair in pairs):
        return (
            f"{hybrid} is ahead of both of its blocks, but not by more than chance explains: "
            f"{clauses}."
        )
    return f"{hybrid} does not beat both of its blocks: {clauses}."


def _against(pair: Mapping[str, Any]) -> str:
    remark = "; too little to matter" if pair["negligible"] else ""
    reach = f"{points(pair['low'])} to {points(pair['high'])}"
    return (
        f"{points(pair['difference'])} points against {pair['b']} "
        f"({reach}, {p_written(pair['p_holm'])} by Holm{remark})"
    )


def _external_sentences(document: Document) -> list[str]:
    name = best_of(document)["name"]
    said = []
    for other in document.get("external", []):
        entry = next(item for item in other["candidates"] if item["name"] == name)
        drop = entry["drop"]
        said.append(
            f"Fitted on all of these images and tested on {other['name']}, {name} reaches "
            f"{with_interval(entry['balanced_accuracy'])}: {100 * drop['mean']:.1f} points less "
            f"({100 * drop['low']:.1f} to {100 * drop['high']:.1f})."
            if drop["mean"] > 0
            else f"On {other['name']}, {name} holds: {with_interval(entry['balanced_accuracy'])}."
        )
    return said


def _is_won(pair: Mapping[str, Any]) -> bool:
    return bool(pair["difference"] > 0 and told_apart(pair))


def _pair(document: Document, a: str, b: str) -> dict[str, Any]:
    turned = (oriented(pair, a) for pair in pairs_of(document))
    return next(pair for pair in turned if pair is not None and pair["b"] == b)
