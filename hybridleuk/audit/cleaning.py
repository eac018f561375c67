"""A manifest of the images to train on: nothing deleted, each file left out with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.evidence import Evidence
from hybridleuk.data.manifest import Manifest

__all__ = ["clean"]

Array = npt.NDArray[Any]


def clean(evidence: Evidence, sets: Array) -> Manifest:
    """Keep one image of each set of duplicates, and none where they carry different labels.

    Kept is the image of the most pixels, among equals the first. Where duplicates lie in several
    parts of the manifest's split, one of the part ``test`` is kept if there is one, so that the
    test stays what it was and the training loses the copy.

    Parameters
    ----------
    evidence : Evidence
    sets : ndarray of shape (n,), int
        The same for rows that show the same.

    Returns
    -------
    Manifest
        Files left out are in its ``skipped``, beside those that cannot be read. It has no rows
        where every image is contradicted.
    """
    left_out: dict[int, str] = {}
    for rows in pd.Series(sets).groupby(sets).indices.values():
        if len(rows) > 1:
            left_out |= _left_out(np.sort(rows), evidence)
    return evidence.manifest.without(dict(sorted(left_out.items())), may_be_empty=True)


def _left_out(rows: Array, evidence: Evidence) -> dict[int, str]:
    frame, paths = evidence.manifest.frame, evidence.paths
    labels = sorted({str(name) for name in frame["label"].iloc[rows].dropna()})
    if len(labels) > 1:
        apart = f"their labels contradict each other ({', '.join(labels)})"
        return {
            int(row): f"{paths[row]}: shows the same as {paths[_other(rows, row, evidence)]}, and "
            f"{apart}; find out which one is right."
            for row in rows
        }
    kept = max(rows, key=lambda row: _rank(int(row), evidence))
    return {
        int(row): f"{paths[row]}: shows the same as {paths[kept]}, which is kept."
        for row in rows
        if row != kept
    }


def _other(rows: Array, row: int, evidence: Evidence) -> int:
    """Another image of the set, of another label where there is one."""
    labels = evidence.identity["labels"]
    others = [int(other) for other in rows if other != row]
    return next((other for other in others if labels[other] != labels[row]), others[0])


def _rank(row: int, evidence: Evidence) -> tuple[bool, int, int]:
    record = evidence.records[row]
    split = evidence.manifest.frame["split"].iloc[row]
    in_test = str(split).strip().lower() in ("test", "testing")
    return in_test, record.height * record.width, -row
