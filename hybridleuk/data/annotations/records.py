"""What is drawn on one image, as records: cells with boxes, centers, and a mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.contents import open_content
from hybridleuk.data.datasets.cell_names import PARENTS, cell_name
from hybridleuk.exceptions import InputError

__all__ = [
    "AnnotationError",
    "CellAnnotation",
    "ImageAnnotations",
    "Mask",
    "Size",
    "annotation_content",
    "boxed",
    "check_size",
    "collected",
    "counted_as",
    "finite",
    "pointed",
]

Size = tuple[int, int]
"""Height and width of an image, in pixels."""

_SLACK = 2.0
_LARGEST_FILE = 256 * 2**20
_COUNTED = {"red cell": "RBC", "platelet": "Platelets"}


class AnnotationError(InputError):
    """A file of annotations cannot be used; the message says why."""


@dataclass(frozen=True)
class CellAnnotation:
    """One cell that somebody marked.

    Attributes
    ----------
    kind : str
        As the file calls it.
    box : tuple of float or None
        ``(y0, x0, y1, x1)`` in pixels from 0, half-open.
    center : tuple of float or None
        ``(y, x)`` in pixels; the middle of the box where only that is known.
    number : int or None
        Its number in the mask, where it is outlined.
    """

    kind: str
    box: tuple[float, float, float, float] | None = None
    center: tuple[float, float] | None = None
    number: int | None = None


@dataclass(frozen=True, eq=False)
class Mask:
    """Leukocytes as somebody outlined them.

    Attributes
    ----------
    cell : ndarray of shape (H, W), bool
        Whole cells.
    nucleus : ndarray of shape (H, W), bool, or None
        Nuclei; None where they are not told from the cytoplasm.
    numbers : ndarray of shape (H, W), int32
        Number of the cell a pixel belongs to, 0 for none.
    """

    cell: npt.NDArray[np.bool_]
    nucleus: npt.NDArray[np.bool_] | None
    numbers: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ImageAnnotations:
    """What is drawn on one image.

    Attributes
    ----------
    cells : tuple of CellAnnotation
    mask : Mask or None
        Outlines of leukocytes.
    problems : tuple of str
        One sentence for each mark that cannot be used, and is left out.
    """

    cells: tuple[CellAnnotation, ...] = ()
    mask: Mask | None = None
    problems: tuple[str, ...] = ()

    def of_kind(self, counted: str) -> tuple[CellAnnotation, ...]:
        """List the cells that are counted as ``WBC``, ``RBC`` or ``Platelets``."""
        return tuple(cell for cell in self.cells if counted_as(cell.kind) == counted)


def counted_as(kind: str) -> str | None:
    """Tell as what a kind of cell is counted: WBC, RBC, Platelets, or None if it is not known.

    As in :mod:`hybridleuk.segmentation.fields`, a nucleated red cell counts as a leukocyte.

    Examples
    --------
    >>> from hybridleuk.data.annotations.records import counted_as
    >>> counted_as("RBC"), counted_as("NEU"), counted_as("artefact")
    ('RBC', 'WBC', None)
    """
    cell = cell_name(kind)
    return None if cell is None else _COUNTED.get(PARENTS.get(cell, cell), "WBC")


def boxed(kind: str, corners: Sequence[float], size: Size, where: str) -> CellAnnotation:
    """Make a cell of a box, checked against the image's ``(height, width)``.

    A box that reaches out by two pixels or less is cut at the border.

    Raises
    ------
    AnnotationError
        The box is empty, its corners are exchanged, or it reaches out of the image.
    """
    y0, x0, y1, x1 = corners
    height, width = size
    shown = f"{where}: a box of {kind!r} (x {x0:g} to {x1:g}, y {y0:g} to {y1:g})"
    if not (x1 > x0 and y1 > y0):  # also where a corner is no number
        raise AnnotationError(f"{shown} is empty or has its corners exchanged; it is left out.")
    if min(x0, y0) < -_SLACK or x1 > width + _SLACK or y1 > height + _SLACK:
        raise AnnotationError(
            f"{shown} reaches out of the image of {width} x {height} px; it is left out."
        )
    cut = (max(y0, 0.0), max(x0, 0.0), min(y1, float(height)), min(x1, float(width)))
    return CellAnnotation(kind, cut, ((cut[0] + cut[2]) / 2, (cut[1] + cut[3]) / 2))


def pointed(kind: str, center: Sequence[float], size: Size, where: str) -> CellAnnotation:
    """Make a cell of its center ``(y, x)``, which has to lie in the image.

    Raises
    ------
    AnnotationError
        It does not.
    """
    y, x = center
    if not (-_SLACK <= y <= size[0] + _SLACK and -_SLACK <= x <= size[1] + _SLACK):
        raise AnnotationError(
            f"{where}: the center x {x:g}, y {y:g} lies outside of the image of {size[1]} x "
            f"{size[0]} px; it is left out."
        )
    return CellAnnotation(kind, None, (y, x))


def collected(
    marks: Iterable[tuple[str, Sequence[float]]],
    make: Callable[[str, Sequence[float], Size, str], CellAnnotation],
    size: Size,
    where: str,
) -> ImageAnnotations:
    """Make cells of marks; those that cannot be used are named and left out."""
    cells, problems = [], []
    for kind, numbers in marks:
        try:
            cells.append(make(kind, numbers, size, where))
        except AnnotationError as error:
            problems.append(str(error))
    return ImageAnnotations(tuple(cells), None, tuple(problems))


def check_size(where: str, stated: Size, size: Size) -> None:
    """Refuse annotations that were drawn on an image of another size.

    Raises
    ------
    AnnotationError
        They were.
    """
    if stated != size:
        raise AnnotationError(
            f"{where}: drawn on an image of {stated[1]} x {stated[0]} px, but the image has "
            f"{size[1]} x {size[0]}; give the annotations of this image."
        )


def annotation_content(path: str) -> bytes:
    """Return the bytes of a file of annotations.

    Raises
    ------
    AnnotationError
        It cannot be read, or is larger than annotations are.
    """
    try:
        with open_content(path) as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(content) > _LARGEST_FILE:
        raise AnnotationError(f"{path}: over {_LARGEST_FILE >> 20} MB; annotations are smaller.")
    return content


def finite(value: Any) -> float:
    """Read a finite number; what is none becomes NaN, which no check lets through."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
