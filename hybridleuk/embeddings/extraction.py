"""The way from images to rows: hash, look up, decode beside the network, store as it goes.

Memory does not grow with the number of images, apart from the rows themselves: images are looked up
in chunks, and only a few batches are decoded ahead of the network.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key
from hybridleuk.data.images import ImageLike, image_sha256, read_image
from hybridleuk.embeddings.backbones import Backbone, Block, identity_of
from hybridleuk.embeddings.preprocessing import PREPROCESSING_VERSION, Pictures, View, view_pictures
from hybridleuk.embeddings.runtime import running_beside
from hybridleuk.embeddings.throughput import Throughput

if TYPE_CHECKING:
    import torch

    from hybridleuk.segmentation.records import Cells

__all__ = ["Network", "Recipe", "extract_rows"]

_LOOKUP_CHUNK = 1024
_HASHED_AT_ONCE = 64
_WORTH_SAYING = 2.0  # seconds of an extraction after which its rate is said
_WORTH_PROCESSES = 64  # images whose cells take longer to find than processes to start
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Rows = npt.NDArray[np.float32]


class Network(NamedTuple):
    """What turns pictures (n, side, side, 3) into rows (n, width), so many at once, and where."""

    embed: Callable[[Pictures], Rows]
    batch_size: int
    device: torch.device


@dataclass(frozen=True)
class Recipe:
    """Everything a row depends on beside the image.

    Attributes
    ----------
    record : Backbone
    blocks : tuple of Block
    view : {"image", "cells", "segmented"}
    precision : str
    weights : str
        Fingerprint.
    orientations : int
        How many turned and mirrored copies of a picture are averaged.
    """

    record: Backbone
    blocks: tuple[Block, ...]
    view: View
    precision: str
    weights: str
    orientations: int = 1

    @property
    def width(self) -> int:
        """Number of values of a row."""
        return sum(block.width for block in self.blocks)

    def keys(self, sha256: str) -> list[str]:
        """Return the cache keys of one image, one for each block."""
        common: dict[str, Any] = {
            "preprocessing": PREPROCESSING_VERSION,
            "backbone": identity_of(self.record),
            "weights": self.weights,
            "view": self.view,
            "precision": self.precision,
        }
        if self.orientations != 1:
            common["orientations"] = self.orientations
        if self.view != "image":
            from hybridleuk.segmentation.cells import SEGMENTATION_VERSION

            common["segmentation"] = SEGMENTATION_VERSION
        return [
            cache_key("embedding", sha256, common | {"layer": b.layer, "pooling": b.pooling})
            for b in self.blocks
        ]

    def split(self, row: Rows) -> list[Rows]:
        """Cut a row into its blocks."""
        return np.split(row, np.cumsum([block.width for block in self.blocks])[:-1])


@dataclass
class _Work:
    """Distinct images that are not in the cache, and the places in the result they belong to."""

    images: list[ImageLike] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)


def extract_rows(
    images: Sequence[ImageLike],
    recipe: Recipe,
    make_network: Callable[[], Network],
    *,
    cache: Cache | None,
    workers: int,
    cache_folder: str | os.PathLike[str] | None = None,
    spent: Throughput | None = None,
) -> Rows:
    """Embed images, computing only what the cache does not hold.

    Parameters
    ----------
    images : sequence of path or array
    recipe : Recipe
    make_network : callable
        Called at most once, and not at all when every row is known.
    cache : Cache or None
        Rows are stored batch by batch, so that a process that is killed loses one batch.
    workers : int
        Threads that hash, decode and resize.
    cache_folder : "default", path or None
        Where the segmentation keeps its results.
    spent : Throughput, optional
        Is told where the time goes.

    Returns
    -------
    ndarray of shape (n_images, recipe.width), float32
        In the order of `images`.

    Raises
    ------
    ImageError
        An image cannot be decoded; what was computed before it stays in the cache.
    """
    rows = np.zeros((len(images), recipe.width), dtype=np.float32)
    spent = spent or Throughput()
    title = f"Embedding with {recipe.record.name}"
    with progress.task(title, total=len(images)) as task, _threads(workers) as pool:
        work = _look_up(images, recipe, cache, rows, pool, task)
        if work.images:
            network = make_network()
            with running_beside(network.device) as (networks, at_once):
                ahead = (at_once + 1) * network.batch_size
                prepared = _prepared(work.images, recipe, pool, cache_folder, ahead, workers, spent)
                batches = _batches(prepared, network.batch_size)
                made = _ahead(partial(_embedded, network, spent), batches, networks, at_once)
                _collect(made, work, recipe, cache, rows, task, spent)
    if spent.seconds > _WORTH_SAYING:
        progress.note(spent.sentence())
    return rows


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="hybridleuk-decode")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _look_up(
    images: Sequence[ImageLike],
    recipe: Recipe,
    cache: Cache | None,
    rows: Rows,
    pool: ThreadPoolExecutor,
    task: progress.Task,
) -> _Work:
    """Fill `rows` from the cache, and list what is missing, each content once."""
    work = _Work()
    place_of: dict[str, int] = {}
    parts = (images[i : i + _HASHED_AT_ONCE] for i in range(0, len(images), _HASHED_AT_ONCE))
    digests = chain.from_iterable(_ahead(_hashes, parts, pool, ahead=8))
    for start in range(0, len(images), _LOOKUP_CHUNK):
        chunk = list(islice(digests, _LOOKUP_CHUNK))
        known = _fetch(set(chunk) - place_of.keys(), recipe, cache)
        for place, digest in enumerate(chunk, start):
            if digest in known:
                rows[place] = known[digest]
            elif digest in place_of:
                work.places[place_of[digest]].append(place)
            else:
                place_of[digest] = len(work.images)
                work.images.append(images[place])
                work.digests.append(digest)
                work.places.append([place])
        task.advance(sum(digest in known for digest in chunk), "from the cache")
    return work


def _hashes(images: Sequence[ImageLike]) -> list[str]:
    return [image_sha256(image) for image in images]


def _fetch(digests: Iterable[str], recipe: Recipe, cache: Cache | None) -> dict[str, Rows]:
    if cache is None:
        return {}
    keys = {digest: recipe.keys(digest) for digest in digests}
    found = cache.get_many(key for listed in keys.values() for key in listed)
    # Earlier versions stored what a network returned unseen; NaN counts as missing.
    found = {key: row for key, row in found.items() if np.isfinite(row).all()}
    return {
        digest: np.concatenate([found[key] for key in listed])
        for digest, listed in keys.items()
        if all(key in found for key in listed)
    }


def _prepared(
    images: list[ImageLike],
    recipe: Recipe,
    pool: ThreadPoolExecutor,
    cache_folder: str | os.PathLike[str] | None,
    ahead: int,
    workers: int,
    spent: Throughput,
) -> Iterator[Pictures]:
    """Yield the pictures of each image in order, decoded by the threads of `pool`."""

    def pictured(pair: tuple[ImageLike, Cells | None]) -> Pictures:
        with spent.stage("decode"):
            image = read_image(pair[0])
        with spent.stage("preprocess"):
            return view_pictures(recipe.view, image, pair[1], recipe.record)

    found: Iterable[Cells | None] = repeat(None, len(images))
    if recipe.view != "image":
        from hybridleuk.segmentation.cells import iter_cells

        n_jobs = workers if len(images) >= _WORTH_PROCESSES else 1
        found = spent.waiting("cells", iter_cells(images, cache=cache_folder, n_jobs=n_jobs))
    yield from _ahead(pictured, zip(images, found, strict=True), pool, ahead)


def _ahead(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[_Result]:
    """Map in threads, in order, never more than `ahead` results in advance.

    An error, of `function` or of `items`, is raised in its turn: after all earlier results.
    """
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
    except Exception:
        while waiting:
            yield waiting.popleft().result()
        raise
    while waiting:
        yield waiting.popleft().result()


def _batches(prepared: Iterator[Pictures], batch_size: int) -> Iterator[list[Pictures]]:
    """Gather images until they have `batch_size` pictures; before an error, those there are."""
    batch: list[Pictures] = []
    try:
        for pictures in prepared:
            batch.append(pictures)
            if sum(map(len, batch)) >= batch_size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _embedded(network: Network, spent: Throughput, batch: list[Pictures]) -> list[Rows]:
    with spent.stage("network"):
        embedded = network.embed(np.concatenate(batch))
    return _mean_rows(embedded, [len(pictures) for pictures in batch])


def _collect(
    made: Iterator[list[Rows]],
    work: _Work,
    recipe: Recipe,
    cache: Cache | None,
    rows: Rows,
    task: progress.Task,
    spent: Throughput,
) -> None:
    """Store the rows of each batch and put them where they belong."""
    done = 0
    for batch in made:
        which = range(done, done + len(batch))
        with spent.stage("write"):
            _store(batch, [work.digests[i] for i in which], recipe, cache)
        for row, i in zip(batch, which, strict=True):
            rows[work.places[i]] = row
        done += len(batch)
        spent.images = done
        # No rate beside it: whoever shows progress has one, with the time left.
        task.advance(sum(len(work.places[i]) for i in which), "")


def _mean_rows(embedded: Rows, counts: Sequence[int]) -> list[Rows]:
    """Average the rows of each image's pictures; an image without pictures becomes zero."""
    parts = np.split(embedded, np.cumsum(counts)[:-1])
    zero = np.zeros(embedded.shape[1], dtype=np.float32)
    return [part.mean(axis=0) if len(part) else zero for part in parts]


def _store(rows: list[Rows], digests: list[str], recipe: Recipe, cache: Cache | None) -> None:
    if cache is None:
        return
    results: dict[str, Rows] = {}
    for row, digest in zip(rows, digests, strict=True):
        results.update(zip(recipe.keys(digest), recipe.split(row), strict=True))
    cache.put_many(results)
