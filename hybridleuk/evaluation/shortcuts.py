"""How far one gets without reading a cell: the shortcut baselines of every comparison.

A classifier whose accuracy such a baseline also reaches has not been shown to read cells: slides of
different classes may simply have been stained or lit differently, or come from another camera. The
features depend on neither label nor fold, so they are cached by content.

=================  =========================================================================
background color   median and spread of the brightest part of the image
background only    color and texture of the image with every leukocyte painted out
mean color         of the whole image
8 x 8 thumbnail    the image at 8 x 8 pixels
file metadata      height, width, format, compression and headers of the file
burnt-in marks     straight black or purely colored marks, such as scale bars
file size          a contrast: bytes, which depend on the camera and on the cells
cell only          a contrast, no shortcut: the leukocytes alone on a flat ground
=================  =========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, check_images, image_sha256, read_image
from hybridleuk.evaluation.shortcut_files import burnt_in_marks, file_metadata, file_size
from hybridleuk.evaluation.shortcut_measures import (
    background_color,
    background_only,
    cell_only,
    mean_color,
    thumbnail,
)
from hybridleuk.segmentation.cells import SEGMENTATION_VERSION, Cells, iter_cells

__all__ = ["SHORTCUTS", "Shortcut", "shortcut_features", "shortcut_key", "shortcut_named"]

Array = npt.NDArray[Any]

_BATCH = 64
_FEW_IMAGES = 256  # for fewer, starting processes takes longer than it saves


@dataclass(frozen=True)
class Shortcut:
    """One baseline.

    Attributes
    ----------
    name : str
    description : str
        What it sees, in a sentence for the report.
    kind : {"around", "coarse", "contrast"}
        ``"around"`` sees no cell at all; ``"coarse"`` sees cells without any detail, so that some
        of what it reaches may be real; ``"contrast"`` proves no shortcut.
    measure : callable
        Features of one image, from what `sees` says.
    sees : {"pixels", "cells", "file"}
        What the measure is given: the pixels, the pixels and the leukocytes found, or the image as
        it came (path or array).
    version : int
        Raised when the features change.
    """

    name: str
    description: str
    kind: Literal["around", "coarse", "contrast"]
    measure: Callable[..., Array]
    sees: Literal["pixels", "cells", "file"] = "pixels"
    version: int = 1

    @property
    def recipe(self) -> dict[str, Any]:
        """What the features depend on besides the image."""
        made_of = {"name": self.name, "version": self.version}
        return {**made_of, "segmentation": SEGMENTATION_VERSION} if self.needs_cells else made_of

    @property
    def needs_cells(self) -> bool:
        """Whether leukocytes have to be found first."""
        return self.sees == "cells"

    def of(self, image: ImageLike, pixels: RGBImage, cells: Cells | None) -> Array:
        """Measure one image."""
        if self.needs_cells:
            return self.measure(pixels, cells)
        return self.measure(image if self.sees == "file" else pixels)


_TABLE = (
    Shortcut(
        "background color",
        "Median and spread of red, green and blue in the brightest part of each image (Otsu on "
        "green): six numbers, no cell among them.",
        "around",
        background_color,
    ),
    Shortcut(
        "background only",
        "Color and texture of each image after every leukocyte was painted out, with neither "
        "their number nor their size; red cells and platelets remain.",
        "around",
        background_only,
        sees="cells",
    ),
    Shortcut(
        "mean color",
        "Mean red, green and blue of the whole image: three numbers.",
        "coarse",
        mean_color,
    ),
    Shortcut(
        "8 x 8 thumbnail",
        "Each image shrunk to 8 x 8 pixels, in which no nucleus has a shape.",
        "coarse",
        thumbnail,
    ),
    Shortcut(
        "file metadata",
        "Height, width, format, JPEG quantisation and subsampling, EXIF and other headers of each "
        "file; nothing of what it shows.",
        "around",
        file_metadata,
        sees="file",
    ),
    Shortcut(
        "burnt-in marks",
        "Number, place, length and color of straight black or purely colored marks drawn into "
        "each image, such as scale bars.",
        "around",
        burnt_in_marks,
        version=2,
    ),
    Shortcut(
        "file size",
        "The number of bytes of each file and per pixel. No proof of a shortcut: it depends on the "
        "compression, but also on how busy the picture is.",
        "contrast",
        file_size,
        sees="file",
    ),
    Shortcut(
        "cell only",
        "No shortcut but the contrast to them: color, texture, size and an 8 x 8 thumbnail of the "
        "leukocytes alone on a flat ground.",
        "contrast",
        cell_only,
        sees="cells",
    ),
)
_BY_NAME = {shortcut.name: shortcut for shortcut in _TABLE}
SHORTCUTS = tuple(_BY_NAME)


def shortcut_named(name: str) -> Shortcut:
    """Return the record of a baseline; a name that is not in :data:`SHORTCUTS` is a KeyError."""
    return _BY_NAME[name]


def shortcut_features(
    images: Sequence[ImageLike],
    names: Sequence[str] = SHORTCUTS,
    *,
    cache: Any = "default",
) -> dict[str, Array]:
    """Measure shortcuts of all images, decoding each at most once.

    Leukocytes are looked for only where a shortcut needs them and the cache does not know them.

    Returns
    -------
    dict
        Name of the shortcut to ndarray of shape (n, n_features), float64.
    """
    listed = check_images(images)
    wanted = [shortcut_named(name) for name in names]
    store = open_cache(cache)
    try:
        hashes = [image_sha256(image) for image in listed]
        found: dict[str, dict[str, Array]] = {name: {} for name in names}
        for shortcut in wanted:
            keys = {shortcut_key(shortcut, sha256): sha256 for sha256 in hashes}
            answers = store.get_many(keys) if store else {}
            found[shortcut.name] = {keys[key]: value for key, value in answers.items()}
        for sha256, measured in _measure_missing(listed, hashes, found, store, cache):
            for name, values in measured.items():
                found[name][sha256] = values
    finally:
        if store:
            store.close()
    return {name: np.stack([found[name][sha256] for sha256 in hashes]) for name in names}


def shortcut_key(shortcut: Shortcut, sha256: str) -> str:
    """Name what a baseline measured of an image in the cache."""
    return cache_key("shortcut", sha256, shortcut.recipe)


def _measure_missing(
    images: Sequence[ImageLike],
    hashes: Sequence[str],
    found: dict[str, dict[str, Array]],
    store: Cache | None,
    cache: Any,
) -> Iterator[tuple[str, dict[str, Array]]]:
    missing = {
        sha256: image
        for sha256, image in zip(hashes, images, strict=True)
        if any(sha256 not in known for known in found.values())
    }
    if not missing:
        return
    wanted = [
        shortcut
        for name, shortcut in _BY_NAME.items()
        if name in found and any(sha256 not in found[name] for sha256 in missing)
    ]
    items = list(missing.items())
    cells = _cells_of(list(missing.values()), wanted, cache)
    with (
        ThreadPoolExecutor() as pool,
        progress.task("Measuring shortcuts", len(items)) as measuring,
    ):
        for start in range(0, len(items), _BATCH):
            batch = [(*item, next(cells)) for item in items[start : start + _BATCH]]
            results = list(pool.map(lambda item: _measure(item[1], item[2], wanted), batch))
            fresh = [(item[0], values) for item, values in zip(batch, results, strict=True)]
            if store:
                store.put_many(
                    {shortcut_key(s, sha): values[s.name] for sha, values in fresh for s in wanted}
                )
            yield from fresh
            measuring.advance(len(batch))


def _cells_of(
    images: Sequence[ImageLike], wanted: Sequence[Shortcut], cache: Any
) -> Iterator[Cells | None]:
    """Yield the leukocytes of each image, or nothing worth looking for."""
    if not any(shortcut.needs_cells for shortcut in wanted):
        return repeat(None)
    return iter_cells(images, cache=cache, n_jobs=-1 if len(images) > _FEW_IMAGES else None)


def _measure(image: ImageLike, cells: Cells | None, wanted: Sequence[Shortcut]) -> dict[str, Array]:
    pixels = read_image(image)
    return {shortcut.name: shortcut.of(image, pixels, cells) for shortcut in wanted}
