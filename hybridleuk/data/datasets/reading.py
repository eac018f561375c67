"""From a data set on disk to a manifest: classes, patients and splits as its card says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hybridleuk import progress
from hybridleuk.data.datasets.card import Part
from hybridleuk.data.datasets.recognition import Found, Recognition, recognise
from hybridleuk.data.manifest import Manifest
from hybridleuk.exceptions import ManifestError

__all__ = ["labelled", "read_dataset", "to_manifest"]


def read_dataset(
    folder: str | os.PathLike[str], name: str | None = None, *, part: str | None = None
) -> Manifest:
    """Read a known data set from where it lies.

    Parameters
    ----------
    folder : path
    name : str, optional
        Of the data set; by default it is recognised.
    part : str, optional
        Such as ``"Segmented"``; by default the first that is there, with every part that the
        authors hold apart from it by a split.

    Returns
    -------
    Manifest
        With labels in the data set's own words, patients and splits where the files tell them.

    Raises
    ------
    ManifestError
        Nothing known lies there, or the part is not there.
    """
    found = recognise(folder, name)
    if found is None:
        raise ManifestError(
            f"{folder}: not recognised as a known data set; name it, or give one sub-folder per "
            "class or a manifest."
        )
    return to_manifest(found, part=part)


def to_manifest(found: Recognition, *, part: str | None = None) -> Manifest:
    """Make the manifest of a recognised data set."""
    chosen = _chosen_parts(found, part)
    files = [f for p in chosen for f in labelled(found, p)]
    labels = [f.label for f in files]
    groups = [f.group for f in files]
    _note_beside(found, chosen)
    manifest = Manifest.from_paths(
        [f.path for f in files],
        labels if all(label is not None for label in labels) else None,  # type: ignore[arg-type]
        groups if all(group is not None for group in groups) else None,  # type: ignore[arg-type]
    )
    by_path = {os.path.abspath(f.path): f.split for f in files}
    splits = [by_path[path] for path in manifest.paths]
    return replace(
        manifest,
        frame=manifest.frame.assign(split=pd.Series(splits, dtype=object)),
        ignored=manifest.ignored + found.ignored,
        root=found.root,
    )


def _note_beside(found: Recognition, chosen: Sequence[Part]) -> None:
    """Say what was recognised, and what lies beside it and was not read."""
    names = " and ".join(part.name for part in chosen)
    progress.note(f"Recognised as {found.card.title}: {names}.")
    for part in found.present:
        if part not in chosen:
            progress.note(
                f"{len(found.of(part)):,} images of the part {part.name!r} lie beside it and were "
                "not read; name the part to read them."
            )
    if found.others:
        progress.note(
            f"{len(found.others):,} images do not belong to it and were not read, first "
            f"{found.others[0]}."
        )


def _chosen_parts(found: Recognition, part: str | None) -> list[Part]:
    if part is not None:
        named = [p for p in found.present if p.name.casefold() == part.casefold()]
        if not named:
            present = ", ".join(p.name for p in found.present)
            raise ManifestError(f"{found.root}: no part {part!r} here; there are {present}.")
        return named
    first, *others = found.present
    if first.split is None:
        return [first]
    return [first, *(p for p in others if p.split is not None and _has_labels(found, p))]


def _has_labels(found: Recognition, part: Part) -> bool:
    return all(f.label is not None for f in labelled(found, part))


def labelled(found: Recognition, part: Part) -> list[Found]:
    """List the files of a part with the labels, patients and splits that tables beside it tell."""
    files = found.of(part)
    adders = {"zheng-1": _zheng, "zheng-2": _zheng, "c-nmc": _cnmc, "bccd": _bccd}
    add = adders.get(found.card.name)
    return files if add is None else add(found, files)


def _tables(found: Recognition) -> list[Found]:
    return [f for f in found.files if f.part.role == "labels"]


def _read_rows(path: Path, n_columns: int) -> list[list[str]]:
    """Read the first columns of a CSV file as text, without its heading."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise ManifestError(f"{path}: cannot be read as a table ({error}).") from error
    if table.shape[1] < n_columns:
        raise ManifestError(f"{path}: {table.shape[1]} column(s); expected {n_columns}.")
    return table.iloc[:, :n_columns].to_numpy(dtype=object).tolist()


def _zheng(found: Recognition, files: list[Found]) -> list[Found]:
    """Look up the class of each number in ``class_labels.csv``."""
    tables = [t for t in _tables(found) if t.path.parent in {f.path.parent for f in files}]
    tables = tables or _tables(found)
    number = found.card.name.rpartition("-")[2]
    named = [t for t in tables if t.path.stem.endswith(number)] or tables
    if not named:
        return files
    rows = _read_rows(named[0].path, 2)
    codes = {int(image): code.strip() for image, code in rows if image.strip().isdigit()}
    labels = files[0].part.labels if files else {}
    return [replace(f, label=labels.get(codes.get(int(f.number or 0), ""))) for f in files]


def _cnmc(found: Recognition, files: list[Found]) -> list[Found]:
    """Look up the preliminary test's cells: ``Patient_ID,new_names,labels``, 1 for ALL."""
    if not files or "prelim" not in files[0].part.name:
        return files
    table = next(iter(_tables(found)), None)
    if table is None:
        return files
    known = {}
    for identity, name, code in _read_rows(table.path, 3):
        patient = identity.split("_")[1] if identity.startswith("UID_") else None
        known[Path(name).stem] = (patient, "all" if code.strip() == "1" else "hem")
    return [
        replace(f, group=known[f.path.stem][0], label=known[f.path.stem][1])
        if f.path.stem in known
        else f
        for f in files
    ]


def _bccd(found: Recognition, files: list[Found]) -> list[Found]:
    """Look up which list each field stands in."""
    splits = {
        name.strip(): table.split
        for table in _tables(found)
        for name in table.path.read_text("utf-8", errors="replace").splitlines()
        if name.strip()
    }
    return [replace(f, split=splits.get(f.path.stem)) for f in files]
