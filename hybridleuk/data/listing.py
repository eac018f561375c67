"""Rows of a manifest, from folders and tables: checked, completed, each file hashed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hybridleuk import progress
from hybridleuk.data.contents import is_folder
from hybridleuk.data.scan import inspect_files, make_image_ids, top_folder, walk
from hybridleuk.data.skipped import readable_path
from hybridleuk.data.tables import (
    TABLES,
    check_complete,
    check_existing,
    check_image_ids,
    check_paths,
    note_conflicts,
    read_table,
    why_stray,
)
from hybridleuk.exceptions import ManifestError

__all__ = [
    "COLUMNS",
    "DRAWN",
    "Listed",
    "completed_rows",
    "folder_rows",
    "paths_below",
    "table_rows",
]

COLUMNS = ("image_id", "path", "label", "group", "split", "sha256")
"""What is known of each image."""

DRAWN = ("annotations", "mask")
"""Columns that name the files in which cells of an image are drawn, where there are any."""


class Listed(NamedTuple):
    """Files of a folder: those that may be images, with labels, and those left out."""

    rows: pd.DataFrame
    root: Path
    skipped: list[tuple[str, str]]
    ignored: int


def folder_rows(folder: str | os.PathLike[str]) -> Listed:
    """List a folder with one sub-folder per class, or a flat one, on disk or in an archive.

    Raises
    ------
    ManifestError
        There is no such folder, or nothing in it.
    """
    if not is_folder(folder):
        raise ManifestError(f"{folder}: no such folder.")
    root = top_folder(Path(folder))
    files, ignored = walk(root)
    if not files:
        hidden = f" but {ignored} hidden ones" if ignored else ""
        raise ManifestError(
            f"{root}: no files in it{hidden}; expected images, or one sub-folder "
            "of images per class."
        )
    relative = [file.relative_to(root) for file in files]
    labelled = any(len(file.parts) > 1 for file in relative)
    labels = [file.parts[0] if len(file.parts) > 1 else None for file in relative]
    # As objects: the text of pandas takes no file names that are not valid UTF-8.
    columns = {"path": [str(file) for file in files], "label": labels}
    rows = pd.DataFrame(columns, dtype=object)
    stray = rows["label"].isna() & labelled
    skipped = [(path, why_stray(path)) for path in rows.loc[stray, "path"]]
    for path, reason in skipped:
        if Path(path).suffix.lower() in TABLES:
            progress.note(f"{readable_path(path)} was not used: {reason}.")
    return Listed(rows[~stray], root, skipped, ignored)


def table_rows(source: Path, group_column: str | None = None) -> pd.DataFrame:
    """Read a manifest: a row for each image, its paths absolute, checked against each other.

    Raises
    ------
    ManifestError
        A column is missing, a path is listed twice or does not exist, or only some images have a
        label or a group.
    """
    rows = read_table(source)
    for name, purpose in (("path", ""), (group_column, " for the groups")):
        if name is not None and name not in rows:
            found = ", ".join(map(str, rows.columns))
            raise ManifestError(f"{source}: no column {name!r}{purpose}; found {found}.")
    if group_column is not None:
        rows["group"] = rows[group_column]
    if rows.empty:
        raise ManifestError(f"{source}: no rows; expected one per image.")
    if rows["path"].isna().any():
        raise ManifestError(f"{source}: {rows['path'].isna().sum()} rows have no path.")
    for name in ("path", *DRAWN):
        if name in rows:
            places = [
                None if pd.isna(p) else os.path.abspath(source.parent / p) for p in rows[name]
            ]
            rows[name] = pd.Series(places, dtype=object)
    check_paths(rows["path"], str(source))
    for name in DRAWN:
        if name in rows:
            where = f"{source}: of the column {name!r} (files in which cells are drawn)"
            check_existing(rows[name].dropna(), where)
    for name in ("label", "group"):
        check_complete(rows, name, source)
    return rows


def completed_rows(rows: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, list[str | None]]:
    """Complete rows by hash and image id, in the columns of a manifest.

    Returns
    -------
    (frame, reasons)
        And why the file of a row is no usable image, or None.
    """
    frame = rows.reset_index(drop=True).copy()
    frame["path"] = _absolute(frame["path"])
    digests, reasons = inspect_files(list(frame["path"]))
    frame["sha256"] = digests
    if "image_id" in frame and frame["image_id"].notna().all():
        check_image_ids(frame["image_id"])
    else:
        frame["image_id"] = make_image_ids(frame["path"], root)
    for name in ("label", "group", "split"):
        values = frame[name] if name in frame else pd.Series([None] * len(frame), dtype=object)
        frame[name] = [None if pd.isna(value) else str(value) for value in values]
    drawn = [name for name in DRAWN if name in frame and frame[name].notna().any()]
    ordered = frame[[*COLUMNS, *drawn]].astype(object)
    note_conflicts(ordered)
    return ordered, reasons


def paths_below(folder: Path, paths: pd.Series) -> pd.Series:
    """Write paths relative to a folder, with ``/`` between folders; missing ones stay missing."""
    relative = [
        None if pd.isna(path) else Path(os.path.relpath(path, folder)).as_posix() for path in paths
    ]
    return pd.Series(relative, index=paths.index, dtype=object)


def _absolute(paths: Iterable[str | Path | None]) -> pd.Series:
    places = [None if path is None else os.path.abspath(path) for path in paths]
    return pd.Series(places, dtype=object)
