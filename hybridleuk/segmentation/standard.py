"""A cell at standard magnification, sharpness and stain, so that microscopes can be compared.

The same cell is 60 pixels wide in one collection and 400 in another, one camera shows chromatin
that another blurs, and no two laboratories stain alike. Here a cell is resampled to one radius by a
Gaussian that is wide beside the pixels of most microscopes (:func:`standard_cell`), and, where that
is wanted, lamp and amount of stain are taken out too (:func:`standard_picture`).

Whatever lies outside of the cell is never looked at, and a turned or flipped image gives the turned
or flipped result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.stain import optical_density, render_density

__all__ = ["standard_cell", "standard_picture"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_RADIUS = 30.0
_BLUR = 0.04  # of the cell's radius
_LEAST_BLUR = 0.6  # px of the image: less would skip pixels
_ROOM = 1.6  # half a picture's side in radii of its cell
_PICTURE_BLUR = 0.08  # of the cell's radius
_MEAN_DENSITY = np.array([0.45, 0.60, 0.25])  # of a cell under Romanowsky stain; only sets the look
_SPREAD = 0.45  # of the density, as a share of its mean


def standard_cell(
    image: RGBImage, nucleus: Mask, cytoplasm: Mask, *, radius: float = _RADIUS, blur: float = _BLUR
) -> tuple[RGBImage, Mask, Mask]:
    """Resample one cell so that its area is that of a circle of `radius` pixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB around the cell.
    nucleus, cytoplasm : ndarray of shape (H, W), bool
        Disjoint; together the cell.
    radius : float, default 30
        Of the circle with the cell's area, in new pixels.
    blur : float, default 0.04
        Standard deviation of the Gaussian as a part of that radius; at least 0.6 px of `image`.

    Returns
    -------
    image : ndarray of shape (h, w, 3), uint8
        0 outside of the cell.
    nucleus, cytoplasm : ndarray of shape (h, w), bool
        Of one pixel, all false, where there is no cell.
    """
    whole = nucleus | cytoplasm
    if not whole.any():
        return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), bool), np.zeros((1, 1), bool)
    box = _box(whole)
    image, nucleus, whole = image[box], nucleus[box], whole[box]
    step = _radius(whole) / radius
    rows, columns = (
        _weights(n, (n - 1) / 2, int(np.ceil(n / step)) + 2, step, blur * radius)
        for n in whole.shape
    )
    covered = rows @ whole @ columns.T
    cell = covered > 0.5 * covered.max()
    inner = (rows @ nucleus @ columns.T > 0.5 * covered) & cell
    seen = np.moveaxis(np.where(whole[..., None], image, 0).astype(np.float64), -1, 0)
    levels = np.where(cell, (rows @ seen @ columns.T) / np.where(cell, covered, 1.0), 0.0)
    return _as_image(np.moveaxis(levels, 0, -1)), inner, cell & ~inner


def standard_picture(
    image: RGBImage,
    cell: Mask,
    background: npt.ArrayLike,
    side: int,
    *,
    blur: float = _PICTURE_BLUR,
) -> RGBImage:
    """Draw one cell alone on white, at standard magnification, sharpness and stain.

    Optical density against the background, each channel divided by its mean over the cell, then
    the spread over all channels brought to one value (after Reinhard et al., IEEE Comput. Graph.
    Appl. 21 (2001) 34-41, in density instead of l-alpha-beta): lamp, camera gain and amount of
    stain cancel; what is left is where the cell is darker or of another hue than its average.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cell : ndarray of shape (H, W), bool
    background : array of shape (3,)
        RGB of the empty smear.
    side : int
        Of the picture, px. The cell's equivalent radius is a 3.2th of it; what of a cell reaches
        further than half a side from its centroid is cut off.
    blur : float, default 0.08
        Standard deviation of the Gaussian as a part of the cell's radius.

    Returns
    -------
    ndarray of shape (side, side, 3), uint8
        White where `cell` is empty.
    """
    if not cell.any():
        return np.full((side, side, 3), 255, dtype=np.uint8)
    box = _box(cell)
    image, cell = image[box], cell[box]
    density = np.where(cell[..., None], optical_density(image, background), 0.0)
    radius = side / (2 * _ROOM)
    step = _radius(cell) / radius
    rows, columns = (
        _weights(n, float(center), side, step, blur * radius)
        for n, center in zip(cell.shape, _centroid(cell), strict=True)
    )
    covered = (rows @ cell @ columns.T)[..., None]
    smooth = np.moveaxis(rows @ np.moveaxis(density, -1, 0) @ columns.T, 0, -1)
    clearly = covered[..., 0] > 0.5 * covered.max()
    inside = smooth[clearly] / covered[clearly]
    mean = np.maximum(inside.mean(axis=0), 1e-3)
    spread = max(float((inside / mean).std()), 1e-3)
    relative = covered + (smooth / mean - covered) / spread * _SPREAD
    return render_density(np.maximum(relative, 0.0) * _MEAN_DENSITY)


def _weights(n: int, center: float, n_new: int, step: float, width: float) -> Floats:
    """Weights of n old pixels in each of `n_new` new ones, `step` old pixels apart: (n_new, n).

    Their middle lies on old pixel `center`; `width` is the Gaussian's, in new pixels.
    """
    places = (np.arange(n_new) - (n_new - 1) / 2) * step + center
    deviation = max(width * step, _LEAST_BLUR)
    weights: Floats = np.exp(-0.5 * ((np.arange(n) - places[:, None]) / deviation) ** 2)
    return weights / (np.sqrt(2 * np.pi) * deviation)


def _box(mask: Mask) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _radius(mask: Mask) -> float:
    return float(np.sqrt(np.count_nonzero(mask) / np.pi))


def _centroid(mask: Mask) -> tuple[float, float]:
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    total = rows.sum()
    return (
        float(rows @ np.arange(len(rows)) / total),
        float(columns @ np.arange(len(columns)) / total),
    )


def _as_image(levels: npt.NDArray[Any]) -> RGBImage:
    """Round to whole levels, past the last digits, which depend on the order of a sum."""
    image: RGBImage = np.ascontiguousarray(np.rint(np.round(levels, 6)).astype(np.uint8))
    return image
