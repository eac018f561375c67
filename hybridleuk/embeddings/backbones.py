"""The table of backbones: one frozen record for each network that can make embeddings.

A record says where the weights come from, how an image is brought to the network's input, and which
layers can be asked for. Beyond the table there are

``timm:NAME``
    any network of the installed timm, with the weights it names;
``hf-hub:OWNER/NAME``
    any repository at Hugging Face in timm's format, such as encoders of pathology and haematology;
any name, with a file of weights that says which architecture it holds
    a backbone of one's own, see :func:`hybridleuk.embeddings.states.write_weights`;
a ``torch.nn.Module``
    a network of one's own, see :mod:`hybridleuk.embeddings.own`.

Nothing here imports torch, so the table can be listed at once.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from hybridleuk.embeddings.package_table import PACKAGE
from hybridleuk.embeddings.records import (
    OUTPUT,
    POOLINGS,
    Backbone,
    Block,
    Layer,
    blocks_of,
)
from hybridleuk.embeddings.timm_table import TIMM
from hybridleuk.embeddings.torchvision_table import TORCHVISION
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "BACKBONES",
    "OUTPUT",
    "PAPER",
    "POOLINGS",
    "Backbone",
    "BackboneLike",
    "Block",
    "Layer",
    "backbone",
    "backbone_name",
    "backbones_of",
    "blocks_of",
    "canonical_name",
    "file_name",
    "identity_of",
    "is_module",
    "trainable_backbone",
]

BackboneLike: TypeAlias = "str | torch.nn.Module"

BACKBONES: dict[str, Backbone] = {record.name: record for record in (*TORCHVISION, *TIMM, *PACKAGE)}

PAPER = (
    *("efficientnet_b0", "mobilenet_v3_large", "vgg19", "xception", "inception_v3"),
    *("resnet50v2", "vgg16", "nasnetlarge", "inception_resnet_v2", "densenet201"),
)
"""The ten networks of Ghaderzadeh et al. 2022 (doi 10.1002/int.22753), in the paper's order."""

_PREFIXES = ("timm:", "hf-hub:")


def backbone(name: BackboneLike, weights: str | os.PathLike[str] | None = None) -> Backbone:
    """Look a backbone up.

    Parameters
    ----------
    name : str or torch.nn.Module
        A name or alias of the table, however it is spelled; ``timm:NAME``; ``hf-hub:OWNER/NAME``;
        any name where `weights` says which architecture it holds; or a network of one's own.
    weights : str or path, optional
        What is given beside the name. A file or bundle that describes its network is asked first,
        so that one can be used where neither timm's list nor Hugging Face can be reached.

    Raises
    ------
    InputError
        There is none of this name; the message lists those there are.

    Examples
    --------
    >>> from hybridleuk.embeddings.backbones import backbone
    >>> backbone("resnet50").width
    2048
    >>> backbone("VGG-19").name, backbone("NASNetLarge").source
    ('vgg19', 'timm')
    """
    if is_module(name):
        from hybridleuk.embeddings.own import own_record

        return own_record(name)  # type: ignore[arg-type]
    if not isinstance(name, str) or not name.strip():
        raise _unknown(name)
    canonical = canonical_name(name)
    described = _described(canonical, weights)
    if described is not None:
        return described
    if canonical in BACKBONES:
        return BACKBONES[canonical]
    if canonical.startswith(_PREFIXES):
        from hybridleuk.embeddings.timm_backbones import timm_record

        return timm_record(canonical)
    raise _unknown(name)


def trainable_backbone(
    name: BackboneLike, weights: str | os.PathLike[str] | None = None
) -> Backbone:
    """Look up a backbone that can be trained further: any that is built from its record.

    Parameters
    ----------
    name : str
    weights : str or path, optional
        As for :func:`backbone`: a file may say which network it holds.

    Raises
    ------
    InputError
        There is none of this name, or it cannot be trained here.
    """
    record = backbone(name, weights)
    if record.source != "own":
        return record
    raise InputError(
        f"{record.name} is a network of one's own, which cannot be fine-tuned here, only used as "
        f"it is; expected a name of the table, of timm or of a file: {', '.join(BACKBONES)}, "
        "timm:NAME, hf-hub:OWNER/NAME."
    )


def canonical_name(name: str) -> str:
    """Return the table's name for an alias; any other name comes back as it is.

    Examples
    --------
    >>> from hybridleuk.embeddings.backbones import canonical_name
    >>> [canonical_name(name) for name in ("ResNet50V2", "vgg-16", "timm:resnet10t")]
    ['resnet50v2', 'vgg16', 'timm:resnet10t']
    """
    plain = name.strip()
    for prefix in _PREFIXES:
        if plain.lower().startswith(prefix):
            return prefix + plain[len(prefix) :].strip()
    return _SPELLINGS.get(_spelling(plain), plain)


def backbone_name(name: BackboneLike) -> str:
    """Name a backbone for blocks, columns and reports, without looking it up."""
    return type(name).__name__ if is_module(name) else canonical_name(str(name))


def backbones_of(value: BackboneLike | Sequence[BackboneLike]) -> list[BackboneLike]:
    """List the backbones of a parameter that takes one or several."""
    # torch's own containers are sequences too.
    if isinstance(value, str) or is_module(value):
        return [value]  # type: ignore[list-item]
    return list(value)  # type: ignore[arg-type]


def file_name(name: str) -> str:
    """Turn a backbone's name into one that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).strip("-.") or "backbone"


def identity_of(record: Backbone) -> str:
    """Name what a cached embedding belongs to: another size or mean is another identity."""
    known = BACKBONES.get(record.name)
    if known is not None and known.recipe == record.recipe:
        return record.name
    return f"{record.name}#{record.recipe}"


def is_module(value: Any) -> bool:
    """Tell a network from a name, without importing torch for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _described(name: str, weights: str | os.PathLike[str] | None) -> Backbone | None:
    """Ask the weights which network they are of; None where they do not say, or say another."""
    if weights is None or os.fspath(weights) in ("default", "bundled", "random"):
        return None
    from hybridleuk.embeddings.described import described_record

    found = described_record(name, weights)
    if found is None:
        return None
    known = BACKBONES.get(name)
    other = known is not None and known.architecture != found.architecture
    if other:
        return None
    # Under another name it is built as before.
    return found if found.name == name else replace(found, name=name, builder=found.architecture)


def _spelling(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


_SPELLINGS = {
    _spelling(spelled): record.name
    for record in BACKBONES.values()
    for spelled in (record.name, *record.aliases)
}


def _unknown(name: Any) -> InputError:
    close = difflib.get_close_matches(_spelling(str(name)), _SPELLINGS, n=1, cutoff=0.75)
    hint = f" Did you mean {_SPELLINGS[close[0]]}?" if close else ""
    return InputError(
        f"There is no backbone {name!r}; there are {', '.join(BACKBONES)}, timm:NAME, "
        f"hf-hub:OWNER/NAME, or a network of one's own.{hint}"
    )
