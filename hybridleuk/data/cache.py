"""Results kept by content: the same image measured in the same way is never computed twice.

One SQLite file in write-ahead mode: it is in every Python, several processes may write to it at
once, and a process killed at any moment leaves it whole. Each row carries a checksum; a damaged row
counts as missing and is computed again.

A key is a hash of *what* was computed (kind, recipe, its version) and *of what* (the SHA-256 of the
image). Nothing that depends on a label or on a fold may be stored here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from hybridleuk.exceptions import CacheError

__all__ = ["Cache", "cache_key", "default_cache_directory", "open_cache"]

FORMAT = 1
_BUSY_SECONDS = 120.0
_KEYS_PER_QUERY = 500


def default_cache_directory() -> Path:
    """Where the cache lies unless told: ``$HYBRIDLEUK_CACHE``, else the user's cache folder."""
    named = os.environ.get("HYBRIDLEUK_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("hybridleuk"))


def cache_key(kind: str, sha256: str, recipe: Mapping[str, Any]) -> str:
    """Hash what was computed and of what into one key.

    Parameters
    ----------
    kind : str
        The family of results, such as ``"embedding"``.
    sha256 : str
        Hash of the image, from :func:`hybridleuk.data.images.image_sha256`.
    recipe : mapping
        Everything the result depends on, JSON-serialisable, its version included.
    """
    text = json.dumps([kind, sha256, dict(recipe)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def open_cache(cache: str | os.PathLike[str] | None) -> Cache | None:
    """Open the cache that a parameter ``cache`` stands for.

    ``None`` is no cache, ``"default"`` the user's, anything else the folder of that name.
    """
    if cache is None:
        return None
    return Cache(default_cache_directory() if cache == "default" else Path(cache))


class Cache:
    """Arrays on disk under content keys.

    Parameters
    ----------
    directory : path
        Made if it does not exist. The file in it is named after the format's number.

    Attributes
    ----------
    damaged : int
        Rows whose checksum failed since this object was made; they were dropped.

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

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.path = self.directory / f"cache-{FORMAT}.sqlite"
        self.damaged = 0
        self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(
                f"Cannot open the cache {self.path} ({error}); name another folder with "
                "--cache or $HYBRIDLEUK_CACHE."
            ) from error
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS results "
                "(key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            connection.close()
            raise CacheError(
                f"{self.path} is no usable cache ({error}); remove it, or name another folder "
                "with --cache or $HYBRIDLEUK_CACHE."
            ) from error
        return connection

    def get_many(self, keys: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Fetch what is there; keys that are missing or damaged are absent from the answer."""
        found: dict[str, npt.NDArray[Any]] = {}
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            part = wanted[start : start + _KEYS_PER_QUERY]
            query = (
                "SELECT key, value, checksum FROM results WHERE key IN "
                f"({','.join('?' * len(part))})"
            )
            for key, value, checksum in self._run(query, part):
                if _checksum(value) == checksum:
                    found[key] = np.load(io.BytesIO(value), allow_pickle=False)
                else:
                    self.damaged += 1
                    self._run("DELETE FROM results WHERE key = ?", [key])
        return found

    def put_many(self, results: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store arrays in one transaction: all of them, or none.

        Raises
        ------
        CacheError
            The disk is full, read-only, or another process held the cache for two minutes.
        """
        rows = []
        for key, array in results.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            rows.append((key, buffer.getvalue(), _checksum(buffer.getvalue())))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._failed(error) from error

    def __len__(self) -> int:
        """Count the stored results."""
        return int(self._run("SELECT COUNT(*) FROM results", [])[0][0])

    def __bool__(self) -> bool:
        return True  # an empty cache is still a cache

    def close(self) -> None:
        """Close the file; the object cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, query: str, values: list[str]) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> CacheError:
        return CacheError(
            f"The cache {self.path} cannot be used ({error}); what was stored before is kept. "
            "Free some disk space, remove the file, or name another folder with --cache."
        )


def _checksum(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
