"""Leukocytes, red cells and platelets of a field, counted, each with its box.

What counts:

- a *leukocyte* is what :func:`~hybridleuk.segmentation.cells.find_cells` finds, unless the detector
  rules it out (a platelet on a red cell); one cut off by the border counts where at least about a
  red cell's area of it is seen;
- a *red cell* is what people who annotated smears drew a box around: each of those that touch or
  overlap, where its outline can be made out, and those cut off by the border where about half is
  seen; not the ones lost in a clump;
- a *platelet* is a small violet body, each of a clump that can be told apart.

Leukocytes come from :mod:`~hybridleuk.segmentation.cells`, the others from
:mod:`~hybridleuk.segmentation.detector`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, check_images, image_sha256, read_image
from hybridleuk.segmentation.cells import SEGMENTATION_VERSION, Cells, find_cells
from hybridleuk.segmentation.detector import DETECTOR_VERSION, KINDS, Detections, detect
from hybridleuk.segmentation.red_cells import circle_radius, look_closely
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.scene import look
from hybridleuk.segmentation.stain import paint_void

__all__ = [
    "COUNT_VERSION",
    "FIELD_FLAGS",
    "KINDS",
    "FieldCell",
    "FieldCount",
    "count_cells",
    "iter_counts",
]

BoolImage = npt.NDArray[np.bool_]

COUNT_VERSION = 1
FIELD_FLAGS = {
    "no_red_cells": "field: no red cell was counted",
    "red_cell_size_unknown": "field: fewer than three whole red cells are seen, so red cells and "
    "platelets were looked for at a scale that nothing confirms",
    "crowded": "field: over half of what is stained, leukocytes aside, lies in no box, as where "
    "cells lie in a clump and cannot be told apart; red cells are more than were counted",
}
_THRESHOLDS = {"RBC": 0.35, "Platelets": 0.40}
_RIM_TO_RADIUS = 1.1
_NUCLEUS_TO_RED = 1.25
_WRONG_SCALE = 1.12
_UNMARKED = {"many_cells", "no_central_cell"}
_CROWDED = 0.5
_INK_LEVEL, _INK_SPREAD, _INK_SHARE = 60, 12, 0.2
_MIDDLE = 0.3
_LEAST_LEUKOCYTE = 0.07
_BATCH = 16


@dataclass(frozen=True)
class FieldCell:
    """One cell of a field.

    Attributes
    ----------
    kind : {"WBC", "RBC", "Platelets"}
    box : tuple of int
        ``(y0, x0, y1, x1)`` in pixels, half-open, cut at the border of the image.
    score : float
        0 to 1: how sure the detector is that such a cell has its center there. Counted are red
        cells of at least 0.35, platelets of at least 0.4, and leukocytes, which have been
        segmented as well, of at least 0.07.
    """

    kind: str
    box: tuple[int, int, int, int]
    score: float


@dataclass(frozen=True)
class FieldCount:
    """What was counted in one field.

    Attributes
    ----------
    cells : tuple of FieldCell
        Leukocytes, red cells, platelets; within each from the top.
    flags : tuple of str
        Doubts about the field: of :data:`FIELD_FLAGS`, of
        :data:`~hybridleuk.segmentation.records.FLAGS` for the image and for its leukocytes.
    red_radius : float or None
        Radius of a red cell in pixels, where it could be told.
    """

    cells: tuple[FieldCell, ...]
    flags: tuple[str, ...]
    red_radius: float | None

    def of_kind(self, kind: str) -> tuple[FieldCell, ...]:
        """Return the cells of one kind."""
        return tuple(cell for cell in self.cells if cell.kind == kind)

    @property
    def wbc(self) -> int:
        """Number of leukocytes."""
        return len(self.of_kind("WBC"))

    @property
    def rbc(self) -> int:
        """Number of red cells."""
        return len(self.of_kind("RBC"))

    @property
    def platelets(self) -> int:
        """Number of platelets."""
        return len(self.of_kind("Platelets"))


def count_cells(image: RGBImage, *, cells: Cells | None = None) -> FieldCount:
    """Count leukocytes, red cells and platelets of a field.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        A field, or a single-cell crop; at least 16 pixels a side.
    cells : Cells, optional
        Its leukocytes, if they are known already.

    Returns
    -------
    FieldCount
        An image in which nothing is stained gives zeros and the flags ``low_contrast`` and
        ``no_cell``.

    Raises
    ------
    InputError
        `image` is no RGB image.

    Examples
    --------
    >>> from hybridleuk.data.artificial import draw_field
    >>> from hybridleuk.segmentation.fields import count_cells
    >>> counted = count_cells(draw_field(("neutrophil",), random_state=4).image)
    >>> counted.wbc, counted.of_kind("WBC")[0].kind
    (1, 'WBC')
    """
    pixels = read_image(image)
    found = find_cells(pixels) if cells is None else cells
    painted, void = paint_void(pixels)
    rows, columns = void.photograph
    photograph, hidden = painted[rows, columns], void.mask[rows, columns]
    if photograph.shape == pixels.shape:
        return _count(photograph, hidden, found)
    height, width = hidden.shape
    inside = found.moved(-rows.start, -columns.start, (height, width))
    counted = _count(photograph, hidden, inside)
    return replace(
        counted, cells=tuple(_moved(c, rows.start, columns.start) for c in counted.cells)
    )


def _count(pixels: RGBImage, hidden: BoolImage, found: Cells) -> FieldCount:
    """Count in a photograph, some of it perhaps `hidden` by paint, whose leukocytes are found."""
    flags = [flag for flag in found.flags if flag not in _UNMARKED]
    if "low_contrast" in found.flags:
        return FieldCount((), (*flags, "no_red_cells"), None)
    detections = _at_the_right_scale(pixels, _first_radius(pixels, found))
    counted = [*_leukocytes(found, detections), *_others(found, detections, hidden)]
    if "no_color" not in found.flags:
        counted = [c for c in counted if c.kind != "Platelets" or not _is_ink(pixels, c.box)]
    flags += [flag for cell in found.cells for flag in cell.flags]
    flags += [] if any(cell.kind == "RBC" for cell in counted) else ["no_red_cells"]
    flags += [] if detections.red_radius is not None else ["red_cell_size_unknown"]
    flags += ["crowded"] if _missed_share(pixels, found, counted) > _CROWDED else []
    return FieldCount(tuple(counted), tuple(dict.fromkeys(flags)), detections.red_radius)


def _moved(cell: FieldCell, down: int, right: int) -> FieldCell:
    y0, x0, y1, x1 = cell.box
    return replace(cell, box=(y0 + down, x0 + right, y1 + down, x1 + right))


def iter_counts(
    images: Sequence[ImageLike],
    *,
    cache: str | os.PathLike[str] | None = "default",
    n_jobs: int | None = None,
) -> Iterator[FieldCount]:
    """Count the cells of many fields, in their order.

    Parameters
    ----------
    images : sequence of path or array
    cache : "default", None or path
        Where counts are kept by content; they are stored every 16 images.
    n_jobs : int, optional
        Processes, as joblib counts them; 1 if not given.

    Yields
    ------
    FieldCount
        One for each image.

    Raises
    ------
    InputError
        `images` is no sequence of images.
    ImageError
        An image cannot be read.
    """
    return _iterate(check_images(images), open_cache(cache), n_jobs)


def _iterate(
    images: list[ImageLike], store: Cache | None, n_jobs: int | None
) -> Iterator[FieldCount]:
    from joblib import Parallel

    try:
        with (
            progress.task("Counting cells", total=len(images)) as task,
            Parallel(n_jobs=n_jobs) as parallel,
        ):
            for start in range(0, len(images), _BATCH):
                for packed in _batch(images[start : start + _BATCH], store, parallel):
                    task.advance()
                    yield _unpacked(packed)
    finally:
        if store is not None:
            store.close()


def _batch(batch: list[ImageLike], store: Cache | None, parallel: Any) -> list[Any]:
    from joblib import delayed

    if store is None:
        return list(parallel(delayed(_packed)(image) for image in batch))
    versions = [COUNT_VERSION, DETECTOR_VERSION, SEGMENTATION_VERSION]
    keys = [cache_key("count", image_sha256(image), {"versions": versions}) for image in batch]
    known = store.get_many(keys)
    missing = {key: image for key, image in zip(keys, batch, strict=True) if key not in known}
    made = parallel(delayed(_packed)(image) for image in missing.values())
    fresh = dict(zip(missing, made, strict=True))
    if fresh:
        store.put_many(fresh)
    return [known[key] if key in known else fresh[key] for key in keys]


def _packed(image: ImageLike) -> npt.NDArray[np.uint8]:
    import json

    counted = count_cells(read_image(image))
    rows = [[cell.kind, cell.box, cell.score] for cell in counted.cells]
    text = json.dumps([rows, counted.flags, counted.red_radius])
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _unpacked(packed: npt.NDArray[np.uint8]) -> FieldCount:
    import json

    rows, flags, radius = json.loads(packed.tobytes())
    cells = []
    for kind, (y0, x0, y1, x1), score in rows:
        cells.append(FieldCell(kind, (y0, x0, y1, x1), score))
    return FieldCount(tuple(cells), tuple(flags), radius)


def _first_radius(image: RGBImage, cells: Cells) -> float:
    """Guess a red cell's radius in pixels: by circles, by a nucleus, by the image's size."""
    scene = look_closely(image)
    radius = circle_radius(scene, ~scene.dark)
    if radius is not None:
        return _RIM_TO_RADIUS * radius * scene.scale
    if len(cells):
        areas = [int((cells.nucleus & cells.cell_mask(cell)).sum()) for cell in cells.cells]
        return float(np.sqrt(np.median(areas) / np.pi)) / _NUCLEUS_TO_RED + 1.0
    return max(4.0, min(image.shape[:2]) / 10)


def _at_the_right_scale(image: RGBImage, radius: float) -> Detections:
    """Look once, and again where the red cells that were seen are of another size."""
    detections = detect(image, radius)
    for _ in range(2):
        seen = detections.red_radius
        if seen is None or max(seen / radius, radius / seen) < _WRONG_SCALE:
            break
        radius = seen
        detections = detect(image, radius)
    return detections


def _leukocytes(cells: Cells, detections: Detections) -> Iterator[FieldCell]:
    """Leukocytes as segmented, with the detector's best score in the middle of each."""
    seen = detections.leukocyte_map
    ratio = np.array(seen.shape) / np.array(cells.instances.shape)
    for cell in cells.cells:
        box = np.array(cell.box, dtype=float).reshape(2, 2)
        reach = _MIDDLE * (box[1] - box[0])
        low = np.floor((box.mean(axis=0) - reach) * ratio).astype(int)
        high = np.ceil((box.mean(axis=0) + reach) * ratio).astype(int)
        score = float(seen[low[0] : high[0] + 1, low[1] : high[1] + 1].max())
        if score >= _LEAST_LEUKOCYTE:
            yield FieldCell("WBC", cell.box, round(score, 4))


def _others(cells: Cells, detections: Detections, hidden: BoolImage) -> Iterator[FieldCell]:
    """Red cells and platelets whose middle lies in no leukocyte, and was photographed."""
    last = np.array(cells.instances.shape) - 1
    for kind, threshold in _THRESHOLDS.items():
        chosen = []
        for box, score in zip(detections.boxes[kind], detections.scores[kind], strict=True):
            y, x = np.clip((box[:2] + box[2:]) / 2, 0, last).astype(int)
            if score < threshold or cells.instances[y, x] or hidden[y, x]:
                continue
            low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
            edges = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
            chosen.append(FieldCell(kind, edges, round(float(score), 4)))
        yield from sorted(chosen, key=lambda cell: cell.box)


def _is_ink(image: RGBImage, box: tuple[int, int, int, int]) -> bool:
    """Whether over a fifth of a box is black without color: a burnt-in bar or letter, no stain."""
    y0, x0, y1, x1 = box
    pixels = image[y0:y1, x0:x1].reshape(-1, 3)
    black = (pixels.max(axis=1) <= _INK_LEVEL) & (np.ptp(pixels, axis=1) <= _INK_SPREAD)
    return bool(black.mean() > _INK_SHARE)


def _missed_share(image: RGBImage, cells: Cells, counted: list[FieldCell]) -> float:
    """Share of what is stained, outside of leukocytes, that lies in no counted cell's box."""
    scene = look(image)
    shape = scene.foreground.shape
    scale = np.tile(np.array(shape) / np.array(image.shape[:2]), 2)
    stained = scene.foreground & (resample(cells.instances > 0, (shape[0], shape[1])) < 0.5)
    whole = int(stained.sum())
    for cell in counted:
        y0, x0, y1, x1 = np.rint(np.array(cell.box) * scale).astype(int)
        stained[y0:y1, x0:x1] = False
    return float(stained.sum() / max(whole, 1))
