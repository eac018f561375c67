"""Tar files: found by reading all headers once; compressed ones are decompressed once before."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from typing import IO, Any

from hybridleuk.data.archives.archive import check_readable, checked_name
from hybridleuk.data.archives.pieces import Piece, PieceArchive
from hybridleuk.data.archives.spool import spooled
from hybridleuk.exceptions import ManifestError

__all__ = ["TarArchive"]

_MAGIC: dict[bytes, Callable[[str], IO[bytes] | Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, OSError)


class TarArchive(PieceArchive):
    """A tar file, plain or compressed by gzip, bzip2 or xz, whatever its name says.

    Raises
    ------
    ManifestError
        It is damaged or not to be trusted, or there is no room to decompress it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        check_readable(path)
        try:
            plain = self._plain()
            end = os.path.getsize(plain)
            with tarfile.open(plain, "r:") as file:
                for member in file:
                    self._add(member, plain, end)
        except _DAMAGED as error:
            if isinstance(error, ManifestError):
                raise
            raise ManifestError(
                f"{path}: no tar file that can be read ({error}); it is damaged or was cut off, "
                "so download or copy it again."
            ) from error

    def _plain(self) -> str:
        with open(self.path, "rb") as file:
            start = file.read(6)
        for magic, opened in _MAGIC.items():
            if start.startswith(magic):
                return spooled(self.path, "content.tar", partial(opened, self.path))
        return self.path

    def _add(self, member: tarfile.TarInfo, plain: str, end: int) -> None:
        name = checked_name(member.name, self.path)
        if name is None or member.isdir():
            return
        if member.islnk() or member.issym():
            self._hold(name, "a link in an archive, and no file")
        elif not member.isreg() or member.issparse():
            self._hold(name, "no plain file in the archive")
        elif member.offset_data + member.size > end:
            raise EOFError(f"{member.name} ends beyond it")
        else:
            self._hold(name, Piece(plain, member.offset_data, member.size))
