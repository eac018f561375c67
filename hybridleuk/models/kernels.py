"""Distances and radial kernels of wide tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import euclidean_distances

__all__ = ["radial_kernel", "squared_distances"]

Array = npt.NDArray[Any]
WIDE = 512


def squared_distances(A: Array, B: Array | None = None) -> Array:
    """Squared Euclidean distances between rows, in double precision.

    Products of wide tables are formed in single precision after their mean is taken off, at twice
    the speed; lengths are summed in double precision, so that a distance is wrong by about 1e-6 of
    the rows' squared lengths.

    Parameters
    ----------
    A : ndarray of shape (n, n_features)
    B : ndarray of shape (m, n_features), optional
        By default `A` itself.

    Returns
    -------
    ndarray of shape (n, m)

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.models.kernels import squared_distances
    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[ 0., 25.],
           [25.,  0.]])
    """
    if A.shape[1] < WIDE:
        return euclidean_distances(A, B, squared=True)
    middle = (A if B is None else B).mean(axis=0)
    first, lengths = _centred(A, middle)
    second, others = (first, lengths) if B is None else _centred(B, middle)
    distances = np.empty((len(first), len(second)))
    np.multiply(first @ second.T, np.float32(-2), out=distances)
    distances += lengths[:, None]
    distances += others
    np.maximum(distances, 0, out=distances)
    if B is None:
        np.fill_diagonal(distances, 0)
    return distances


def radial_kernel(distances: Array, gamma: float, out: Array) -> Array:
    """Make a radial kernel of squared distances in a given place: each copy is 8 n^2 bytes."""
    np.multiply(distances, -gamma, out=out)
    return np.exp(out, out=out)


def _centred(rows: Array, middle: Array) -> tuple[Array, Array]:
    """Rows in single precision, and their squared lengths as rounded."""
    short = (rows - middle).astype(np.float32)
    return short, np.einsum("ij,ij->i", short, short, dtype=np.float64)
