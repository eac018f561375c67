"""Results kept by content: the same image measured in the same way is never computed twice.

One SQLite file (:mod:`hybridleuk.data.cache_file`). Several processes may write to it at once, and
a process killed at any moment leaves it whole. Each row carries a checksum; a damaged row counts as
missing, is computed again, and is reported.

A key is a hash of *what* was computed (kind, recipe, its version) and *of what* (the SHA-256 of the
image). Nothing that depends on a label or on a fold may be stored here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import platformdirs

from hybridleuk import progress
from hybridleuk.data import cache_file
from hybridleuk.data.cache_rows import checksum, decode, encode, kind_of
from hybridleuk.exceptions import CacheError

__all__ = ["Cache", "cache_key", "default_cache_directory", "open_cache"]

_KEYS_PER_QUERY = 500
_DAY = 86_400
_Result = TypeVar("_Result")
_ENTRY = """
    INSERT INTO entries (kind, key, created, used, size, checksum) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET created = excluded.created, used = excluded.used,
    size = excluded.size, checksum = excluded.checksum
"""
_CONTENT = "INSERT OR REPLACE INTO contents SELECT id, ? FROM entries WHERE key = ?"


def default_cache_directory() -> Path:
    """Where the cache lies unless told: ``$HYBRIDLEUK_CACHE``, else the user's cache folder."""
    named = os.environ.get("HYBRIDLEUK_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("hybridleuk"))


def cache_key(kind: str, sha256: str, recipe: Mapping[str, Any]) -> str:
    """Hash what was computed and of what into one key: ``<kind>:<64 hexadecimal digits>``.

    Parameters
    ----------
    kind : str
        The family of results, such as ``"embedding"``; ``hybridleuk cache`` tells by it what lies
        in the cache.
    sha256 : str
        Hash of the image, from :func:`hybridleuk.data.images.image_sha256`.
    recipe : mapping
        Everything the result depends on, JSON-serialisable, its version included.
    """
    text = json.dumps([kind, sha256, dict(recipe)], sort_keys=True)
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"


def open_cache(cache: str | os.PathLike[str] | None) -> Cache | None:
    """Open the cache that a parameter ``cache`` stands for.

    ``None`` is no cache, ``"default"`` the user's, anything else the folder of that name.
    """
    if cache is None:
        return None
    return Cache(default_cache_directory() if cache == "default" else Path(cache))


class Cache:
    """Arrays on disk under content keys.

    To be used by one thread at a time, and not across a ``fork``: each process opens its own.

    Parameters
    ----------
    directory : path
        Made if it does not exist. The file in it is named after the format's number.
    read_only : bool, default False
        Write nothing, neither results nor what was used or damaged; the file has to be there.

    Attributes
    ----------
    path : Path
        The file.
    damaged : int
        Rows whose checksum failed since this object was made; they were dropped. When the object
        is closed they are reported to :func:`hybridleuk.progress.note`, with those that other
        processes found meanwhile.
    repaired : bool
        The file itself was broken and was made whole from what could be read of it.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from hybridleuk.data.cache import Cache, cache_key
    >>> key = cache_key("example", "0" * 64, {"version": 1})
    >>> with tempfile.TemporaryDirectory() as folder, Cache(folder) as cache:
    ...     cache.put_many({key: np.arange(3.0)})
    ...     cache.get_many([key, "missing"])[key]
    array([0., 1., 2.])
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.directory = Path(directory)
        self.read_only = read_only
        self.path = cache_file.cache_path(self.directory)
        self.damaged = 0
        self.repaired = False
        self._connection = self._connect()
        self._damage_before = self._last_damage()

    def get_many(self, keys: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Fetch what is there; keys that are missing or damaged are absent from the answer.

        Raises
        ------
        CacheError
            The file cannot be read.
        """
        found: dict[str, npt.NDArray[Any]] = {}
        damaged: list[tuple[int, str]] = []
        unused: list[int] = []
        wanted = list(dict.fromkeys(keys))
        now = int(time.time())
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            part = wanted[start : start + _KEYS_PER_QUERY]
            for row, key, used, stored, value in self.fetch(_lookup(len(part)), part):
                if not isinstance(value, bytes) or checksum(key, value) != stored:
                    damaged.append((row, key))
                    continue
                found[key] = decode(value)
                if not isinstance(used, int) or now - used > _DAY:
                    unused.append(row)
        self._drop(damaged)
        self._mark_used(unused, now)
        return found

    def put_many(self, results: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store arrays in one transaction: all of them, or none.

        Raises
        ------
        CacheError
            The disk is full, read-only, or another process held the cache for two minutes.
        InputError
            An array holds Python objects.
        """
        values = {key: encode(array) for key, array in results.items()}
        now = int(time.time())
        entries = [
            (kind_of(key), key, now, now, len(value), checksum(key, value))
            for key, value in values.items()
        ]
        self.store((_ENTRY, entries), (_CONTENT, [(value, key) for key, value in values.items()]))

    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query on the file; a broken file is repaired first."""
        return self._guarded(lambda: self._connection.execute(query, values).fetchall())

    def store(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Run statements, each for every tuple of its values, in one transaction."""

        def run() -> None:
            with cache_file.writing(self._connection):
                for statement, values in statements:
                    self._connection.executemany(statement, values)

        self._guarded(run)

    def compact(self) -> None:
        """Give the space of removed rows back to the disk."""
        # As a script, because `execute` frees a single page.
        script = "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)"
        self._guarded(lambda: self._connection.executescript(script))

    def __len__(self) -> int:
        """Count the stored results."""
        return int(self.fetch("SELECT COUNT(*) FROM entries")[0][0])

    def __bool__(self) -> bool:
        return True  # an empty cache is still a cache

    def close(self, *, report: bool = True) -> None:
        """Close the file, and report damage; the object cannot be used afterwards."""
        try:
            with contextlib.suppress(CacheError):
                if report:
                    self._report_damage()
        finally:
            self._connection.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        if self.read_only:
            return cache_file.connect_read_only(self.path)
        try:
            return cache_file.connect(self.path)
        except sqlite3.DatabaseError as error:
            self._rebuild(str(error))
        try:
            return cache_file.connect(self.path)
        except sqlite3.Error as error:
            raise cache_file.cannot_open(self.path, error) from error

    def _guarded(self, action: Callable[[], _Result]) -> _Result:
        """Run what uses the file; if the file turns out to be broken, repair it once."""
        try:
            return action()
        except sqlite3.Error as error:
            if self.repaired or not cache_file.is_broken(error):
                raise cache_file.explain(self.path, error) from error
            self.repair(str(error))
        return self._guarded(action)

    def repair(self, reason: str) -> None:
        """Make a broken file whole from what can be read of it, and report it with the reason.

        Raises
        ------
        CacheError
            It may only be read, or cannot be repaired.
        """
        if self.read_only:
            raise cache_file.damaged(self.path, reason)
        self._connection.close()
        self._rebuild(reason)
        self._connection = self._connect()

    def _rebuild(self, reason: str) -> None:
        from hybridleuk.data.cache_repair import rebuild

        self.repaired = True
        self._damage_before = 0
        kept = rebuild(self.path)
        progress.note(
            f"The file of the cache {self.path} was damaged ({reason}); {kept:,} sound results "
            "were kept, what was lost is computed again when it is needed."
        )

    def _drop(self, damaged: list[tuple[int, str]]) -> None:
        """Remove damaged rows and write down that they were; if that fails, they stay missing."""
        self.damaged += len(damaged)
        if damaged:
            with contextlib.suppress(CacheError):
                self.drop_damaged(damaged)

    def drop_damaged(self, damaged: Sequence[tuple[int, str]]) -> None:
        """Remove rows, given as number and key, and write down that they were damaged."""
        rows = [(row,) for row, _ in damaged]
        now = int(time.time())
        self.store(
            ("DELETE FROM entries WHERE id = ?", rows),
            ("DELETE FROM contents WHERE id = ?", rows),
            (
                "INSERT INTO damage (found, kind, key) VALUES (?, ?, ?)",
                [(now, kind_of(key), key) for _, key in damaged],
            ),
        )

    def drop_files(self, paths: Sequence[str], *, damaged: bool = False) -> None:
        """Forget files; they are read and hashed anew."""
        if not paths:
            return
        statements: list[tuple[str, Sequence[Any]]] = [
            ("DELETE FROM files WHERE path = ?", [(path,) for path in paths])
        ]
        if damaged:
            self.damaged += len(paths)
            rows = [(int(time.time()), "file", path) for path in paths]
            statements.append(("INSERT INTO damage (found, kind, key) VALUES (?, ?, ?)", rows))
        self.store(*statements)

    def _mark_used(self, rows: list[int], now: int) -> None:
        """Note the day of use, for ``prune``; not worth an error where it cannot be written."""
        if rows:
            with contextlib.suppress(CacheError):
                update = "UPDATE entries SET used = ? WHERE id = ?"
                self.store((update, [(now, row) for row in rows]))

    def _last_damage(self) -> int:
        return int(self.fetch("SELECT COALESCE(MAX(id), 0) FROM damage")[0][0])

    def _report_damage(self) -> None:
        query = "SELECT kind, COUNT(*) FROM damage WHERE id > ? GROUP BY kind"
        found = self.fetch(query, (self._damage_before,))
        if found:
            kinds = ", ".join(f"{count} of {kind}" for kind, count in found)
            progress.note(
                f"The cache {self.path} held damaged results ({kinds}); they were dropped and are "
                "computed again. 'hybridleuk cache verify' looks for more; check the disk."
            )


def _lookup(n: int) -> str:
    return (
        "SELECT entries.id, key, used, checksum, value FROM entries LEFT JOIN contents "
        f"USING (id) WHERE key IN ({','.join('?' * n)})"
    )
