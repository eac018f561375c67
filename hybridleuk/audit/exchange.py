"""Labels exchanged at random among images that may be exchanged: what chance alone would give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["exchanged", "p_value"]

Array = npt.NDArray[Any]


def exchanged(
    codes: Array, groups: Array | None, *, times: int, random_state: int = 0
) -> Iterator[Array]:
    """Yield labels with all relation to their images destroyed, and no other.

    Images of one group are not independent. With groups, each group therefore takes the labels of
    another one as a whole, repeated or cut to its own size and in random order: where each patient
    has one class, the classes of patients are exchanged.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    groups : ndarray of shape (n,) or None
        Without groups images are exchanged one by one.
    times : int
    random_state : int, default 0

    Yields
    ------
    ndarray of shape (n,), int
    """
    rng = np.random.default_rng(random_state)
    if groups is None or len(np.unique(groups)) == len(groups):
        for _ in range(times):
            yield rng.permutation(codes)
        return
    _, members = np.unique(groups, return_inverse=True)
    order = np.argsort(members, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(members))[:-1])
    for _ in range(times):
        made = np.empty_like(codes)
        for here, there in zip(rows, rng.permutation(len(rows)), strict=True):
            made[here] = np.resize(rng.permutation(codes[rows[there]]), len(here))
        yield made


def p_value(observed: float, by_chance: Array) -> float:
    """Share of draws by chance that reach what was observed, itself counted among them.

    (Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9:39.)

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.audit.exchange import p_value
    >>> p_value(0.9, np.array([0.5, 0.6, 0.4]))
    0.25
    """
    return float((1 + np.sum(by_chance >= observed - 1e-12)) / (1 + len(by_chance)))
