"""Files that were found and cannot be used: each with its reason, in a list beside the results.

Several results may lie in one folder, each from other images. Their files left out stand in one
list, ``skipped.csv``, whose column ``output`` names the result that a row belongs to; making a
result again replaces its own rows and no others.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["SKIPPED", "is_text", "listed", "readable_path", "skipped_table", "write_skipped"]

SKIPPED = "skipped.csv"
_COLUMNS = ["path", "reason", "output"]
_WHOLE_FOLDER = "."


def is_text(path: str) -> bool:
    """Tell whether a path can be written as UTF-8, as databases and tables need it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable_path(path: str) -> str:
    """Return a path as text that can be written anywhere; bytes that are no text become U+FFFD."""
    return path if is_text(path) else os.fsencode(path).decode("utf-8", "replace")


def skipped_table(rows: Iterable[tuple[str, str, Any]]) -> pd.DataFrame:
    """Make the table of a manifest's skipped files of ``(path, reason, group or None)``."""
    readable = [(readable_path(path), reason, group) for path, reason, group in rows]
    return pd.DataFrame(readable, columns=["path", "reason", "group"], dtype=object)


def listed(skipped: pd.DataFrame) -> list[tuple[str, str]]:
    """Give absolute paths, as in every table, and reasons that do not say the path once more."""
    rows = skipped[["path", "reason"]].to_numpy(dtype=str)
    return [(os.path.abspath(path), reason.removeprefix(f"{path}: ")) for path, reason in rows]


def write_skipped(output: Path, rows: Iterable[tuple[str, str]]) -> Path | None:
    """List what was left out of a result, in ``skipped.csv`` inside a folder or beside a file.

    Rows of other results stay; those of an earlier run of the same result are replaced, by none
    when nothing was left out. A file of that name that is no such list is kept, and the list takes
    the next free name.

    Parameters
    ----------
    output : Path
        The result: a folder, or a file.
    rows : iterable of (path, reason)

    Returns
    -------
    Path or None
        The list, where something was left out.
    """
    folder, name = (output, _WHOLE_FOLDER) if output.is_dir() else (output.parent, output.name)
    own = [(readable_path(path), reason, name) for path, reason in rows]
    with _alone(folder):
        target, earlier = _earlier(folder)
        if own or earlier is not None:
            others = [row for row in earlier or () if row[2] != name]
            _write(target, [*others, *own])
    return target if own else None


def _earlier(folder: Path) -> tuple[Path, list[tuple[str, str, str]] | None]:
    """Find the list of a folder, or the name it would have, and read it."""
    stem, suffix = os.path.splitext(SKIPPED)
    names = chain([SKIPPED], (f"{stem}-{n}{suffix}" for n in count(2)))
    for target in (folder / name for name in names):
        if not os.path.lexists(target):
            return target, None
        rows = _read(target)
        if rows is not None:
            return target, rows
    raise AssertionError("names do not end")


def _read(path: Path) -> list[tuple[str, str, str]] | None:
    """Read a list, or return None for what is no list of ours.

    Lists of versions that did not name the output have two columns; theirs stays empty.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return None
    if head not in (_COLUMNS, _COLUMNS[:2]) or any(len(row) != len(head) for row in rows):
        return None
    return [(row[0], row[1], row[2] if len(row) > 2 else "") for row in rows]


def _write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the list between reading and writing it.

    The lock is on the folder and leaves no file behind. Windows and some network file systems have
    none; two commands that end in the same moment may then lose rows of one.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
