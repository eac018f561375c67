"""SHA-256 of files, computed again only when a file may have changed.

A file is taken as unchanged while its size, its time of modification, its time of change of status
and its inode stay the same, as git does. Two things this cannot see: content that changes without
any of them, by a failing disk or a program that writes below the file system; and, where the system
keeps no time of change of status (Windows), content of the same size whose time of modification was
set back on purpose. A file that changed in the last two seconds is always read anew, since it may
change again within the resolution of the clock. A file in an archive is unchanged while the archive
is.

Within one process this is remembered always; across processes in the cache, for the length of
:func:`remembering_files`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader, BytesIO
from typing import NamedTuple

from hybridleuk.data.cache import Cache, open_cache
from hybridleuk.data.cache_rows import checksum
from hybridleuk.data.contents import content_status, open_content

__all__ = [
    "FileHash",
    "file_hash",
    "hash_content",
    "is_sound_row",
    "known_good_files",
    "remember_good_files",
    "remembering_files",
]

_SETTLED_NS = 2_000_000_000
_PATHS_PER_QUERY = 500
_memory: ContextVar[Cache | None] = ContextVar("hybridleuk_file_memory", default=None)
_in_process: dict[str, FileHash] = {}


class FileHash(NamedTuple):
    """A hash, and the state of the file it belongs to; ``""`` if the file may still change."""

    sha256: str
    identity: str


def file_hash(path: str) -> str:
    """Hash a file, or remember its hash.

    Raises
    ------
    OSError
        It cannot be read.
    """
    name = os.path.abspath(path)
    kept = _in_process.get(name)
    if kept is not None and kept.identity == _identity(content_status(name)):
        return kept.sha256
    return _read(name, lambda file: hashlib.file_digest(file, "sha256").hexdigest()).sha256


def hash_content(path: str) -> tuple[FileHash, bytes]:
    """Read and hash a file now; also return what was read."""
    content = b""

    def digest(file: BufferedReader | BytesIO) -> str:
        nonlocal content
        content = file.read()
        return hashlib.sha256(content).hexdigest()

    return _read(os.path.abspath(path), digest), content


def _read(name: str, digest: Callable[[BufferedReader | BytesIO], str]) -> FileHash:
    before = _identity(content_status(name))
    with open_content(name) as file:
        sha256 = digest(file)
    status = content_status(name)
    settled = before == _identity(status) and _is_settled(status)
    known = _in_process[name] = FileHash(sha256, before if settled else "")
    return known


@contextmanager
def remembering_files(cache: str | os.PathLike[str] | None) -> Iterator[None]:
    """Remember in a cache, beyond this process, which files were found good and what they hash to.

    Parameters
    ----------
    cache : path, "default" or None
        None remembers nothing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from hybridleuk import Manifest
    >>> from hybridleuk.data.file_hashes import remembering_files
    >>> with tempfile.TemporaryDirectory() as folder, remembering_files(f"{folder}/cache"):
    ...     Image.fromarray(np.zeros((20, 20), np.uint8)).save(f"{folder}/smear.png")
    ...     len(Manifest.from_source(f"{folder}/smear.png"))
    1
    """
    store = open_cache(cache)
    token = _memory.set(store)
    try:
        yield
    finally:
        _memory.reset(token)
        if store is not None:
            store.close()


def known_good_files(paths: Sequence[str], rules: int) -> dict[str, str]:
    """Return the SHA-256 of files that passed inspection and are unchanged since.

    Parameters
    ----------
    paths : sequence of str
    rules : int
        Number of the rules they passed; what passed other rules is not known.
    """
    cache = _memory.get()
    if cache is None:
        return {}
    names = {os.path.abspath(path): path for path in paths}
    kept = _recall(cache, list(names), rules)
    found: dict[str, str] = {}
    for name, known in kept.items():
        try:
            unchanged = known.identity == _identity(content_status(name))
        except OSError:
            continue
        if unchanged:
            _in_process[name] = known
            found[names[name]] = known.sha256
    return found


def remember_good_files(hashes: Mapping[str, FileHash], rules: int) -> None:
    """Keep the hashes of files that passed inspection, except where they may still change."""
    cache = _memory.get()
    if cache is None:
        return
    now = int(time.time())
    rows = []
    for path, known in hashes.items():
        name = os.path.abspath(path)
        if known.identity and _is_text(name):
            passed = FileHash(known.sha256, f"{rules}: {known.identity}")
            rows.append((name, passed.identity, passed.sha256, now, _checksum(name, passed)))
    if rows:
        cache.store(("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows))


def _recall(cache: Cache, names: list[str], rules: int) -> dict[str, FileHash]:
    found: dict[str, FileHash] = {}
    damaged: list[str] = []
    wanted = [name for name in names if _is_text(name)]
    for start in range(0, len(wanted), _PATHS_PER_QUERY):
        part = wanted[start : start + _PATHS_PER_QUERY]
        marks = ",".join("?" * len(part))
        query = f"SELECT path, identity, sha256, checksum FROM files WHERE path IN ({marks})"
        for name, identity, sha256, stored in cache.fetch(query, part):
            number, _, passed = str(identity).partition(": ")
            if not is_sound_row(name, identity, sha256, stored):
                damaged.append(name)
            elif number == str(rules):
                found[name] = FileHash(sha256, passed)
    cache.drop_files(damaged, damaged=True)
    return found


def is_sound_row(path: str, identity: str, sha256: str, stored: bytes) -> bool:
    """Tell whether what the cache remembers of a file is what was written there."""
    return _checksum(path, FileHash(str(sha256), str(identity))) == stored


def _checksum(name: str, passed: FileHash) -> bytes:
    return checksum(name, f"{passed.identity} {passed.sha256}".encode())


def _identity(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _is_settled(status: os.stat_result) -> bool:
    return time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS


def _is_text(name: str) -> bool:
    """Tell names that a database takes from file names that are no valid text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
