"""Change of scale that has no preferred direction.

A picture turned by 90 degrees or mirrored must give the same masks, turned or mirrored. The means
over areas used here do, whatever the sizes; block reduction and nearest-neighbour picking do not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["resample"]

FloatArray = npt.NDArray[np.floating[Any]]


@lru_cache(maxsize=64)
def _weights(n: int, m: int) -> Any:
    """Sparse (m, n) matrix that turns n samples into m: area means down, straight lines up."""
    position = (np.arange(m) + 0.5) * n / m - 0.5
    reach = max(n / m, 1.0)
    first = np.floor(position - reach).astype(int)
    columns = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)[None, :]
    distance = np.abs(columns - position[:, None])
    if n > m:
        values = np.clip(reach / 2 + 0.5 - distance, 0.0, 1.0)
    else:
        values = np.clip(1.0 - distance, 0.0, None)
    values /= values.sum(axis=1, keepdims=True)
    columns = np.clip(columns, 0, n - 1)
    starts = np.arange(m + 1) * columns.shape[1]
    return sparse.csr_matrix(
        (values.ravel().astype(np.float32), columns.ravel(), starts), shape=(m, n)
    )


def resample(image: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Bring an image to another size.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)
    shape : tuple of int
        Rows and columns of the result.

    Returns
    -------
    ndarray of shape ``shape`` or ``shape + (C,)``, float32
        Means over areas where it shrinks, linear interpolation where it grows.
    """
    if image.ndim == 3:
        planes = [resample(image[..., c], shape) for c in range(image.shape[2])]
        return np.stack(planes, axis=-1)
    plane = image.astype(np.float32)
    if plane.shape[0] != shape[0]:
        plane = _weights(plane.shape[0], shape[0]) @ plane
    if plane.shape[1] != shape[1]:
        plane = (_weights(plane.shape[1], shape[1]) @ plane.T).T
    return np.ascontiguousarray(plane)
