"""Boxes and outlines of many images in one COCO file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hybridleuk.data.annotations.records import (
    AnnotationError,
    ImageAnnotations,
    Mask,
    Size,
    annotation_content,
    boxed,
    check_size,
    collected,
    counted_as,
    finite,
)

__all__ = ["CocoFile"]

_EXPECTED = "expected COCO with the lists images, annotations and categories"
_LISTS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}


class CocoFile:
    """A COCO file: what is drawn on many images, looked up by the names of their files.

    Outlines of leukocytes (``segmentation`` as polygons, or as counts of pixels) become a mask.

    Parameters
    ----------
    path : str

    Raises
    ------
    AnnotationError
        It is no such file.
    """

    def __init__(self, path: str) -> None:
        document = _read(path)
        self.path = path
        self.kinds: dict[Any, str] = {c["id"]: str(c["name"]) for c in document["categories"]}
        self.images: dict[Any, dict[str, Any]] = {i["id"]: i for i in document["images"]}
        self.names: dict[str, list[Any]] = {}
        for number, image in self.images.items():
            name = _plain(image).rpartition("/")[2]
            self.names.setdefault(name, []).append(number)
        self.marks: dict[Any, list[dict[str, Any]]] = {}
        for mark in document["annotations"]:
            self.marks.setdefault(mark["image_id"], []).append(mark)

    def holds(self, image: str) -> bool:
        """Tell whether it names an image."""
        return len(self._numbers(image)) > 0

    def of(self, image: str, size: Size) -> ImageAnnotations:
        """Return what is drawn on an image.

        Raises
        ------
        AnnotationError
            It does not name the image, names it twice, or was drawn on one of another size.
        """
        numbers = self._numbers(image)
        if len(numbers) != 1:
            how = "does not name" if not numbers else "names more than once"
            raise AnnotationError(f"{self.path}: {how} the image {image}.")
        entry, where = self.images[numbers[0]], f"{self.path}, {image}"
        stated = [finite(entry.get(key)) for key in ("height", "width")]
        if all(value > 0 for value in stated):
            check_size(where, (int(stated[0]), int(stated[1])), size)
        marks = self.marks.get(numbers[0], [])
        found = collected(self._boxes(marks), boxed, size, where)
        try:
            return replace(found, mask=self._mask(marks, size, where))
        except AnnotationError as error:
            return replace(found, problems=(*found.problems, f"{error} The outlines are left out."))

    def _boxes(self, marks: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
        for mark in marks:
            x, y, width, height = (finite(value) for value in _box(mark))
            yield self._kind(mark), [y, x, y + height, x + width]

    def _kind(self, mark: dict[str, Any]) -> str:
        return self.kinds.get(mark["category_id"], str(mark["category_id"]))

    def _mask(self, marks: Sequence[dict[str, Any]], size: Size, where: str) -> Mask | None:
        """Draw the outlines of leukocytes, if each has one."""
        own = [mark for mark in marks if counted_as(self._kind(mark)) == "WBC"]
        if not own or not all(mark.get("segmentation") for mark in own):
            return None
        numbers = np.zeros(size, np.int32)
        for number, mark in enumerate(own, start=1):
            numbers[_outlined(mark["segmentation"], size, where)] = number
        return Mask(numbers > 0, None, numbers)

    def _numbers(self, image: str) -> list[Any]:
        """Find an image by its name and, where several have it, by the folders before it."""
        path = "/" + image.replace("\\", "/").casefold()
        numbers = self.names.get(path.rpartition("/")[2], [])
        if len(numbers) < 2:
            return numbers
        return [n for n in numbers if path.endswith("/" + _plain(self.images[n]))]


def _plain(image: dict[str, Any]) -> str:
    return str(image["file_name"]).replace("\\", "/").casefold()


def _read(path: str) -> dict[str, Any]:
    try:
        document = json.loads(annotation_content(path))
    except AnnotationError:
        raise
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: no JSON that can be read ({error}); {_EXPECTED}."
        ) from error
    if not isinstance(document, dict):
        raise AnnotationError(f"{path}: holds a {type(document).__name__}; {_EXPECTED}.")
    for part, keys in _LISTS.items():
        entries = document.get(part)
        if not isinstance(entries, list):
            raise AnnotationError(f"{path}: has no list {part!r}; {_EXPECTED}.")
        for entry in entries:
            lacking = [k for k in keys if not isinstance(entry, dict) or k not in entry]
            if lacking:
                raise AnnotationError(f"{path}: an entry of {part!r} has no {lacking[0]!r}.")
            ids = [entry[key] for key in keys if key.endswith("id")]
            if not all(isinstance(value, (int, str)) for value in ids):
                raise AnnotationError(f"{path}: {ids[0]!r} in {part!r} is no number of an entry.")
    return document


def _box(mark: dict[str, Any]) -> list[Any]:
    """Give x, y, width and height: as written, or around the polygons."""
    box, polygons = mark.get("bbox"), mark.get("segmentation")
    if isinstance(box, list) and len(box) == 4:
        return box
    if isinstance(polygons, list) and polygons and all(isinstance(p, list) for p in polygons):
        points = [finite(value) for polygon in polygons for value in polygon]
        x, y = points[::2], points[1::2]
        if x and len(x) == len(y):
            return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    return [None] * 4


def _outlined(outline: Any, size: Size, where: str) -> npt.NDArray[np.bool_]:
    """Draw one outline: polygons, or lengths of runs down the columns, first of what is outside."""
    if isinstance(outline, dict) and isinstance(outline.get("counts"), list):
        runs = np.array(outline["counts"])
        if runs.dtype.kind not in "iu" or (runs < 0).any() or runs.sum() != size[0] * size[1]:
            raise AnnotationError(f"{where}: counts of pixels that do not add up to the image.")
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T
    if not isinstance(outline, list):
        raise AnnotationError(
            f"{where}: an outline that is compressed; save it as polygons, or as a list of counts."
        )
    picture = Image.new("1", (size[1], size[0]))
    for polygon in outline:
        points = [finite(value) for value in polygon] if isinstance(polygon, list) else []
        if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise AnnotationError(f"{where}: a polygon of {len(points)} numbers; expected x and y.")
        ImageDraw.Draw(picture).polygon(points, fill=1)
    return np.asarray(picture)
