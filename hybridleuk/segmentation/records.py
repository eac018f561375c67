"""What segmentation finds, as records: one cell, and the cells of one image."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.exceptions import InputError

__all__ = ["FLAGS", "UNUSABLE", "Cell", "Cells"]

FLAGS = MappingProxyType(
    {
        "touches_border": "cell: it reaches the edge of the image, so its area is a lower bound",
        "too_small": "cell: its nucleus has under 0.43 of a red cell's area, or, where none are "
        "seen, under 0.4 of the largest nucleus; perhaps a platelet",
        "too_large": "cell: its nucleus is under 0.15 of it, less than leukocytes have; perhaps "
        "smear or red cells were taken for cytoplasm",
        "low_contrast": "cell: its nucleus hardly differs from its surroundings; "
        "image: nothing in it differs much from the background",
        "smudge_like": "cell: ragged outline (area under 0.8 of its hull), as of a crushed cell",
        "nucleus_outside": "cell: more than 5 % of the nucleus lay outside of the cell's outline",
        "no_cytoplasm": "cell: under 3 % of it is cytoplasm",
        "clumped": "cell: so large beside the others, or so drawn in at a waist, that it may be "
        "several cells",
        "out_of_focus": "cell: the edge of its nucleus is wider than 0.28 of the nucleus's radius",
        "no_cell": "image: no leukocyte was found",
        "large_platelet": "image: something like a small leukocyte, but grainy and with too little "
        "dye for a nucleus, was taken for a large platelet and left out",
        "cut_off": "image: something smaller than a red cell at the border was left out",
        "many_cells": "image: more than one leukocyte was found",
        "no_central_cell": "image: leukocytes were found, but none near the center",
        "no_background": "image: no empty smear was seen, as around cells cut out; its color is a "
        "guess",
        "no_color": "image: grey, so that red cells cannot be told by their color",
    }
)

UNUSABLE = frozenset(
    {
        "touches_border",
        "too_small",
        "too_large",
        "low_contrast",
        "smudge_like",
        "nucleus_outside",
        "clumped",
    }
)


@dataclass(frozen=True)
class Cell:
    """One leukocyte.

    Attributes
    ----------
    number : int
        From 1; the value of its pixels in ``Cells.instances``.
    box : tuple of int
        ``(y0, x0, y1, x1)`` in pixels, half-open: ``instances[y0:y1, x0:x1]`` holds all of it.
    centroid : tuple of float
        ``(y, x)`` of the whole cell in pixels.
    flags : tuple of str
        Doubts about it, names of :data:`FLAGS`.
    central : bool
        It is the cell this image is about: a single-cell crop's cell in the middle. At most one
        cell of an image is.
    """

    number: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    flags: tuple[str, ...] = ()
    central: bool = False


@dataclass(frozen=True, eq=False)
class Cells:
    """The leukocytes of one image.

    Attributes
    ----------
    instances : ndarray of shape (H, W), uint16
        Number of the cell (nucleus and cytoplasm) each pixel belongs to; 0 is background.
    nucleus : ndarray of shape (H, W), bool
        Pixels of nuclei; each lies in a cell.
    cells : tuple of Cell
        In the order of their numbers, which count up from the top of the image.
    flags : tuple of str
        Doubts about the image, names of :data:`FLAGS`.
    """

    instances: npt.NDArray[np.uint16]
    nucleus: npt.NDArray[np.bool_]
    cells: tuple[Cell, ...] = ()
    flags: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def central(self) -> Cell | None:
        """The cell marked as central, if any."""
        return next((cell for cell in self.cells if cell.central), None)

    def usable(self) -> tuple[Cell, ...]:
        """List the cells that stand for the image.

        The central one, if the image is about one; else all that carry no flag of
        :data:`UNUSABLE`; else, as nothing better is there, all.
        """
        if self.central is not None:
            return (self.central,)
        sound = tuple(cell for cell in self.cells if not UNUSABLE.intersection(cell.flags))
        return sound or self.cells

    def regions(self) -> npt.NDArray[np.uint8]:
        """Nucleus 255, cytoplasm 128, elsewhere 0: the picture that ``segment`` writes."""
        regions = np.where(self.instances > 0, np.uint8(128), np.uint8(0))
        regions[self.nucleus] = 255
        return regions

    def cell_mask(self, cell: Cell) -> npt.NDArray[np.bool_]:
        """Whole cell, (H, W) bool."""
        return self.instances == cell.number

    def nucleus_mask(self, cell: Cell) -> npt.NDArray[np.bool_]:
        """Nucleus of the cell, (H, W) bool."""
        return self.cell_mask(cell) & self.nucleus

    def cytoplasm_mask(self, cell: Cell) -> npt.NDArray[np.bool_]:
        """Cell without its nucleus, (H, W) bool."""
        return self.cell_mask(cell) & ~self.nucleus

    def moved(self, down: int, right: int, shape: tuple[int, int]) -> Cells:
        """Lay the same cells into an image of another shape, moved; what falls outside is lost.

        Parameters
        ----------
        down, right : int
            By how many pixels, either of them perhaps negative.
        shape : tuple of int
            Height and width of the other image.

        Returns
        -------
        Cells
            Numbers stay; a cell of which nothing is left is left out.
        """
        here = tuple(slice(max(0, -by), n - by) for by, n in zip((down, right), shape, strict=True))
        part = self.instances[here]
        there = (
            slice(max(0, down), max(0, down) + part.shape[0]),
            slice(max(0, right), max(0, right) + part.shape[1]),
        )
        instances, nucleus = np.zeros(shape, np.uint16), np.zeros(shape, bool)
        instances[there], nucleus[there] = part, self.nucleus[here]
        cells = []
        for cell in self.cells:
            y0, x0, y1, x1 = cell.box
            box = (
                max(0, y0 + down),
                max(0, x0 + right),
                min(shape[0], y1 + down),
                min(shape[1], x1 + right),
            )
            if box[0] < box[2] and box[1] < box[3]:
                centroid = cell.centroid[0] + down, cell.centroid[1] + right
                cells.append(replace(cell, box=box, centroid=centroid))
        return Cells(instances, nucleus, tuple(cells), self.flags)

    def pack(self) -> npt.NDArray[np.uint8]:
        """Put everything, without loss, into one short array of bytes, as the cache wants it."""
        height, width = self.instances.shape
        head = {
            "shape": [height, width],
            "flags": self.flags,
            "cells": [[c.number, c.box, c.centroid, c.flags, c.central] for c in self.cells],
        }
        parts = [
            json.dumps(head).encode(),
            zlib.compress(self.instances.astype("<u2").tobytes(), 1),
            zlib.compress(np.packbits(self.nucleus).tobytes(), 1),
        ]
        sizes = np.array([len(part) for part in parts], dtype="<u8").tobytes()
        return np.frombuffer(sizes + b"".join(parts), dtype=np.uint8)

    @classmethod
    def unpack(cls, packed: npt.NDArray[np.uint8]) -> Cells:
        """Undo :meth:`pack`.

        Raises
        ------
        InputError
            `packed` does not come from :meth:`pack`.
        """
        content = packed.tobytes()
        try:
            ends = 24 + np.cumsum(np.frombuffer(content[:24], dtype="<u8").astype(np.int64))
            head = json.loads(content[24 : ends[0]])
            shape = tuple(head["shape"])
            numbers = zlib.decompress(content[ends[0] : ends[1]])
            bits = zlib.decompress(content[ends[1] : ends[2]])
            instances = np.frombuffer(numbers, dtype="<u2").reshape(shape).astype(np.uint16)
            unpacked = np.unpackbits(np.frombuffer(bits, np.uint8), count=instances.size)
        except (ValueError, KeyError, zlib.error, IndexError) as error:
            raise InputError(
                f"These {len(content)} bytes are no packed cells ({error}); expected the array "
                "that Cells.pack() made."
            ) from error
        cells = tuple(_cell_from(entry) for entry in head["cells"])
        return cls(instances, unpacked.reshape(shape).astype(bool), cells, tuple(head["flags"]))


def _cell_from(entry: list[Any]) -> Cell:
    number, box, (y, x), flags, central = entry
    y0, x0, y1, x1 = box
    return Cell(number, (y0, x0, y1, x1), (y, x), tuple(flags), central)
