"""Where trained networks look, on a few unseen images: key ``attention``."""

from __future__ import annotations

from typing import Any

from hybridleuk.data.sampling import in_turns
from hybridleuk.evaluation.context import Context
from hybridleuk.evaluation.probes import Answer
from hybridleuk.report.gallery import data_address

__all__ = ["MOST_PICTURES", "PROBE", "attention_section"]

PROBE = "attention"
MOST_PICTURES = 8
_WIDTH = 320


def attention_section(context: Context) -> list[dict[str, Any]] | None:
    """Take the pictures of the most certain calls out of the answers of the probe ``attention``.

    Returns
    -------
    list of dict, or None where no candidate was asked
        Half of them right calls and half wrong ones, where there are so many: ``candidate``,
        ``image_id``, ``label``, ``predicted``, ``right``, ``certainty`` and ``picture``, a
        ``data:`` address of the image and its heat side by side.
    """
    results = context.results[context.main_split]
    asked = {name: r.answers[PROBE] for name, r in results.items() if r.answers.get(PROBE)}
    if not asked:
        return None
    share = max(MOST_PICTURES // len(asked), 2)
    found = [_chosen(name, answers, context, share) for name, answers in asked.items()]
    return [entry for entries in found for entry in entries][:MOST_PICTURES]


def _chosen(name: str, answers: list[Answer], context: Context, limit: int) -> list[dict[str, Any]]:
    calls = [
        _entry(name, answer, place, context)
        for answer in answers
        for place in range(len(answer.arrays["rows"]))
    ]
    calls.sort(key=lambda call: -call["certainty"])
    right = _varied([call for call in calls if call["right"]])
    wrong = _varied([call for call in calls if not call["right"]])
    n_wrong = min(len(wrong), max(limit // 2, limit - len(right)))
    return [_drawn(call) for call in right[: limit - n_wrong] + wrong[:n_wrong]]


def _entry(name: str, answer: Answer, place: int, context: Context) -> dict[str, Any]:
    arrays = answer.arrays
    row, code = int(arrays["rows"][place]), int(arrays["predicted"][place])
    label, predicted = str(context.study.labels[row]), context.study.classes[code]
    return {
        "candidate": name,
        "image_id": str(context.manifest.frame["image_id"].iloc[row]),
        "label": label,
        "predicted": predicted,
        "right": label == predicted,
        "certainty": float(arrays["certainty"][place]),
        "picture": arrays["pictures"][place],
    }


def _varied(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reorder ranked calls so that each class comes once before any comes twice."""
    return [calls[place] for place in in_turns([call["predicted"] for call in calls])]


def _drawn(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "picture": data_address(call["picture"], size=_WIDTH)}
