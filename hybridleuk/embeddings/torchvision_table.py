"""The networks that torchvision builds, one record each.

The weights are those torchvision tags ``IMAGENET1K_V1`` throughout, also where it has newer ones:
they follow the original papers, and published figures on blood cells were made with them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybridleuk.embeddings.records import Backbone, Layer

__all__ = ["TORCHVISION"]

_LICENCE = "BSD-3-Clause; trained on ImageNet, whose images are for non-commercial research"


def _layers(**widths: int) -> tuple[Layer, ...]:
    # Keyword names cannot hold a dot: two underscores stand for it.
    return tuple(Layer(name.replace("__", "."), width) for name, width in widths.items())


def _features(*numbered: tuple[int, int]) -> tuple[Layer, ...]:
    return tuple(Layer(f"features.{number}", width) for number, width in numbered)


def _record(
    name: str,
    file: str,
    layers: tuple[Layer, ...],
    head: tuple[str, ...],
    parameters: int,
    reference: str,
    **others: object,
) -> Backbone:
    digits = file.rsplit("-", 1)[1].removesuffix(".pth")
    return Backbone(
        name,
        "IMAGENET1K_V1",
        file,
        layers,
        head,
        parameters,
        reference,
        licence=_LICENCE,
        sha256=digits,
        **others,  # type: ignore[arg-type]
    )


def _resnet(name: str, digits: str, parameters: int, expansion: int) -> Backbone:
    return _record(
        name,
        f"{name}-{digits}.pth",
        _layers(**{f"layer{i + 1}": 64 * 2**i * expansion for i in range(4)}),
        ("fc",),
        parameters,
        "He et al., Deep residual learning for image recognition, CVPR 2016",
    )


def _densenet(name: str, digits: str, parameters: int, widths: Sequence[int]) -> Backbone:
    blocks = [Layer(f"features.denseblock{i + 1}", width) for i, width in enumerate(widths[:-1])]
    return _record(
        name,
        f"{name}-{digits}.pth",
        (*blocks, Layer("features.norm5", widths[-1])),
        ("classifier",),
        parameters,
        "Huang et al., Densely connected convolutional networks, CVPR 2017",
        rectified=("features.norm5",),
    )


def _vgg(name: str, digits: str, parameters: int, pools: Sequence[int]) -> Backbone:
    return _record(
        name,
        f"{name}-{digits}.pth",
        _features(*zip(pools, (64, 128, 256, 512, 512), strict=True)),
        ("classifier",),
        parameters,
        "Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015",
    )


def _mobilenet(
    name: str, digits: str, parameters: int, layers: Sequence[tuple[int, int]], *aliases: str
) -> Backbone:
    return _record(
        name,
        f"{name}-{digits}.pth",
        _features(*layers),
        ("classifier",),
        parameters,
        "Howard et al., Searching for MobileNetV3, ICCV 2019",
        aliases=aliases,
    )


def _squeezenet(
    name: str, digits: str, parameters: int, layers: Sequence[tuple[int, int]], *aliases: str
) -> Backbone:
    return _record(
        name,
        f"{name}-{digits}.pth",
        _features(*layers),
        ("classifier",),
        parameters,
        "Iandola et al., SqueezeNet, arXiv 1602.07360, 2016",
        aliases=aliases,
    )


_FIRES_1_0 = ((3, 128), (4, 128), (5, 256), (7, 256), (8, 384), (9, 384), (10, 512), (12, 512))
_FIRES_1_1 = ((3, 128), (4, 128), (6, 256), (7, 256), (9, 384), (10, 384), (11, 512), (12, 512))

_EFFICIENTNET_B0 = _record(
    "efficientnet_b0",
    "efficientnet_b0_rwightman-7f5810bc.pth",
    _features((2, 24), (3, 40), (5, 112), (7, 320), (8, 1280)),
    ("classifier",),
    5_288_548,
    "Tan and Le, EfficientNet, ICML 2019",
    interpolation="bicubic",
    aliases=("EfficientNet",),
    note="B0, the smallest of its family; Ghaderzadeh et al. 2022 write EfficientNet alone.",
)

# The weights were trained with RGB between -1 and 1; `transform_input` maps ImageNet's
# standardisation to that inside the network, as torchvision does with its own weights.
_INCEPTION_V3 = _record(
    "inception_v3",
    "inception_v3_google-0cc3c7bd.pth",
    _layers(Mixed_5d=288, Mixed_6e=768, Mixed_7c=2048),
    ("fc", "AuxLogits"),
    27_161_264,
    "Szegedy et al., Rethinking the Inception architecture, CVPR 2016",
    input_size=299,
    resize_size=342,
    minimum_size=75,
    options=(("transform_input", True), ("aux_logits", False), ("init_weights", False)),
)

_MOBILE_SMALL = ((1, 16), (3, 24), (8, 48), (11, 96), (12, 576))
_MOBILE_LARGE = ((3, 24), (6, 40), (12, 112), (15, 160), (16, 960))

TORCHVISION: tuple[Backbone, ...] = (
    _squeezenet("squeezenet1_0", "b66bff10", 1_248_424, _FIRES_1_0, "SqueezeNet"),
    _squeezenet("squeezenet1_1", "b8a52dc0", 1_235_496, _FIRES_1_1),
    _resnet("resnet18", "f37072fd", 11_689_512, expansion=1),
    _resnet("resnet34", "b627a593", 21_797_672, expansion=1),
    _resnet("resnet50", "0676ba61", 25_557_032, expansion=4),
    _densenet("densenet121", "a639ec97", 7_978_856, (256, 512, 1024, 1024)),
    _densenet("densenet201", "c1103571", 20_013_928, (256, 512, 1792, 1920)),
    _vgg("vgg16", "397923af", 138_357_544, (4, 9, 16, 23, 30)),
    _vgg("vgg19", "dcbb9e9d", 143_667_240, (4, 9, 18, 27, 36)),
    _mobilenet("mobilenet_v3_small", "047dcff4", 2_542_856, _MOBILE_SMALL),
    _mobilenet("mobilenet_v3_large", "8738ca79", 5_483_032, _MOBILE_LARGE, "MobileNetV3"),
    _EFFICIENTNET_B0,
    _INCEPTION_V3,
)
