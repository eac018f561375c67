"""What is known of one network, and which parts of it make an embedding.

Nothing here imports torch, so that the table of backbones can be listed at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple

from hybridleuk.exceptions import InputError

__all__ = [
    "OUTPUT",
    "POOLINGS",
    "Backbone",
    "Block",
    "Layer",
    "Rates",
    "blocks_of",
    "record_from_json",
    "record_to_json",
]

POOLINGS = ("avg", "max", "gem", "center", "stained", "cls")
OUTPUT = "output"
"""Name of the layer that is what the network returns, rather than one of its modules."""


class Layer(NamedTuple):
    """A module of the network whose output can be pooled into an embedding."""

    name: str
    width: int


class Rates(NamedTuple):
    """Learning rates that suit a network that is trained further.

    Attributes
    ----------
    backbone : float
        Of its last layers, as a share of the rate of a new head.
    decay : float
        Of a layer, as a share of the rate of the layer after it.
    """

    backbone: float
    decay: float


_LARGEST_FREE = 96  # px; networks that take no smaller picture take one size only
_OF_CONVOLUTIONS = Rates(0.8, 1.0)  # measured, see FineTunedCNN
# He et al., Masked autoencoders are scalable vision learners, CVPR 2022, table 9: a base rate of
# 1e-3 for 256 pictures, hence 1.2e-4 for 32, and 0.75 of it from layer to layer.
_OF_TRANSFORMERS = Rates(0.2, 0.75)


class Block(NamedTuple):
    """Part of an embedding: one layer pooled in one way."""

    layer: str
    pooling: str
    width: int


@dataclass(frozen=True)
class Backbone:
    """What is known of one network.

    Parameters
    ----------
    name : str
        What users write.
    weights_tag : str
        What the source calls the weights.
    weights_file : str
        The file they have in torch hub's cache, or in the repository `hub`.
    layers : tuple of Layer
        From shallow to deep; the last one is the default. The width is the number of channels.
    head : tuple of str
        Modules (classifier, auxiliary outputs) that an embedding does not need.
    parameters : int
        Number of parameters with the head, as the source counts them.
    reference : str
        The paper.
    input_size : int
        Side of the square input, px.
    resize_size : int
        Side to which the source resizes before it crops. Not used for embeddings: cells at the
        edge count, so the whole image is resized to `input_size` and nothing is cropped.
    mean, std : tuple of float
        Subtracted from and divided out of RGB values between 0 and 1.
    interpolation : {"bilinear", "bicubic"}
    antialias : bool
    minimum_size : int
        Smallest input side the layers allow, px.
    options : tuple of (str, object)
        Further arguments of the source's builder.
    rectified : tuple of str
        Layers whose output the network sends through a ReLU of its own before pooling it.
    source : {"torchvision", "timm", "package", "own"}
        Who builds the network; ``package`` is hybridleuk itself, which brings the weights along.
    licence : str
    builder : str
        What the source calls the network; by default `name`.
    aliases : tuple of str
        Other names, as papers write them. Case, hyphens and underscores never matter.
    note : str
        What should be known before this network is compared with a paper's.
    hub : str
        Repository of the weights at Hugging Face, ``owner/name`` or ``owner/name@revision``.
    url : str
        Address of the weights where neither torchvision nor Hugging Face has them.
    sha256 : str
        How the SHA-256 of the weights' file begins; empty where the source does not tell.
    channels_last : bool
        Whether maps are (n, h, w, channels) rather than (n, channels, h, w).
    prefix_tokens : int
        Of a transformer: how many tokens stand before those of the patches.
    class_token : bool
        Whether the first of them stands for the whole image.
    """

    name: str
    weights_tag: str
    weights_file: str
    layers: tuple[Layer, ...]
    head: tuple[str, ...]
    parameters: int
    reference: str
    input_size: int = 224
    resize_size: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    minimum_size: int = 32
    options: tuple[tuple[str, object], ...] = ()
    rectified: tuple[str, ...] = ()
    source: Literal["torchvision", "timm", "package", "own"] = "torchvision"
    licence: str = "not stated"
    builder: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    hub: str = ""
    url: str = ""
    sha256: str = ""
    channels_last: bool = False
    prefix_tokens: int = 0
    class_token: bool = False

    @property
    def architecture(self) -> str:
        """What the source calls the network."""
        return self.builder or self.name

    @property
    def default_layer(self) -> str:
        """Name of the deepest layer, used unless another is asked for."""
        return self.layers[-1].name

    @property
    def width(self) -> int:
        """Number of values of the default embedding."""
        return self.layers[-1].width

    @property
    def fixed_size(self) -> bool:
        """Whether pictures of `input_size` only can go in, since each place is learned for itself.

        So it is with most vision transformers.
        """
        tokens = self.prefix_tokens > 0 and self.minimum_size == self.input_size
        return tokens or self.minimum_size > _LARGEST_FREE

    @property
    def rates(self) -> Rates:
        """Learning rates for training it further: lower for transformers, and by layer."""
        attends = self.prefix_tokens > 0 or self.fixed_size
        return _OF_TRANSFORMERS if attends else _OF_CONVOLUTIONS

    @property
    def recipe(self) -> str:
        """Digest of what decides an embedding beside weights and layers."""
        facts = (
            *(self.source, self.architecture, self.options, self.rectified, self.input_size),
            *(self.mean, self.std, self.interpolation, self.channels_last, self.prefix_tokens),
        )
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]

    def layer(self, name: str) -> Layer:
        """Find a layer by name; ``"default"`` is the deepest."""
        wanted = self.default_layer if name == "default" else name
        for layer in self.layers:
            if layer.name == wanted:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise InputError(
            f"{self.name} has no layer {name!r} to pool; it has {known}. Write 'default' for the "
            "last one, 'all' for every one, or several joined with '+'."
        )

    def in_head(self, tensor: str) -> bool:
        """Tell whether a tensor of a state dict belongs to the head."""
        return any(tensor == part or tensor.startswith(f"{part}.") for part in self.head)


def blocks_of(
    record: Backbone, layers: str | Sequence[str] = "default", pooling: str = "avg"
) -> tuple[Block, ...]:
    """List the parts of an embedding in the order in which they lie side by side.

    Parameters
    ----------
    record : Backbone
    layers : str or sequence of str
        ``"default"`` (the deepest), ``"upper"`` (the deeper two thirds of those listed), ``"all"``,
        names of layers, or several joined with ``+``.
    pooling : str
        Names of :data:`POOLINGS`, several joined with ``+``: ``avg``; ``max``; ``gem``, the
        generalised mean; ``center``, the mean of the middle ninth; ``stained``, the mean weighted
        by stain; ``cls``, a transformer's class token. See :mod:`hybridleuk.embeddings.pooling`.

    Raises
    ------
    InputError
        A layer or pooling does not exist, is there twice, or the network has no class token.

    Examples
    --------
    >>> from hybridleuk.embeddings.backbones import backbone, blocks_of
    >>> for block in blocks_of(backbone("resnet18"), "layer3+default"):
    ...     print(block.layer, block.pooling, block.width)
    layer3 avg 256
    layer4 avg 512
    """
    chosen = [record.layer(name) for name in _layer_names(record, layers)]
    poolings = _pooling_names(record, pooling)
    blocks = tuple(Block(layer.name, how, layer.width) for layer in chosen for how in poolings)
    if len(set(blocks)) < len(blocks):
        raise InputError(f"Layers {layers!r} with pooling {pooling!r}: expected each only once.")
    return blocks


def _layer_names(record: Backbone, layers: str | Sequence[str]) -> list[str]:
    if isinstance(layers, str):
        if layers in ("all", "upper"):
            skipped = len(record.layers) // 3 if layers == "upper" else 0
            return [layer.name for layer in record.layers[skipped:]]
        return [name.strip() for name in layers.split("+")]
    if not layers:
        raise InputError("Expected at least one layer, got none; write 'default' for the last one.")
    return list(layers)


def _pooling_names(record: Backbone, pooling: str) -> list[str]:
    names = [name.strip() for name in str(pooling).split("+")]
    for name in names:
        if name not in POOLINGS:
            raise InputError(
                f"pooling is {pooling!r}; expected {', '.join(POOLINGS)}, or several "
                "joined with '+'."
            )
    if "cls" in names and not record.class_token:
        raise InputError(
            f"{record.name} has no class token, so pooling 'cls' means nothing; write 'avg', or "
            "choose a vision transformer."
        )
    return names


def record_to_json(record: Backbone) -> dict[str, Any]:
    """Describe a record by plain values, for files that bring weights along."""
    return asdict(record) | {"layers": [list(layer) for layer in record.layers]}


def record_from_json(document: Mapping[str, Any]) -> Backbone:
    """Read what :func:`record_to_json` wrote; nothing in it is trusted.

    Raises
    ------
    ValueError
        A field is missing, unknown, of another type, or names something that is never written.
    """
    known = {field.name for field in fields(Backbone)}
    if not isinstance(document, Mapping) or set(document) - known:
        raise ValueError("fields that a record does not have")
    values = {name: _frozen(value) for name, value in document.items()}
    try:
        values["layers"] = tuple(Layer(str(name), int(width)) for name, width in values["layers"])
        record = Backbone(**values)
        _check(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no complete record ({error})") from error
    return record


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


# Arguments of builders that would read or fetch a file, or change what the network returns.
_NEVER = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
    | {"weights", "weights_backbone", "features_only", "progress"}
)


def _check(record: Backbone) -> None:
    size, least = record.input_size, record.minimum_size
    right = (
        record.source in ("torchvision", "timm", "package")
        and record.interpolation in ("bilinear", "bicubic")
        and isinstance(record.name, str)
        and all(isinstance(part, str) for part in record.head + record.rectified)
        and isinstance(size, int)
        and 8 <= least <= size <= 4096
        and len(record.layers) > 0
        and all(0 < layer.width < 10**6 for layer in record.layers)
        and len(record.mean) == len(record.std) == 3
        and all(float(value) > 0 for value in record.std)
        and all(abs(float(value)) < 1e3 for value in record.mean)
        and 0 <= int(record.prefix_tokens) < 1000
    )
    architecture = str(record.architecture)
    named = architecture.replace("_", "").replace(".", "").isalnum()
    plain = (str, int, float, bool, type(None), tuple)
    harmless = all(name not in _NEVER and isinstance(v, plain) for name, v in record.options)
    if not (right and named and harmless):
        raise ValueError("a record with values that are never written")
