"""What is drawn on an image, read from the files that a manifest names for it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hybridleuk.data.annotations.centers import CentersTable, read_xyc
from hybridleuk.data.annotations.coco import CocoFile
from hybridleuk.data.annotations.masks import mask_cells, read_mask
from hybridleuk.data.annotations.records import AnnotationError, ImageAnnotations, Size
from hybridleuk.data.annotations.voc import read_voc
from hybridleuk.data.contents import content_status
from hybridleuk.data.images import read_image

__all__ = ["BOXES_AND_CENTERS", "PICTURES", "annotations_of", "of_many", "read_annotations"]

BOXES_AND_CENTERS = (".xml", ".json", ".csv", ".xyc")
PICTURES = (".png", ".bmp", ".tif", ".tiff")
_KEPT = 4
_of_many: OrderedDict[tuple[Any, ...], CocoFile | CentersTable] = OrderedDict()


def read_annotations(
    image: str, size: Size, *, annotations: str | None = None, mask: str | None = None
) -> ImageAnnotations:
    """Read what is drawn on an image.

    Where a file names cells, these count, and the mask gives outlines only.

    Parameters
    ----------
    image : str
        Path of the image, by which a file of many images finds it.
    size : (height, width)
        Of the image as decoded.
    annotations : str, optional
        VOC (``.xml``), COCO (``.json``) or centers (``.csv``, ``.xyc``).
    mask : str, optional
        A picture of the image's size.

    Raises
    ------
    AnnotationError
        A file cannot be used; the message says why.
    """
    marked = None if annotations is None else _marks(annotations, image, size)
    if mask is None:
        return marked or ImageAnnotations()
    outlined = read_mask(mask, size)
    return mask_cells(outlined) if marked is None else replace(marked, mask=outlined)


def annotations_of(record: Mapping[str, Any], size: Size | None = None) -> ImageAnnotations:
    """Read what is drawn on the image of a manifest's row.

    Parameters
    ----------
    record : mapping
        With ``path``, and ``annotations`` and ``mask`` where they are known.
    size : (height, width), optional
        Of the image as decoded; by default it is decoded to learn it.

    Raises
    ------
    AnnotationError, ImageError
        A file cannot be used.
    """
    named = {name: record.get(name) for name in ("annotations", "mask")}
    known = {name: str(path) for name, path in named.items() if path and path == path}
    if size is None:
        height, width = read_image(record["path"]).shape[:2]
        size = height, width
    return read_annotations(str(record["path"]), size, **known)


def _marks(path: str, image: str, size: Size) -> ImageAnnotations:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".xml":
        return read_voc(path, size)
    if suffix == ".xyc":
        return read_xyc(path, size)
    return of_many(path).of(image, size)


def of_many(path: str) -> CocoFile | CentersTable:
    """Read a file of many images, or give it again while it stays the same.

    Raises
    ------
    AnnotationError
        It is no such file.
    """
    kinds: dict[str, type[CocoFile] | type[CentersTable]]
    kinds = {".json": CocoFile, ".csv": CentersTable}
    kind = kinds.get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise AnnotationError(
            f"{path}: no annotations by its name; expected {', '.join(BOXES_AND_CENTERS)}."
        )
    try:
        status = content_status(path)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    key = (path, status.st_size, status.st_mtime_ns)
    if key not in _of_many:
        _of_many[key] = kind(path)
        while len(_of_many) > _KEPT:
            _of_many.popitem(last=False)
    return _of_many[key]
