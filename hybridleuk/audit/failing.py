"""When an audit counts as failed, for pipelines that are to stop there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hybridleuk.audit.baselines import is_told
from hybridleuk.exceptions import InputError

__all__ = ["FAIL_ON", "fails"]

Document = Mapping[str, Any]


def _leaks(document: Document) -> bool:
    across = {cluster["across"] for cluster in document["duplicates"]}
    return bool(across & {"split", "group"}) or bool(document["balance"]["shared_groups"])


def _wrong_labels(document: Document) -> bool:
    conflict = any(cluster["conflict"] for cluster in document["duplicates"])
    return conflict or bool(document["suspect_labels"])


FAIL_ON: dict[str, Callable[[Document], bool]] = {
    "leakage": _leaks,
    "duplicates": lambda document: bool(document["duplicates"]),
    "files": lambda document: bool(document["files"]),
    "labels": _wrong_labels,
    "shortcuts": lambda document: any(is_told(entry) for entry in document["shortcuts"]),
    "quality": lambda document: bool(document["quality"]),
}
"""Kinds of findings, and what tells of each whether it is there.

``leakage`` are duplicates in several parts of the split or in several groups, and groups in several
parts of the split; ``labels`` duplicates of different labels and suspect labels; ``shortcuts`` a
baseline that tells classes (:func:`hybridleuk.audit.baselines.is_told`); ``duplicates``, ``files``
and ``quality`` anything listed there.
"""


def fails(document: Document, kinds: Iterable[str]) -> list[str]:
    """Name those of the kinds of findings that an audit has.

    Parameters
    ----------
    document : mapping
        Of ``audit.json``.
    kinds : iterable of str
        Of :data:`FAIL_ON`.

    Raises
    ------
    InputError
        A kind is not known.
    """
    wanted = list(kinds)
    unknown = [kind for kind in wanted if kind not in FAIL_ON]
    if unknown:
        raise InputError(
            f"Cannot fail on {', '.join(map(repr, unknown))}; choose of {', '.join(FAIL_ON)}."
        )
    return [kind for kind in wanted if FAIL_ON[kind](document)]
