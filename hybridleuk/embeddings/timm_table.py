"""The networks of the table that timm builds, one record each: what torchvision has not.

timm is an optional dependency (``pip install 'hybridleuk[timm]'``); the records need it not.
"""

from __future__ import annotations

from hybridleuk.embeddings.records import Backbone, Layer

__all__ = ["TIMM"]

_LICENCE = "Apache-2.0; trained on ImageNet, whose images are for non-commercial research"
_HALVES = (0.5, 0.5, 0.5)


def _record(
    name: str,
    builder: str,
    tag: str,
    layers: tuple[tuple[str, int], ...],
    head: str,
    parameters: int,
    reference: str,
    **others: object,
) -> Backbone:
    """Make a record of weights that timm keeps at Hugging Face, unless told otherwise."""
    settings: dict[str, object] = {
        "mean": _HALVES,
        "std": _HALVES,
        "interpolation": "bicubic",
        "source": "timm",
        "licence": _LICENCE,
        "hub": f"timm/{builder}.{tag}",
    }
    return Backbone(
        name,
        tag,
        str(others.pop("weights_file", "model.safetensors")),
        tuple(Layer(*layer) for layer in layers),
        (head,),
        parameters,
        reference,
        builder=builder,
        **{**settings, **others},  # type: ignore[arg-type]
    )


_RESNET50V2 = _record(
    "resnet50v2",
    "resnetv2_50",
    "a1h_in1k",
    (("stages.0", 256), ("stages.1", 512), ("stages.2", 1024), ("norm", 2048)),
    "head",
    25_549_352,
    "He et al., Identity mappings in deep residual networks, ECCV 2016",
    input_size=224,
    resize_size=235,
    aliases=("resnetv2_50",),
    note=(
        "The closest published equivalent of Keras' ResNet50V2: the same pre-activation network, "
        "with weights that timm trained by another recipe."
    ),
)

# Keras' weights, carried over by way of pretrained-models.pytorch; not at Hugging Face. The digits
# in the file's name were not checked to be of its SHA-256, so none is promised.
_XCEPTION = _record(
    "xception",
    "legacy_xception",
    "tf_in1k",
    (
        ("act2", 64),
        ("block2.rep.0", 128),
        ("block3.rep.0", 256),
        ("block12.rep.0", 728),
        ("act4", 2048),
    ),
    "fc",
    22_855_952,
    "Chollet, Xception: deep learning with depthwise separable convolutions, CVPR 2017",
    input_size=299,
    resize_size=333,
    weights_file="xception-43020ad28.pth",
    hub="",
    url=(
        "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/"
        "xception-43020ad28.pth"
    ),
    aliases=("legacy_xception",),
    note="The network of the paper; timm's xception41 and xception65 are later variants.",
)

_NASNET = _record(
    "nasnetlarge",
    "nasnetalarge",
    "tf_in1k",
    (
        ("conv0", 96),
        ("cell_stem_1.conv_1x1.act", 168),
        ("reduction_cell_0.conv_1x1.act", 1008),
        ("reduction_cell_1.conv_1x1.act", 2016),
        ("act", 4032),
    ),
    "last_linear",
    88_753_150,
    "Zoph et al., Learning transferable architectures for scalable image recognition, CVPR 2018",
    input_size=331,
    resize_size=363,
    aliases=("nasnetalarge", "NASNet"),
)

_INCEPTION_RESNET_V2 = _record(
    "inception_resnet_v2",
    "inception_resnet_v2",
    "tf_in1k",
    (
        ("conv2d_2b", 64),
        ("conv2d_4a", 192),
        ("repeat", 320),
        ("repeat_1", 1088),
        ("conv2d_7b", 1536),
    ),
    "classif",
    55_843_464,
    "Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections, AAAI "
    "2017",
    input_size=299,
    resize_size=333,
    minimum_size=75,
)

TIMM: tuple[Backbone, ...] = (_RESNET50V2, _XCEPTION, _NASNET, _INCEPTION_RESNET_V2)
