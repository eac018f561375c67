"""From a data set on disk to a manifest: classes, patients and splits as its card says.

Where a folder has one sub-folder per class, its rows, labels and image ids are those of any such
folder, so that results made of it stay the same when it is recognised; patients and splits are
added. Elsewhere the card's patterns say which files are images and of which class.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hybridleuk import progress
from hybridleuk.data.contents import open_content, read_content
from hybridleuk.data.datasets.card import Part
from hybridleuk.data.datasets.drawn import drawn_columns
from hybridleuk.data.datasets.recognition import ENOUGH, Found, Recognition, read_name, recognise
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.skipped import skipped_table
from hybridleuk.exceptions import ManifestError

__all__ = ["labelled", "read_dataset", "read_if_known", "to_manifest"]

_ROLES_BESIDE = ("masks", "boxes", "points")


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
        With patients and splits where the files tell them. Labels are the names of the folders,
        where there is one for each class, else the data set's own words.

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


def read_if_known(folder: Path, dataset: str | None = None) -> Manifest | None:
    """Read a folder that is said to be a data set, or is recognised; else return ``None``.

    Parameters
    ----------
    folder : Path
    dataset : str, optional
        ``NAME`` or ``NAME:PART``.

    Raises
    ------
    InputError, ManifestError
        There is no data set of this name, or it does not lie there.
    """
    name, part = (None, None) if dataset is None else read_name(dataset)
    found = recognise(folder, name)
    if found is None or (name is None and _is_mixture(found)):
        return None
    return to_manifest(found, part=part)


def _is_mixture(found: Recognition) -> bool:
    """Tell a flat folder in which other images lie too: none may be left out unasked."""
    images = [f.path for f in found.files if f.part.role == "images"]
    beside = [path for path in found.others if path.parent == found.root]
    return bool(beside) and all(path.parent == found.root for path in images)


def to_manifest(found: Recognition, *, part: str | None = None) -> Manifest:
    """Make the manifest of a recognised data set; tell what it was taken for and what is left."""
    chosen = _chosen_parts(found, part)
    files = sorted((f for p in chosen for f in labelled(found, p)), key=lambda f: f.path)
    plain = _has_class_folders(found, files)
    manifest = Manifest.from_folder(found.root) if plain else _of_files(found, files)
    manifest = _told(manifest, found, files)
    _note(found, chosen, manifest, plain=plain)
    return manifest


def _has_class_folders(found: Recognition, files: Sequence[Found]) -> bool:
    """Tell whether the folder has one sub-folder per class and nothing else."""
    if len(found.present) > 1 or any(f.part.role in _ROLES_BESIDE for f in found.files):
        return False
    folders: dict[str, Counter[str]] = {}
    for f in files:
        steps = f.path.relative_to(found.root).parts
        if len(steps) != 2 or f.label is None:
            return False
        folders.setdefault(steps[0], Counter())[f.label] += 1
    if any(set(folders) <= set(part.labels) - set(part.labels.values()) for part in found.present):
        return False  # numbers stand for the classes
    classes = {name.casefold() for name in found.card.classes}
    if {name.casefold() for name in folders} <= classes:
        return True
    main = {name: labels.most_common(1)[0] for name, labels in folders.items()}
    pure = all(n >= ENOUGH * folders[name].total() for name, (_, n) in main.items())
    return pure and len({label for label, _ in main.values()}) == len(folders) > 1


def _of_files(found: Recognition, files: Sequence[Found]) -> Manifest:
    labels = [f.label for f in files if f.label is not None]
    if 0 < len(labels) < len(files):
        progress.note(
            f"{len(files) - len(labels):,} of {len(files):,} images have no class in the tables of "
            "the data set, so that no labels are used."
        )
    complete = labels if len(labels) == len(files) else None
    manifest = Manifest.from_paths([f.path for f in files], complete, root=found.root)
    reason = f"named like no file of the data set {found.card.name}"
    left_out = skipped_table((str(path), reason, None) for path in found.others)
    return replace(manifest, skipped=pd.concat([left_out, manifest.skipped], ignore_index=True))


def _told(manifest: Manifest, found: Recognition, files: Sequence[Found]) -> Manifest:
    """Add what the files of a data set tell: splits, drawn cells, and patients if all do."""
    told = {os.path.abspath(f.path): f for f in files}

    def column(name: str, paths: Iterable[str]) -> pd.Series:
        return pd.Series(
            [getattr(told.get(os.path.abspath(path)), name, None) for path in paths], dtype=object
        )

    groups = column("group", manifest.paths)
    drawn = drawn_columns(found, [told[path] for path in manifest.paths if path in told])
    frame = manifest.frame.assign(split=column("split", manifest.paths))
    for name, paths in drawn.items():
        frame[name] = pd.Series([paths.get(path) for path in manifest.paths], dtype=object)
    known = replace(
        manifest,
        frame=frame,
        ignored=found.ignored,
        root=found.root,
    )
    if groups.isna().all():
        return known
    if groups.isna().any():
        progress.note(
            f"{groups.isna().sum():,} of {len(groups):,} images tell no patient, so that patients "
            "are not used."
        )
        return known
    skipped = known.skipped.assign(group=column("group", known.skipped["path"]))
    rule = found.card.groups or ""
    return replace(known, skipped=skipped).with_groups(list(groups), rule=rule)


def _note(found: Recognition, chosen: Sequence[Part], manifest: Manifest, *, plain: bool) -> None:
    """Say what was recognised, how it is read, and what lies beside it and was not read."""
    card = found.card
    names = " and ".join(part.name for part in chosen)
    words = "the card's words" if not plain else "the names of the folders"
    classes = "no classes" if manifest.labels is None else f"classes from {words}"
    groups = card.groups if manifest.groups is not None else "none are told"
    progress.note(
        f"Recognised as {card.title} ({card.name}, part {names}): {classes}; patients: "
        f"{str(groups).rstrip('.')}. To read it as any other folder: --dataset none, or "
        'dataset="none" in Python.'
    )
    for part in found.present:
        if part not in chosen:
            progress.note(
                f"{len(found.of(part)):,} images of the part {part.name!r} lie beside it and were "
                f"not read; --dataset {shlex.quote(f'{card.name}:{part.name}')} reads them."
            )
    if found.others:
        how = "read with the class of their folder" if plain else "not read"
        progress.note(
            f"{len(found.others):,} images are named like no file of {card.name} and were {how}, "
            f"first {found.others[0]}."
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
        with open_content(path) as file:
            table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
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
        for name in read_content(table.path).decode("utf-8", "replace").splitlines()
        if name.strip()
    }
    return [replace(f, split=splits.get(f.path.stem)) for f in files]
