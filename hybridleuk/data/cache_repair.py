"""A broken file of the cache: every row that can still be read is saved, the rest is given up.

A flipped byte in a value is found by its checksum. One in the structure of the file (a page of an
index, the list of tables) makes SQLite refuse the file; then the rows are read one by one, those
that are sound are copied into a new file, and its pages replace those of the old one. SQLite itself
does this last step, under its locks, so that other processes that use the file are not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybridleuk.data import cache_file
from hybridleuk.data.cache_rows import checksum, kind_of

__all__ = ["rebuild"]

_ROWS_AT_ONCE = 200
_MOST_ROWS_PER_PAGE = 100
_ROW = (
    "SELECT entries.id, key, created, used, checksum, value FROM entries JOIN contents USING (id) "
    "WHERE entries.id BETWEEN ? AND ?"
)


def rebuild(path: Path) -> int:
    """Save the sound rows of a broken file and make it whole again.

    Parameters
    ----------
    path : Path
        The file. If it is no database any more it is renamed to ``<name>.damaged``, and a new one
        takes its place.

    Returns
    -------
    int
        Results that were saved.

    Raises
    ------
    CacheError
        The disk is full, or the file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.repair-{os.getpid()}")
    _remove(fresh)
    try:
        with contextlib.closing(cache_file.connect(fresh)) as target:
            kept = _save_rows(path, target)
            _replace_pages(path, target)
    except sqlite3.Error as error:
        raise cache_file.explain(path, error) from error
    except OSError as error:
        raise cache_file.cannot_open(path, error) from error
    finally:
        _remove(fresh)
    return kept


def _save_rows(path: Path, target: sqlite3.Connection) -> int:
    kept = 0
    with contextlib.closing(cache_file.open_raw(path)) as broken:
        for rows in _sound_rows(broken):
            with cache_file.writing(target):
                for row in rows:
                    kept += _copy(row, target)
    return kept


def _copy(row: tuple[Any, ...], target: sqlite3.Connection) -> int:
    number, key, created, used, stored, value = row
    if not isinstance(value, bytes) or not isinstance(key, str) or checksum(key, value) != stored:
        return 0
    times = [when if isinstance(when, int) else 0 for when in (created, used)]
    # Rows keep their numbers: whoever was about to drop one by its number drops the same.
    entry = (number, kind_of(key), key, *times, len(value), stored)
    added = target.execute(
        "INSERT OR IGNORE INTO entries (id, kind, key, created, used, size, checksum) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        entry,
    )
    if added.rowcount:
        target.execute("INSERT INTO contents VALUES (?, ?)", (number, value))
    return added.rowcount


def _sound_rows(broken: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    """Read rows by their numbers: many at once, or one by one where that fails."""
    for first in range(0, _last_row(broken) + 1, _ROWS_AT_ONCE):
        last = first + _ROWS_AT_ONCE - 1
        try:
            yield broken.execute(_ROW, (first, last)).fetchall()
        except sqlite3.Error:
            singles: list[tuple[Any, ...]] = []
            for row in range(first, last + 1):
                with contextlib.suppress(sqlite3.Error):
                    singles += broken.execute(_ROW, (row, row)).fetchall()
            yield singles


def _last_row(broken: sqlite3.Connection) -> int:
    for table in ("entries", "contents"):
        with contextlib.suppress(sqlite3.Error):
            return int(broken.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}").fetchone()[0])
    try:  # as many as the pages could hold
        return int(broken.execute("PRAGMA page_count").fetchone()[0]) * _MOST_ROWS_PER_PAGE
    except sqlite3.Error:
        return -1


def _replace_pages(path: Path, target: sqlite3.Connection) -> None:
    try:
        with contextlib.closing(cache_file.open_raw(path)) as broken:
            target.backup(broken)
    except sqlite3.Error as error:
        if not cache_file.is_broken(error):
            raise
        cache_file.set_aside(path)
        with contextlib.closing(cache_file.connect(path)) as new:
            target.backup(new)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
