"""Texture of a region in its green channel: pure functions; undefined values are 0.

Grey levels are relative to the region itself (its 1st to 99th percentile in 16 steps), and lengths
to its own size, so that neither exposure nor magnification enters by the back door. Only pixels
inside the region are used: neighbourhoods end at its border.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.color import OPTICAL_DENSITY
from hybridleuk.morphology.region import Region

__all__ = [
    "COOCCURRENCE",
    "LBP_PATTERNS",
    "cooccurrence",
    "cooccurrence_statistic",
    "edge_strength",
    "granularity",
    "local_binary_pattern",
    "local_entropy_mean",
    "local_entropy_std",
    "vacuolation",
]

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

LEVELS = 16
LBP_PATTERNS = 10
COOCCURRENCE = ("contrast", "homogeneity", "energy", "correlation", "entropy", "cluster_shade")
_ENTROPY_RADIUS = 0.12
_WIDEST_REACH = 127
_STEPS = np.array([(0, 1), (1, 0), (1, 1), (1, -1)])
_RING = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
_FIRST, _SECOND = np.meshgrid(np.arange(LEVELS), np.arange(LEVELS), indexing="ij")


def cooccurrence_statistic(region: Region, statistic: str, reach: float) -> float:
    """Haralick's `statistic` of the co-occurrence of grey levels.

    `reach` is the distance of the two pixels as a part of the region's equivalent diameter, at
    least 1 px; 0 means neighbours.
    """
    return region.shared(_statistics, reach)[COOCCURRENCE.index(statistic)]


def cooccurrence(region: Region, distance: int) -> Floats:
    """Probability that pixels `distance` apart have grey levels i and j, (16, 16).

    Symmetric, summed over the four directions 0, 45, 90 and 135 degrees; all zero where no pair of
    pixels lies inside the region.
    """
    levels = region.shared(_levels)
    counts = np.zeros((LEVELS + 1) ** 2, dtype=np.int64)
    for dy, dx in distance * _STEPS:
        first, second = _shifted(levels, dy, dx)
        pairs = first.astype(np.intp) * (LEVELS + 1) + second
        counts += np.bincount(pairs.ravel(), minlength=counts.size)
    inside = counts.reshape(LEVELS + 1, LEVELS + 1)[:LEVELS, :LEVELS].astype(np.float64)
    inside += inside.T
    total = inside.sum()
    return inside / total if total else inside


def local_binary_pattern(region: Region, pattern: int, radius: int) -> float:
    """Share of pixels whose ring of eight neighbours shows rotation-invariant `pattern`.

    Ojala 2002, riu2: patterns 0 to 8 count the neighbours at least as bright as the centre where
    they are contiguous; 9 holds every other. The ring is the pixel square of `radius`, so that
    nothing is interpolated.
    """
    return float(region.shared(_patterns, radius)[pattern])


def granularity(region: Region, size: float) -> float:
    """Mean absorbance of dark grains narrower than `size` of the region's equivalent diameter.

    A black top-hat within the region: the closing by a square minus the image, in absorbance.
    """
    return region.shared(_top_hats, size)[0]


def vacuolation(region: Region, size: float) -> float:
    """Mean absorbance that bright holes narrower than `size` of the diameter lack."""
    return region.shared(_top_hats, size)[1]


def local_entropy_mean(region: Region) -> float:
    """Mean Shannon entropy of the grey levels around each pixel, within 6 % of the diameter."""
    return region.shared(_local_entropy)[0]


def local_entropy_std(region: Region) -> float:
    """Measure how much that local entropy varies over the region (standard deviation)."""
    return region.shared(_local_entropy)[1]


def edge_strength(region: Region) -> float:
    """Mean absolute step of absorbance between neighbours, per radius of the region."""
    density = OPTICAL_DENSITY[region.green]
    total, pairs = 0.0, 0
    for dy, dx in _STEPS[:2]:
        near, far = _shifted(density, dy, dx)
        both = np.logical_and(*_shifted(region.mask, dy, dx))
        total += float(np.abs(near - far)[both].sum())
        pairs += int(np.count_nonzero(both))
    return region.radius * total / pairs if pairs else 0.0


def _shifted(values: npt.NDArray, dy: int, dx: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Return two views of `values` whose equal places lie (dy, dx) apart; dy is not negative."""
    h, w = values.shape
    near = values[: max(h - dy, 0), max(-dx, 0) : w - max(dx, 0)]
    far = values[dy:, max(dx, 0) : w - max(-dx, 0)]
    return near[:, : far.shape[1]], far[:, : near.shape[1]]


def _levels(region: Region) -> Bytes:
    """Grey level of each pixel from 0 (dark) to 15, and 16 outside of the region."""
    if region.empty:
        return np.full((1, 1), LEVELS, dtype=np.uint8)
    counts = np.cumsum(np.bincount(region.green[region.mask], minlength=256))
    low, high = np.searchsorted(counts, (0.01 * counts[-1], 0.99 * counts[-1]))
    steps = np.arange(256) - low
    table = np.clip(steps * LEVELS // max(int(high - low) + 1, 1), 0, LEVELS - 1).astype(np.uint8)
    return np.where(region.mask, table[region.green], np.uint8(LEVELS))


def _distance(region: Region, part: float) -> int:
    return max(1, round(part * 2 * region.radius))


def _statistics(region: Region, reach: float) -> tuple[float, ...]:
    p = cooccurrence(region, _distance(region, reach))
    if not p.any():
        return (0.0,) * len(COOCCURRENCE)
    mean = (p * _FIRST).sum()
    variance = (p * (_FIRST - mean) ** 2).sum()
    covariance = (p * (_FIRST - mean) * (_SECOND - mean)).sum()
    deviation = _FIRST + _SECOND - 2 * mean
    spread = (p * deviation**2).sum() ** 1.5
    step = _FIRST - _SECOND
    return (
        float((p * step**2).sum()),
        float((p / (1 + step**2)).sum()),
        float(np.sqrt((p**2).sum())),
        float(covariance / variance) if variance > 1e-12 else 1.0,
        float(-(p[p > 0] * np.log2(p[p > 0])).sum()),
        float((p * deviation**3).sum() / spread) if spread > 1e-12 else 0.0,
    )


def _patterns(region: Region, radius: int) -> Floats:
    histogram = np.zeros(LBP_PATTERNS)
    if region.empty or min(region.mask.shape) <= 2 * radius:
        return histogram
    h, w = (n - 2 * radius for n in region.mask.shape)
    corners = radius + radius * _RING
    windows = [(slice(y, y + h), slice(x, x + w)) for y, x in corners]
    centre = np.s_[radius : radius + h, radius : radius + w]
    inside = region.mask[centre].copy()
    for window in windows:
        inside &= region.mask[window]
    bright = np.stack([region.green[w] >= region.green[centre] for w in windows])
    changes = (bright != np.roll(bright, 1, axis=0)).sum(axis=0, dtype=np.uint8)
    codes = np.where(changes <= 2, bright.sum(axis=0, dtype=np.uint8), LBP_PATTERNS - 1)[inside]
    return np.bincount(codes, minlength=LBP_PATTERNS) / codes.size if codes.size else histogram


def _top_hats(region: Region, size: float) -> tuple[float, float]:
    if region.empty:
        return 0.0, 0.0
    reach = _distance(region, size / 2)
    mask, green = region.mask, region.green
    # An erosion is the dilation of the complement, ~v = 255 - v; outside of the mask both see 0.
    closed = ~_dilated(mask * ~_dilated(mask * green, reach), reach)
    opened = _dilated(mask * ~_dilated(mask * ~green, reach), reach)
    density = OPTICAL_DENSITY[green[mask]]
    dark = density - OPTICAL_DENSITY[closed[mask]]
    bright = OPTICAL_DENSITY[opened[mask]] - density
    return float(dark.mean()), float(bright.mean())


def _dilated(values: Bytes, reach: int) -> Bytes:
    """Take the maximum over squares of side ``2 reach + 1``; beyond the border lies 0.

    Windows are doubled until they are wide enough, so that the cost grows with the logarithm of
    their size.
    """
    for axis in (0, 1):
        rows = np.pad(np.moveaxis(values, axis, 0), ((reach, reach), (0, 0)))
        side, width = 2 * reach + 1, 1
        while width < side:
            step = min(width, side - width)
            rows = np.maximum(rows[:-step], rows[step:])
            width += step
        values = np.moveaxis(rows, 0, axis)
    return values


def _local_entropy(region: Region) -> tuple[float, float]:
    """Entropy of half as many levels in square windows, pixels outside of the region left out."""
    if region.empty:
        return 0.0, 0.0
    reach = min(_distance(region, _ENTROPY_RADIUS / 2), _WIDEST_REACH)
    levels = region.shared(_levels) // 2
    present = levels == np.arange(LEVELS // 2, dtype=np.uint8)[:, None, None]
    counts = _box_sums(present, reach)[:, region.mask]
    n = counts.sum(axis=0)
    weights = np.arange((2 * reach + 1) ** 2 + 1, dtype=np.float64)
    weights[1:] *= np.log2(weights[1:])
    entropy = (weights[n] - weights[counts].sum(axis=0)) / n
    return float(entropy.mean()), float(entropy.std())


def _box_sums(present: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.uint16]:
    """Count true pixels of each layer in squares of side ``2 reach + 1``, same shape.

    The running sums wrap around at 65536, which their differences do not notice as long as a
    square has fewer pixels.
    """
    padded = np.pad(present, ((0, 0), (reach + 1, reach), (reach + 1, reach)))
    sums = padded.cumsum(axis=1, dtype=np.uint16).cumsum(axis=2, dtype=np.uint16)
    side = 2 * reach + 1
    rows = sums[:, side:] - sums[:, :-side]
    return rows[:, :, side:] - rows[:, :, :-side]
