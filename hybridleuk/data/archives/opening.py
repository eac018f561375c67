"""Paths that lead into archives, and the archives that are open in this process.

``ALL.zip/Original/Pre/1.jpg`` names a file in an archive. A folder on disk of the name ``ALL.zip``
is a folder.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict

from hybridleuk.data.archives.archive import SUFFIXES, Archive
from hybridleuk.data.archives.arrays import ArrayArchive
from hybridleuk.data.archives.tars import TarArchive
from hybridleuk.data.archives.zips import ZipArchive

__all__ = ["is_archive", "locate", "open_archive"]

_INTO = re.compile(
    rf"({'|'.join(map(re.escape, SUFFIXES))})(?=[/{re.escape(os.sep)}]|$)", re.IGNORECASE
)
_KEPT_OPEN = 8
_lock = threading.RLock()
_open: OrderedDict[tuple[int, str], tuple[tuple[int, int], Archive]] = OrderedDict()


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path names an archive on disk, by its suffix."""
    name = os.fspath(path)
    return name.lower().endswith(SUFFIXES) and os.path.isfile(name)


def locate(path: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Take a path apart into a file on disk and what it names in it; None where it is no archive.

    The archive itself is named by ``""``.
    """
    name = os.fspath(path)
    for found in _INTO.finditer(name):
        if os.path.isfile(name[: found.end()]):
            inner = name[found.end() :].replace(os.sep, "/").strip("/")
            return name[: found.end()], inner
    return name, None


def open_archive(path: str) -> Archive:
    """Open an archive, or give the one that is open, unless the file has changed since.

    Raises
    ------
    ManifestError
        It cannot be used.
    OSError
        It is not there.
    """
    # Other processes, forked ones too, open it for themselves: a place in a file is shared.
    key = (os.getpid(), os.path.abspath(path))
    with _lock:
        status = os.stat(path)
        state = status.st_size, status.st_mtime_ns
        if key in _open and _open[key][0] == state:
            _open.move_to_end(key)
            return _open[key][1]
        archive = _kind(path)(path)
        _open[key] = state, archive
        _open.move_to_end(key)
        while len(_open) > _KEPT_OPEN:
            _open.popitem(last=False)
        return archive


def _kind(path: str) -> type[Archive]:
    name = path.lower()
    if name.endswith(".npz"):
        return ArrayArchive
    return ZipArchive if name.endswith(".zip") else TarArchive
