"""Boxes in the XML of Pascal VOC, one file per image."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from hybridleuk.data.annotations.records import (
    AnnotationError,
    ImageAnnotations,
    Size,
    annotation_content,
    boxed,
    check_size,
    collected,
    finite,
)

__all__ = ["read_voc"]

_CORNERS = ("ymin", "xmin", "ymax", "xmax")


def read_voc(path: str, size: Size) -> ImageAnnotations:
    """Read a VOC file, whose corners count from 1 and are part of the box.

    Parameters
    ----------
    path : str
    size : (height, width)
        Of the image.

    Raises
    ------
    AnnotationError
        It is no such file, or was drawn on an image of another size.
    """
    root = _parsed(path)
    stated = [finite(root.findtext(f"size/{key}")) for key in ("height", "width")]
    if all(value > 0 for value in stated):
        check_size(path, (int(stated[0]), int(stated[1])), size)
    return collected(_marks(root), boxed, size, path)


def _marks(root: ElementTree.Element) -> Iterator[tuple[str, list[float]]]:
    for item in root.findall("object"):
        y0, x0, y1, x1 = (finite(item.findtext(f"bndbox/{key}")) for key in _CORNERS)
        yield (item.findtext("name") or "").strip(), [y0 - 1, x0 - 1, y1, x1]


def _parsed(path: str) -> ElementTree.Element:
    """Parse XML that declares nothing: entities may grow without bound or read other files."""

    def refuse(*_: Any) -> None:
        raise AnnotationError(
            f"{path}: declares a document type, as files do that exhaust the memory; annotations "
            "need none, so it is not read."
        )

    content = annotation_content(path)
    try:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = refuse
        parser.Parse(content, True)
        root = ElementTree.fromstring(content)
    except AnnotationError:
        raise
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise AnnotationError(f"{path}: no XML that can be read ({error}).") from error
    if root.tag != "annotation":
        raise AnnotationError(
            f"{path}: its XML begins with <{root.tag}>; expected <annotation> of Pascal VOC."
        )
    return root
