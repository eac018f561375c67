"""What shortcut baselines and changed images say about the best candidate, in sentences.

Two kinds of evidence that cells were not what was read: a baseline that sees no cell does as well,
and the fitted candidate itself follows the background when it is exchanged. An exchange disturbs
any classifier a little, so what counts is how much more it costs when the new background comes
from an image of another class than when it comes from one of the same class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridleuk.evaluation.verdict_words import above_chance, listed, points, value_of
from hybridleuk.report.reading import best_of, chance_of, main_split, shortcuts_of

__all__ = ["shortcut_alarms", "shortcut_ratio", "shortcut_sentences"]

Document = Mapping[str, Any]
Entry = Mapping[str, Any]

BACKGROUND = "background color"
CELLS = "cell only"
# Share of the best candidate's gain over chance that a baseline has to reach to be an alarm: those
# that see no cell at all, and those that see cells without detail, which may tell some by right.
ALARMING = {"around": 0.8, "coarse": 0.95}
AS_MUCH = 0.8  # of a coarse baseline's gain, reached by leukocytes alone, may explain all of it
NOTABLE = 0.5
READS_BACKGROUND = 0.1  # points of balanced accuracy over 100
ALARMING_SHARE_OF_GAIN = 0.5
FRAGILE = 0.1
BEYOND_DOUBT = 0.02  # where the interval has to begin; on few images its end is rough


def shortcut_ratio(shortcut: float, best: float, chance: float) -> float | None:
    """Share of the gain over chance that a shortcut reaches; ``None`` where nothing was gained.

    Examples
    --------
    >>> from hybridleuk.evaluation.verdict import shortcut_ratio
    >>> round(shortcut_ratio(0.75, 1.0, 0.5), 6)
    0.5
    """
    return (shortcut - chance) / (best - chance) if best > chance else None


def shortcut_alarms(document: Document) -> list[str]:
    """Tell why the best figure does not show that cells were read; empty when nothing says so.

    Only of use where the best candidate is above chance.
    """
    return [*_baseline_alarms(document), *_exchange_alarms(document)]


def shortcut_sentences(document: Document) -> list[str]:
    """Say what else shortcuts reach and what changed images cost, beyond any alarm."""
    if not above_chance(best_of(document), chance_of(document)):
        return []
    return [*_baseline_sentences(document), *_change_sentences(document)]


def _baselines(document: Document) -> list[Entry]:
    """List the baselines that are shortcuts, strongest first."""
    return [entry for entry in shortcuts_of(document) if _kind(entry) != "contrast"]


def _kind(shortcut: Entry) -> str:
    older = "around" if shortcut["name"] == BACKGROUND else "coarse"
    return str(shortcut.get("kind", older))


def _baseline_alarms(document: Document) -> list[str]:
    loud = [shortcut for shortcut in _baselines(document) if _is_alarming(shortcut, document)]
    if not loud:
        return []
    loud.sort(key=lambda shortcut: (shortcut["name"] != BACKGROUND, _kind(shortcut) != "around"))
    first, *others = loud
    said = (
        f"The {first['name']} alone reaches {first['balanced_accuracy']:.2f} balanced accuracy of "
        f"the best candidate's {value_of(best_of(document)):.2f}: this accuracy does not show that "
        "the cells were read."
    )
    also = [f"{other['name']} {other['balanced_accuracy']:.2f}" for other in others]
    return [f"{said} Likewise reached alone: {listed(also)}." if also else said]


def _baseline_sentences(document: Document) -> list[str]:
    shortcuts = _baselines(document)
    if not shortcuts:
        return []
    quiet = [shortcut for shortcut in shortcuts if not _is_alarming(shortcut, document)]
    notable = [shortcut for shortcut in quiet if _is_notable(shortcut, document)]
    said = [_notable_sentence(shortcut, document) for shortcut in notable]
    if len(quiet) == len(shortcuts) and not notable:
        strongest = shortcuts[0]
        said.append(
            f"No shortcut baseline comes near: the strongest, {strongest['name']}, reaches "
            f"{strongest['balanced_accuracy']:.2f} where guessing reaches "
            f"{chance_of(document):.2f}."
        )
    return said


def _notable_sentence(shortcut: Entry, document: Document) -> str:
    share = f"{100 * _ratio(shortcut, document):.0f} %"
    meaning = (
        "part of this accuracy can come without reading a cell"
        if _kind(shortcut) == "around"
        else "that much needs no detail of a cell"
    )
    cells = _from_cells(shortcut, document) if _kind(shortcut) == "coarse" else None
    if cells is not None:
        meaning += f", but may come from the cells, which alone reach {cells:.2f}"
    return (
        f"The {shortcut['name']} alone reaches {shortcut['balanced_accuracy']:.2f}, {share} of the "
        f"best candidate's gain over chance: {meaning}."
    )


def _exchange_alarms(document: Document) -> list[str]:
    """Alarm where the exchanged background takes half of the gain over chance with it."""
    entry = _changed(document)
    if entry is None or not _rests_on_background(entry, chance_of(document)):
        return []
    return [_exchange_sentence(entry)]


def _change_sentences(document: Document) -> list[str]:
    entry = _changed(document)
    if entry is None:
        return []
    said = []
    if _reads_background(entry) and not _exchange_alarms(document):
        said.append(_exchange_sentence(entry))
    if _baseline_alarms(document) and _is_cleared(entry):
        said.append(_cleared_sentence(entry))
    said += _others_that_read_it(document)
    labels = {change["name"]: change["label"] for change in document["counterfactuals"]["changes"]}
    fragile = [
        (labels[name], changed["loss"]["mean"])
        for name, changed in entry["changes"].items()
        if not name.startswith("background_of") and _is_shown(changed["loss"], FRAGILE)
    ]
    if fragile:
        fragile.sort(key=lambda item: -item[1])
        costs = listed([f"{label} {100 * loss:.0f}" for label, loss in fragile])
        said.append(
            f"{entry['name']} is easily disturbed; points of balanced accuracy lost on "
            f"{document['counterfactuals']['n_images']} changed images: {costs}."
        )
    return said


def _exchange_sentence(entry: Entry) -> str:
    effect = entry["background_effect"]
    return (
        f"Exchanging the background for that of another class costs {entry['name']} "
        f"{100 * effect['mean']:.0f} points more than exchanging it within the class "
        f"({points(effect['low'])} to {points(effect['high'])}): it reads the background."
    )


def _cleared_sentence(entry: Entry) -> str:
    effect = entry["background_effect"]
    return (
        f"Yet {entry['name']} does not follow the background: exchanging it for that of another "
        f"class costs {points(effect['mean'])} points more than within the class "
        f"({points(effect['low'])} to {points(effect['high'])})."
    )


def _others_that_read_it(document: Document) -> list[str]:
    best, split = best_of(document)["name"], main_split(document)
    costs = [
        f"{entry['name']} ({100 * entry['background_effect']['mean']:.0f} points)"
        for entry in document["counterfactuals"]["candidates"]
        if entry["split"] == split
        and entry["name"] != best
        and _rests_on_background(entry, chance_of(document))
    ]
    if not costs:
        return []
    verb = "reads" if len(costs) == 1 else "read"
    return [f"By the same exchange, {listed(costs)} {verb} the background."]


def _is_cleared(entry: Entry) -> bool:
    """Whether it can be said that a candidate does not read the background."""
    effect = entry.get("background_effect")
    high = effect["high"] if effect else None
    return high is not None and high < READS_BACKGROUND


def _changed(document: Document) -> Entry | None:
    """Return what changed images did to the best candidate, if it was asked."""
    counterfactuals = document.get("counterfactuals")
    name, split = best_of(document)["name"], main_split(document)
    entries = counterfactuals["candidates"] if counterfactuals else []
    found = (e for e in entries if e["name"] == name and e["split"] == split)
    return next(found, None)


def _reads_background(entry: Entry) -> bool:
    effect = entry.get("background_effect")
    return effect is not None and _is_shown(effect, READS_BACKGROUND)


def _rests_on_background(entry: Entry, chance: float) -> bool:
    """Whether half or more of what a candidate gains over chance goes with the background."""
    gain = entry["unchanged"]["mean"] - chance
    if gain <= 0 or not _reads_background(entry):
        return False
    return bool(entry["background_effect"]["mean"] >= ALARMING_SHARE_OF_GAIN * gain)


def _is_shown(estimate: Mapping[str, float | None], least: float) -> bool:
    mean, low = estimate["mean"], estimate["low"]
    return mean is not None and low is not None and mean >= least and low >= BEYOND_DOUBT


def _is_alarming(shortcut: Entry, document: Document) -> bool:
    kind = _kind(shortcut)
    if kind == "coarse" and _from_cells(shortcut, document) is not None:
        return False
    above = shortcut["low"] > chance_of(document)
    return above and _ratio(shortcut, document) >= ALARMING[kind]


def _from_cells(shortcut: Entry, document: Document) -> float | None:
    """Return what leukocytes alone reach, if nearly what a baseline reaches that sees them.

    Then the baseline may have it from their size and color, and proves no shortcut.
    """
    alone = [e for e in shortcuts_of(document) if e["name"] == CELLS and _kind(e) == "contrast"]
    if not alone or _ratio(alone[0], document) < AS_MUCH * _ratio(shortcut, document):
        return None
    return float(alone[0]["balanced_accuracy"])


def _is_notable(shortcut: Entry, document: Document) -> bool:
    return _ratio(shortcut, document) >= NOTABLE and shortcut["low"] > chance_of(document)


def _ratio(shortcut: Entry, document: Document) -> float:
    best = value_of(best_of(document))
    return shortcut_ratio(shortcut["balanced_accuracy"], best, chance_of(document)) or 0.0
