"""Outlines, distances to them, and noise: the geometry that cells are drawn with.

Distances are signed (negative inside) and in micrometres. All arithmetic is in double precision,
so that rounding to 8 bits gives the same pixels on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = [
    "Outline",
    "Window",
    "coverage",
    "draw_outline",
    "grain",
    "noise",
    "segment_distance",
    "union",
]

Field = npt.NDArray[np.float64]
N_ANGLES = 180
_N_WAVES = 9


@dataclass(frozen=True)
class Window:
    """A square of pixels around one cell: where it lies, and its coordinates.

    Attributes
    ----------
    slices : tuple of 2 slice
        Rows and columns of the canvas.
    v, u : ndarray of shape (h, w)
        Offsets of the pixel centres from the cell's centre, down and to the right, in um.
    spacing : float
        Micrometres per pixel.
    """

    slices: tuple[slice, slice]
    v: Field
    u: Field
    spacing: float

    @classmethod
    def around(cls, center: tuple[float, float], reach: float, spacing: float) -> Window:
        """Cut the window that holds every point within `reach` um of `center` (row, column)."""
        half = int(np.ceil(reach / spacing)) + 1
        rows, columns = (
            slice(int(np.floor(c)) - half, int(np.floor(c)) + half + 1) for c in center
        )
        v = (np.arange(rows.start, rows.stop) - center[0]) * spacing
        u = (np.arange(columns.start, columns.stop) - center[1]) * spacing
        v, u = np.meshgrid(v, u, indexing="ij")
        return cls((rows, columns), v, u, spacing)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.v.shape[0], self.v.shape[1]


@dataclass(frozen=True)
class Outline:
    """A closed contour around a centre, as the radius at equally spaced angles, in um."""

    radii: Field

    @property
    def reach(self) -> float:
        """Largest distance of the contour from its centre."""
        return float(self.radii.max())

    def radius_at(self, angle: npt.ArrayLike) -> Field:
        """Interpolate the radius at `angle`, in radians."""
        return _interpolated(self.radii, *_table_position(angle))

    def distance(self, v: Field, u: Field) -> Field:
        """Approximate the signed distance of points (v, u) from the contour; exact on it."""
        position = _table_position(np.arctan2(v, u))
        slope = np.gradient(np.concatenate([self.radii[-1:], self.radii, self.radii[:1]]))[1:-1]
        steepness = slope * (N_ANGLES / (2 * np.pi)) / self.radii
        # A point beside a slanted contour is nearer to it than along its own ray.
        nearness = 1 / np.sqrt(1 + steepness**2)
        away = np.hypot(v, u) - _interpolated(self.radii, *position)
        return away * _interpolated(nearness, *position)


def _table_position(angle: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], Field]:
    position = np.asarray(angle) * (N_ANGLES / (2 * np.pi)) + N_ANGLES
    below = np.floor(position)
    return below.astype(np.intp), position - below


def _interpolated(table: Field, below: npt.NDArray[np.intp], part: Field) -> Field:
    here, following = table.take(below, mode="wrap"), table.take(below + 1, mode="wrap")
    return here + (following - here) * part


def draw_outline(
    rng: np.random.Generator,
    radius: float,
    *,
    elongation: float = 1.0,
    roughness: float = 0.0,
    indentation: float = 0.0,
    jaggedness: float = 0.0,
) -> Outline:
    """Draw a contour whose area is that of a disc of `radius`.

    An ellipse of axis ratio `elongation`, times a Fourier series with random phases whose
    amplitudes fall with the order, times a notch of relative depth `indentation` on its long side.
    `jaggedness` adds waves of high order.
    """
    angles = np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES) + rng.uniform(0, 2 * np.pi)
    radii = 1 / np.hypot(np.cos(angles) / elongation, np.sin(angles))
    orders = np.arange(2, 2 + _N_WAVES)
    amplitudes = 2 * roughness * np.clip(rng.normal(size=_N_WAVES), -1.4, 1.4) * (2 / orders) ** 1.2
    waves = np.cos(np.outer(orders, angles) + rng.uniform(0, 2 * np.pi, (_N_WAVES, 1)))
    radii = radii * np.clip(1 + amplitudes @ waves, 0.6, 1.5)
    off_notch = np.angle(np.exp(1j * (angles - np.pi / 2 - rng.normal(0, 0.25))))
    radii = radii * (1 - indentation * np.exp(-((off_notch / 0.55) ** 2)))
    if jaggedness:
        teeth = rng.integers(11, 19)
        radii = radii * (1 + jaggedness * np.cos(teeth * angles + 2 * np.sin(3 * angles)))
    return Outline(radii * (radius / np.sqrt(np.mean(radii**2))))


def segment_distance(
    v: Field, u: Field, start: npt.ArrayLike, end: npt.ArrayLike, half_width: float
) -> Field:
    """Compute the signed distance from a strand of `half_width` between two points (v, u)."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    along = end - start
    length2 = max(float(along @ along), 1e-12)
    part = np.clip(((v - start[0]) * along[0] + (u - start[1]) * along[1]) / length2, 0, 1)
    return np.hypot(v - start[0] - part * along[0], u - start[1] - part * along[1]) - half_width


def union(distances: Sequence[Field], softness: float = 0.0) -> Field:
    """Join shapes; where two come within `softness` um of each other, the seam is rounded."""
    joined = distances[0]
    for distance in distances[1:]:
        closest = np.minimum(joined, distance)
        if softness > 0:
            near = np.maximum(softness - np.abs(joined - distance), 0) / softness
            closest = closest - near**2 * (softness / 4)
        joined = closest
    return joined


def coverage(distance: Field, softness: float) -> Field:
    """Turn a signed distance into how much of a pixel lies inside: 1 in, 0 out, 0.5 on the line."""
    part = np.clip(0.5 - distance / (2 * softness), 0, 1)
    return part * part * (3 - 2 * part)


def noise(rng: np.random.Generator, shape: tuple[int, int], scales: Sequence[float]) -> Field:
    """Sum Gaussian noise of several scales (standard deviations in px); mean 0, variance near 1."""
    total = np.zeros(shape)
    for scale in scales:
        layer = ndimage.gaussian_filter(rng.standard_normal(shape), max(scale, 0.3), mode="wrap")
        total += layer / max(float(layer.std()), 1e-12)
    return total / np.sqrt(len(scales))


def grain(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Draw grains of one size (`scale`, px): noise without what is much coarser or finer."""
    white = rng.standard_normal(shape)
    fine = ndimage.gaussian_filter(white, max(scale, 0.3), mode="wrap")
    layer = fine - ndimage.gaussian_filter(fine, 1.8 * max(scale, 0.3), mode="wrap")
    return layer / max(float(layer.std()), 1e-12)
