"""Outlines, hulls and lobes of binary masks, traced with whole-array operations.

Masks come padded: their outermost rows and columns are outside. Points are (y, x) in pixels of the
padded mask and lie in the middle of the edge between a pixel inside and one outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Edges",
    "Lobe",
    "convex_hull",
    "enclosed_area",
    "find_edges",
    "find_lobes",
    "longest_outline",
]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NEIGHBOURS = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)


@dataclass(frozen=True)
class Edges:
    """The edges between pixels inside and outside of a mask.

    Attributes
    ----------
    points : ndarray of shape (n, 2)
        The middle of each edge.
    following : ndarray of shape (n,)
        Which edge comes next along the outline.
    """

    points: Floats
    following: Integers


def find_edges(padded: Mask) -> Edges:
    """List every edge of a mask.

    An edge is a pixel inside with a direction (east, north, west, south) that leads outside. The
    pixel it belongs to lies to the left of who walks along. Pixels that touch only at a corner
    have different outlines.
    """
    width = padded.shape[1]
    inside = padded.ravel()
    steps = (1, -width, -1, width)
    leaving = [np.flatnonzero(inside[:-step] > inside[step:]) for step in (1, width)]
    entering = [np.flatnonzero(inside[:-step] < inside[step:]) + step for step in (width, 1)]
    pixels = [leaving[0], *entering, leaving[1]]
    following, places = [], []
    for k, (pixel, step) in enumerate(zip(pixels, steps, strict=True)):
        ahead = pixel + steps[(k + 1) % 4]
        aslant = ahead + step
        left, right = inside[ahead], inside[aslant]
        # Turn left around the pixel, go straight on, or turn right.
        turned = np.where(left, np.where(right, aslant, ahead), pixel)
        direction = np.where(left, np.where(right, (k - 1) % 4, k), (k + 1) % 4)
        following.append(direction * inside.size + turned)
        places.append(k * inside.size + pixel)
    y, x = np.divmod(np.concatenate(pixels), width)
    half = np.array([(0, 0.5), (-0.5, 0), (0, -0.5), (0.5, 0)])
    points = np.column_stack([y, x]) + np.repeat(half, [p.size for p in pixels], axis=0)
    return Edges(points, np.searchsorted(np.concatenate(places), np.concatenate(following)))


def longest_outline(edges: Edges) -> Floats:
    """Return the outline that encloses the largest area, closed, (k + 1, 2).

    Its points are those of marching squares at half height.
    """
    loops = [edges.points[loop] for loop in _loops(edges.following.tolist())]
    return max(loops, key=enclosed_area) if len(loops) > 1 else loops[0]


def _loops(following: list[int]) -> list[list[int]]:
    seen = [False] * len(following)
    loops = []
    for start in range(len(following)):
        if seen[start]:
            continue
        loop, edge = [], start
        while not seen[edge]:
            seen[edge] = True
            loop.append(edge)
            edge = following[edge]
        loops.append([*loop, start])
    return loops


def convex_hull(edges: Edges) -> Floats:
    """Return the corners of the convex hull of all edges, in order, (k, 2).

    The first edges of all heights downwards and the last ones upwards make a polygon. A point of
    it on or behind the line between its neighbours is no corner of the hull, whatever else is one;
    so all such points go at once, until there are none.
    """
    y, first, last = _extremes(edges.points)
    # Where top or bottom is a single point, both sides hold it.
    kept = slice(int(first[0] == last[0]), last.size - int(first[-1] == last[-1]))
    y, x = np.concatenate([y, y[kept][::-1]]), np.concatenate([first, last[kept][::-1]])
    while True:
        dy, dx = (np.diff(np.concatenate([at[-1:], at, at[:1]])) for at in (y, x))
        corner = dy[:-1] * dx[1:] > dy[1:] * dx[:-1]
        if corner.all():
            return np.column_stack([y, x])
        y, x = y[corner], x[corner]


def _extremes(points: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each height at which points lie, and the first and the last point there."""
    y, x = points.T
    rows = (2 * y).astype(np.intp)
    first, last = np.full(rows.max() + 1, np.inf), np.full(rows.max() + 1, -np.inf)
    np.minimum.at(first, rows, x)
    np.maximum.at(last, rows, x)
    filled = np.flatnonzero(np.isfinite(first))
    return filled / 2, first[filled], last[filled]


def enclosed_area(closed: Floats) -> float:
    """Area inside a closed line of points, by the shoelace formula."""
    y, x = (closed - closed[0]).T
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2)


@dataclass(frozen=True)
class Lobe:
    """A bulge of a region: a maximum of the depth under the surface.

    Attributes
    ----------
    depth : float
        Distance of its innermost pixel to the outside.
    neck : float
        Depth of the widest way to a deeper lobe; 0 if there is none.
    """

    depth: float
    neck: float


def find_lobes(squared: Integers) -> list[Lobe]:
    """List the maxima of the depth, given its square (h, w) with 0 outside, which is all around.

    Every pixel is led uphill to a maximum, its summit; then summits are joined over the highest
    pass first, where the lower one ends (persistence, Edelsbrunner 2002). The last summit of each
    piece, corners touching counted as joined, has a neck of 0.
    """
    summits, height = _summits(squared), squared.ravel()
    own = np.flatnonzero((summits == np.arange(summits.size)) & (height > 0))
    leads = {summit: summit for summit in own.tolist()}
    lobes = []
    for first, second, pass_height in _passes(summits.reshape(squared.shape), squared):
        low, high = _lead(leads, first), _lead(leads, second)
        if low == high:
            continue
        if height[low] > height[high]:
            low, high = high, low
        leads[low] = high
        lobes.append(Lobe(math.sqrt(height[low]), math.sqrt(pass_height)))
    last = [summit for summit, lead in leads.items() if summit == lead]
    return [*lobes, *(Lobe(math.sqrt(height[summit]), 0.0) for summit in last)]


def _summits(squared: Integers) -> Integers:
    """Return the flat index of the maximum that each pixel is led to, (h w,)."""
    bits = squared.size.bit_length()
    highest = (squared.astype(np.int64) << bits) + np.arange(squared.size).reshape(squared.shape)
    for along in (highest, highest.T):
        before = along.copy()
        np.maximum(along[1:], before[:-1], out=along[1:])
        np.maximum(along[:-1], before[1:], out=along[:-1])
    leads: Integers = highest.ravel() & ((1 << bits) - 1)
    while True:
        further = leads[leads]
        if np.array_equal(further, leads):
            return leads
        leads = further


def _passes(summits: Integers, squared: Integers) -> list[tuple[int, int, int]]:
    """List neighbouring summits and the height of the highest pass between them, falling."""
    bits = squared.size.bit_length()
    found = []
    for near, far in _NEIGHBOURS:
        a, b, height = summits[near], summits[far], np.minimum(squared[near], squared[far])
        apart = (a != b) & (height > 0)
        a, b = a[apart], b[apart]
        found.append(np.stack([(np.minimum(a, b) << bits) + np.maximum(a, b), height[apart]]))
    pairs, height = np.concatenate(found, axis=1)
    order = np.argsort(-height, kind="stable")
    _, first = np.unique(pairs[order], return_index=True)
    kept = order[np.sort(first)]
    low, high = pairs[kept] >> bits, pairs[kept] & ((1 << bits) - 1)
    return list(zip(low.tolist(), high.tolist(), height[kept].tolist(), strict=True))


def _lead(leads: dict[int, int], summit: int) -> int:
    while leads[summit] != summit:
        leads[summit] = leads[leads[summit]]
        summit = leads[summit]
    return summit
