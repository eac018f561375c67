"""Files and folders on disk and in archives, told apart by nobody above this module.

A path may lead into an archive: ``ALL.zip/Original/Pre/1.jpg``, see
:mod:`hybridleuk.data.archives.opening`.
"""

from __future__ import annotations

import os
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath

from hybridleuk.data.archives.opening import locate, open_archive

__all__ = [
    "content_exists",
    "content_status",
    "files_below",
    "is_folder",
    "open_content",
    "read_content",
    "real_file",
]

Pathlike = str | os.PathLike[str]


def read_content(path: Pathlike) -> bytes:
    """Return the bytes of a file, on disk or in an archive.

    Raises
    ------
    OSError
        It cannot be read; ``strerror`` says why.
    ManifestError
        The archive that it is in cannot be used.
    """
    with open_content(path) as file:
        return file.read()


def open_content(path: Pathlike) -> BufferedReader | BytesIO:
    """Open a file, on disk or in an archive, for reading; errors as of :func:`read_content`."""
    place, inner = locate(path)
    if not inner:
        return open(place, "rb")
    return BytesIO(open_archive(place).read(inner))


def real_file(path: Pathlike) -> str:
    """Name the file on disk that a path names or leads into."""
    return locate(path)[0]


def content_status(path: Pathlike) -> os.stat_result:
    """Tell the state of a file, or of the archive that it is in: it changes when the file does.

    Raises
    ------
    OSError
        There is none.
    """
    place, inner = locate(path)
    if inner and inner not in open_archive(place).sizes:
        raise FileNotFoundError(2, "no such file in the archive", os.fspath(path))
    return os.stat(place)


def content_exists(path: Pathlike) -> bool:
    """Tell whether there is such a file or folder."""
    place, inner = locate(path)
    if not inner:
        return os.path.exists(place)
    return inner in open_archive(place).sizes or is_folder(path)


def is_folder(path: Pathlike) -> bool:
    """Tell whether a path names a folder: on disk, an archive, or one in it."""
    place, inner = locate(path)
    if inner is None:
        return os.path.isdir(place)
    return not inner or any(name.startswith(f"{inner}/") for name in open_archive(place).sizes)


def files_below(folder: Path) -> list[PurePosixPath] | None:
    """List the files of a folder in an archive, relative to it; None of a folder on disk."""
    place, inner = locate(folder)
    if inner is None:
        return None
    start = f"{inner}/" if inner else ""
    names = open_archive(place).sizes
    return [PurePosixPath(name[len(start) :]) for name in names if name.startswith(start)]
