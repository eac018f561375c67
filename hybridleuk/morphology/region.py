"""A mask with its image, and what several features of it share, computed once.

Everything here is symmetric under quarter turns and flips of the pixel grid: distances are
Euclidean, directions come in complete sets of four or eight, and no sum depends on where a contour
happens to start. So features of a turned image equal those of the image, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.outline import (
    Edges,
    Integers,
    Lobe,
    convex_hull,
    enclosed_area,
    find_edges,
    find_lobes,
    longest_outline,
)

__all__ = ["CellRegions", "Region", "bounding_box"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
T = TypeVar("T")

N_HARMONICS = 24
_LAST_MOMENT = 3


class Region:
    """The pixels of one region, cropped to their bounding box.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    image : ndarray of shape (H, W, 3), uint8, optional
        RGB. Only pixels inside `mask` are ever looked at. Needed by color and texture.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.morphology.region import Region
    >>> square = np.zeros((40, 40), bool)
    >>> square[10:30, 5:25] = True
    >>> region = Region(square)
    >>> region.area, region.box
    (400.0, (10, 5, 30, 25))
    """

    def __init__(
        self,
        mask: npt.NDArray[Any],
        image: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        whole = np.asarray(mask, dtype=bool)
        self.box = bounding_box(whole)
        y0, x0, y1, x1 = self.box
        self.mask: Mask = np.ascontiguousarray(whole[y0:y1, x0:x1])
        self._image = None if image is None else image[y0:y1, x0:x1]
        self._shared: dict[Any, Any] = {}

    def shared(self, compute: Callable[..., T], *arguments: Any) -> T:
        """Return ``compute(self, *arguments)``, computed the first time it is asked for."""
        key = (compute, *arguments)
        try:
            result: T = self._shared[key]
        except KeyError:
            result = self._shared[key] = compute(self, *arguments)
        return result

    @property
    def empty(self) -> bool:
        """Whether the mask holds no pixel."""
        return self.mask.size == 0

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """RGB inside the bounding box, (h, w, 3)."""
        if self._image is None:
            raise ValueError("This feature needs the image; Region was given only a mask.")
        return self._image

    @cached_property
    def places(self) -> npt.NDArray[np.intp]:
        """Flat indices in the bounding box of the pixels inside the mask, (n,)."""
        return np.flatnonzero(self.mask)

    @cached_property
    def bands(self) -> npt.NDArray[np.uint8]:
        """Red, green and blue of the pixels inside the mask, (3, n)."""
        pixels = self.image.reshape(-1, 3).take(self.places, axis=0)
        return np.ascontiguousarray(pixels.T)

    @cached_property
    def green_histogram(self) -> npt.NDArray[np.int64]:
        """How many pixels inside the mask have each green value, (256,)."""
        return np.bincount(self.green.take(self.places), minlength=256)

    @cached_property
    def green(self) -> npt.NDArray[np.uint8]:
        """Green channel in the bounding box: where Romanowsky stains absorb most, (h, w)."""
        return np.ascontiguousarray(self.image[:, :, 1])

    @cached_property
    def padded(self) -> Mask:
        """Mask with one pixel of outside all around."""
        h, w = self.mask.shape
        padded = np.zeros((h + 2, w + 2), dtype=bool)
        padded[1:-1, 1:-1] = self.mask
        return padded

    @cached_property
    def area(self) -> float:
        """Number of pixels."""
        return float(np.count_nonzero(self.mask))

    @cached_property
    def radius(self) -> float:
        """Radius of the disk of the same area, in px."""
        return float(np.sqrt(self.area / np.pi))

    @cached_property
    def perimeter(self) -> float:
        """Length of the outline by the Cauchy-Crofton formula over four directions, in px."""
        p = self.padded
        straight = np.count_nonzero(p[1:] != p[:-1]) + np.count_nonzero(p[:, 1:] != p[:, :-1])
        slanted = np.count_nonzero(p[1:, 1:] != p[:-1, :-1])
        slanted += np.count_nonzero(p[1:, :-1] != p[:-1, 1:])
        return float(np.pi / 8 * (straight + slanted / np.sqrt(2)))

    @cached_property
    def centroid(self) -> Floats:
        """Centre of mass (y, x) in the coordinates of the whole image."""
        if self.empty:
            return np.zeros(2)
        y = self._weights.sum(axis=1) @ np.arange(self.mask.shape[0])
        x = self._weights.sum(axis=0) @ np.arange(self.mask.shape[1])
        return np.array([y, x]) / self.area + self.box[:2]

    @cached_property
    def moments(self) -> Floats:
        """Central moments ``mu[p, q] = sum dy**p dx**q`` up to order 3, (4, 4)."""
        offset = self.centroid - self.box[:2]
        y, x = (
            np.vander(np.arange(n) - o, _LAST_MOMENT + 1, increasing=True)
            for n, o in zip(self.mask.shape, offset, strict=True)
        )
        return y.T @ (self._weights @ x)

    @cached_property
    def _weights(self) -> Floats:
        return self.mask.astype(np.float64)

    @cached_property
    def axes(self) -> tuple[float, float]:
        """Full axes, major and minor, of the ellipse of the same second moments, in px."""
        if self.empty:
            return 0.0, 0.0
        mu = self.moments / self.area
        # Each pixel is a unit square, whose own second moment is 1/12.
        yy, xx, xy = mu[2, 0] + 1 / 12, mu[0, 2] + 1 / 12, mu[1, 1]
        root = np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
        middle = (yy + xx) / 2
        return float(4 * np.sqrt(middle + root)), float(4 * np.sqrt(max(middle - root, 0.0)))

    @cached_property
    def squared_distance(self) -> Integers:
        """Squared distance of each pixel of the padded box to the outside, in px."""
        from scipy import ndimage

        nearest = ndimage.distance_transform_edt(
            self.padded, return_distances=False, return_indices=True
        )
        y, x = (np.arange(n, dtype=nearest.dtype) for n in self.padded.shape)
        dy, dx = nearest[0] - y[:, None], nearest[1] - x
        squared: Integers = dy * dy + dx * dx
        return squared

    @cached_property
    def distance(self) -> Floats:
        """Euclidean distance of each pixel of the padded box to the outside, in px."""
        return np.sqrt(self.squared_distance)

    @cached_property
    def lobes(self) -> list[Lobe]:
        """Every maximum of the distance; see :func:`~hybridleuk.morphology.outline.find_lobes`."""
        return find_lobes(self.squared_distance)

    @cached_property
    def edges(self) -> Edges:
        """Edges between pixels of the padded box inside and outside of the mask."""
        return find_edges(self.padded)

    @cached_property
    def outline(self) -> Floats:
        """Closed contour through the edges of the pixels of the largest piece, (k, 2) as (y, x)."""
        return np.zeros((1, 2)) if self.empty else longest_outline(self.edges)

    @cached_property
    def hull(self) -> Floats:
        """Corners of the convex hull of the pixels' edges, in order, (k, 2) as (y, x)."""
        return np.zeros((1, 2)) if self.empty else convex_hull(self.edges)

    @cached_property
    def hull_area(self) -> float:
        """Area inside the convex hull, never less than the area itself, in px."""
        return max(enclosed_area(_closed(self.hull)), self.area)

    @cached_property
    def hull_perimeter(self) -> float:
        """Length of the convex hull, in px."""
        return float(np.linalg.norm(np.diff(_closed(self.hull), axis=0), axis=1).sum())

    @cached_property
    def harmonics(self) -> Floats:
        """Power of the elliptic Fourier harmonics 1 to 24 of the outline, in px squared.

        Kuhl and Giardina 1982: with the coefficients of harmonic ``n``, the power is
        ``(a**2 + b**2 + c**2 + d**2) / 2``; it depends neither on the starting point nor on the
        orientation of the outline.
        """
        steps = np.diff(self.outline, axis=0)
        lengths = np.linalg.norm(steps, axis=1)
        if not lengths.sum():
            return np.zeros(N_HARMONICS)
        n = np.arange(1, N_HARMONICS + 1)[:, None]
        ends = np.cumsum(lengths)
        slopes = steps / lengths[:, None]
        turns = np.roll(slopes, -1, axis=0) - slopes
        at_turns = turns.any(axis=1)
        first_wave = np.exp(2j * np.pi / ends[-1] * ends[at_turns])
        waves = np.multiply.accumulate(np.tile(first_wave, (N_HARMONICS, 1)), axis=0)
        coefficients = ends[-1] / (2 * np.pi**2 * n**2) * (waves @ turns[at_turns])
        power: Floats = (np.abs(coefficients) ** 2).sum(axis=1) / 2
        return power


class CellRegions:
    """Nucleus, cytoplasm and whole cell of one leukocyte.

    Parameters
    ----------
    nucleus, cytoplasm : ndarray of shape (H, W), bool
        Disjoint masks; either may be empty.
    image : ndarray of shape (H, W, 3), uint8, optional
    background : ndarray of shape (3,), optional
        RGB of the empty smear, for the features that are relative to it; by default white.
    """

    def __init__(
        self,
        nucleus: npt.NDArray[Any],
        cytoplasm: npt.NDArray[Any],
        image: npt.NDArray[np.uint8] | None = None,
        background: Floats | None = None,
    ) -> None:
        self.background = np.full(3, 255.0) if background is None else background
        self.nucleus = Region(nucleus, image)
        self.cytoplasm = Region(cytoplasm, image)
        whole = np.asarray(nucleus, bool) | np.asarray(cytoplasm, bool)
        self.cell = Region(whole, image)
        self._given = (image, np.asarray(nucleus, bool), np.asarray(cytoplasm, bool))

    @cached_property
    def standard(self) -> CellRegions:
        """The same cell at standard magnification and sharpness, where its color is measured.

        See :func:`hybridleuk.segmentation.standard.standard_cell`.
        """
        from hybridleuk.segmentation.standard import standard_cell

        image, nucleus, cytoplasm = self._given
        if image is None:
            raise ValueError("This feature needs the image; CellRegions was given only masks.")
        image, nucleus, cytoplasm = standard_cell(image, nucleus, cytoplasm)
        return CellRegions(nucleus, cytoplasm, image, self.background)


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return the half-open box (y0, x0, y1, x1) of the true pixels; zeros if there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return 0, 0, 0, 0
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _closed(points: Floats) -> Floats:
    return np.concatenate([points, points[:1]])
