"""Color as light absorbed: background, optical density, and stains taken apart.

Cameras, lamps and buffers differ; what is stained differs less. Everything here first asks for the
color of the empty smear and then speaks of optical density, ``-log10(I / I_background)`` per
channel (Beer-Lambert): 0 where nothing is, additive in the amount of stain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.otsu import multi_otsu
from hybridleuk.segmentation.void import Void, background_of, find_void

__all__ = [
    "estimate_background",
    "match_background",
    "multi_otsu",
    "optical_density",
    "paint_void",
    "separate_stains",
    "stain_vectors",
]

FloatImage = npt.NDArray[np.floating[Any]]

_OFFSET = 4.0
_WHITE = np.array([240.0, 240.0, 240.0])


def paint_void(image: RGBImage) -> tuple[RGBImage, Void]:
    """Give what was painted and not photographed the color of the empty smear.

    Returns
    -------
    image : ndarray of shape (H, W, 3), uint8
    void : Void
        What was painted over, and whether any empty smear is seen in the rest.
    """
    void = find_void(image)
    if not void.mask.any():
        return image, void
    painted = image.copy()
    painted[void.mask] = _background_beside(image, void)
    return painted, void


def estimate_background(image: RGBImage) -> npt.NDArray[np.float64]:
    """Estimate the color of the empty smear, from photographed pixels only.

    The brightest of three Otsu classes of the green channel, which every blood stain absorbs
    most, or the two brightest where that class is under 4 % of the image (a reflection); of these
    pixels the median. Black or white borders are left out
    (:func:`~hybridleuk.segmentation.void.find_void`). Where everything around the cells was painted
    black, the brightest percentile of what is left, or near-white if that is brighter.

    Returns
    -------
    ndarray of shape (3,)
        RGB, 0 to 255, at least 1.
    """
    return _background_beside(image, find_void(image))


def _background_beside(image: RGBImage, void: Void) -> npt.NDArray[np.float64]:
    pixels = image.reshape(-1, 3)
    if void.mask.any():
        pixels = pixels[~void.mask.ravel()]
        if not void.smear_seen:
            brightest = np.percentile(pixels, 99, axis=0) if len(pixels) else _WHITE
            return np.maximum(brightest, _WHITE)
    return background_of(pixels)


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
    """Rescale each channel so that the empty smear takes the color `target` (von Kries).

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
    """Amount of each stain per pixel, by color deconvolution.

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
