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
    "closed_and_opened",
    "cooccurrence",
    "cooccurrence_statistic",
    "dilated",
    "edge_strength",
    "granularity",
    "local_binary_pattern",
    "local_entropy_mean",
    "local_entropy_std",
    "vacuolation",
]

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]

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
_BITS = np.arange(256)[:, None] >> np.arange(8) & 1
_CHANGES = (np.roll(_BITS, 1, axis=1) != _BITS).sum(axis=1)
_PATTERN_OF_CODE: Floats = np.equal.outer(
    np.arange(LBP_PATTERNS), np.where(_CHANGES <= 2, _BITS.sum(axis=1), LBP_PATTERNS - 1)
).astype(np.float64)


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
    levels, step = _with_margin(region.shared(_levels), distance, LEVELS)
    pixels = np.flatnonzero(levels != LEVELS)
    first = (LEVELS + 1) * levels.take(pixels).astype(np.intp)
    counts = np.zeros((LEVELS + 1) ** 2, dtype=np.int64)
    for dy, dx in distance * _STEPS:
        pairs = first + levels.take(pixels + (dy * step + dx))
        counts += np.bincount(pairs, minlength=counts.size)
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
    mask, step = _with_margin(region.mask, 1, 0)
    density = OPTICAL_DENSITY.take(_with_margin(region.green, 1, 0)[0])
    total, pairs = 0.0, 0
    for further in (1, step):
        near = np.flatnonzero(mask[:-further] & mask[further:])
        total += float(np.abs(density.take(near) - density.take(near + further)).sum())
        pairs += near.size
    return region.radius * total / pairs if pairs else 0.0


def _with_margin(values: npt.NDArray, reach: int, outside: int) -> tuple[npt.NDArray, int]:
    """Lay `values` out as one line, with `reach` columns and rows of `outside` behind them.

    Returns the line and the length of a row, so that whoever steps at most `reach` to any side
    reads what lies there, or `outside`. Steps along one line are cheaper than windows.
    """
    h, w = values.shape
    wide = np.full((h + reach + 1, w + reach), outside, dtype=values.dtype)
    wide[:h, :w] = values
    return wide.ravel(), w + reach


def _levels(region: Region) -> Bytes:
    """Grey level of each pixel from 0 (dark) to 15, and 16 outside of the region."""
    if region.empty:
        return np.full((1, 1), LEVELS, dtype=np.uint8)
    counts = np.cumsum(region.green_histogram)
    low, high = np.searchsorted(counts, (0.01 * counts[-1], 0.99 * counts[-1]))
    steps = np.arange(256) - low
    table = np.clip(steps * LEVELS // max(int(high - low) + 1, 1), 0, LEVELS - 1).astype(np.uint8)
    return np.where(region.mask, table.take(region.green), np.uint8(LEVELS))


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
    if region.empty:
        return np.zeros(LBP_PATTERNS)
    mask, step = _with_margin(region.mask, radius, 0)
    green, _ = _with_margin(region.green, radius, 0)
    reach = radius * (step + 1)
    if mask.size <= 2 * reach:
        return np.zeros(LBP_PATTERNS)
    centre = green[reach:-reach]
    inside, codes = mask[reach:-reach].copy(), np.zeros_like(centre)
    for bit, (dy, dx) in enumerate(radius * _RING):
        start = reach + dy * step + dx
        window = slice(start, start + centre.size)
        inside &= mask[window]
        codes |= (green[window] >= centre).view(np.uint8) << np.uint8(bit)
    counts = np.bincount(codes[inside], minlength=256)
    return _PATTERN_OF_CODE @ counts / max(int(counts.sum()), 1)


def _top_hats(region: Region, size: float) -> tuple[float, float]:
    if region.empty:
        return 0.0, 0.0
    closed, opened = region.shared(closed_and_opened, size)
    counts = (np.bincount(values, minlength=256) for values in (closed, opened))
    dark, bright = ((region.green_histogram - count) @ OPTICAL_DENSITY for count in counts)
    return float(dark / region.area), float(-bright / region.area)


def closed_and_opened(region: Region, size: float) -> Bytes:
    """Close and open the green channel within the region, at its pixels, (2, n)."""
    reach = _distance(region, size / 2)
    # An erosion is the dilation of the complement, ~v = 255 - v; outside of the mask both see 0.
    # So one pass over the image and its complement gives closing and opening.
    widened = ~dilated(region.shared(_green_and_complement), reach) * region.mask
    closed, not_opened = dilated(widened, reach)
    return np.stack([~closed.take(region.places), not_opened.take(region.places)])


def _green_and_complement(region: Region) -> Bytes:
    return np.stack([region.green, ~region.green]) * region.mask


def dilated(layers: Bytes, reach: int) -> Bytes:
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
    counts = _level_counts(region.shared(_levels), reach, region.places)
    each = np.arange((2 * reach + 1) ** 2 + 1, dtype=np.float64)
    each[1:] *= np.log2(each[1:])
    n, by_level = np.zeros(len(counts), dtype=np.intp), np.zeros(len(counts))
    for count in counts.T:  # one level at a time, in little memory
        n += count
        by_level += each.take(count)
    entropy = (each.take(n) - by_level) / n
    return float(entropy.mean()), float(entropy.std())


def _level_counts(levels: Bytes, reach: int, places: Places) -> npt.NDArray:
    """Count the pixels of each pair of levels in squares of side ``2 reach + 1``, (n, 8).

    As many counts as there is room for lie in one number of 64 bits and are added up at once. The
    running sums wrap around, which their differences do not notice as long as the pixels of a
    square are fewer than a count can hold.
    """
    side = 2 * reach + 1
    count = np.dtype(np.uint8 if side * side < 256 else np.uint16)
    packed = _padded(np.stack([t.take(levels) for t in _one_hot(count)]), reach + 1, reach)
    sums = packed.cumsum(axis=1)
    rows = (sums[:, side:] - sums[:, :-side]).cumsum(axis=2)
    squares = (rows[:, :, side:] - rows[:, :, :-side]).reshape(len(packed), -1)
    return squares.take(places, axis=1).T.copy().view(count)


def _one_hot(count: np.dtype) -> npt.NDArray[np.uint64]:
    """Put a 1 where each level, or outside (16), is counted: columns of packed counts."""
    table = np.zeros((LEVELS + 1, LEVELS // 2), dtype=count)
    table[:LEVELS] = np.eye(LEVELS // 2, dtype=count).repeat(2, axis=0)
    return np.ascontiguousarray(table.view(np.uint64).T)
