"""Whether pretraining gets anywhere, asked without training anything: a vote of nearest neighbors.

References
----------
Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["found_again", "neighbor_accuracy"]

NEIGHBORS = 10
Rows = npt.NDArray[np.float32]


def neighbor_accuracy(rows: Rows, codes: npt.NDArray[np.int64], groups: Any = None) -> float:
    """Balanced accuracy of the vote of each row's nearest others, by cosine.

    Parameters
    ----------
    rows : ndarray of shape (n, width)
    codes : ndarray of shape (n,)
        Number of each row's class; -1 is no class, and neither votes nor counts.
    groups : array-like of shape (n,), optional
        Patients: rows of one's own do not vote.

    Returns
    -------
    float
        NaN where fewer than two rows have a class.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.models.pretraining_probe import neighbor_accuracy
    >>> rows = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32)
    >>> neighbor_accuracy(rows, np.array([0, 0, 1, 1]))
    1.0
    """
    known = codes >= 0
    rows, codes = rows[known], codes[known]
    if len(codes) < 2:
        return float("nan")
    near = _alike(rows, rows)
    np.fill_diagonal(near, -np.inf)
    if groups is not None:
        members = np.asarray(groups)[known]
        near[members[:, None] == members[None, :]] = -np.inf
    fewest = int(np.bincount(codes)[np.unique(codes)].min())
    k = max(1, min(NEIGHBORS, fewest - 1))
    chosen = np.argsort(-near, axis=1, kind="stable")[:, :k]
    weights = np.exp(np.take_along_axis(near, chosen, axis=1) / 0.07)
    votes = np.zeros((len(codes), int(codes.max()) + 1))
    for place in range(k):
        votes[np.arange(len(codes)), codes[chosen[:, place]]] += weights[:, place]
    right = (votes.argmax(axis=1) == codes) & (votes.max(axis=1) > 0)
    return float(np.mean([right[codes == code].mean() for code in np.unique(codes)]))


def found_again(first: Rows, second: Rows) -> float:
    """Share of pictures whose other view lies nearer than any other picture's.

    Parameters
    ----------
    first, second : ndarray of shape (n, width)
        Embeddings of two views of the same pictures.
    """
    near = _alike(first, second)
    return float((near.argmax(axis=1) == np.arange(len(near))).mean())


def _alike(first: Rows, second: Rows) -> npt.NDArray[np.float64]:
    """Cosines of all pairs of rows."""
    scaled = [
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        for rows in (first.astype(np.float64), second.astype(np.float64))
    ]
    cosines: npt.NDArray[np.float64] = scaled[0] @ scaled[1].T
    return cosines
