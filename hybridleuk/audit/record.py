"""What an audit asks of one image: a record of numbers and flags."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybridleuk.audit.writing import find_writing
from hybridleuk.data.images import FORMATS, RGBImage
from hybridleuk.evaluation.shortcut_files import find_marks
from hybridleuk.segmentation.records import Cells

__all__ = ["VERSION", "Record", "make_record", "sharpness"]

Array = npt.NDArray[Any]

Box = tuple[int, int, int, int]

VERSION = 4
_ORIENTATION = 274  # the EXIF tag
_CLIPPED_HIGH, _CLIPPED_LOW = 254, 1
_NEAR, _FAR = 1, 4
_STEEP = 99.0
_EMPTY = 0.9  # quantile of green that stands for the empty smear


@dataclass(frozen=True)
class Record:
    """What the audit asks of one image.

    Attributes
    ----------
    pixels : str
        SHA-256 of the decoded pixels and their shape.
    format, mode : str
        Of the file, as Pillow names them.
    height, width : int
        As decoded, in px.
    orientation : int
        EXIF orientation; 1 where there is none.
    bars : int
        Straight black or purely colored marks outside of any writing.
    lines : int
        Of writing.
    sharpness : float
        See :func:`sharpness`.
    bright : float
        Median over the pixels of the highest channel, 0 to 255.
    burnt_out, black : float
        Share of pixels all of whose channels are at the upper, and the lower, end.
    n_cells : int
    nuclei : tuple of (float, float)
        Of each cell mean optical density of the nucleus in green, against the empty smear, and the
        share of the image that the nucleus covers.
    central : bool
        Whether a cell in the middle is what the image is about.
    flags : tuple of str
        Of the image (:data:`~hybridleuk.segmentation.records.FLAGS`).
    cell_flags : tuple of str
        Of the cells that stand for the image, those that all of them carry.
    """

    pixels: str
    format: str
    mode: str
    height: int
    width: int
    orientation: int
    bars: int
    lines: int
    sharpness: float
    bright: float
    burnt_out: float
    black: float
    n_cells: int
    nuclei: tuple[tuple[float, float], ...]
    central: bool
    flags: tuple[str, ...]
    cell_flags: tuple[str, ...]

    def pack(self) -> npt.NDArray[np.uint8]:
        """Return the record as bytes for the cache."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), dtype=np.uint8)

    @classmethod
    def unpack(cls, packed: Array) -> Record:
        """Undo :meth:`pack`."""
        read = json.loads(packed.tobytes())
        for name in ("flags", "cell_flags"):
            read[name] = tuple(read[name])
        read["nuclei"] = tuple(tuple(nucleus) for nucleus in read["nuclei"])
        return cls(**read)


def make_record(content: bytes, image: RGBImage, cells: Cells) -> Record:
    """Describe one image.

    Parameters
    ----------
    content : bytes
        Of the file.
    image : ndarray of shape (H, W, 3), uint8
        What is decoded from it.
    cells : Cells
        What was found in the image.
    """
    height, width = image.shape[:2]
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        kind, mode = str(picture.format), picture.mode
        orientation = int(picture.getexif().get(_ORIENTATION, 1) or 1)
    red, green, blue = (np.ascontiguousarray(image[..., channel]) for channel in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    lines = find_writing(image)
    subject = [set(cell.flags) for cell in cells.usable()]
    return Record(
        pixels=hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest(),
        format=kind,
        mode=mode,
        height=height,
        width=width,
        orientation=orientation,
        bars=sum(not _is_stroke(mark, lines) for mark in find_marks(image)),
        lines=len(lines),
        sharpness=sharpness(image),
        bright=float(np.median(high)),
        burnt_out=float((low >= _CLIPPED_HIGH).mean()),
        black=float((high <= _CLIPPED_LOW).mean()),
        n_cells=len(cells),
        nuclei=_nuclei(green, cells),
        central=cells.central is not None,
        flags=cells.flags,
        cell_flags=tuple(sorted(set.intersection(*subject))) if subject else (),
    )


def _nuclei(green: npt.NDArray[np.uint8], cells: Cells) -> tuple[tuple[float, float], ...]:
    """Mean optical density of each cell's nucleus, and the share of the image that it covers."""
    if not len(cells):
        return ()
    below = np.cumsum(np.bincount(green.ravel(), minlength=256))
    empty = int(np.searchsorted(below, _EMPTY * green.size))
    density = np.log10((empty + 1) / (np.arange(256) + 1))
    numbers, levels = cells.instances[cells.nucleus], green[cells.nucleus]
    sizes = np.bincount(numbers, minlength=len(cells) + 1)[1:]
    total = np.bincount(numbers, density[levels], minlength=len(cells) + 1)[1:]
    means = total / np.maximum(sizes, 1)
    return tuple(zip(means.tolist(), (sizes / green.size).tolist(), strict=True))


def _is_stroke(mark: Box, lines: list[Box]) -> bool:
    """Whether a straight mark lies in a line of writing, as the stroke of a letter does."""
    y, x = (mark[0] + mark[2]) / 2, (mark[1] + mark[3]) / 2
    return any(top <= y <= bottom and left <= x <= right for top, left, bottom, right in lines)


def sharpness(image: RGBImage) -> float:
    """Slope between neighbouring pixels over that between pixels 4 apart, in green.

    Of both the 99th percentile of the absolute difference per pixel is taken. Contrast cancels:
    4 where a step takes one pixel, 1 where the steepest edges are several pixels wide. Noise counts
    as sharp.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.audit.record import sharpness
    >>> step = np.zeros((40, 40, 3), np.uint8); step[:, 20:] = 200
    >>> ramp = np.zeros((40, 40, 3), np.uint8); ramp[:] = np.arange(0, 200, 5)[:, None]
    >>> round(sharpness(step), 2), round(sharpness(ramp), 2)
    (4.0, 1.0)
    """
    green = np.ascontiguousarray(image[..., 1])
    near, far = (_steepest(green, lag) / lag for lag in (_NEAR, _FAR))
    return near / far if far > 0 else 0.0


def _steepest(green: npt.NDArray[np.uint8], lag: int) -> float:
    counts = np.zeros(256, dtype=np.int64)
    for first, second in ((green[lag:], green[:-lag]), (green[:, lag:], green[:, :-lag])):
        gap = np.maximum(first, second) - np.minimum(first, second)
        counts += np.bincount(gap.ravel(), minlength=256)
    below = np.cumsum(counts)
    return float(np.searchsorted(below, _STEEP / 100 * below[-1]))
