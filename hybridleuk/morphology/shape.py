"""Form of nucleus and cell: pure functions of masks, in pixels; undefined values are 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.outline import Lobe
from hybridleuk.morphology.region import CellRegions, Region

__all__ = [
    "area",
    "circularity",
    "convexity",
    "cytoplasm_thickness",
    "eccentricity",
    "elliptic_extent",
    "equivalent_diameter",
    "feret_max",
    "feret_min",
    "feret_ratio",
    "harmonic",
    "hu_moment",
    "indentation",
    "inscribed_ratio",
    "lobe_count",
    "major_axis",
    "minor_axis",
    "nc_ratio_cell",
    "nc_ratio_cytoplasm",
    "nucleus_offset",
    "parts",
    "perimeter",
    "roughness",
    "solidity",
    "thickness_mean",
    "waist",
]

Floats = npt.NDArray[np.float64]

LOBE_PROMINENCE = 0.2
LARGEST_NC_RATIO = 100.0
_FIRST_ROUGH_HARMONIC = 8
_HU_SCALE = 1e-5


def area(region: Region) -> float:
    """Count the pixels."""
    return region.area


def perimeter(region: Region) -> float:
    """Measure the outline, holes included."""
    return region.perimeter


def equivalent_diameter(region: Region) -> float:
    """Diameter of the disk of the same area."""
    return 2 * region.radius


def major_axis(region: Region) -> float:
    """Major axis of the ellipse of the same second moments."""
    return region.axes[0]


def minor_axis(region: Region) -> float:
    """Minor axis of the ellipse of the same second moments."""
    return region.axes[1]


def eccentricity(region: Region) -> float:
    """Eccentricity of that ellipse: 0 for a disk, towards 1 for a line."""
    major, minor = region.axes
    return float(np.sqrt(1 - (minor / major) ** 2)) if major else 0.0


def circularity(region: Region) -> float:
    """``4 pi area / perimeter**2``: 1 for a disk."""
    return _ratio(4 * np.pi * region.area, region.perimeter**2)


def solidity(region: Region) -> float:
    """Part of the convex hull that is filled."""
    return _ratio(region.area, region.hull_area)


def convexity(region: Region) -> float:
    """Length of the convex hull over that of the outline: 1 without dents."""
    return min(1.0, _ratio(region.hull_perimeter, region.perimeter))


def elliptic_extent(region: Region) -> float:
    """Part of the ellipse of the same second moments that the area would fill: 1 for an ellipse."""
    major, minor = region.axes
    return _ratio(4 * region.area, np.pi * major * minor)


def feret_max(region: Region) -> float:
    """Largest caliper diameter: the greatest distance of two points."""
    return region.shared(_feret)[0]


def feret_min(region: Region) -> float:
    """Smallest caliper diameter: the narrowest slit the region passes through."""
    return region.shared(_feret)[1]


def feret_ratio(region: Region) -> float:
    """Smallest over largest caliper diameter."""
    return _ratio(feret_min(region), feret_max(region))


def roughness(region: Region) -> float:
    """RMS distance of the outline from its smooth course, over the region's radius.

    The smooth course is what elliptic Fourier harmonics 1 to 8 draw; the rest, up to harmonic 24,
    is roughness.
    """
    return _ratio(float(np.sqrt(region.harmonics[_FIRST_ROUGH_HARMONIC:].sum())), region.radius)


def harmonic(region: Region, order: int) -> float:
    """Amplitude of elliptic Fourier harmonic `order` (from 2) relative to the first."""
    return _ratio(float(np.sqrt(region.harmonics[order - 1])), float(np.sqrt(region.harmonics[0])))


def hu_moment(region: Region, order: int) -> float:
    """Hu's invariant moment `order` (1 to 7) as ``sign(h) log10(1 + |h| / 1e-5)``.

    The logarithm brings them to one scale; the sign of the seventh, which tells a shape from its
    mirror image, is left out.
    """
    return region.shared(_hu_moments)[order - 1]


def parts(region: Region) -> float:
    """Count separate pieces, corners touching counted as joined."""
    return 0.0 if region.empty else float(sum(lobe.neck == 0 for lobe in region.lobes))


def lobe_count(region: Region) -> float:
    """Count bulges: maxima of the distance to the outside that rise 20 % above their saddle.

    Prominence is measured relative to the largest inscribed radius, so small bumps do not count.
    """
    return 0.0 if region.empty else float(len(region.shared(_prominent_lobes)))


def waist(region: Region) -> float:
    """Depth of the narrowest neck between lobes, over that of the lesser lobe it leads to.

    1 for a single lobe, near 0 for a thread between segments, 0 for separate pieces: what tells a
    segmented from a band nucleus.
    """
    if region.empty:
        return 0.0
    lesser = sorted(region.shared(_prominent_lobes), key=lambda lobe: (lobe.neck > 0, -lobe.depth))
    return min((max(lobe.neck - 0.5, 0.0) / (lobe.depth - 0.5) for lobe in lesser[1:]), default=1.0)


def inscribed_ratio(region: Region) -> float:
    """Radius of the largest inscribed circle over that of the disk of the same area."""
    return 0.0 if region.empty else min(1.0, _ratio(region.distance.max() - 0.5, region.radius))


def thickness_mean(region: Region) -> float:
    """Mean distance to the outside over a third of the radius: 1 for a disk, less for a band."""
    if region.empty:
        return 0.0
    mean = region.distance.sum() / region.area - 0.5
    return max(0.0, _ratio(3 * mean, region.radius))


def indentation(region: Region) -> float:
    """Depth of the deepest dent under the convex hull, over the equivalent diameter."""
    if region.empty:
        return 0.0
    corners, normals = region.hull, region.shared(_hull_normals)
    depths = np.abs(normals @ region.outline.T - (corners * normals).sum(axis=1)[:, None])
    return float(depths.min(axis=0).max() / (2 * region.radius))


def nc_ratio_cell(cell: CellRegions) -> float:
    """Area of the nucleus over the area of the whole cell."""
    return _ratio(cell.nucleus.area, cell.cell.area)


def nc_ratio_cytoplasm(cell: CellRegions) -> float:
    """Area of the nucleus over the area of the cytoplasm, at most 100."""
    if cell.nucleus.area >= LARGEST_NC_RATIO * cell.cytoplasm.area:
        return LARGEST_NC_RATIO if cell.nucleus.area else 0.0
    return cell.nucleus.area / cell.cytoplasm.area


def nucleus_offset(cell: CellRegions) -> float:
    """Distance between the centres of nucleus and cell, over the cell's radius."""
    if cell.nucleus.empty:
        return 0.0
    apart = np.linalg.norm(cell.nucleus.centroid - cell.cell.centroid)
    return _ratio(float(apart), cell.cell.radius)


def cytoplasm_thickness(cell: CellRegions) -> float:
    """Mean depth of the cytoplasm's pixels under the cell's surface, over the cell's radius."""
    if cell.cytoplasm.empty:
        return 0.0
    y0, x0 = np.subtract(cell.cytoplasm.box[:2], cell.cell.box[:2])
    h, w = cell.cytoplasm.mask.shape
    depth = cell.cell.distance[1 + y0 : 1 + y0 + h, 1 + x0 : 1 + x0 + w][cell.cytoplasm.mask]
    return float(depth.mean() / cell.cell.radius)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0


def _feret(region: Region) -> tuple[float, float]:
    corners = region.hull
    if len(corners) < 3:
        return 0.0, 0.0
    dy, dx = (np.subtract.outer(along, along) for along in corners.T)
    longest = np.sqrt((dy * dy + dx * dx).max())
    reach = region.shared(_hull_normals) @ corners.T
    return float(longest), float((reach.max(axis=1) - reach.min(axis=1)).min())


def _hull_normals(region: Region) -> Floats:
    """Return the unit normal of the edge that begins at each corner of the hull, (k, 2)."""
    edges = np.roll(region.hull, -1, axis=0) - region.hull
    return edges[:, ::-1] * (-1, 1) / np.linalg.norm(edges, axis=1)[:, None]


def _hu_moments(region: Region) -> list[float]:
    """Hu 1962, from central moments normalised by area."""
    if region.empty:
        return [0.0] * 7
    orders = np.add.outer(np.arange(4), np.arange(4))
    n = region.moments / region.area ** (1 + orders / 2)
    a, b = n[3, 0] - 3 * n[1, 2], 3 * n[2, 1] - n[0, 3]
    c, d = n[3, 0] + n[1, 2], n[2, 1] + n[0, 3]
    p, q = c * (c**2 - 3 * d**2), d * (3 * c**2 - d**2)
    difference = n[2, 0] - n[0, 2]
    hu = (
        n[2, 0] + n[0, 2],
        difference**2 + 4 * n[1, 1] ** 2,
        a**2 + b**2,
        c**2 + d**2,
        a * p + b * q,
        difference * (c**2 - d**2) + 4 * n[1, 1] * c * d,
        abs(b * p - a * q),
    )
    return [float(np.sign(h) * np.log10(1 + abs(h) / _HU_SCALE)) for h in hu]


def _prominent_lobes(region: Region) -> list[Lobe]:
    prominence = LOBE_PROMINENCE * max(lobe.depth for lobe in region.lobes)
    return [lobe for lobe in region.lobes if lobe.depth - lobe.neck >= prominence - 1e-9]
