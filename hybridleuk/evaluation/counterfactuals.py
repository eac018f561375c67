"""What changed images cost each candidate: key ``counterfactuals``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.changes import CHANGES, OTHER_CLASS, SAME_CLASS
from hybridleuk.evaluation.context import Context
from hybridleuk.evaluation.counterfactual_probe import PROBE
from hybridleuk.evaluation.probes import Answer
from hybridleuk.evaluation.recalls import balanced_accuracies

__all__ = ["counterfactuals_section"]

Array = npt.NDArray[Any]
Numbers = dict[str, float | None]
_NUMBER = {kind.name: number for number, kind in enumerate(CHANGES)}


def counterfactuals_section(context: Context) -> dict[str, Any] | None:
    """Summarise the answers of the probe ``counterfactuals``.

    Losses are paired: the same images as they are and changed, on the same bootstrap draws.
    Classes of which no image could be changed are left out of every balanced accuracy.

    Returns
    -------
    dict, or None where no candidate could be asked
        ``n_images``, ``n_without_cell`` (left out, since no leukocyte was found), ``classes``,
        ``changes`` (name, label, description) and ``candidates``, each with ``unchanged``,
        ``changes`` (per name: balanced accuracy, loss, share of calls flipped, number of images)
        and ``background_effect``: how much less balanced accuracy is left on the background of
        another class than on that of the same class; ``None`` where that cannot be told.
    """
    split = context.main_split
    asked = {
        name: _joined(result.answers[PROBE])
        for name, result in context.results[split].items()
        if result.answers.get(PROBE) and all(a.arrays for a in result.answers[PROBE])
    }
    asked = {name: arrays for name, arrays in asked.items() if len(arrays["rows"])}
    if not asked:
        return None
    any_of_them = next(iter(asked.values()))
    rows = any_of_them["rows"]
    return {
        "n_images": len(rows),
        "n_without_cell": int(any_of_them["n_without_cell"].sum()),
        "classes": [context.study.classes[code] for code in np.unique(context.codes[rows])],
        "changes": [
            {"name": kind.name, "label": kind.label, "description": kind.description}
            for kind in CHANGES
        ],
        "candidates": [
            {"name": name, "split": split, **_summary(arrays, context)}
            for name, arrays in asked.items()
        ],
    }


def _joined(answers: list[Answer]) -> dict[str, Array]:
    """Put the folds' arrays side by side; the images are along the last axis."""
    names = answers[0].arrays
    return {
        name: np.concatenate([answer.arrays[name] for answer in answers], axis=-1) for name in names
    }


def _summary(arrays: dict[str, Array], context: Context) -> dict[str, Any]:
    rows, as_is, calls = arrays["rows"], arrays["as_is"], arrays["calls"]
    whole = np.ones(len(rows), dtype=bool)
    return {
        "unchanged": _estimate(_draws(as_is[None], rows, whole, context)[0], rows, context),
        "changes": {
            name: _changed(calls[number], as_is, rows, context) for name, number in _NUMBER.items()
        },
        "background_effect": _background_effect(arrays, context),
    }


def _changed(calls: Array, as_is: Array, rows: Array, context: Context) -> dict[str, Any]:
    able = calls >= 0
    if not able.any():
        nothing = {"mean": None, "low": None, "high": None}
        return {"balanced_accuracy": nothing, "loss": nothing, "flipped": None, "n_images": 0}
    before, after = _draws(np.stack([as_is, calls]), rows, able, context)
    return {
        "balanced_accuracy": _estimate(after, rows[able], context),
        "loss": _estimate(before - after, rows[able], context, bounded=False),
        "flipped": float((calls != as_is)[able].mean()),
        "n_images": int(able.sum()),
    }


def _background_effect(arrays: dict[str, Array], context: Context) -> Numbers | None:
    calls, rows = arrays["calls"], arrays["rows"]
    other, same = calls[_NUMBER[OTHER_CLASS]], calls[_NUMBER[SAME_CLASS]]
    able = (other >= 0) & (same >= 0)
    if len(np.unique(context.codes[rows[able]])) < len(np.unique(context.codes[rows])):
        return None
    within, between = _draws(np.stack([same, other]), rows, able, context)
    return _estimate(within - between, rows[able], context, bounded=False)


def _draws(calls: Array, rows: Array, able: Array, context: Context) -> Array:
    """Balanced accuracy on every draw, over the classes that are among the images."""
    present, codes = np.unique(context.codes[rows[able]], return_inverse=True)
    right = calls[:, able] == context.codes[rows[able]]
    return balanced_accuracies(codes, rows[able], right, context.resamples, len(present))


def _estimate(values: Array, rows: Array, context: Context, *, bounded: bool = True) -> Numbers:
    return context.resamples.interval(values, rows=rows, bounded=bounded).as_dict()
