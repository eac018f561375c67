"""The file of the cache: how it is opened, what is in it, and what its errors mean.

SQLite in write-ahead mode, because of what happens to a cache: a transaction is whole or absent
whenever a process is killed; readers never wait for writers, and writers queue; a full disk ends in
a rolled-back transaction. LMDB reads faster, but its file has to be given its greatest size in
advance, a torn page of it is not noticed, and it is one more dependency.

Tables of format 2:

``entries``
    One row per result: its kind, its key, when it was stored and last used, size and checksum.
``contents``
    The values, apart, so that looking after the entries never reads them.
``files``
    What is known of image files: when size and times are the same, they are not read again.
``damage``
    Rows that failed their checksum and were dropped.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridleuk.exceptions import CacheError

__all__ = [
    "FORMAT",
    "cache_path",
    "cannot_open",
    "connect",
    "connect_read_only",
    "damaged",
    "explain",
    "is_broken",
    "open_raw",
    "set_aside",
    "unwritable",
    "writing",
]

FORMAT = 2
_BUSY_SECONDS = 120.0
_PAGE_BYTES = 8192
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
    "key TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, used INTEGER NOT NULL, "
    "size INTEGER NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, identity TEXT NOT NULL, "
    "sha256 TEXT NOT NULL, seen INTEGER NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS damage (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "found INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL)",
    f"PRAGMA user_version = {FORMAT}",
)
# Primary result codes of SQLite; the first also stands for a table whose name is damaged.
_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def cache_path(directory: Path) -> Path:
    """Return the file of the present format in a cache's folder."""
    return directory / f"cache-{FORMAT}.sqlite"


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made with its tables where it is not there.

    Raises
    ------
    CacheError
        The folder cannot be made, or the file cannot be opened.
    sqlite3.DatabaseError
        The file is there, but is broken (:func:`is_broken`).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = open_raw(path)
    except (OSError, sqlite3.Error) as error:
        raise cannot_open(path, error) from error
    try:
        _prepare(connection)
    except sqlite3.Error as error:
        connection.close()
        if is_broken(error):
            raise
        raise cannot_open(path, error) from error
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the file where nothing can be written beside it, as on a read-only file system.

    SQLite needs a small file beside one in write-ahead mode. Where it cannot make it, the file is
    opened as one that nobody changes, which is right as long as nothing waits in its log.

    Raises
    ------
    CacheError
        The file cannot be read, or is complete only together with its log.
    """
    log = path.with_name(f"{path.name}-wal")
    modes = ["mode=ro"]
    if not log.exists() or not log.stat().st_size:
        modes.append("immutable=1")
    for mode in modes:
        connection = open_raw(path, mode)
        try:
            connection.execute("SELECT COUNT(*) FROM entries")
            return connection
        except sqlite3.Error as error:
            connection.close()
            failed = error
    if len(modes) == 1 and not is_broken(failed):
        raise CacheError(
            f"The cache {path} cannot be read without its log {log.name}, which takes writing "
            f"beside it, and {unwritable(path) or failed}; copy the folder and name the copy with "
            "--cache."
        ) from failed
    raise (explain if is_broken(failed) else cannot_open)(path, failed) from failed


def open_raw(path: Path, mode: str = "") -> sqlite3.Connection:
    """Open the file as it is, without asking what is in it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}" if mode else path,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=bool(mode),
    )
    # A damaged name must not end in an error of decoding, but in a checksum that fails.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != FORMAT:  # both have to be said before the first table is made
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _into_wal_mode(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    if version != FORMAT:
        with writing(connection):
            for statement in _SCHEMA:
                connection.execute(statement)


def _into_wal_mode(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself when two do so at once."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Make what is inside one transaction: all of it is stored, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_broken(error: sqlite3.Error) -> bool:
    """Tell damage of the file from a lock, a full disk and everything else."""
    return _code(error) in _BROKEN


def unwritable(path: Path) -> str | None:
    """Say why a file cannot be written, or read, in its folder; None where it can."""
    there = next(place for place in (path.parent, *path.absolute().parents) if place.exists())
    if path.exists() and not os.access(path, os.R_OK):
        return "there is no permission to read it"
    if os.access(there, os.W_OK) and (not path.exists() or os.access(path, os.W_OK)):
        return None
    if hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY:
        return f"{there} is on a read-only file system"
    return f"there is no permission to write {path if os.access(there, os.W_OK) else there}"


def damaged(path: Path, reason: object) -> CacheError:
    """Say that the file is broken, and where it can be repaired."""
    remedy = "'hybridleuk cache verify' repairs it"
    why = unwritable(path)
    if why:
        remedy = f"{why}, so copy the folder, and {remedy} there"
    return CacheError(
        f"The cache {path} is damaged ({reason}); what was stored before is kept: {remedy}."
    )


def explain(path: Path, error: sqlite3.Error) -> CacheError:
    """Say in one sentence why the cache cannot be used and what to do."""
    code = _code(error)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = f"The disk of the cache {path} is full or fails ({error})"
        remedy = "free some space and give the same command again, or name another with --cache"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what = f"Another process held the cache {path} for {_BUSY_SECONDS:.0f} s ({error})"
        remedy = "wait for it or end it, then give the same command again"
    elif code in _BROKEN:
        return damaged(path, error)
    else:
        what = f"The cache {path} cannot be written ({unwritable(path) or error})"
        remedy = "change its permissions, or name another folder with --cache"
    return CacheError(f"{what}; what was stored before is kept: {remedy}.")


def cannot_open(path: Path, error: Exception) -> CacheError:
    """Say that there is no cache here and none can be made."""
    why = unwritable(path)
    if why:
        return CacheError(
            f"Cannot open the cache {path}: {why}; name another folder with --cache or "
            "$HYBRIDLEUK_CACHE."
        )
    return CacheError(
        f"Cannot open the cache {path} ({error}); free some space if the disk is full, or name "
        "another folder with --cache or $HYBRIDLEUK_CACHE."
    )


def set_aside(path: Path) -> None:
    """Rename a file that is no database any more, so that a new one can be made in its place."""
    os.replace(path, path.with_name(f"{path.name}.damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _code(error: sqlite3.Error) -> int:
    # Without a code the error is Python's own, as for a connection that was closed.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)) & 0xFF
