"""Images for a network that is trained: decoded once, kept as bytes."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk import progress
from hybridleuk.data.images import ImageLike, RGBImage, read_image
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.preprocessing import PREPROCESSING_VERSION, View, view_pictures
from hybridleuk.embeddings.runtime import default_workers
from hybridleuk.exceptions import InputError
from hybridleuk.models.memory import available_memory
from hybridleuk.models.training_clock import Clock
from hybridleuk.models.training_processes import processes_here
from hybridleuk.segmentation.hsv import find_by_hsv

__all__ = [
    "SECOND_VIEWS",
    "Batch",
    "ImageReader",
    "LabelledPixels",
    "fingerprint",
]

Pixels = npt.NDArray[np.uint8]

SECOND_VIEWS = ("segmented", "hsv")
_CHUNK = 64
_SHARE_OF_MEMORY = 0.5


class Batch(NamedTuple):
    """Images that go through the network together.

    Attributes
    ----------
    images : Tensor of shape (n, 3 * views, height, width), float, 0..1, channels last
    codes : Tensor of shape (n,), int64
        Number of each image's class.
    measured : Tensor of shape (n, measurements), float, or None
        What else the network is told of each image.
    """

    images: torch.Tensor
    codes: torch.Tensor
    measured: torch.Tensor | None = None

    def part(self, places: slice) -> Batch:
        """Return some of it."""
        measured = None if self.measured is None else self.measured[places]
        return Batch(self.images[places], self.codes[places], measured)


@dataclass(frozen=True)
class LabelledPixels:
    """Some of the images that were decoded once and are kept as bytes.

    Parameters
    ----------
    pixels : ndarray of shape (n_all, height, width, 3 * views), uint8
        The views of an image lie behind each other.
    codes : ndarray of shape (n_all,), int64
        Number of each image's class.
    rows : ndarray of shape (n,), int
        Which of the images these are; the pixels are shared, not copied.
    measured : ndarray of shape (n_all, measurements), float32, optional
    """

    pixels: Pixels
    codes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.intp]
    measured: npt.NDArray[np.float32] | None = None

    @classmethod
    def unlabelled(
        cls, pixels: Pixels, measured: npt.NDArray[np.float32] | None = None
    ) -> LabelledPixels:
        """Take all of some pictures, with the first class as their label."""
        places = np.arange(len(pixels))
        return cls(pixels, np.zeros_like(places), places, measured)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class numbers, (n,)."""
        return self.codes[self.rows]

    def batch(self, places: npt.NDArray[np.intp], device: torch.device) -> Batch:
        """Return some of these images; they travel to the device as bytes."""
        return self._on(device, places, self._gather(places))

    def in_order(self, device: torch.device) -> Iterator[Batch]:
        """Yield batches of all these images, one after the other."""
        for start in range(0, len(self), _CHUNK):
            yield self.batch(np.arange(start, min(start + _CHUNK, len(self))), device)

    def ahead(
        self, parts: Sequence[npt.NDArray[np.intp]], device: torch.device, clock: Clock
    ) -> Iterator[Batch]:
        """Yield a batch for each of `parts`, while a thread gathers the bytes of the next."""
        with ThreadPoolExecutor(1, "hybridleuk-gather") as pool:
            futures = deque(pool.submit(self._gather, part) for part in parts[:1])
            for place, part in enumerate(parts):
                with clock.waiting():
                    pixels = futures.popleft().result()
                futures.extend(pool.submit(self._gather, p) for p in parts[place + 1 : place + 2])
                yield self._on(device, part, pixels)

    def _gather(self, places: npt.NDArray[np.intp]) -> Pixels:
        return self.pixels[self.rows[places]]

    def _on(self, device: torch.device, places: npt.NDArray[np.intp], pixels: Pixels) -> Batch:
        rows = self.rows[places]
        sent = torch.from_numpy(pixels).to(device, non_blocking=True)
        images = sent.permute(0, 3, 1, 2).float().div_(255.0)
        codes = torch.from_numpy(self.codes[rows]).to(device, non_blocking=True)
        if self.measured is None:
            return Batch(images, codes)
        return Batch(images, codes, torch.from_numpy(self.measured[rows]).to(device))


@dataclass(frozen=True)
class ImageReader:
    """Turns images into one square picture each.

    Parameters
    ----------
    record : Backbone
    views : tuple of {"image", "segmented", "cells", "hsv"}
        As for embeddings, but ``cells`` is one cell: the central one, else the largest. Where no
        cell is found the picture is white. ``hsv`` is ``segmented`` by fixed thresholds
        (:mod:`hybridleuk.segmentation.hsv`).
    size : int
        Side of the pictures, px.
    cache : "default", None or path
        Where the segmentation keeps its results.
    workers : int, optional
        Threads that decode; by default one for each core.
    """

    record: Backbone
    views: tuple[str, ...]
    size: int
    cache: Any
    workers: int | None

    def read(self, images: Sequence[ImageLike]) -> Pixels:
        """Return the pictures of all images, (n, size, size, 3 * views) uint8."""
        pixels = _room_for((len(images), self.size, self.size, 3 * len(self.views)))
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
        if not {"segmented", "cells"} & set(self.views):
            return iter([None] * len(images))
        from hybridleuk.segmentation.cells import iter_cells

        return iter_cells(images, cache=self.cache, n_jobs=self.workers)

    def _picture(self, image: ImageLike, cells: Any) -> Pixels:
        read = read_image(image)
        return np.concatenate([self._seen(view, read, cells) for view in self.views], axis=2)

    def _seen(self, view: str, image: RGBImage, cells: Any) -> Pixels:
        if view == "hsv":
            view, cells = "segmented", find_by_hsv(image)
        pictures = view_pictures(cast(View, view), image, cells, self.record, self.size)
        if view != "cells":
            return pictures[0]
        if len(pictures) == 0:
            return np.full((self.size, self.size, 3), 255, dtype=np.uint8)
        return pictures[_leading_cell(cells)]


def fingerprint(settings: Mapping[str, Any], train: LabelledPixels) -> str:
    """Hash everything the result of a training depends on, so that none goes on from another's."""
    digest = hashlib.sha256(
        json.dumps([PREPROCESSING_VERSION, dict(settings)], sort_keys=True, default=str).encode()
    )
    measured = () if train.measured is None else (train.measured,)
    for array in (train.pixels, train.codes, train.rows, *measured):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _room_for(shape: tuple[int, ...]) -> Pixels:
    """Make an array for all pictures: in memory, or in a file where it would take too much of it.

    Raises
    ------
    InputError
        Neither memory nor the folder for temporary files has room for them.
    """
    needed, free = math.prod(shape), available_memory()
    if free is None or needed * processes_here() <= _SHARE_OF_MEMORY * free:
        return np.empty(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    if needed > shutil.disk_usage(folder).free:
        raise InputError(
            f"The pictures of {shape[0]:,} images take {needed / 1e9:.1f} GB, which neither memory "
            f"nor {folder} has free; take a smaller image_size or fewer images, or set TMPDIR to "
            "another disk."
        )
    progress.note(f"The pictures take {needed / 1e9:.1f} GB and are kept in a file in {folder}.")
    with tempfile.TemporaryFile(prefix="hybridleuk-") as file:  # gone when the array is
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _gathered(futures: list[Future[Pixels]]) -> Pixels:
    return np.stack([future.result() for future in futures])


def _leading_cell(cells: Any) -> int:
    """Choose the central cell, else the largest, by its place among the pictures."""
    areas = np.bincount(cells.instances.ravel())
    ranks = [(cell.central, areas[cell.number]) for cell in cells.usable()]
    return max(range(len(ranks)), key=ranks.__getitem__)
