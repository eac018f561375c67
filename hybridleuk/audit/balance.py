"""How images are spread over classes, groups and splits, and whether folds can be made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.evidence import Evidence

__all__ = ["balance"]

Array = npt.NDArray[Any]

FOLDS = 5
FEW_IMAGES, UNEVEN = 20, 10.0
_LISTED = 20


def balance(evidence: Evidence, *, folds: int = FOLDS) -> dict[str, Any]:
    """Count, and say what the counts do not allow.

    Parameters
    ----------
    evidence : Evidence
    folds : int, default 5
        That are meant to be made.

    Returns
    -------
    dict
        ``images_per_class``, ``groups_per_class``, ``images_per_group``, ``images_per_split`` (per
        class), ``n_groups``, ``groups_of_one_class`` (how many), ``shared_groups`` (names of groups
        in several parts of the split), ``unlabelled``, ``most_folds`` (so many folds let every
        class be in each), ``ratio`` (largest over smallest class) and ``warnings``, sentences.
    """
    frame = evidence.manifest.frame[["label", "group", "split"]]
    labels, groups = frame["label"].dropna(), frame["group"].dropna()
    per_class = labels.value_counts().sort_index()
    units = frame.dropna(subset=["label", "group"]).groupby("label")["group"].nunique()
    classes_of = frame.dropna(subset=["label", "group"]).groupby("group")["label"].nunique()
    parts_of = frame.dropna(subset=["split", "group"]).groupby("group")["split"].nunique()
    grouped = evidence.groups is not None
    smallest = units if grouped else per_class
    found: dict[str, Any] = {
        "images_per_class": _plain(per_class),
        "groups_per_class": _plain(units),
        "images_per_group": _plain(groups.value_counts().sort_index()),
        "images_per_split": _per_split(frame),
        "n_groups": int(groups.nunique()),
        "group_kind": evidence.manifest.group_kind,
        "groups_of_one_class": int((classes_of == 1).sum()),
        "shared_groups": sorted(parts_of.index[parts_of > 1]),
        "unlabelled": int(frame["label"].isna().sum()),
        "most_folds": int(smallest.min()) if len(smallest) > 1 else 0,
        "ratio": float(per_class.max() / per_class.min()) if len(per_class) else None,
    }
    return {**found, "warnings": list(_warnings(found, folds))}


def _per_split(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    known = frame.dropna(subset=["split"])
    return {
        str(part): _plain(rows["label"].fillna("").value_counts().sort_index())
        for part, rows in known.groupby("split")
    }


def _plain(counts: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in counts.items()}


def _warnings(found: dict[str, Any], folds: int) -> Iterator[str]:
    yield from _group_warnings(found, folds)
    per_class = found["images_per_class"]
    if found["unlabelled"] and per_class:
        yield f"{found['unlabelled']} image(s) have no label."
    few = [f"{name} ({count})" for name, count in per_class.items() if count < FEW_IMAGES]
    if few:
        yield f"Under {FEW_IMAGES} images in {_first(few)}: figures on them will be rough."
    if len(per_class) > 1 and found["ratio"] >= UNEVEN:
        yield (
            f"The largest class has {found['ratio']:.0f} times as many images as the smallest; "
            "judge by balanced accuracy, not by accuracy."
        )
    for part, counts in found["images_per_split"].items():
        missing = [name for name in per_class if name not in counts]
        if missing:
            yield f"The part {part} of the split has no image of {_first(missing)}."


def _group_warnings(found: dict[str, Any], folds: int) -> Iterator[str]:
    per_class, units = found["images_per_class"], found["groups_per_class"]
    if found["shared_groups"]:
        shared = found["shared_groups"]
        yield (
            f"{len(shared)} group(s) are in several parts of the split: {_first(shared)}; move "
            "each to one part."
        )
    if not found["n_groups"]:
        yield (
            "No groups are known, so images of one patient may be on both sides of a fold; name "
            "patients, or use the suggested pseudo-groups."
        )
        return
    if len(per_class) > 1 and found["groups_of_one_class"] == found["n_groups"]:
        yield (
            "Every group has one class only, so that what tells a group apart tells its class: "
            "keep groups whole in every split."
        )
    few = [f"{name} ({count})" for name, count in units.items() if count < folds]
    if few and len(per_class) > 1:
        yield f"Fewer groups than {folds} folds in {_first(few)}; use fewer folds or add groups."


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
