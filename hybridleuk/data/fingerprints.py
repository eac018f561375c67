"""What an image is known again by, however it was turned, mirrored, cropped or compressed.

A fingerprint is a small picture, its brightness divided out, and a row of numbers that a rotation
by any angle or a flip leaves nearly as they are: quantiles of color and of gradients, and the
magnitudes of Fourier coefficients along circles (Kazhdan, Funkhouser and Rusinkiewicz 2003, for
shapes) about the middle of the picture and about the middle of what is dark in it, which a crop
moves with the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, check_images, image_sha256, read_image

__all__ = [
    "SIDE",
    "Fingerprints",
    "dark_center",
    "fingerprint",
    "fingerprint_key",
    "fingerprints",
    "is_grey",
    "on_circles",
    "pack_fingerprint",
    "softening",
    "without_color",
]

Array = npt.NDArray[Any]

SIDE = 96
VERSION = 1
_MIDDLE = (SIDE - 1) / 2
_RADII, _ANGLES, _ORDERS = 16, 64, 7
_WHITE = 200.0  # what the brightest tenth becomes in the small picture
_BATCH, _READ = 64, 512
_SAME_LEVEL = 0.02  # JPEG without color is not quite so
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)
_LINE = np.arange(SIDE, dtype=np.float64)
_DISC = np.hypot(_ROWS - _MIDDLE, _COLUMNS - _MIDDLE) <= _MIDDLE - 1
_TURNS = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
"""Only what is inside the largest circle stays in the picture when it is turned."""

QUANTILES = (2, 5, 10, 20, 30, 40, 50, 60, 70, 80)
_BY_CHANNEL = 3 * len(QUANTILES)

Fingerprints = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
"""Rows of numbers of shape (n, d) and small pictures of shape (n, SIDE, SIDE)."""


def fingerprint(image: RGBImage) -> Fingerprints:
    """Take the fingerprint of one image.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    (numbers, picture)
        Shapes (1, d) float32 and (1, SIDE, SIDE) uint8.
    """
    from scipy.ndimage import gaussian_filter

    relative = _relative(_square(image))
    green = relative[..., 1]
    soft = gaussian_filter(green, 1.5)
    row, column = dark_center(green)
    about_middle = np.linspace(3, _MIDDLE - 3, _RADII)
    about_cell = np.linspace(2, 40, _RADII)
    circles = [
        on_circles(relative[..., channel], row, column, about_cell).mean(axis=1)
        for channel in (0, 2)
    ]
    numbers = np.concatenate(
        [
            np.percentile(relative[_DISC], QUANTILES, axis=0).ravel(),
            _sharpness(green),
            _magnitudes(on_circles(soft, _MIDDLE, _MIDDLE, about_middle)),
            _magnitudes(on_circles(soft, row, column, about_cell)),
            *circles,
        ]
    )
    picture = np.clip(green * _WHITE, 0, 255).astype(np.uint8)
    return numbers.astype(np.float32)[None], picture[None]


def fingerprints(
    images: Sequence[ImageLike], *, cache: Any = "default", n_jobs: int | None = None
) -> Fingerprints:
    """Take the fingerprints of many images, each content once.

    Parameters
    ----------
    images : sequence of n paths or (H, W, 3) uint8 arrays
    cache : "default", path or None
    n_jobs : int, optional
        Threads; by default one per processor core.

    Raises
    ------
    ImageError
        An image cannot be decoded.
    """
    checked = check_images(images)
    hashes = [image_sha256(image) for image in checked]
    first: dict[str, ImageLike] = {}
    for sha256, image in zip(hashes, checked, strict=True):
        first.setdefault(sha256, image)
    place = {sha256: row for row, sha256 in enumerate(first)}
    pictures = np.empty((len(first), SIDE, SIDE), np.uint8)
    numbers: list[Any] = [None] * len(first)
    store = open_cache(cache)
    try:
        for sha256, taken in _known_or_taken(first, store, n_jobs):
            numbers[place[sha256]], pictures[place[sha256]] = taken[0][0], taken[1][0]
    finally:
        if store is not None:
            store.close()
    if len(first) == len(hashes):
        return np.stack(numbers), pictures
    rows = [place[sha256] for sha256 in hashes]
    return np.stack(numbers)[rows], pictures[rows]


def is_grey(numbers: Array) -> npt.NDArray[np.bool_]:
    """Tell which fingerprints, rows of `numbers`, are of images without color."""
    channels = numbers[:, :_BY_CHANNEL].reshape(len(numbers), -1, 3)
    return np.asarray((np.ptp(channels, axis=2) < _SAME_LEVEL).all(axis=1))


def without_color(numbers: Array) -> Array:
    """Keep of fingerprints what the green channel alone tells: (n, fewer)."""
    kept = np.ones(numbers.shape[1], dtype=bool)
    kept[:_BY_CHANNEL] = np.arange(_BY_CHANNEL) % 3 == 1
    kept[-2 * _RADII :] = False  # red and blue along circles
    return numbers[:, kept]


def fingerprint_key(sha256: str) -> str:
    """Name the fingerprint of an image in the cache."""
    return cache_key("fingerprint", sha256, {"version": VERSION})


def pack_fingerprint(taken: Fingerprints) -> npt.NDArray[np.uint8]:
    """Put a fingerprint into one row of bytes, as the cache keeps it: picture, then numbers."""
    numbers, picture = taken
    return np.concatenate([picture.ravel(), np.frombuffer(numbers.tobytes(), np.uint8)])


def dark_center(picture: Array) -> tuple[float, float]:
    """Find the middle of what is dark near the middle of a small picture: (row, column)."""
    row = column = _MIDDLE
    dark = (np.clip(0.9 - picture, 0, 1) * _DISC) ** 2
    for _ in range(4):
        down = np.exp(-((_LINE - row) ** 2) / 24.0**2)  # near the point found before
        across = np.exp(-((_LINE - column) ** 2) / 24.0**2)
        per_row, per_column = dark @ across, down @ dark
        total = float(down @ per_row) + 1e-6
        row = float((down * _LINE) @ per_row) / total
        column = float(per_column @ (across * _LINE)) / total
    return row, column


@lru_cache
def softening(sigma: float) -> Array:
    """Matrix that softens each column of a small picture with a Gaussian of so many pixels."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(np.eye(SIDE), sigma, axis=0))


def on_circles(picture: Array, row: float, column: float, radii: Array) -> Array:
    """Sample a picture on circles about a point, of shape (len(radii), 64)."""
    from scipy.ndimage import map_coordinates

    rows = row + radii[:, None] * np.sin(_TURNS)
    columns = column + radii[:, None] * np.cos(_TURNS)
    sampled: Array = map_coordinates(picture, [rows, columns], order=1, mode="nearest")
    return sampled


def _square(image: RGBImage) -> Array:
    """Shrink the largest square about the middle to SIDE x SIDE."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Image.fromarray(image[top : top + side, left : left + side])
    method = Image.Resampling.BOX if side > 2 * SIDE else Image.Resampling.BILINEAR
    return np.asarray(middle.resize((SIDE, SIDE), method), dtype=np.float32)


def _relative(small: Array) -> Array:
    """Divide by the brightest tenth of each channel, so that light and exposure drop out."""
    divided: Array = small / (np.percentile(small[_DISC], 90, axis=0) + 1)
    return divided


def _sharpness(picture: Array) -> Array:
    from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

    found = []
    for sigma in (0, 1, 2, 4):
        soft = gaussian_filter(picture, sigma) if sigma else picture
        slopes = gaussian_gradient_magnitude(soft, 1)[_DISC]
        found.append(np.percentile(slopes, [25, 50, 75, 90, 97]))
    return np.concatenate(found)


def _magnitudes(circles: Array) -> Array:
    spectrum: Array = np.abs(np.fft.rfft(circles, axis=1))[:, :_ORDERS] / _ANGLES
    return spectrum.ravel()


def _known_or_taken(
    images: dict[str, ImageLike], store: Cache | None, n_jobs: int | None
) -> Iterator[tuple[str, Fingerprints]]:
    """Yield the fingerprint of each content, first those that the cache knows."""
    missing = {}
    hashes = list(images)
    for start in range(0, len(hashes), _READ):
        keys = {sha256: fingerprint_key(sha256) for sha256 in hashes[start : start + _READ]}
        kept = {} if store is None else store.get_many(list(keys.values()))
        for sha256, key in keys.items():
            if key in kept:
                yield sha256, _unpacked(kept[key])
            else:
                missing[sha256] = images[sha256]
    if missing:
        yield from _taken(list(missing.items()), store, n_jobs)


def _taken(
    items: list[tuple[str, ImageLike]], store: Cache | None, n_jobs: int | None
) -> Iterator[tuple[str, Fingerprints]]:
    with (
        ThreadPoolExecutor(n_jobs) as pool,
        progress.task("Taking fingerprints", len(items)) as taking,
    ):
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            made = list(pool.map(lambda item: fingerprint(read_image(item[1])), batch))
            if store is not None:
                packed = {
                    fingerprint_key(s): pack_fingerprint(p)
                    for (s, _), p in zip(batch, made, strict=True)
                }
                store.put_many(packed)
            yield from zip((sha256 for sha256, _ in batch), made, strict=True)
            taking.advance(len(batch))


def _unpacked(row: Array) -> Fingerprints:
    picture = row[: SIDE * SIDE].reshape(1, SIDE, SIDE)
    return np.frombuffer(row[SIDE * SIDE :].tobytes(), np.float32)[None], picture
