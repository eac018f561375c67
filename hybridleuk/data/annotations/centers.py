"""Centers of cells: a CSV of one image or of many, or the ``.xyc`` files of ALL-IDB1."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pandas as pd

from hybridleuk.data.annotations.records import (
    AnnotationError,
    ImageAnnotations,
    Size,
    annotation_content,
    collected,
    finite,
    pointed,
)

__all__ = ["CentersTable", "read_xyc"]

_LEUKOCYTE, _LYMPHOBLAST = "leukocyte", "lymphoblast"
_IMAGE_COLUMNS = ("image", "path", "filename", "file_name")


def read_xyc(path: str, size: Size) -> ImageAnnotations:
    """Read a file of ALL-IDB1: x and y of each probable lymphoblast, nothing for a healthy field.

    Raises
    ------
    AnnotationError
        It is no such file.
    """
    rows = []
    for line in annotation_content(path).decode("latin-1").splitlines():
        fields = line.replace(",", " ").split()
        numbers = [finite(field) for field in fields]
        if fields and (len(fields) != 2 or any(math.isnan(n) for n in numbers)):
            raise AnnotationError(f"{path}: the line {line.strip()!r} holds no x and y.")
        if fields:
            rows.append((_LYMPHOBLAST, numbers[::-1]))
    return collected(rows, pointed, size, path)


class CentersTable:
    """A CSV with the columns ``x,y``, perhaps ``kind``, and, for several images, ``image``.

    A center without a kind is one of a leukocyte.

    Parameters
    ----------
    path : str

    Raises
    ------
    AnnotationError
        It is no such table.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        content = io.BytesIO(annotation_content(path))
        try:
            table = pd.read_csv(content, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except ValueError as error:
            raise AnnotationError(f"{path}: cannot be read as a table ({error}).") from error
        table.columns = table.columns.str.strip().str.lower()
        if not {"x", "y"} <= set(table.columns):
            raise AnnotationError(
                f"{path}: columns {', '.join(table.columns)}; expected x and y, and perhaps kind "
                "and image."
            )
        self.table = table
        named = [name for name in _IMAGE_COLUMNS if name in table]
        self.images = None
        if named:
            names = table[named[0]].str.strip().str.replace("\\", "/").str.casefold()
            self.images = [str(name) for name in names]

    def holds(self, image: str) -> bool:
        """Tell whether it names an image, or is of one image only."""
        return self.images is None or any(self._is_of(image))

    def of(self, image: str, size: Size) -> ImageAnnotations:
        """Return the centers on an image.

        Raises
        ------
        AnnotationError
            It does not name the image, or a center in it is none.
        """
        rows = self.table
        if self.images is not None:
            rows = rows[self._is_of(image)]
            if rows.empty:
                raise AnnotationError(f"{self.path}: does not name the image {image}.")
        return collected(self._marks(rows), pointed, size, self.path)

    def _is_of(self, image: str) -> list[bool]:
        path = "/" + image.replace("\\", "/").casefold()
        return [path.endswith(f"/{name.lstrip('/')}") for name in self.images or ()]

    def _marks(self, rows: pd.DataFrame) -> Iterator[tuple[str, list[float]]]:
        kinds = rows["kind"] if "kind" in rows else pd.Series([""] * len(rows), index=rows.index)
        for row, kind, x, y in zip(rows.index, kinds, rows["x"], rows["y"], strict=True):
            center = [finite(y), finite(x)]
            if any(math.isnan(value) for value in center):
                raise AnnotationError(
                    f"{self.path}: x {x!r}, y {y!r} in line {int(str(row)) + 2} are no numbers."
                )
            yield kind.strip() or _LEUKOCYTE, center
