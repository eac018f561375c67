"""What can only be read from its beginning, decompressed once into the cache folder.

It lies in ``archives`` there, under a name made of the archive's path, size and time, so that every
process finds it and a changed archive is never mixed up with an older one. ``hybridleuk cache
prune`` removes what belongs to archives that are gone or have changed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from hybridleuk import progress
from hybridleuk.data.archives.archive import check_growth
from hybridleuk.data.cache import default_cache_directory
from hybridleuk.exceptions import ManifestError

__all__ = ["FOLDER", "spooled", "stale_spools"]

FOLDER = "archives"
_ORIGIN, _PARTIAL = "origin.txt", ".partial"
_PIECE = 1 << 20
_ROOM = 200 * 2**20  # left free on the disk
_ABANDONED = 3600  # seconds after which nobody writes to an unfinished file any more
_UNWRITABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EFBIG),
}


def spooled(archive: str, name: str, opened: Callable[[], IO[bytes] | Any]) -> str:
    """Decompress a stream into the cache folder, unless it is there; return where it lies.

    Parameters
    ----------
    archive : str
        That it is part of.
    name : str
        Of the file to be made.
    opened : callable
        Opens the stream.

    Raises
    ------
    ManifestError
        It cannot be written there, there is no room for it, or it grows beyond all images.
    OSError, EOFError
        The stream is damaged.
    """
    origin = _origin(archive)
    folder = default_cache_directory() / FOLDER / hashlib.sha256(origin.encode()).hexdigest()[:24]
    target = folder / name
    if target.is_file():
        return str(target)
    draft = folder / f"{name}.{os.getpid()}{_PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _ORIGIN).write_text(origin, encoding="utf-8", errors="surrogateescape")
        _copy(archive, opened, draft)
        os.replace(draft, target)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise _no_place(archive, str(error.strerror)) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return str(target)


def _copy(archive: str, opened: Callable[[], IO[bytes] | Any], draft: Path) -> None:
    stored, written = os.path.getsize(archive), 0
    title = f"Decompressing {os.path.basename(archive)} into the cache"
    with opened() as stream, draft.open("wb") as file, progress.task(title, None, "bytes") as task:
        while piece := stream.read(_PIECE):
            written += len(piece)
            check_growth([written], stored, archive)
            if shutil.disk_usage(draft.parent).free < _ROOM:
                raise _no_place(archive, "no room")
            file.write(piece)
            task.advance(len(piece))


def _no_place(archive: str, why: str) -> ManifestError:
    return ManifestError(
        f"{archive}: cannot be decompressed into {default_cache_directory() / FOLDER} ({why}); "
        "name another folder by HYBRIDLEUK_CACHE, or unpack it yourself and give the folder."
    )


def _origin(archive: str) -> str:
    status = os.stat(archive)
    return f"{status.st_size} {status.st_mtime_ns} {os.path.abspath(archive)}"


def stale_spools(cache: Path, *, everything: bool = False) -> list[Path]:
    """List files of archives that are gone or have changed, or, on demand, of all archives."""
    found: list[Path] = []
    for folder in sorted((cache / FOLDER).glob("*")):
        files = sorted(path for path in folder.glob("*") if path.is_file())
        whole = everything or not _is_current(folder)
        found += [path for path in files if whole or _is_abandoned(path)]
    return found


def _is_abandoned(path: Path) -> bool:
    return path.suffix == _PARTIAL and time.time() - path.stat().st_mtime > _ABANDONED


def _is_current(folder: Path) -> bool:
    try:
        origin = (folder / _ORIGIN).read_text(encoding="utf-8", errors="surrogateescape")
        return _origin(origin.split(" ", 2)[2]) == origin
    except (OSError, IndexError):
        return False
