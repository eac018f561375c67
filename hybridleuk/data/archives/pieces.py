"""Archives whose files are stretches of a file on disk: tar files, and arrays of NumPy."""

from __future__ import annotations

import os
import threading
from abc import ABC
from typing import NamedTuple

from hybridleuk.data.archives.archive import Archive, BadMember

__all__ = ["Piece", "PieceArchive"]


class Piece(NamedTuple):
    """Where the bytes of a file lie: `head`, then `size` bytes of `file` from `offset`."""

    file: str
    offset: int
    size: int
    head: bytes = b""


class PieceArchive(Archive, ABC):
    """An archive of stretches; each file on disk is opened once."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._pieces: dict[str, Piece | str] = {}
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def _hold(self, name: str, piece: Piece | str) -> None:
        """Take in a file: where it lies, or why it cannot be read."""
        self._pieces[name] = piece
        self.sizes[name] = 0 if isinstance(piece, str) else piece.size + len(piece.head)

    def _read(self, name: str) -> bytes:
        piece = self._pieces[name]
        if isinstance(piece, str):
            raise BadMember(piece)
        content = _read_at(self._handle(piece.file), piece.size, piece.offset, self._lock)
        if len(content) < piece.size:
            raise BadMember("cut off: the archive ends before it")
        return piece.head + content

    def _handle(self, file: str) -> int:
        with self._lock:
            if file not in self._open:
                self._open[file] = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            return self._open[file]

    def __del__(self) -> None:
        for handle in self._open.values():
            os.close(handle)


def _read_at(handle: int, size: int, offset: int, lock: threading.Lock) -> bytes:
    """Read a stretch, whatever other threads read from the same file."""
    parts = []
    while size:
        if hasattr(os, "pread"):
            part = os.pread(handle, size, offset)
        else:
            with lock:
                os.lseek(handle, offset, os.SEEK_SET)
                part = os.read(handle, size)
        if not part:
            break
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)
