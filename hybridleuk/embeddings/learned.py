"""The images that weights were learned from, told by the weights' own file.

A network knows the images it was trained on, so results on them are better than on any others.
Files written by this package list them in their header, each by the first twelve hexadecimal digits
of its file's SHA-256. Of a million other images, none is likely to be taken for one of them.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from functools import lru_cache

from hybridleuk.embeddings.backbones import BackboneLike, backbone, is_module
from hybridleuk.embeddings.bundle import bundle_entry, read_member
from hybridleuk.embeddings.described import header_in, header_of
from hybridleuk.embeddings.weights import Weights, WeightsLike, resolve_weights
from hybridleuk.exceptions import WeightsError

__all__ = ["learned_from", "learned_text", "n_learned"]

KEY = "hybridleuk_learned_from"
_DIGITS = 12
_HEX = re.compile(r"[0-9a-f]*")


def learned_text(sha256: Iterable[str]) -> dict[str, str]:
    """Return what a safetensors file says of the images its weights were learned from.

    Parameters
    ----------
    sha256 : iterable of str
        Of each image's file.
    """
    digits = sorted({digest[:_DIGITS] for digest in sha256})
    return {KEY: json.dumps({"digits": _DIGITS, "images": "".join(digits)})}


def learned_from(weights: Weights) -> frozenset[str]:
    """List the images that weights were learned from, as far as their file says.

    Parameters
    ----------
    weights : Weights
        From :func:`hybridleuk.embeddings.weights.resolve_weights`.

    Returns
    -------
    frozenset of str
        The first twelve digits of the SHA-256 of each; empty where nothing is said.

    Raises
    ------
    WeightsError
        The list is damaged.
    """
    return frozenset() if weights.path is None else _read(weights, weights.sha256)


def n_learned(name: BackboneLike, weights: WeightsLike, sha256: Iterable[str]) -> int:
    """Count the images that the weights of a backbone were learned from.

    Parameters
    ----------
    name : str or torch.nn.Module
    weights : {"default", "bundled", "random"} or path
    sha256 : iterable of str
        Of each image's file.

    Raises
    ------
    WeightsError
        The weights cannot be had.
    """
    if is_module(name) or weights == "random":
        return 0
    known = learned_from(resolve_weights(backbone(name, weights), weights))
    return sum(digest[:_DIGITS] in known for digest in sha256) if known else 0


@lru_cache(maxsize=16)
def _read(weights: Weights, sha256: str) -> frozenset[str]:  # noqa: ARG001 - part of the key
    path = weights.path
    assert path is not None
    if weights.kind == "bundle":
        entry = bundle_entry(path, weights.record.name)
        said = header_in(io.BytesIO(read_member(path, entry)), entry.size).get(KEY)
    else:
        said = header_of(path).get(KEY)
    if not said:
        return frozenset()
    try:
        document = json.loads(said)
        images = document["images"]
        if document["digits"] != _DIGITS or len(images) % _DIGITS or not _HEX.fullmatch(images):
            raise ValueError("not in digits of twelve")
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{path}: its list of the images it was trained on is damaged ({error}); write the "
            "file again, since results could not be told from those on its own images."
        ) from error
    return frozenset(images[i : i + _DIGITS] for i in range(0, len(images), _DIGITS))
