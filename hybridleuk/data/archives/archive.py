"""What every kind of archive offers: names of its files, and the bytes of each.

An archive is read where it lies. A zip gives any of its files at once, and so does a plain tar
once its headers have been read. A compressed tar, and compressed NumPy arrays, can only be read
from their beginning; they are decompressed once into the cache folder (:mod:`.spool`), since folds
and epochs ask for images in any order.
"""

from __future__ import annotations

import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import PurePosixPath

from hybridleuk.exceptions import ManifestError

__all__ = [
    "SUFFIXES",
    "UNREAD_SUFFIXES",
    "Archive",
    "BadMember",
    "check_growth",
    "check_readable",
    "checked_name",
]

SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
    ".npz",
)
UNREAD_SUFFIXES = (".rar", ".7z", ".tar.zst")
LARGEST_MEMBER = 512 * 2**20  # 80 million pixels of 16 bits and three channels
_MOST_GROWTH, _SMALL = 100, 2**30
_DRIVE = re.compile(r"^[A-Za-z]:")


class BadMember(OSError):
    """A file of an archive cannot be read; ``strerror`` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(5, why)


class Archive(ABC):
    """An archive that is open, until nobody uses it; several threads may read from it.

    Attributes
    ----------
    path : str
    sizes : dict of str to int
        Bytes of each file that is in it, by its name, with ``/`` between folders.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        OSError
            There is none of this name, or it is damaged, encrypted, a link, or far too large.
        """
        if name not in self.sizes:
            raise FileNotFoundError(2, "no such file in the archive", name)
        if self.sizes[name] > LARGEST_MEMBER:
            raise BadMember(f"{self.sizes[name]:,} bytes are more than any image has")
        return self._read(name)

    @abstractmethod
    def _read(self, name: str) -> bytes: ...


def checked_name(name: str, archive: str) -> str | None:
    """Give the name of a file in an archive, or None for one that names a folder.

    Raises
    ------
    ManifestError
        It leads out of the archive, so that it would name another file.
    """
    slashed = name.replace("\\", "/")
    parts = PurePosixPath(slashed).parts
    if slashed.startswith("/") or ".." in parts or _DRIVE.match(slashed) or "\0" in slashed:
        raise ManifestError(
            f"{archive} holds {name!r}, which leads out of it; it is not to be trusted and is not "
            "read."
        )
    return None if slashed.endswith("/") or not parts else "/".join(parts)


def check_growth(sizes: Iterable[int], stored: int, archive: str) -> None:
    """Refuse an archive that grows beyond all images when it is unpacked.

    Raises
    ------
    ManifestError
        It would be over 1 GB and over a hundred times as large; images compress by 20 at most.
    """
    total = sum(sizes)
    if total > _SMALL and total > _MOST_GROWTH * stored:
        raise ManifestError(
            f"{archive} would unpack to {total / 1e9:,.1f} GB, {total // max(stored, 1):,} times "
            "its own size, as archives do that are made to fill the disk; it is not read."
        )


def check_readable(path: str) -> None:
    """Refuse an archive that the system does not let be read.

    Raises
    ------
    ManifestError
        It does not.
    """
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}).") from error


def is_link(mode: int) -> bool:
    """Tell from the mode of a file that it is a link."""
    return stat.S_ISLNK(mode)
