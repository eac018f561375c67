"""The table of backbones: one frozen record for each network that can make embeddings.

A record says where the weights come from, how an image is brought to the network's input, and which
layers can be asked for. Nothing here imports torch, so the table can be listed at once.

The weights are those torchvision tags ``IMAGENET1K_V1`` throughout, also where it has newer ones:
they follow the original papers, and published figures on blood cells were made with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hybridleuk.exceptions import InputError

__all__ = ["BACKBONES", "POOLINGS", "Backbone", "Block", "Layer", "backbone", "blocks_of"]

POOLINGS = ("avg", "max", "center")

_TORCHVISION_LICENCE = (
    "BSD-3-Clause; trained on ImageNet, whose images are for non-commercial research"
)


class Layer(NamedTuple):
    """A module of the network whose output can be pooled into an embedding."""

    name: str
    width: int


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
        What users write; also the name of torchvision's builder.
    weights_tag, weights_file : str
        torchvision's name of the weights, and the file they have in torch hub's cache. The eight
        digits in the file's name begin its SHA-256.
    layers : tuple of Layer
        From shallow to deep; the last one is the default. The width is the number of channels.
    head : tuple of str
        Modules (classifier, auxiliary outputs) that an embedding does not need.
    parameters : int
        Number of parameters with the head, as torchvision counts them.
    input_size : int
        Side of the square input, px.
    resize_size : int
        Side to which torchvision resizes before it crops. Not used for embeddings: cells at the
        edge count, so the whole image is resized to `input_size` and nothing is cropped.
    mean, std : tuple of float
        Subtracted from and divided out of RGB values between 0 and 1.
    interpolation : {"bilinear", "bicubic"}
    antialias : bool
    minimum_size : int
        Smallest input side the layers allow, px.
    options : tuple of (str, object)
        Further arguments of torchvision's builder.
    rectified : tuple of str
        Layers whose output the network sends through a ReLU of its own before pooling it.
    source, licence, reference : str
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
    source: str = "torchvision"
    licence: str = _TORCHVISION_LICENCE

    @property
    def default_layer(self) -> str:
        """Name of the deepest layer, used unless another is asked for."""
        return self.layers[-1].name

    @property
    def width(self) -> int:
        """Number of values of the default embedding."""
        return self.layers[-1].width

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


def backbone(name: str) -> Backbone:
    """Look a backbone up.

    Raises
    ------
    InputError
        There is none of this name; the message lists those there are.

    Examples
    --------
    >>> from hybridleuk.embeddings.backbones import backbone
    >>> backbone("resnet50").width
    2048
    """
    try:
        return BACKBONES[name]
    except (KeyError, TypeError):
        raise InputError(
            f"There is no backbone {name!r}; there are {', '.join(BACKBONES)}."
        ) from None


def blocks_of(
    record: Backbone, layers: str | Sequence[str] = "default", pooling: str = "avg"
) -> tuple[Block, ...]:
    """List the parts of an embedding in the order in which they lie side by side.

    Parameters
    ----------
    record : Backbone
    layers : str or sequence of str
        ``"default"``, ``"all"``, names of layers, or several joined with ``+``.
    pooling : str
        ``"avg"``, ``"max"``, ``"center"`` (the mean of the middle ninth), or several joined
        with ``+``.

    Examples
    --------
    >>> from hybridleuk.embeddings.backbones import backbone, blocks_of
    >>> for block in blocks_of(backbone("resnet18"), "layer3+default"):
    ...     print(block.layer, block.pooling, block.width)
    layer3 avg 256
    layer4 avg 512
    """
    chosen = [record.layer(name) for name in _layer_names(record, layers)]
    poolings = _pooling_names(pooling)
    blocks = tuple(Block(layer.name, how, layer.width) for layer in chosen for how in poolings)
    if len(set(blocks)) < len(blocks):
        raise InputError(f"Layers {layers!r} with pooling {pooling!r}: expected each only once.")
    return blocks


def _layer_names(record: Backbone, layers: str | Sequence[str]) -> list[str]:
    if isinstance(layers, str):
        if layers == "all":
            return [layer.name for layer in record.layers]
        return [name.strip() for name in layers.split("+")]
    if not layers:
        raise InputError("Expected at least one layer, got none; write 'default' for the last one.")
    return list(layers)


def _pooling_names(pooling: str) -> list[str]:
    names = [name.strip() for name in str(pooling).split("+")]
    for name in names:
        if name not in POOLINGS:
            raise InputError(
                f"pooling is {pooling!r}; expected {', '.join(POOLINGS)}, or several "
                "joined with '+'."
            )
    return names


def _layers(**widths: int) -> tuple[Layer, ...]:
    # Keyword names cannot hold a dot: two underscores stand for it.
    return tuple(Layer(name.replace("__", "."), width) for name, width in widths.items())


def _features(*numbered: tuple[int, int]) -> tuple[Layer, ...]:
    return tuple(Layer(f"features.{number}", width) for number, width in numbered)


def _resnet(name: str, digits: str, parameters: int, expansion: int) -> Backbone:
    return Backbone(
        name,
        "IMAGENET1K_V1",
        f"{name}-{digits}.pth",
        _layers(**{f"layer{i + 1}": 64 * 2**i * expansion for i in range(4)}),
        head=("fc",),
        parameters=parameters,
        reference="He et al., Deep residual learning for image recognition, CVPR 2016",
    )


def _densenet(name: str, digits: str, parameters: int, widths: Sequence[int]) -> Backbone:
    blocks = [Layer(f"features.denseblock{i + 1}", width) for i, width in enumerate(widths[:-1])]
    return Backbone(
        name,
        "IMAGENET1K_V1",
        f"{name}-{digits}.pth",
        (*blocks, Layer("features.norm5", widths[-1])),
        head=("classifier",),
        parameters=parameters,
        rectified=("features.norm5",),
        reference="Huang et al., Densely connected convolutional networks, CVPR 2017",
    )


def _vgg(name: str, digits: str, parameters: int, pools: Sequence[int]) -> Backbone:
    return Backbone(
        name,
        "IMAGENET1K_V1",
        f"{name}-{digits}.pth",
        _features(*zip(pools, (64, 128, 256, 512, 512), strict=True)),
        head=("classifier",),
        parameters=parameters,
        reference="Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015",
    )


def _mobilenet(
    name: str, digits: str, parameters: int, layers: Sequence[tuple[int, int]]
) -> Backbone:
    return Backbone(
        name,
        "IMAGENET1K_V1",
        f"{name}-{digits}.pth",
        _features(*layers),
        head=("classifier",),
        parameters=parameters,
        reference="Howard et al., Searching for MobileNetV3, ICCV 2019",
    )


def _squeezenet(
    name: str, digits: str, parameters: int, layers: Sequence[tuple[int, int]]
) -> Backbone:
    return Backbone(
        name,
        "IMAGENET1K_V1",
        f"{name}-{digits}.pth",
        _features(*layers),
        head=("classifier",),
        parameters=parameters,
        reference="Iandola et al., SqueezeNet, arXiv 1602.07360, 2016",
    )


_FIRES_1_0 = ((3, 128), (4, 128), (5, 256), (7, 256), (8, 384), (9, 384), (10, 512), (12, 512))
_FIRES_1_1 = ((3, 128), (4, 128), (6, 256), (7, 256), (9, 384), (10, 384), (11, 512), (12, 512))

_EFFICIENTNET_B0 = Backbone(
    "efficientnet_b0",
    "IMAGENET1K_V1",
    "efficientnet_b0_rwightman-7f5810bc.pth",
    _features((2, 24), (3, 40), (5, 112), (7, 320), (8, 1280)),
    head=("classifier",),
    parameters=5_288_548,
    interpolation="bicubic",
    reference="Tan and Le, EfficientNet, ICML 2019",
)

# The weights were trained with RGB between -1 and 1; `transform_input` maps ImageNet's
# standardisation to that inside the network, as torchvision does with its own weights.
_INCEPTION_V3 = Backbone(
    "inception_v3",
    "IMAGENET1K_V1",
    "inception_v3_google-0cc3c7bd.pth",
    _layers(Mixed_5d=288, Mixed_6e=768, Mixed_7c=2048),
    head=("fc", "AuxLogits"),
    parameters=27_161_264,
    input_size=299,
    resize_size=342,
    minimum_size=75,
    options=(("transform_input", True), ("aux_logits", False), ("init_weights", False)),
    reference="Szegedy et al., Rethinking the Inception architecture, CVPR 2016",
)

BACKBONES: dict[str, Backbone] = {
    record.name: record
    for record in (
        _squeezenet("squeezenet1_0", "b66bff10", 1_248_424, _FIRES_1_0),
        _squeezenet("squeezenet1_1", "b8a52dc0", 1_235_496, _FIRES_1_1),
        _resnet("resnet18", "f37072fd", 11_689_512, expansion=1),
        _resnet("resnet34", "b627a593", 21_797_672, expansion=1),
        _resnet("resnet50", "0676ba61", 25_557_032, expansion=4),
        _densenet("densenet121", "a639ec97", 7_978_856, (256, 512, 1024, 1024)),
        _densenet("densenet201", "c1103571", 20_013_928, (256, 512, 1792, 1920)),
        _vgg("vgg16", "397923af", 138_357_544, (4, 9, 16, 23, 30)),
        _vgg("vgg19", "dcbb9e9d", 143_667_240, (4, 9, 18, 27, 36)),
        _mobilenet(
            "mobilenet_v3_small",
            "047dcff4",
            2_542_856,
            ((1, 16), (3, 24), (8, 48), (11, 96), (12, 576)),
        ),
        _mobilenet(
            "mobilenet_v3_large",
            "8738ca79",
            5_483_032,
            ((3, 24), (6, 40), (12, 112), (15, 160), (16, 960)),
        ),
        _EFFICIENTNET_B0,
        _INCEPTION_V3,
    )
}
