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
    "on_circles",
    "pack_fingerprint",
]

Array = npt.NDArray[Any]

SIDE = 96
VERSION = 1
_MIDDLE = (SIDE - 1) / 2
_RADII, _ANGLES, _ORDERS = 16, 64, 7
_WHITE = 200.0  # what the brightest tenth becomes in the small picture
_BATCH = 64
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)
_DISC = np.hypot(_ROWS - _MIDDLE, _COLUMNS - _MIDDLE) <= _MIDDLE - 1
_TURNS = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
"""Only what is inside the largest circle stays in the picture when it is turned."""

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
            np.percentile(relative[_DISC], [2, 5, 10, 20, 30, 40, 50, 60, 70, 80], axis=0).ravel(),
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
    store = open_cache(cache)
    try:
        keys = {sha256: fingerprint_key(sha256) for sha256 in hashes}
        kept = {} if store is None else store.get_many(list(keys.values()))
        found = {sha256: _unpacked(kept[key]) for sha256, key in keys.items() if key in kept}
        missing = {
            sha256: image
            for sha256, image in zip(hashes, checked, strict=True)
            if sha256 not in found
        }
        found.update(_taken(missing, store, keys, n_jobs))
    finally:
        if store is not None:
            store.close()
    parts = [found[sha256] for sha256 in hashes]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


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
    for _ in range(4):
        near = np.exp(-((_ROWS - row) ** 2 + (_COLUMNS - column) ** 2) / (2 * 24.0**2))
        weight = (np.clip(0.9 - picture, 0, 1) * _DISC * near) ** 2
        total = float(weight.sum()) + 1e-6
        row = float((weight * _ROWS).sum()) / total
        column = float((weight * _COLUMNS).sum()) / total
    return row, column


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


def _taken(
    missing: dict[str, ImageLike], store: Cache | None, keys: dict[str, str], n_jobs: int | None
) -> Iterator[tuple[str, Fingerprints]]:
    if not missing:
        return
    items = list(missing.items())
    with (
        ThreadPoolExecutor(n_jobs) as pool,
        progress.task("Taking fingerprints", len(items)) as taking,
    ):
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            made = list(pool.map(lambda item: fingerprint(read_image(item[1])), batch))
            if store is not None:
                packed = {
                    keys[s]: pack_fingerprint(p) for (s, _), p in zip(batch, made, strict=True)
                }
                store.put_many(packed)
            yield from zip((sha256 for sha256, _ in batch), made, strict=True)
            taking.advance(len(batch))


def _unpacked(row: Array) -> Fingerprints:
    picture = row[: SIDE * SIDE].reshape(1, SIDE, SIDE)
    return np.frombuffer(row[SIDE * SIDE :].tobytes(), np.float32)[None], picture
