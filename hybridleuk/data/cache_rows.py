"""One row of the cache: an array as bytes, and the checksum that tells whether they are right.

A value is one line that names type and shape (``<f4 3,4``), then the values themselves. Reading it
costs a split and a copy; NumPy's own file format is parsed as Python source, which took longer than
everything else a second run did.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.exceptions import InputError

__all__ = ["checksum", "decode", "encode", "kind_of"]

_KIND_ENDS = ":"


def kind_of(key: str) -> str:
    """Return the family of results a key belongs to: what stands before its colon.

    Examples
    --------
    >>> kind_of("embedding:3f2a"), kind_of("a key of its own")
    ('embedding', 'other')
    """
    kind, colon, _ = key.partition(_KIND_ENDS)
    return kind if colon else "other"


def encode(array: npt.NDArray[Any]) -> bytes:
    r"""Write an array of numbers, truth values or text as bytes.

    Raises
    ------
    InputError
        It holds Python objects or records.

    Examples
    --------
    >>> encode(np.array([[1, 2]], dtype=np.uint8))
    b'|u1 1,2\n\x01\x02'
    """
    values = np.asarray(array)
    if values.dtype.kind not in "biufcSU":
        raise InputError(
            f"An array of type {values.dtype} cannot be kept in the cache; expected numbers, truth "
            "values or text."
        )
    head = f"{values.dtype.str} {','.join(map(str, values.shape))}\n"
    return head.encode() + values.tobytes()


def decode(value: bytes) -> npt.NDArray[Any]:
    """Undo :func:`encode`; the array is the caller's own."""
    end = value.index(b"\n") + 1
    dtype, shape = _layout(value[:end])
    return np.frombuffer(value, dtype, offset=end).reshape(shape).copy()


@lru_cache(maxsize=256)
def _layout(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    name, _, shape = head.decode().rstrip("\n").partition(" ")
    return np.dtype(name), tuple(int(side) for side in shape.split(",") if side)


def checksum(key: str, value: bytes) -> bytes:
    """Hash a row: 8 bytes of BLAKE2b over its key and its value.

    The key is part of it, so that a damaged index that leads to another row is noticed too.
    """
    digest = hashlib.blake2b(key.encode(), digest_size=8)
    digest.update(value)
    return digest.digest()
