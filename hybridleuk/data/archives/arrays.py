"""Images in a NumPy archive as MedMNIST has them: arrays of images and labels, by split.

``<label>/<split>_<number>.ppm`` is what each image is called. Its bytes are those of the array
behind a header of PPM or PGM, so that the one decoder reads it as any file. Nothing is unpickled.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from hybridleuk.data.archives.archive import check_growth, check_readable
from hybridleuk.data.archives.pieces import Piece, PieceArchive
from hybridleuk.data.archives.spool import spooled
from hybridleuk.exceptions import ManifestError

__all__ = ["ArrayArchive"]

_SPLITS = ("train", "val", "test")
_LOCAL_HEADER = struct.Struct("<26xHH")
_MOST_LABELS = 2**26
_EXPECTED = (
    "expected MedMNIST's: train_images of shape (n, height, width, 3) and train_labels (n, 1), of "
    "uint8, and the same for val and test"
)


class _Layout(NamedTuple):
    shape: tuple[int, ...]
    head: int


class ArrayArchive(PieceArchive):
    """An ``.npz`` file of images and labels.

    Raises
    ------
    ManifestError
        It is damaged, or holds something else.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        check_readable(path)
        try:
            with zipfile.ZipFile(path) as file:
                held = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
                sizes = (info.file_size for info in held.values())
                check_growth(sizes, os.path.getsize(path), path)
                for split in _SPLITS:
                    if f"{split}_images" in held:
                        self._add(file, split, held)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError) as error:
            if isinstance(error, ManifestError):
                raise
            raise ManifestError(
                f"{path}: no NumPy archive that can be read ({error}); {_EXPECTED}."
            ) from error
        if not self.sizes:
            raise ManifestError(f"{path}: holds no array train_images; {_EXPECTED}.")

    def _add(self, file: zipfile.ZipFile, split: str, held: dict[str, zipfile.ZipInfo]) -> None:
        images = held[f"{split}_images"]
        with file.open(images) as stream:
            layout = _layout(stream, f"{split}_images")
        if f"{split}_labels" not in held:
            raise ValueError(f"no {split}_labels")
        labels = _labels(file, held[f"{split}_labels"], layout.shape[0])
        place, start = self._place(images, split)
        height, width = layout.shape[1:3]
        size = int(np.prod(layout.shape[1:]))
        color = len(layout.shape) == 4
        head = f"{'P6' if color else 'P5'}\n{width} {height}\n255\n".encode()
        suffix = "ppm" if color else "pgm"
        digits = max(5, len(str(len(labels) - 1)))
        for number, label in enumerate(labels):
            offset = start + layout.head + number * size
            name = f"{label}/{split}_{number:0{digits}d}.{suffix}"
            self._hold(name, Piece(place, offset, size, head))

    def _place(self, info: zipfile.ZipInfo, split: str) -> tuple[str, int]:
        """Where the file of an array begins: in the archive itself unless it is compressed."""
        if info.compress_type != zipfile.ZIP_STORED:
            stream = _Member(self.path, info.filename)
            return spooled(self.path, f"{split}_images.npy", stream.opened), 0
        with open(self.path, "rb") as file:
            file.seek(info.header_offset)
            name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        return self.path, info.header_offset + _LOCAL_HEADER.size + name + extra


class _Member(NamedTuple):
    archive: str
    name: str

    def opened(self) -> IO[bytes]:
        return zipfile.ZipFile(self.archive).open(self.name)


def _layout(stream: IO[bytes], name: str) -> _Layout:
    """Read shape and place of an array of images from its header."""
    counted = io.BytesIO(stream.read(2**16))
    shape, fortran, kind = _header(counted, name)
    shown = f"{name} has the shape {shape} and the type {kind}"
    good = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if kind != np.uint8 or fortran or not good:
        raise ValueError(shown)
    return _Layout(shape, counted.tell())


def _header(stream: io.BytesIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name} is written in format {version[0]}.{version[1]}")
    shape, fortran, kind = readers[version](stream)
    return tuple(int(side) for side in shape), bool(fortran), kind


def _labels(file: zipfile.ZipFile, info: zipfile.ZipInfo, n: int) -> npt.NDArray[Any]:
    if info.file_size > _MOST_LABELS:
        raise ValueError(f"{info.filename} has {info.file_size:,} bytes")
    with file.open(info) as stream:
        labels = npy.read_array(io.BytesIO(stream.read()), allow_pickle=False)
    if labels.size != n or labels.dtype.kind not in "ui":
        raise ValueError(f"{info.filename} has the shape {labels.shape}, for {n} images")
    return labels.reshape(n)
