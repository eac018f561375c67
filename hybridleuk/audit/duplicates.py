"""Images that lie in a set more than once: same bytes, same pixels, or the same picture altered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.evidence import Evidence
from hybridleuk.data.near_duplicates import NearPair, near_duplicates
from hybridleuk.evaluation.pseudo_groups import groups_of_copies

__all__ = ["ACROSS", "duplicate_clusters", "find_near", "sets_of_copies"]

Array = npt.NDArray[Any]

ACROSS = ("split", "group", "class", "none")


def find_near(
    evidence: Evidence,
    *,
    cache: Any = "default",
    workers: int | None = None,
    random_state: int = 0,
) -> list[NearPair]:
    """Find pairs of rows that show the same with other pixels.

    Of rows with the same pixels the first stands for all.
    """
    _, rows = np.unique(evidence.column("pixels"), return_index=True)
    rows = np.sort(rows)
    pairs = near_duplicates(
        [evidence.paths[row] for row in rows],
        cache=cache,
        n_jobs=workers,
        random_state=random_state,
    )
    return [NearPair(int(rows[p.first]), int(rows[p.second]), p.score) for p in pairs]


def duplicate_clusters(evidence: Evidence, pairs: Sequence[NearPair]) -> list[dict[str, Any]]:
    """Gather duplicates in clusters, what leaks most first.

    A cluster of kind ``"bytes"`` holds files that are equal; one of kind ``"pixels"`` files of
    which some differ though the decoded pixels are equal; one of kind ``"near"`` files of which
    some differ in their pixels though they show the same. A cluster of a later kind holds those of
    earlier kinds that it touches whole, so that an image is in at most one cluster of each kind.

    Parameters
    ----------
    evidence : Evidence
    pairs : sequence of NearPair
        Of rows.

    Returns
    -------
    list of dict
        ``kind``; ``images``, ``labels``, ``groups`` and ``splits``, one each per image; ``across``,
        the most serious of :data:`ACROSS` in which its images differ; ``conflict``, whether they
        carry different labels; ``score``, the least agreement of a pair, for near ones.
    """
    bytes_, pixels = list(evidence.manifest.frame["sha256"]), list(evidence.column("pixels"))
    near = sets_of_copies(evidence, pairs)
    scores: dict[int, float] = {}  # by the first row of each set
    for pair in pairs:
        scores[near[pair.first]] = min(pair.score, scores.get(near[pair.first], 1.0))
    found = [
        *(_described("bytes", rows, evidence) for rows in _sets(bytes_)),
        *(_described("pixels", rows, evidence) for rows in _sets(pixels, bytes_)),
        *(
            {**_described("near", rows, evidence), "score": scores[near[rows[0]]]}
            for rows in _sets(near, pixels)
        ),
    ]
    return sorted(found, key=lambda entry: (ACROSS.index(entry["across"]), not entry["conflict"]))


def sets_of_copies(evidence: Evidence, pairs: Sequence[NearPair]) -> npt.NDArray[np.intp]:
    """Give each row the first row that shows the same in any of the three ways."""
    return groups_of_copies(
        list(evidence.column("pixels")), [(pair.first, pair.second) for pair in pairs]
    )


def _sets(keys: Iterable[Any], finer: Sequence[Any] | None = None) -> list[Array]:
    """Rows of equal keys, where there are several; with `finer` only where those differ."""
    held = list(keys)
    by_key = pd.Series(held).groupby(held).indices
    several = [np.sort(np.asarray(rows)) for rows in by_key.values() if len(rows) > 1]
    several.sort(key=lambda rows: int(rows[0]))
    if finer is None:
        return several
    return [rows for rows in several if len({finer[row] for row in rows}) > 1]


def _described(kind: str, rows: Array, evidence: Evidence) -> dict[str, Any]:
    values = {name: [held[row] for row in rows] for name, held in evidence.identity.items()}
    differ = {
        name: len({value for value in held if value is not None}) > 1
        for name, held in values.items()
    }
    across = next(
        (
            name
            for name, column in zip(ACROSS, ("splits", "groups", "labels"), strict=False)
            if differ[column]
        ),
        "none",
    )
    return {
        "kind": kind,
        "images": [evidence.paths[row] for row in rows],
        **values,
        "across": across,
        "conflict": differ["labels"],
    }
