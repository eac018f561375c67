"""How networks were trained, fold by fold: key ``training``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybridleuk.evaluation.context import Context
from hybridleuk.evaluation.probes import Answer

__all__ = ["PROBE", "training_section"]

PROBE = "training"
_CURVES = ("train_loss", "valid_loss", "valid_balanced_accuracy")


def training_section(context: Context) -> list[dict[str, Any]] | None:
    """Take the learning curves out of the answers of the probe ``training``.

    Returns
    -------
    list of dict, or None where no candidate was trained
        ``candidate`` and ``folds``: for each ``epoch``, ``train_loss``, ``valid_loss`` and
        ``valid_balanced_accuracy`` as lists (None where nothing was watched), ``best_epoch``, whose
        weights were kept, and ``seconds`` in all. Beside them ``waiting_share``, the share of the
        steps' time in which the network waited for images, on the mean over the folds (None where
        an earlier run did not keep it).
    """
    results = context.results[context.main_split]
    asked = {name: r.answers[PROBE] for name, r in results.items() if r.answers.get(PROBE)}
    return [
        {
            "candidate": name,
            "folds": [_fold(answer) for answer in answers],
            "waiting_share": _waiting(answers),
        }
        for name, answers in asked.items()
    ] or None


def _fold(answer: Answer) -> dict[str, Any]:
    arrays = answer.arrays
    curves = {
        name: [float(value) if np.isfinite(value) else None for value in arrays[name]]
        for name in _CURVES
    }
    return {
        "epoch": [int(epoch) for epoch in arrays["epoch"]],
        **curves,
        "best_epoch": int(arrays["best_epoch"][0]),
        "seconds": round(float(arrays["seconds"].sum()), 3),
    }


def _waiting(answers: Sequence[Answer]) -> float | None:
    kept = [answer.arrays.get("waiting_share") for answer in answers]
    known = [float(share[0]) for share in kept if share is not None]
    return round(sum(known) / len(known), 5) if known else None
