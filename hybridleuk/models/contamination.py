"""Whether candidates are tested on images that their networks were trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hybridleuk.data.manifest import Manifest
from hybridleuk.embeddings.backbones import backbone_name, backbones_of, is_module
from hybridleuk.embeddings.learned import n_learned
from hybridleuk.models.named import parts_of

__all__ = ["contaminated"]

_Network = tuple[Any, Any]


def contaminated(
    estimators: Mapping[str, Any], sets: Mapping[str, Manifest]
) -> list[dict[str, Any]]:
    """Find images that the weights behind candidates were learned from.

    Parameters
    ----------
    estimators : mapping of name to classifier
    sets : mapping of name to Manifest
        The images compared on under ``""``, external ones under their names.

    Returns
    -------
    list of dict
        ``set, backbone, candidates, n_learned, n_images`` for each set and network that share any.
    """
    users: dict[tuple[str, str], tuple[_Network, list[str]]] = {}
    for name, whole in estimators.items():
        for network in _networks(whole):
            key = (backbone_name(network[0]), os.fspath(network[1]))
            names = users.setdefault(key, (network, []))[1]
            if name not in names:
                names.append(name)
    return [
        {
            "set": place,
            "backbone": key[0],
            "candidates": names,
            "n_learned": count,
            "n_images": len(manifest),
        }
        for place, manifest in sets.items()
        for key, (network, names) in users.items()
        if (count := n_learned(*network, manifest.frame["sha256"]))
    ]


def _networks(whole: Any) -> Iterator[_Network]:
    """Yield each network of a classifier, or of those it combines, with its weights."""
    for part in parts_of(whole):
        if not hasattr(part, "backbone") or not hasattr(part, "weights"):
            continue
        if getattr(part, "features", "deep") != "morphology":
            yield from _paired(backbones_of(part.backbone), part.weights)


def _paired(backbones: list[Any], weights: Any) -> Iterable[_Network]:
    listed = weights if isinstance(weights, (list, tuple)) else [weights] * len(backbones)
    return [pair for pair in zip(backbones, listed, strict=False) if not is_module(pair[0])]
