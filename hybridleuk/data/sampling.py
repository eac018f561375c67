"""Which images are looked at where not all can be: spread over the set, classes in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["evenly_by_class", "in_turns"]


def evenly_by_class(labels: npt.NDArray[Any], limit: int) -> npt.NDArray[np.intp]:
    """Pick images at even distances within each class, in equal numbers where there are so many.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    limit : int
        At most so many in all, but at least two of each class that has two.

    Returns
    -------
    ndarray of int, ascending

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.data.sampling import evenly_by_class
    >>> evenly_by_class(np.array(list("aaaaabbb")), 6).tolist()
    [0, 2, 4, 5, 6, 7]
    """
    classes = np.unique(labels)
    each = max(limit // len(classes), 2)
    picked = []
    for name in classes:
        rows = np.flatnonzero(labels == name)
        places = np.linspace(0, len(rows) - 1, min(each, len(rows)))
        picked.append(rows[places.astype(np.intp)])
    return np.sort(np.concatenate(picked))


def in_turns(keys: Sequence[Any]) -> npt.NDArray[np.intp]:
    """Order ranked things so that each key comes once before any of them comes twice.

    Examples
    --------
    >>> from hybridleuk.data.sampling import in_turns
    >>> in_turns(["a", "a", "b", "a"]).tolist()
    [0, 2, 1, 3]
    """
    seen: dict[Any, int] = {}
    turns = []
    for key in keys:
        seen[key] = seen.get(key, -1) + 1
        turns.append(seen[key])
    return np.argsort(turns, kind="stable")
