"""Pictures in which leukocytes are outlined: nucleus and cytoplasm by value, or numbered cells."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage as ndi

from hybridleuk.data.annotations.records import (
    AnnotationError,
    CellAnnotation,
    ImageAnnotations,
    Mask,
    Size,
    annotation_content,
)
from hybridleuk.data.images import MAX_PIXELS

__all__ = ["CYTOPLASM", "NUCLEUS", "mask_cells", "read_mask"]

NUCLEUS, CYTOPLASM = 255, 128
_MOST_CELLS = 10_000
_SPECK = 0.02


def read_mask(path: str, size: Size) -> Mask:
    """Read a mask: nucleus 255 and cytoplasm 128, or one value for whole cells, or their numbers.

    Cells without numbers are told apart where they do not touch. Specks under a fiftieth of the
    largest one are no cells of their own.

    Parameters
    ----------
    path : str
    size : (height, width)
        Of the image it belongs to.

    Raises
    ------
    AnnotationError
        It is no picture of such values, or has another size than the image.
    """
    values = _values(path, size)
    found = np.unique(values)
    if set(found) <= {0, CYTOPLASM, NUCLEUS} and CYTOPLASM in found:
        return Mask(values > 0, values == NUCLEUS, _separate(values > 0))
    if len(found[found > 0]) <= 1:
        return Mask(values > 0, None, _separate(values > 0))
    if len(found) > _MOST_CELLS or found.max() > np.iinfo(np.int32).max:
        raise AnnotationError(
            f"{path}: {len(found):,} values; expected 0, 128 and 255, one value for cells, or the "
            "numbers of cells."
        )
    return Mask(values > 0, None, values.astype(np.int32))


def mask_cells(mask: Mask) -> ImageAnnotations:
    """List the leukocytes of a mask, each with box and center."""
    cells = []
    for number, found in enumerate(ndi.find_objects(mask.numbers), start=1):
        if found is not None:
            rows, columns = found
            y, x = ndi.center_of_mass(mask.numbers[found] == number)
            box = (float(rows.start), float(columns.start), float(rows.stop), float(columns.stop))
            center = (rows.start + y + 0.5, columns.start + x + 0.5)
            cells.append(CellAnnotation("leukocyte", box, center, number))
    return ImageAnnotations(tuple(cells), mask)


def _values(path: str, size: Size) -> npt.NDArray[np.int64]:
    content = annotation_content(path)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            lossy, shape = picture.format == "JPEG", (picture.height, picture.width)
            if picture.width * picture.height > MAX_PIXELS:
                raise AnnotationError(f"{path}: over {MAX_PIXELS:,} pixels.")
            values = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except AnnotationError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"{path}: no picture that can be read ({error}).") from error
    if shape != size:
        raise AnnotationError(
            f"{path}: a mask of {shape[1]} x {shape[0]} px for an image of {size[1]} x {size[0]}; "
            "give the mask of this image."
        )
    if lossy:
        raise AnnotationError(
            f"{path}: a JPEG, whose values are altered by its compression; save masks as PNG."
        )
    if values.ndim == 3:
        values = _gray(values[..., :3], path)
    if values.dtype.kind not in "uib":
        raise AnnotationError(f"{path}: values of type {values.dtype}; expected whole numbers.")
    # Of a picture with 1 bit per pixel white is 1.
    return values.astype(np.int64) * (NUCLEUS if values.dtype.kind == "b" else 1)


def _gray(values: npt.NDArray[np.uint8], path: str) -> npt.NDArray[np.uint8]:
    if (values != values[..., :1]).any():
        raise AnnotationError(f"{path}: a mask in colors, whose meaning is not known; use gray.")
    return values[..., 0]


def _separate(cell: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    labels, n = ndi.label(cell, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    kept = areas >= _SPECK * areas.max(initial=0)
    numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])
    return numbers[labels].astype(np.int32)
