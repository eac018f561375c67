"""How large a fitted candidate is, wherever it was fitted."""

from __future__ import annotations

import pickle
from typing import Any

from sklearn.base import BaseEstimator

from hybridleuk.evaluation.checkpoints import WITHOUT_EFFECT

__all__ = ["size_of"]


def size_of(fitted: Any) -> int | None:
    """Count the bytes of a fitted candidate, pickled, with the networks it predicts with.

    Settings that name places and numbers of workers are left out, so that the size is the same
    in every folder.

    Parameters
    ----------
    fitted : classifier
        Networks that it does not hold itself it counts by a method ``network_bytes``.

    Returns
    -------
    int or None
        None where it cannot be pickled.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from hybridleuk.evaluation.size import size_of
    >>> few, many = (KNeighborsClassifier().fit([[0.0]] * n, [0] * n) for n in (10, 1000))
    >>> size_of(few) < size_of(many)
    True
    """
    counter = _Counter()
    try:
        _Placeless(counter, protocol=pickle.HIGHEST_PROTOCOL).dump(fitted)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    networks = fitted.network_bytes() if hasattr(fitted, "network_bytes") else 0
    return counter.written + int(networks)


class _Placeless(pickle.Pickler):
    """Leave out what does not change what an estimator predicts, in it and in all it holds."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, BaseEstimator):
            return NotImplemented
        reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
            return reduced
        state = {name: part for name, part in reduced[2].items() if name not in WITHOUT_EFFECT}
        return (*reduced[:2], state, *reduced[3:])


class _Counter:
    """A file that keeps nothing but its length."""

    written = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.written += size
        return size
