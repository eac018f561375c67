"""Colour as light absorbed: background, optical density, and stains taken apart.

Cameras, lamps and buffers differ; what is stained differs less. Everything here first asks for the
colour of the empty smear and then speaks of optical density, ``-log10(I / I_background)`` per
channel (Beer-Lambert): 0 where nothing is, additive in the amount of stain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.images import RGBImage

__all__ = [
    "estimate_background",
    "match_background",
    "multi_otsu",
    "optical_density",
    "paint_void",
    "separate_stains",
    "stain_vectors",
    "void_mask",
]

FloatImage = npt.NDArray[np.floating[Any]]
BoolImage = npt.NDArray[np.bool_]

_OFFSET = 4.0
_VOID_LEVEL = 10
_VOID_FRACTION = 0.05
_BINS = 128
_WHITE = np.array([240.0, 240.0, 240.0])


def multi_otsu(values: npt.ArrayLike, *, classes: int = 3, power: float = 1.0) -> list[float]:
    """Thresholds that part values into classes of the least variance within.

    Parameters
    ----------
    values : array
        Any shape; values that are not finite are left out.
    classes : {2, 3}, default 3
        How many classes; one threshold fewer comes back.
    power : float, default 1
        Exponent on the histogram's counts. 1 is the method of Otsu; 0.5 lets small classes count
        for more, as a leukocyte in a large field.

    Returns
    -------
    list of float
        Rising thresholds; equal to the one value there is where nothing can be parted.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62-66.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    low, high = (flat.min(), flat.max()) if flat.size else (0.0, 0.0)
    if high - low < 1e-9:
        return [float(high)] * (classes - 1)
    counts, edges = _histogram(flat, low, high)
    weights = counts.astype(np.float64) ** power
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    moment = np.concatenate([[0.0], np.cumsum(weights * (edges[:-1] + edges[1:]) / 2)])
    cuts = _best_pair(mass, moment) if classes == 3 else (_best_single(mass, moment),)
    return [float(edges[cut]) for cut in cuts]


def _histogram(flat: FloatImage, low: float, high: float) -> tuple[Any, npt.NDArray[np.float64]]:
    """Count as ``np.histogram`` does, which is slower since it serves bins of any width."""
    place = ((flat - low) * (_BINS / (high - low))).astype(np.intp)
    counts = np.bincount(np.minimum(place, _BINS - 1), minlength=_BINS)
    return counts, np.linspace(low, high, _BINS + 1)


def _scatter(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.divide(moment**2, mass, out=np.zeros_like(moment), where=mass > 0)


def _best_single(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> int:
    between = _scatter(mass, moment) + _scatter(mass[-1] - mass, moment[-1] - moment)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return int(best[len(best) // 2])


def _best_pair(mass: npt.NDArray[Any], moment: npt.NDArray[Any]) -> tuple[int, int]:
    lower = _scatter(mass, moment)
    upper = _scatter(mass[-1] - mass, moment[-1] - moment)
    middle = _scatter(mass[None, :] - mass[:, None], moment[None, :] - moment[:, None])
    between = lower[:, None] + middle + upper[None, :]
    between[np.tril_indices(len(mass))] = -np.inf
    first, second = np.unravel_index(int(between.argmax()), between.shape)
    return int(first), int(second)


def void_mask(image: RGBImage) -> BoolImage:
    """Mark what was painted black around cells that somebody cut out; nothing where nobody did.

    Black (every channel at most 10) is void where it reaches the border and covers more than 5 %
    of the image.
    """
    from scipy import ndimage as ndi

    black: BoolImage = image[..., 1] <= _VOID_LEVEL
    if np.count_nonzero(black) < _VOID_FRACTION * black.size:
        return np.zeros_like(black)
    black = black & (image[..., 0] <= _VOID_LEVEL) & (image[..., 2] <= _VOID_LEVEL)
    if black.mean() < _VOID_FRACTION:
        return np.zeros_like(black)
    labels, n = ndi.label(black)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    reaches = np.zeros(n + 1, dtype=bool)
    reaches[edge] = True
    reaches[0] = False
    void: BoolImage = reaches[labels]
    return void if void.mean() >= _VOID_FRACTION else np.zeros_like(black)


def paint_void(image: RGBImage) -> RGBImage:
    """Give the black around cells that were cut out the color of an empty smear."""
    void = void_mask(image)
    if not void.any():
        return image
    painted = image.copy()
    painted[void] = estimate_background(image)
    return painted


def estimate_background(image: RGBImage) -> npt.NDArray[np.float64]:
    """Estimate the colour of the empty smear.

    The brightest of three Otsu classes of the green channel, which every blood stain absorbs
    most, or the two brightest where that class is under 4 % of the image (a reflection); of these
    pixels the median. Where everything around the cells was painted black, the brightest
    percentile of what is left, or near-white if that is brighter.

    Returns
    -------
    ndarray of shape (3,)
        RGB, 0 to 255, at least 1.
    """
    pixels = image.reshape(-1, 3)
    void = void_mask(image)
    if void.any():
        seen = pixels[~void.ravel()]
        brightest = np.percentile(seen, 99, axis=0) if len(seen) else _WHITE
        return np.maximum(brightest, _WHITE)
    green = pixels[:, 1]
    lower, upper = multi_otsu(green, classes=3)
    bright = green >= upper
    if bright.mean() < 0.04:
        bright = green >= lower
    return np.maximum([_median_level(pixels[bright, c]) for c in range(3)], 1.0)


def _median_level(levels: npt.NDArray[np.uint8]) -> float:
    """Median of bytes: ``np.median``, by counting instead of sorting."""
    below = np.cumsum(np.bincount(levels, minlength=256))
    middle = (len(levels) - 1) // 2, len(levels) // 2
    return float(np.searchsorted(below, middle, side="right").mean())


def optical_density(
    image: RGBImage, background: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """Convert RGB into optical density against the background.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    background : array of shape (3,), optional
        RGB of the empty smear; estimated if not given.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
        ``log10((I_background + 4) / (I + 4))``; slightly negative where brighter than background.
        The 4 keeps black pixels finite and tames camera noise in the dark.
    """
    empty = estimate_background(image) if background is None else np.asarray(background, float)
    levels = np.arange(256, dtype=np.float64)[:, None] + _OFFSET
    table = np.log10((empty[None, :] + _OFFSET) / levels).astype(np.float32)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def render_density(density: npt.NDArray[np.floating[Any]]) -> RGBImage:
    """Draw optical density as it looks before a white background: undo :func:`optical_density`.

    Parameters
    ----------
    density : ndarray of shape (H, W, 3), decadic

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    levels = (255.0 + _OFFSET) * 10.0 ** -np.asarray(density, dtype=np.float64) - _OFFSET
    return np.clip(np.rint(np.round(levels, 6)), 0, 255).astype(np.uint8)


def match_background(
    image: RGBImage, target: npt.ArrayLike = (240, 240, 240), background: Any = None
) -> RGBImage:
    """Rescale each channel so that the empty smear takes the colour `target` (von Kries).

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    target : array of shape (3,), default near-white
    background : array of shape (3,), optional
        RGB of the empty smear; estimated if not given.
    """
    empty = estimate_background(image) if background is None else np.asarray(background, float)
    gain = np.asarray(target, dtype=float) / np.maximum(empty, 1.0)
    return np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def stain_vectors(
    image: RGBImage, *, minimum: float = 0.1, percentile: float = 1.0
) -> npt.NDArray[np.float64]:
    """Find the two stains of an image from its own pixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    minimum : float, default 0.1
        Pixels whose summed optical density is lower count as empty.
    percentile : float, default 1
        Which percentile of the angle in the plane of most variance stands for a pure stain.

    Returns
    -------
    ndarray of shape (2, 3)
        Unit vectors of optical density; first the one that absorbs more red (the nuclear, azure
        stain), then the other (eosin, haemoglobin). Where the image holds too little stain, the
        vectors of a Wright-Giemsa stain taken as typical here.

    References
    ----------
    Macenko et al., ISBI 2009, 1107-1110.
    """
    typical = np.array([[0.55, 0.75, 0.37], [0.10, 0.75, 0.65]])
    typical /= np.linalg.norm(typical, axis=1, keepdims=True)
    density = optical_density(image).reshape(-1, 3).astype(np.float64)
    density = np.maximum(density[density.sum(axis=1) > minimum], 0.0)
    if len(density) < 16:
        return typical
    values, directions = np.linalg.eigh(np.cov(density.T))
    if values[1] < 1e-8:
        return typical
    plane = directions[:, [2, 1]] * np.where(directions[:, [2, 1]].sum(axis=0) < 0, -1, 1)
    angle = np.arctan2(density @ plane[:, 1], density @ plane[:, 0])
    ends = np.percentile(angle, [percentile, 100 - percentile])
    stains = np.maximum(np.stack([plane @ [np.cos(a), np.sin(a)] for a in ends]), 0.0)
    norm = np.linalg.norm(stains, axis=1, keepdims=True)
    if (norm < 1e-6).any():
        return typical
    stains /= norm
    return stains[np.argsort(-stains[:, 0], kind="stable")]


def separate_stains(
    image: RGBImage, vectors: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """Amount of each stain per pixel, by colour deconvolution.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    vectors : array of shape (2, 3), optional
        Optical density of the pure stains; :func:`stain_vectors` of the image if not given.

    Returns
    -------
    ndarray of shape (H, W, 2), float32
        Least-squares amounts, at least 0.

    References
    ----------
    Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23 (2001) 291-299.
    """
    stains = stain_vectors(image) if vectors is None else np.asarray(vectors, dtype=np.float64)
    amounts = optical_density(image) @ np.linalg.pinv(stains)
    return np.maximum(amounts, 0.0).astype(np.float32)
