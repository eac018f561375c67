"""What is known about a drawn picture: masks, counts and boxes, on the picture's own pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from hybridleuk.data.artificial_kinds import Traits
from hybridleuk.data.artificial_optics import Patient
from hybridleuk.data.images import RGBImage

__all__ = ["Box", "DrawnCell", "DrawnImage", "Mask", "TruthFolder", "mask_box", "write_csv"]

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DrawnCell:
    """The truth about one leukocyte of a picture.

    Attributes
    ----------
    number : int
        From 1; the cell's value in :attr:`DrawnImage.instances`.
    kind : str
    nucleus, cytoplasm : ndarray of shape (H, W), bool
        Of the size of the picture; they do not overlap.
    n_lobes : int
        Lobes of the nucleus, whether or not all of them lie in the picture.
    traits : Traits
        What the cell was drawn from.
    spacing : float
        Micrometres per pixel.
    """

    number: int
    kind: str
    nucleus: Mask = field(repr=False)
    cytoplasm: Mask = field(repr=False)
    n_lobes: int
    traits: Traits = field(repr=False)
    spacing: float

    @property
    def mask(self) -> Mask:
        """The whole cell, (H, W), bool."""
        return self.nucleus | self.cytoplasm

    @property
    def nucleus_area_px(self) -> int:
        """Number of pixels of the nucleus."""
        return int(self.nucleus.sum())

    @property
    def cytoplasm_area_px(self) -> int:
        """Number of pixels of the cytoplasm."""
        return int(self.cytoplasm.sum())

    @property
    def area_px(self) -> int:
        """Number of pixels of nucleus and cytoplasm."""
        return self.nucleus_area_px + self.cytoplasm_area_px

    @property
    def area_um2(self) -> float:
        """Area of nucleus and cytoplasm in square micrometres."""
        return self.area_px * self.spacing**2

    @property
    def nc_ratio(self) -> float:
        """Area of the nucleus over area of the cytoplasm."""
        return self.nucleus_area_px / max(self.cytoplasm_area_px, 1)

    @property
    def nucleus_fraction(self) -> float:
        """Area of the nucleus over area of the whole cell, 0 to 1."""
        return self.nucleus_area_px / max(self.area_px, 1)

    @property
    def box(self) -> Box:
        """Rows and columns that hold the cell: (y0, x0, y1, x1), half-open, in px."""
        return mask_box(self.mask)

    @property
    def at_border(self) -> bool:
        """Whether the cell touches the edge of the picture."""
        y0, x0, y1, x1 = self.box
        height, width = self.nucleus.shape
        return y0 == 0 or x0 == 0 or y1 == height or x1 == width


@dataclass(frozen=True)
class DrawnImage:
    """A drawn picture and the truth about it.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    nucleus : ndarray of shape (H, W), bool
        Nuclei of all leukocytes.
    instances : ndarray of shape (H, W), uint16
        Number of the leukocyte at each pixel, nucleus and cytoplasm; 0 elsewhere.
    cells : tuple of DrawnCell
    red_cells, platelets : ndarray of shape (n, 4), int
        Boxes (y0, x0, y1, x1), half-open, of those whose centre lies in the picture.
    patient : Patient
        Stain, light and camera.
    spacing : float
        Micrometres per pixel.
    """

    image: RGBImage = field(repr=False)
    nucleus: Mask = field(repr=False)
    instances: npt.NDArray[np.uint16] = field(repr=False)
    cells: tuple[DrawnCell, ...]
    red_cells: npt.NDArray[np.int_] = field(repr=False)
    platelets: npt.NDArray[np.int_] = field(repr=False)
    patient: Patient = field(repr=False)
    spacing: float

    @property
    def regions(self) -> npt.NDArray[np.uint8]:
        """255 in nuclei, 128 in cytoplasm, 0 elsewhere, (H, W)."""
        painted = np.where(self.instances > 0, 128, 0).astype(np.uint8)
        painted[self.nucleus] = 255
        return painted


def mask_box(mask: Mask) -> Box:
    """Return the smallest (y0, x0, y1, x1), half-open, that holds a mask; zeros if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


class TruthFolder:
    """A folder of truth: masks written one by one, and a table of all cells at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows: list[dict[str, object]] = []
        for name in ("regions", "instances"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def add(self, drawn: DrawnImage, image_id: str) -> None:
        """Write the masks of one picture and remember its cells."""
        Image.fromarray(drawn.regions).save(self.directory / "regions" / f"{image_id}.png")
        Image.fromarray(drawn.instances).save(self.directory / "instances" / f"{image_id}.png")
        for cell in drawn.cells:
            y0, x0, y1, x1 = cell.box
            self.rows.append(
                {
                    "image_id": image_id,
                    "number": cell.number,
                    "kind": cell.kind,
                    "y0": y0,
                    "x0": x0,
                    "y1": y1,
                    "x1": x1,
                    "area_px": cell.area_px,
                    "nucleus_area_px": cell.nucleus_area_px,
                    "cytoplasm_area_px": cell.cytoplasm_area_px,
                    "nc_ratio": cell.nc_ratio,
                    "n_lobes": cell.n_lobes,
                    "at_border": cell.at_border,
                    "spacing": cell.spacing,
                }
            )

    def write_cells(self) -> None:
        """Write ``cells.csv``, one row per leukocyte."""
        write_csv(pd.DataFrame(self.rows), self.directory / "cells.csv")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table under another name first, so that a half-written one is never read."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(unfinished, index=False, lineterminator="\n")
    os.replace(unfinished, path)
