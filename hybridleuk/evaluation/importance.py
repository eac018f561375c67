"""What each candidate draws from its blocks and measurements: key ``importance``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.context import Context
from hybridleuk.evaluation.probes import Answer
from hybridleuk.evaluation.recalls import balanced_accuracies
from hybridleuk.morphology.groups import TWINS_FROM, describe

__all__ = ["PROBE", "SHOWN", "importance_section"]

Array = npt.NDArray[Any]
PROBE = "importance"
SHOWN = 15


def importance_section(context: Context) -> list[dict[str, Any]] | None:
    """Summarise the answers of the probe ``importance`` of every candidate that was asked.

    Returns
    -------
    list of dict, or None where no candidate was asked
        ``candidate``, ``n_images``, ``how``; ``blocks``: name and loss of balanced accuracy;
        ``measurements``: the 15 groups of twins whose loss is largest, each under the name of the
        measurement most like the others, with its region and formula and the names of all members.
    """
    results = context.results[context.main_split]
    found = [
        _summary(name, result.answers[PROBE], context)
        for name, result in results.items()
        if result.answers.get(PROBE)
    ]
    return found or None


def _summary(name: str, answers: list[Answer], context: Context) -> dict[str, Any]:
    rows = np.concatenate([answer.arrays["rows"] for answer in answers])
    as_is = np.concatenate([answer.arrays["as_is"] for answer in answers])
    blocks, block_losses = _losses(answers, "blocks", "block_calls", rows, as_is, context)
    twins, twin_losses = _losses(answers, "twins", "twin_calls", rows, as_is, context)
    order = np.argsort([-(loss["mean"] or 0.0) for loss in twin_losses], kind="stable")[:SHOWN]
    return {
        "candidate": name,
        "n_images": len(rows),
        "n_groups_of_measurements": len(twins),
        "how": f"loss of balanced accuracy on {len(rows)} unseen images when the values are "
        "exchanged between images; measurements whose rank correlation is on average "
        f"{TWINS_FROM:g} or more are exchanged together, under the name of the one most like the "
        "others",
        "blocks": [
            {"name": block, "loss": loss} for block, loss in zip(blocks, block_losses, strict=True)
        ],
        "measurements": [_measurement(twins[place], twin_losses[place]) for place in order],
    }


def _measurement(twins: str, loss: dict[str, float | None]) -> dict[str, Any]:
    members = twins.split("|")
    region, formula = describe(members[0])
    return {
        "name": members[0],
        "region": region,
        "loss": loss,
        "describes": formula,
        "members": members,
    }


def _losses(
    answers: list[Answer], names: str, calls: str, rows: Array, as_is: Array, context: Context
) -> tuple[list[str], list[dict[str, float | None]]]:
    """Loss of each set of exchanged columns that every fold was asked about."""
    shared = [str(name) for name in answers[0].arrays[names]]
    for answer in answers[1:]:
        others = set(answer.arrays[names].tolist())
        shared = [name for name in shared if name in others]
    exchanged = [_ordered(answer, names, calls, shared) for answer in answers]
    if not shared:
        return [], []
    truth, resamples = context.codes[rows], context.resamples
    right = np.vstack([as_is[None], np.concatenate(exchanged, axis=1)]) == truth
    draws = balanced_accuracies(truth, rows, right, resamples, len(context.study.classes))
    losses = [
        resamples.interval(draws[0] - changed, rows=rows, bounded=False).as_dict()
        for changed in draws[1:]
    ]
    return shared, losses


def _ordered(answer: Answer, names: str, calls: str, wanted: list[str]) -> Array:
    places = {str(name): place for place, name in enumerate(answer.arrays[names])}
    chosen: Array = answer.arrays[calls][[places[name] for name in wanted]]
    return chosen
