"""Zip files: each file in them is found by the list at the end."""

from __future__ import annotations

import os
import zipfile
import zlib

from hybridleuk.data.archives.archive import (
    Archive,
    BadMember,
    check_growth,
    check_readable,
    checked_name,
    is_link,
)
from hybridleuk.exceptions import ManifestError

__all__ = ["ZipArchive"]

_ENCRYPTED = 0x1
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError)


class ZipArchive(Archive):
    """A zip file.

    Raises
    ------
    ManifestError
        It is damaged, encrypted, or not to be trusted.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        check_readable(path)
        try:
            self._file = zipfile.ZipFile(path)
        except (*_DAMAGED, NotImplementedError) as error:
            raise ManifestError(
                f"{path}: no zip file that can be read ({error}); it is damaged or was cut off, "
                "so download or copy it again."
            ) from error
        self._members = self._listed()
        self.sizes = {name: info.file_size for name, info in self._members.items()}

    def _listed(self) -> dict[str, zipfile.ZipInfo]:
        members = {}
        for info in self._file.infolist():
            name = checked_name(info.filename, self.path)
            if name is not None:
                members[name] = info  # of two with one name the later counts, as on unpacking
        if any(info.flag_bits & _ENCRYPTED for info in members.values()):
            raise ManifestError(
                f"{self.path} is encrypted; unpack it with its password, and give the folder."
            )
        sizes = (info.file_size for info in members.values())
        check_growth(sizes, os.path.getsize(self.path), self.path)
        return members

    def _read(self, name: str) -> bytes:
        info = self._members[name]
        if is_link(info.external_attr >> 16):
            raise BadMember("a link in an archive, and no file")
        try:
            return self._file.read(info)
        except NotImplementedError as error:
            raise BadMember(
                f"compressed in a way that is not known here ({error}); unpack the archive"
            ) from error
        except _DAMAGED as error:
            raise BadMember(f"damaged in the archive ({error})") from error
