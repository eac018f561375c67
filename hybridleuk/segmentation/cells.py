"""Leukocytes in an image: found, outlined, and doubted where doubt is due.

The way a cell is found, all of it in optical density against the background so that camera and lamp
cancel (see :mod:`~hybridleuk.segmentation.stain`):

1. :mod:`~hybridleuk.segmentation.scene`: background, what is stained at all, what is stained like a
   nucleus.
2. :mod:`~hybridleuk.segmentation.nuclei`: lobes of one nucleus joined, neighbours parted, platelets
   and debris dropped by their size beside red cells.
3. :mod:`~hybridleuk.segmentation.refine`: each cell at full detail; pixels vote for cell against
   background and red cells, the best star-shaped outline is taken, the nucleus parted within.
4. :mod:`~hybridleuk.segmentation.quality`: numbers, flags, which cell is the central one.

Examples
--------
>>> import numpy as np
>>> from hybridleuk.segmentation.cells import find_cells
>>> image = np.full((96, 96, 3), 230, dtype=np.uint8)
>>> y, x = np.mgrid[:96, :96] - 48
>>> image[np.hypot(y, x) < 28] = (190, 180, 215)
>>> image[np.hypot(y, x) < 18] = (90, 50, 140)
>>> cells = find_cells(image)
>>> len(cells), cells.cells[0].central, find_cells(image[:40, :40] * 0 + 230).flags
(1, True, ('low_contrast', 'no_color', 'no_cell'))
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, check_images, image_sha256, read_image
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.bystanders import bystander
from hybridleuk.segmentation.hsv import find_by_hsv
from hybridleuk.segmentation.masks import grow
from hybridleuk.segmentation.nuclei import nucleus_groups
from hybridleuk.segmentation.quality import CellMasks, assemble
from hybridleuk.segmentation.records import FLAGS, Cell, Cells
from hybridleuk.segmentation.red_cells import look_closely
from hybridleuk.segmentation.refine import cut_out, draw_cell_masks
from hybridleuk.segmentation.scene import red_sample
from hybridleuk.segmentation.stain import paint_void
from hybridleuk.segmentation.void import Void

__all__ = [
    "FLAGS",
    "METHODS",
    "SEGMENTATION_VERSION",
    "Cell",
    "Cells",
    "cells_key",
    "find_cells",
    "find_cells_cached",
    "iter_cells",
]

SEGMENTATION_VERSION = 7
METHODS = ("otsu", "hsv")

_BATCH = 32


def find_cells(image: RGBImage, *, method: str = "otsu") -> Cells:
    """Find the leukocytes of an image, a single-cell crop or a field of many.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB, at least 16 pixels a side.
    method : {"otsu", "hsv"}, default "otsu"
        ``"otsu"``: thresholds of each image's own, then outlines (see the module).
        ``"hsv"``: fixed thresholds in HSV, the published baseline
        (:mod:`~hybridleuk.segmentation.hsv`).

    Returns
    -------
    Cells
        Masks at the size of the image. An image without a leukocyte gives none of them and the
        flag ``no_cell``.

    Raises
    ------
    InputError
        `method` is not known, or `image` is no RGB image.
    """
    _check_method(method)
    pixels = read_image(image)
    return find_by_hsv(pixels) if method == "hsv" else _find_by_otsu(pixels)


def cells_key(sha256: str, method: str = "otsu") -> str:
    """Name the cells of an image with that hash in the cache."""
    return cache_key("cells", sha256, {"method": method, "version": SEGMENTATION_VERSION})


def find_cells_cached(
    image: ImageLike, *, method: str = "otsu", cache: str | os.PathLike[str] | None = "default"
) -> Cells:
    """Find the leukocytes of one image or file, or fetch them from the cache."""
    return next(iter_cells([image], method=method, cache=cache))


def iter_cells(
    images: Sequence[ImageLike],
    *,
    method: str = "otsu",
    cache: str | os.PathLike[str] | None = "default",
    n_jobs: int | None = None,
) -> Iterator[Cells]:
    """Find the leukocytes of many images, in their order, without keeping them.

    Parameters
    ----------
    images : sequence of path or array
    method : {"otsu", "hsv"}, default "otsu"
    cache : "default", None or path
        Where results are kept by content; they are stored every 32 images.
    n_jobs : int, optional
        Processes, as joblib counts them; 1 if not given.

    Yields
    ------
    Cells
        One for each image.

    Raises
    ------
    InputError
        `method` is not known, or `images` is no sequence of images.
    ImageError
        An image cannot be read.
    """
    _check_method(method)
    return _iterate(check_images(images), method, open_cache(cache), n_jobs)


def _iterate(
    images: list[ImageLike], method: str, store: Cache | None, n_jobs: int | None
) -> Iterator[Cells]:
    from joblib import Parallel

    try:
        with (
            progress.task("Finding cells", total=len(images)) as task,
            Parallel(n_jobs=n_jobs) as parallel,
        ):
            listed = iter(images)
            while batch := list(islice(listed, _BATCH)):
                for cells in _batch(batch, method, store, parallel):
                    task.advance()
                    yield cells
    finally:
        if store is not None:
            store.close()


def _batch(batch: list[ImageLike], method: str, store: Cache | None, parallel: Any) -> list[Cells]:
    from joblib import delayed

    if store is None:
        return [Cells.unpack(p) for p in parallel(delayed(_packed)(i, method) for i in batch)]
    keys = [cells_key(image_sha256(image), method) for image in batch]
    known = store.get_many(keys)
    missing = {key: image for key, image in zip(keys, batch, strict=True) if key not in known}
    made = parallel(delayed(_packed)(image, method) for image in missing.values())
    fresh = dict(zip(missing, made, strict=True))
    if fresh:
        store.put_many(fresh)
    return [Cells.unpack(known[key] if key in known else fresh[key]) for key in keys]


def _packed(image: ImageLike, method: str) -> npt.NDArray[np.uint8]:
    return find_cells(read_image(image), method=method).pack()


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise InputError(
            f"Unknown segmentation method {method!r}; choose one of {', '.join(METHODS)}."
        )


def _find_by_otsu(image: RGBImage) -> Cells:
    painted, void = paint_void(image)
    rows, columns = void.photograph
    cells = _find_in_photograph(
        painted[rows, columns], Void(void.mask[rows, columns], void.smear_seen)
    )
    height, width = image.shape[:2]
    if cells.instances.shape == (height, width):
        return cells
    return cells.moved(rows.start, columns.start, (height, width))


def _find_in_photograph(image: RGBImage, void: Void) -> Cells:
    scene = look_closely(image)
    doubts = scene.flags
    if not void.smear_seen and "no_background" not in doubts:
        doubts = (*doubts, "no_background")
    found: list[CellMasks] = []
    if "low_contrast" not in scene.flags:
        groups, red_cells = nucleus_groups(scene)
        red_area = None if red_cells is None else red_cells.area
        areas = np.bincount(groups.ravel())
        areas[0] = 0
        labels = [int(label) for label in np.flatnonzero(areas)]
        red = red_sample(scene, groups, red_area)
        for label in labels:
            masks = _photographed(draw_cell_masks(cut_out(image, scene, groups, label, red)), void)
            kind = bystander(masks, image, scene, red_cells)
            if kind is not None:
                doubts = _noted(doubts, kind)
                continue
            small, clumped = _beside_the_others(areas[label], areas[labels], red_area)
            found.append(replace(masks, small=small, clumped=clumped))
    height, width = image.shape[:2]
    return assemble([f for f in found if f.cell.any()], (height, width), doubts)


def _noted(doubts: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Leave a trace of what was left out."""
    return (*doubts, kind) if kind not in doubts else doubts


def _photographed(masks: CellMasks, void: Void) -> CellMasks:
    """Take what was not photographed away from a cell, which then is cut off there.

    Where nothing but cells is seen their outline ends there by itself, and nothing is cut.
    """
    if not void.smear_seen or not void.mask[masks.window].any():
        return masks
    hidden = void.mask[masks.window]
    cut = bool((grow(hidden, 2) & masks.cell).any())
    return replace(masks, cell=masks.cell & ~hidden, nucleus=masks.nucleus & ~hidden, cut=cut)


def _beside_the_others(
    area: float, areas: npt.NDArray[np.int64], red_area: float | None
) -> tuple[bool, bool]:
    """Whether a nucleus is suspiciously small or large beside red cells and the other nuclei."""
    least = 0.43 * red_area if red_area is not None else 0.4 * areas.max()
    return bool(area < least), len(areas) >= 3 and bool(area > 3.0 * np.median(areas))
