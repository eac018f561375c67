"""Images that show the same though their bytes differ: turned, mirrored, cropped, recompressed.

Three steps, so that the cost grows as n log n. What changes in the fingerprint of an image that is
altered on purpose is learned on a sample of the images themselves, and the directions are taken
along which images differ most compared with that (Fisher 1936, Annals of Eugenics 7:179-188). In
this space a tree finds each image's few nearest. Each such pair is then laid one upon the other,
and counts as near-duplicate where fine detail agrees.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from hybridleuk import progress
from hybridleuk.data.fingerprints import fingerprint, fingerprints, is_grey, without_color
from hybridleuk.data.images import ImageLike, RGBImage, image_sha256, read_image
from hybridleuk.data.registration import Prepared, fit_pictures

__all__ = ["SCORE", "NearPair", "alter", "near_duplicates"]

Array = npt.NDArray[Any]

SCORE = 0.9
_SAMPLE, _ALTERED_EACH = 300, 2
_DIMENSIONS, _NEIGHBORS = 12, 4
_SHRINKAGE = 0.1
_REACH = 3.0
_HELD_OUT = 3  # every third alteration tells how far they lie, the others what they change
_SIDE = 192
_CROP, _LIGHT, _QUALITY = 0.1, 0.15, 40
_CHUNK, _WORTH_WORKERS = 64, 500  # pairs


@dataclass(frozen=True)
class NearPair:
    """Two images that show the same.

    Attributes
    ----------
    first, second : int
        Rows, the smaller first.
    score : float
        Agreement of fine detail where they overlap, up to 1.
    """

    first: int
    second: int
    score: float


def near_duplicates(
    images: Sequence[ImageLike],
    *,
    threshold: float = SCORE,
    cache: Any = "default",
    n_jobs: int | None = None,
    random_state: int = 0,
) -> list[NearPair]:
    """Find pairs of images that show the same.

    Images identical byte for byte are left to those who compare bytes: of each such set the first
    one stands for all.

    Parameters
    ----------
    images : sequence of n paths or (H, W, 3) uint8 arrays
    threshold : float, default 0.9
        Least agreement of fine detail. Different cells reach about 0.7 at most.
    cache : "default", path or None
        Of the fingerprints.
    n_jobs : int, optional
        Threads that read images, and processes that compare pairs.
    random_state : int, default 0
        Of the sample that is altered on purpose.

    Returns
    -------
    list of NearPair
        Sorted; an image that has many copies is in a pair with some of them, not with each.

    Raises
    ------
    ImageError
        An image cannot be decoded.
    """
    _, rows = np.unique([image_sha256(image) for image in images], return_index=True)
    rows = np.sort(rows)
    if len(rows) < 2:
        return []
    distinct = [images[row] for row in rows]
    numbers, pictures = fingerprints(distinct, cache=cache, n_jobs=n_jobs)
    pairs = _candidates(numbers, distinct, random_state)
    found = _laid_on_one_another(pairs, pictures, threshold, n_jobs)
    return [NearPair(int(rows[i]), int(rows[j]), score) for i, j, score in found]


def _candidates(
    numbers: Array, images: Sequence[ImageLike], random_state: int
) -> list[tuple[int, int]]:
    """Pairs worth comparing; images without color are also looked for among those with color."""
    space = _Space.learned(numbers, images, np.random.default_rng(random_state))
    pairs = space.near_pairs(numbers)
    grey = is_grey(numbers)
    if grey.any() and not grey.all():
        rng = np.random.default_rng(random_state)
        colorless = _Space.learned(without_color(numbers), images, rng, grey=True)
        pairs |= colorless.near_pairs(without_color(numbers), np.flatnonzero(grey))
    return sorted(pairs)


def alter(image: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Turn an image by any angle, crop a tenth, change its light and compress it, all at once."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    picture = Image.fromarray(image[top : top + side, left : left + side])
    if side > _SIDE:
        picture = picture.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(1 - _LIGHT, 1 + _LIGHT))
    picture = picture.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC)
    kept = round(picture.width * (1 - _CROP))
    x, y = rng.integers(0, picture.width - kept + 1, size=2)
    picture = picture.crop((int(x), int(y), int(x) + kept, int(y) + kept))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


@dataclass(frozen=True)
class _Space:
    """Directions in which different images differ and altered ones do not.

    ``reach`` is the distance within which nearly every altered copy lies.
    """

    scale: Array
    directions: Array
    reach: float

    @classmethod
    def learned(
        cls,
        numbers: Array,
        images: Sequence[ImageLike],
        rng: np.random.Generator,
        *,
        grey: bool = False,
    ) -> _Space:
        from scipy.linalg import eigh

        scale = numbers.std(axis=0).astype(np.float64) + 1e-6
        changes = _changes(numbers, images, rng, grey=grey) / scale
        held_out = np.arange(len(changes)) % _HELD_OUT == 0
        own = changes[~held_out]
        within = own.T @ own / len(own) + _SHRINKAGE * np.eye(numbers.shape[1])
        between = np.cov((numbers / scale).T)
        _, vectors = eigh(between, within)
        directions = vectors[:, ::-1][:, : min(_DIMENSIONS, len(numbers) - 1)]
        moved = np.linalg.norm(changes[held_out] @ directions, axis=1)
        return cls(scale, directions, _REACH * float(np.quantile(moved, 0.99)))

    def near_pairs(self, numbers: Array, asked: Array | None = None) -> set[tuple[int, int]]:
        """Give the pairs of each image, or of each row `asked`, and its nearest within reach."""
        from scipy.spatial import cKDTree

        points = (numbers / self.scale) @ self.directions
        rows = np.arange(len(points)) if asked is None else asked
        tree = cKDTree(points)
        k = min(_NEIGHBORS + 1, len(points))
        _, near = tree.query(points[rows], k=k, distance_upper_bound=self.reach, workers=-1)
        return {
            (min(int(i), int(j)), max(int(i), int(j)))
            for i, found in zip(rows, near, strict=True)
            for j in found
            if j < len(points) and j != i
        }


def _changes(
    numbers: Array, images: Sequence[ImageLike], rng: np.random.Generator, *, grey: bool
) -> Array:
    """Differences that altering a sample of images on purpose makes to their fingerprints."""
    picked = rng.choice(len(images), size=min(_SAMPLE, len(images)), replace=False)
    changes = []
    with progress.task("Learning what alterations change", len(picked)) as learning:
        for row in picked:
            pixels = read_image(images[row])
            for _ in range(_ALTERED_EACH):
                changed = alter(pixels, rng)
                if grey:
                    changed = np.asarray(Image.fromarray(changed).convert("L").convert("RGB"))
                taken, _ = fingerprint(changed)
                changes.append((without_color(taken) if grey else taken)[0] - numbers[row])
            learning.advance()
    return np.array(changes, dtype=np.float64)


def _laid_on_one_another(
    pairs: Sequence[tuple[int, int]], pictures: Array, threshold: float, n_jobs: int | None
) -> list[tuple[int, int, float]]:
    from joblib import Parallel, delayed

    jobs = (delayed(_scores)(chunk, *_seen_in(chunk, pictures)) for chunk in _chunks(pairs))
    many = n_jobs or -1 if len(pairs) > _WORTH_WORKERS else 1
    found = []
    with progress.task("Comparing pairs", len(pairs), "pairs") as comparing:
        for chunk, scores in Parallel(n_jobs=many, return_as="generator")(jobs):
            found += [(*pair, score) for pair, score in zip(chunk, scores, strict=True)]
            comparing.advance(len(chunk))
    return [entry for entry in found if entry[2] >= threshold]


def _chunks(pairs: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(pairs), _CHUNK):
        yield pairs[start : start + _CHUNK]


def _seen_in(chunk: Sequence[tuple[int, int]], pictures: Array) -> tuple[Array, Array]:
    """Rows of the pictures that a chunk of pairs is about, and these pictures."""
    rows = np.unique(np.array(chunk))
    return rows, pictures[rows]


def _scores(
    chunk: Sequence[tuple[int, int]], rows: Array, pictures: Array
) -> tuple[Sequence[tuple[int, int]], list[float]]:
    """Score pairs; what is needed of a picture is worked out once."""
    known = {int(row): Prepared(picture) for row, picture in zip(rows, pictures, strict=True)}
    return chunk, [fit_pictures(known[first], known[second]).score for first, second in chunk]
