"""Tables that list images: read, and refused with a reason where they contradict themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from hybridleuk import progress
from hybridleuk.data.contents import content_exists, is_folder, open_content
from hybridleuk.data.scan import safe_name
from hybridleuk.exceptions import ManifestError

__all__ = [
    "TABLES",
    "check_complete",
    "check_existing",
    "check_image_ids",
    "check_paths",
    "find_groups",
    "match_groups",
    "note_conflicts",
    "read_table",
    "refuse_group_column",
    "why_stray",
]

TABLES = (".csv", ".parquet")


def read_table(source: Path) -> pd.DataFrame:
    """Read a CSV (all text) or Parquet table; empty cells become ``None``."""
    if not content_exists(source) or is_folder(source):
        raise ManifestError(f"{source}: no such manifest.")
    try:
        with open_content(source) as file:
            if source.suffix.lower() == ".parquet":
                table = pd.read_parquet(file)
            else:
                table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ManifestError(f"{source}: cannot be read as a table ({first}).") from error
    for name in table.select_dtypes(include=["object", "string"]):
        values = [None if isinstance(v, str) and not v else v for v in table[name]]
        table[name] = pd.Series(values, index=table.index, dtype=object)
    return table


def check_paths(paths: pd.Series, source: str) -> None:
    """Refuse paths that are listed twice or do not exist."""
    repeated = paths[paths.duplicated()]
    if len(repeated):
        raise ManifestError(
            f"{source}: {len(repeated)} image(s) listed twice, first {repeated.iloc[0]}; "
            "list each image once."
        )
    check_existing(paths, f"{source}:")


def check_existing(paths: pd.Series, where: str) -> None:
    """Refuse files that are not there."""
    missing = [path for path in paths if not content_exists(path)]
    if missing:
        raise ManifestError(
            f"{where} {len(missing)} of {len(paths)} files do not exist, first {missing[0]}; "
            "paths are relative to the manifest."
        )


def check_complete(rows: pd.DataFrame, name: str, source: Path) -> None:
    """Refuse a column that only some rows fill."""
    if name in rows and 0 < rows[name].isna().sum() < len(rows):
        row = int(np.flatnonzero(rows[name].isna())[0]) + 1
        raise ManifestError(
            f"{source}: {rows[name].isna().sum()} images have no {name}, first in row {row}; "
            f"give every image one, or none."
        )


def check_image_ids(image_ids: pd.Series) -> None:
    """Refuse names that are given twice or cannot be file names."""
    names = image_ids.astype(str)
    repeated = names[names.str.casefold().duplicated()]
    if len(repeated):
        raise ManifestError(f"image_id {repeated.iloc[0]!r} is given twice; each must be unique.")
    unsafe = names[[name != safe_name(name) for name in names]]
    if len(unsafe):
        raise ManifestError(
            f"image_id {unsafe.iloc[0]!r} cannot be a file name; use letters, digits and . _ + -"
        )


def match_groups(paths: list[str], regex: str) -> list[str]:
    """Read a group from each path by a regular expression that must match every one."""
    groups = find_groups(paths, regex)
    unmatched = [path for path, group in zip(paths, groups, strict=True) if group is None]
    if unmatched:
        raise ManifestError(
            f"The group regex {regex!r} does not match {len(unmatched)} of {len(paths)} files, "
            f"first {unmatched[0]}; it must name a group for each."
        )
    return [group for group in groups if group is not None]


def find_groups(paths: list[str], regex: str) -> list[str | None]:
    """Read a group from each path that a regular expression matches; None from others."""
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise ManifestError(f"The group regex {regex!r} is malformed: {error}.") from error
    if not pattern.groups:
        raise ManifestError(
            f"The group regex {regex!r} has no parentheses around the part that names the group."
        )
    wanted: str | int = "group" if "group" in pattern.groupindex else 1
    matches = [pattern.search(path) for path in paths]
    return [None if match is None else match[wanted] for match in matches]


def note_conflicts(frame: pd.DataFrame) -> None:
    """Say where the same bytes carry two labels: an error of the data."""
    frame = frame[frame["sha256"] != ""]  # of files that could not be read nothing is known
    counts = frame.groupby("sha256")["label"].nunique()
    conflicts = counts.index[counts > 1]
    if len(conflicts):
        same = frame[frame["sha256"] == conflicts[0]].drop_duplicates("label")
        first, second = same["path"].iloc[:2]
        progress.note(
            f"{len(conflicts)} file(s) lie in the data under two labels, first {first} and "
            f"{second}."
        )


def refuse_group_column(group_column: str | None) -> None:
    """Refuse the name of a column where there is no table."""
    if group_column is not None:
        raise ManifestError(
            f"A group column ({group_column!r}) needs a CSV or Parquet manifest; for a folder use "
            "a group regex on the file names."
        )


def why_stray(path: str) -> str:
    """Tell why a file beside class folders is not used."""
    if Path(path).suffix.lower() in TABLES:
        return "a table beside the class folders; name it instead of the folder to use its groups"
    return "lies beside the class folders, so it has no class"
