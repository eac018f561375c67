"""Pictures of a segmentation: masks, overlays, and the sheet of those to look at first."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.morphology.contact_sheet import draw_contact_sheet
from hybridleuk.morphology.files_folder import FOLDERS, KINDS, SHEET, write_whole
from hybridleuk.segmentation.records import Cells

__all__ = ["doubtfulness", "write_pictures", "write_sheet"]

_JPEG_QUALITY = 90
_DOUBTS = {"no_cell": 4.0, "low_contrast": 2.0, "smudge_like": 2.0, "nucleus_outside": 2.0}
# A field has no central cell and many at its border: that says nothing against its masks.
_NO_DOUBT = {"many_cells", "no_central_cell", "no_cytoplasm", "touches_border"}


def write_pictures(folder: Path, record: dict[str, Any], cells: Cells) -> dict[str, Any]:
    """Write what is not there yet of one image's pictures; return its row of the index."""
    flags = dict.fromkeys([*cells.flags, *(flag for cell in cells.cells for flag in cell.flags)])
    row = {"path": record["path"], "image_id": record["image_id"], "n_cells": len(cells)}
    for (column, suffix), subfolder in zip(KINDS.items(), FOLDERS, strict=True):
        row[column] = f"{subfolder}/{record['image_id']}.{suffix}"
        target = folder / row[column]
        if not _opens(target):
            write_whole(target, partial(_save, _picture(column, record["path"], cells)))
    return row | {"flags": ";".join(flags)}


def _opens(path: Path) -> bool:
    """Tell whether a picture is there and whole."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _picture(kind: str, path: str, cells: Cells) -> npt.NDArray[Any]:
    from hybridleuk.segmentation.overlay import draw_overlay

    if kind == "regions":
        return cells.regions()
    return cells.instances if kind == "instances" else draw_overlay(read_image(path), cells)


def _save(picture: npt.NDArray[Any], path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path, quality=_JPEG_QUALITY)  # PNG has no use for it


def doubtfulness(cells: Cells) -> float:
    """How much a person should look at this image: the weight of its flags, 0 if it has none."""
    flags = [*cells.flags, *(flag for cell in cells.cells for flag in cell.flags)]
    return sum(_DOUBTS.get(flag, 1.0) for flag in flags if flag not in _NO_DOUBT) / max(
        1, len(cells)
    )


def write_sheet(folder: Path, index: pd.DataFrame, doubts: npt.NDArray[np.float64]) -> Path:
    """Put the overlays of an index on one page, the most doubtful first."""
    target = folder / SHEET
    worst = np.argsort(-doubts, kind="stable")
    pictures = ((folder / index["overlay"][row], index["image_id"][row]) for row in worst)
    sheet: RGBImage = draw_contact_sheet(pictures, len(index))
    write_whole(target, partial(_save, sheet))
    return target
