"""Images for a network that is trained: decoded once, divided once, kept as bytes."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk import progress
from hybridleuk.data.images import ImageLike, read_image
from hybridleuk.data.splits import Fold, hold_out
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.preprocessing import PREPROCESSING_VERSION, View, view_pictures
from hybridleuk.embeddings.runtime import default_workers
from hybridleuk.exceptions import SplitError

__all__ = ["ImageReader", "LabelledPixels", "fingerprint", "inner_split"]

Pixels = npt.NDArray[np.uint8]

_CHUNK = 64


@dataclass(frozen=True)
class LabelledPixels:
    """Some of the images that were decoded once and are kept as bytes.

    Parameters
    ----------
    pixels : ndarray of shape (n_all, height, width, 3), uint8
    codes : ndarray of shape (n_all,), int64
        Number of each image's class.
    rows : ndarray of shape (n,), int
        Which of the images these are; the pixels are shared, not copied.
    """

    pixels: Pixels
    codes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class numbers, (n,)."""
        return self.codes[self.rows]

    def batch(
        self, places: npt.NDArray[np.intp], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (n, 3, height, width), float, 0..1, channels last, and their codes.

        They travel to the device as bytes.
        """
        rows = self.rows[places]
        picked = torch.from_numpy(self.pixels[rows]).to(device, non_blocking=True)
        images = picked.permute(0, 3, 1, 2).float().div_(255.0)
        return images, torch.from_numpy(self.codes[rows]).to(device, non_blocking=True)

    def in_order(self, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield batches of all these images, one after the other."""
        for start in range(0, len(self), _CHUNK):
            yield self.batch(np.arange(start, min(start + _CHUNK, len(self))), device)


@dataclass(frozen=True)
class ImageReader:
    """Turns images into one square picture each.

    Parameters
    ----------
    record : Backbone
    view : {"image", "segmented", "cells"}
        As for embeddings, but ``cells`` is one cell: the central one, else the largest. Where no
        cell is found the picture is white.
    size : int
        Side of the pictures, px.
    cache : "default", None or path
        Where the segmentation keeps its results.
    workers : int, optional
        Threads that decode; by default one for each core.
    """

    record: Backbone
    view: View
    size: int
    cache: Any
    workers: int | None

    def read(self, images: Sequence[ImageLike]) -> Pixels:
        """Return the pictures of all images, (n, size, size, 3) uint8."""
        pixels = np.empty((len(images), self.size, self.size, 3), dtype=np.uint8)
        with progress.task("Reading images", total=len(images)) as task:
            for part in self.chunks(images):
                pixels[task.done : task.done + len(part)] = part
                task.advance(len(part))
        return pixels

    def chunks(self, images: Sequence[ImageLike]) -> Iterator[Pixels]:
        """Yield the pictures in order, some at a time, while the next ones are being decoded.

        Raises
        ------
        ImageError
            An image cannot be decoded; the message names the file.
        """
        work = zip(images, self._cells(images), strict=True)
        waiting: deque[list[Future[Pixels]]] = deque()
        pool = ThreadPoolExecutor(self.workers or default_workers(), "hybridleuk-decode")
        try:
            while part := list(islice(work, _CHUNK)):
                waiting.append([pool.submit(self._picture, *item) for item in part])
                if len(waiting) > 1:
                    yield _gathered(waiting.popleft())
            while waiting:
                yield _gathered(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _cells(self, images: Sequence[ImageLike]) -> Iterator[Any]:
        if self.view == "image":
            return iter([None] * len(images))
        from hybridleuk.segmentation.cells import iter_cells

        return iter_cells(images, cache=self.cache, n_jobs=self.workers)

    def _picture(self, image: ImageLike, cells: Any) -> Pixels:
        pictures = view_pictures(self.view, read_image(image), cells, self.record, self.size)
        if self.view != "cells":
            return pictures[0]
        if len(pictures) == 0:
            return np.full((self.size, self.size, 3), 255, dtype=np.uint8)
        return pictures[_leading_cell(cells)]


def inner_split(labels: npt.NDArray[Any], groups: Any, fraction: float, seed: int) -> Fold:
    """Divide the training images once more: to learn from, and to know when to stop.

    Returns
    -------
    (learned, watched) : tuple of index arrays
        Both in ascending order. With `fraction` 0 the second is empty.

    Raises
    ------
    SplitError
        A class has too few images or groups to be on both sides.
    """
    if fraction == 0:
        return np.arange(len(labels)), np.array([], dtype=np.intp)
    try:
        learned, watched = hold_out(labels, groups, fraction=fraction, random_state=seed)
    except SplitError as error:
        raise SplitError(
            f"Early stopping needs a part of the training images to watch. {error} Or set "
            "validation_fraction=0 to train a fixed number of epochs without early stopping."
        ) from error
    _assert_apart(learned, watched, np.arange(len(labels)))
    if groups is not None:
        _assert_apart(learned, watched, np.asarray(groups))
    return np.sort(learned), np.sort(watched)


def fingerprint(settings: Mapping[str, Any], train: LabelledPixels) -> str:
    """Hash everything the result of a training depends on, so that none goes on from another's."""
    digest = hashlib.sha256(
        json.dumps([PREPROCESSING_VERSION, dict(settings)], sort_keys=True, default=str).encode()
    )
    for array in (train.pixels, train.codes, train.rows):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _gathered(futures: list[Future[Pixels]]) -> Pixels:
    return np.stack([future.result() for future in futures])


def _leading_cell(cells: Any) -> int:
    """Choose the central cell, else the largest, by its place among the pictures."""
    areas = np.bincount(cells.instances.ravel())
    ranks = [(cell.central, areas[cell.number]) for cell in cells.usable()]
    return max(range(len(ranks)), key=ranks.__getitem__)


def _assert_apart(
    learned: npt.NDArray[np.intp], watched: npt.NDArray[np.intp], members: npt.NDArray[Any]
) -> None:
    shared = np.intersect1d(members[learned], members[watched])
    if len(shared):
        raise AssertionError(f"on both sides of the inner split: {shared[:3]}")
