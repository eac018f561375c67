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
_FIRST, _SECOND = (grid.ravel() for grid in np.indices((LEVELS, LEVELS)))
_SUM, _STEP = _FIRST + _SECOND, (_FIRST - _SECOND) ** 2
_MOMENTS: Floats = np.stack(
    [_STEP, 1 / (1 + _STEP), _FIRST, _FIRST**2, _FIRST * _SECOND, _SUM**2, _SUM**3]
)
_ONE_HOT = np.eye(LEVELS // 2 + 1, LEVELS // 2, dtype=np.uint16).view(np.uint64)


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
    p = cooccurrence(region, _distance(region, reach)).ravel()
    if not p.any():
        return (0.0,) * len(COOCCURRENCE)
    contrast, homogeneity, mean, square, product, square_of_sum, cube_of_sum = _MOMENTS @ p
    variance, covariance = square - mean**2, product - mean**2
    spread = (square_of_sum - 4 * mean**2) ** 1.5 if variance > 1e-9 else 0.0
    skew = cube_of_sum - 6 * mean * square_of_sum + 16 * mean**3
    present = p[p > 0]
    return (
        float(contrast),
        float(homogeneity),
        float(np.sqrt(present @ present)),
        float(np.clip(covariance / variance, -1.0, 1.0)) if variance > 1e-9 else 1.0,
        float(-(present @ np.log2(present))),
        float(skew / spread) if spread > 1e-9 else 0.0,
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
    mask = region.mask
    # An erosion is the dilation of the complement, ~v = 255 - v; outside of the mask both see 0.
    # So one pass over the image and its complement gives closing and opening.
    both = np.stack([region.green, ~region.green]) * mask
    widened = ~_dilated(both, reach) * mask
    closed, not_opened = ~_dilated(widened, reach)[:, mask]
    density = OPTICAL_DENSITY[region.green[mask]]
    dark = density - OPTICAL_DENSITY[closed]
    bright = OPTICAL_DENSITY[~not_opened] - density
    return float(dark.mean()), float(bright.mean())


def _dilated(layers: Bytes, reach: int) -> Bytes:
    """Take each layer's maximum over squares of side ``2 reach + 1``; beyond the border lies 0.

    Windows are doubled until they are wide enough, so that the cost grows with the logarithm of
    their size.
    """
    grown = _padded(layers, reach)
    side, width = 2 * reach + 1, 1
    while width < side:
        step = min(width, side - width)
        grown = np.maximum(grown[:, :-step], grown[:, step:])
        grown = np.maximum(grown[:, :, :-step], grown[:, :, step:])
        width += step
    return grown


def _padded(layers: npt.NDArray, before: int, after: int | None = None) -> npt.NDArray:
    after = before if after is None else after
    n, h, w = layers.shape
    padded = np.zeros((n, h + before + after, w + before + after), dtype=layers.dtype)
    padded[:, before : before + h, before : before + w] = layers
    return padded


def _local_entropy(region: Region) -> tuple[float, float]:
    """Entropy of half as many levels in square windows, pixels outside of the region left out."""
    if region.empty:
        return 0.0, 0.0
    reach = min(_distance(region, _ENTROPY_RADIUS / 2), _WIDEST_REACH)
    counts = _level_counts(region.shared(_levels) // 2, reach)[region.mask]
    n = counts.sum(axis=1)
    weights = np.arange((2 * reach + 1) ** 2 + 1, dtype=np.float64)
    weights[1:] *= np.log2(weights[1:])
    entropy = (weights[n] - weights[counts].sum(axis=1)) / n
    return float(entropy.mean()), float(entropy.std())


def _level_counts(levels: Bytes, reach: int) -> npt.NDArray[np.uint16]:
    """Count the pixels of each level in squares of side ``2 reach + 1``, (h, w, 8).

    Four counts of 16 bits are added up at once, as one number of 64. The running sums wrap around,
    which their differences do not notice as long as a square has fewer than 65536 pixels.
    """
    packed = _padded(np.moveaxis(_ONE_HOT[levels], 2, 0), reach + 1, reach)
    sums = packed.cumsum(axis=1).cumsum(axis=2)
    side = 2 * reach + 1
    rows = sums[:, side:] - sums[:, :-side]
    squares = rows[:, :, side:] - rows[:, :, :-side]
    return np.ascontiguousarray(np.moveaxis(squares, 0, 2)).view(np.uint16)
