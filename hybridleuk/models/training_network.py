"""A backbone with a new head, and how it begins: linear probing first, then all layers.

The head is not left to chance: it begins as the logistic regression on the frozen features. The
first steps then do not tear the pretrained features apart (Kumar et al., Fine-tuning can distort
pretrained features and underperform out-of-distribution, ICLR 2022), and few epochs are enough.
"""

from __future__ import annotations

import math
import warnings
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.network import empty_network, random_network
from hybridleuk.embeddings.pooling import as_map
from hybridleuk.embeddings.runtime import Precision, resolve_precision

__all__ = [
    "ImageClassifier",
    "MeasurementLayer",
    "empty_classifier",
    "start_head",
    "training_precision",
]

_HIDDEN = 64
_STRENGTH = 0.01  # inverse regularisation of the first head


class ImageClassifier(nn.Module):
    """Images to class scores: standardise, backbone, mean over the map, head.

    The map of a transformer is made of its patches, as where it is frozen; its class token and
    other tokens beside them are left out.

    Parameters
    ----------
    network : torch.nn.Module
        Complete, from :func:`hybridleuk.embeddings.weights.load_network`; its head is not used.
    record : Backbone
    n_classes : int
    dropout : float
        Share of the pooled features left out in each training step.
    views : int, default 1
        Pictures of one image that go through the backbone; their features lie side by side.
    measurements : int, default 0
        Values beside the pictures, which go through a :class:`MeasurementLayer`.
    frozen_statistics : bool
        Keep the running mean and variance of every BatchNorm as they were pretrained: batches of a
        small, changing set of stains estimate them badly. Their scale and shift are still learned.
    """

    mean: torch.Tensor
    std: torch.Tensor
    center: torch.Tensor
    spread: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        record: Backbone,
        n_classes: int,
        *,
        dropout: float = 0.2,
        frozen_statistics: bool = True,
        views: int = 1,
        measurements: int = 0,
    ) -> None:
        super().__init__()
        self.frozen_statistics = frozen_statistics
        self.views = views
        self.pooled_width = views * record.width
        self.measurements = MeasurementLayer(measurements) if measurements else None
        self.rectified = record.default_layer in record.rectified
        self.backbone = _trunk(network, record)
        # No random numbers are drawn here: `start_head` or a state dict gives the values.
        width = self.pooled_width + measurements
        last = _zero_layer(width, n_classes)
        self.head = nn.Sequential(nn.Dropout(dropout), last)
        self.register_buffer("mean", torch.tensor(record.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(record.std).view(1, 3, 1, 1))
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def train(self, mode: bool = True) -> ImageClassifier:
        """Switch between training and use; frozen statistics stay frozen."""
        super().train(mode)
        if mode and self.frozen_statistics:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last map of pictures (n, 3 * views, H, W), 0..1.

        Its shape is (n * views, width, h, w), the views of one image behind each other.
        """
        if self.views > 1:
            images = images.reshape(-1, 3, *images.shape[2:])
            images = images.contiguous(memory_format=torch.channels_last)
        values = self.backbone((images - self.mean) / self.std)["map"]
        return torch.relu(values) if self.rectified else cast(torch.Tensor, values)

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """Reduce what :meth:`maps` returns to (n, views * width)."""
        means = maps.mean((2, 3), dtype=torch.float32)
        return means.reshape(-1, self.pooled_width)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Pool the backbone's last map of pictures (n, 3 * views, H, W) to (n, views * width)."""
        return self.pooled(self.maps(images))

    def joined(self, images: torch.Tensor, measured: torch.Tensor | None = None) -> torch.Tensor:
        """Return all that the head sees of images and their measurements."""
        return self.beside(self.features(images), measured)

    def beside(self, features: torch.Tensor, measured: torch.Tensor | None) -> torch.Tensor:
        """Put the measurements beside pooled features."""
        if self.measurements is None or measured is None:
            return features
        return torch.cat([features, self.measurements(measured)], dim=1)

    def forward(self, images: torch.Tensor, measured: torch.Tensor | None = None) -> torch.Tensor:
        """Return class scores (n, n_classes), before the softmax."""
        return self.head_scores(self.joined(images, measured))

    def head_scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return class scores of what :meth:`joined` returns."""
        return cast(torch.Tensor, self.head((features - self.center) / self.spread))

    def layer_scales(self, decay: float) -> dict[str, float]:
        """Return the learning rate of each weight of the backbone as a share of the last layers'.

        Parameters
        ----------
        decay : float
            What is left of the rate from one layer to the one before it. Layers are counted as
            timm counts them; other networks have the same rate everywhere.
        """
        trunk = self.backbone
        if decay == 1 or not isinstance(trunk, _TimmTrunk):
            return {}
        from timm.optim import param_groups_layer_decay

        names = {id(p): name for name, p in self.named_parameters()}
        groups = param_groups_layer_decay(trunk.network, layer_decay=decay)
        return {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}

    def spared(self) -> set[str]:
        """Name the tables of the backbone, such as places and tokens, that must not decay."""
        trunk = self.backbone
        if not isinstance(trunk, _TimmTrunk) or not hasattr(trunk.network, "no_weight_decay"):
            return set()
        return {f"backbone.network.{name}" for name in trunk.network.no_weight_decay()}  # type: ignore[operator]

    def trunk_state(self) -> dict[str, torch.Tensor]:
        """Return the backbone's weights under the names that its source gives them."""
        inside = "network." if isinstance(self.backbone, _TimmTrunk) else ""
        state = self.backbone.state_dict()
        return {name.removeprefix(inside): value for name, value in state.items()}

    def start_measurements(self, seed: int) -> None:
        """Draw the weights of the layer for measurements, where there is one."""
        if self.measurements is not None:
            self.measurements.start(seed)


class MeasurementLayer(nn.Module):
    """A small residual layer: ``x + B gelu(A x)`` with 64 units between.

    It begins as the identity (``B = 0``), so that the first head is the logistic regression on
    frozen features and measurements side by side, and what it changes is learned with the network.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = _zero_layer(width, _HIDDEN)
        self.outer = _zero_layer(_HIDDEN, width)

    def start(self, seed: int) -> None:
        """Draw the inner weights; the outer ones stay zero."""
        weight = self.inner.weight
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            weight.copy_(drawn * math.sqrt(2 / weight.shape[1]))

    def forward(self, measured: torch.Tensor) -> torch.Tensor:
        """Return values (n, width) of measurements (n, width)."""
        inner = nn.functional.gelu(self.inner(measured))
        return measured + self.outer(inner).float()


def _zero_layer(inputs: int, outputs: int) -> nn.Linear:
    layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs))  # type: ignore[no-untyped-call]
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class _TimmTrunk(nn.Module):
    """What a network of timm makes before its classifier; some of them cannot be traced."""

    def __init__(self, network: nn.Module, record: Backbone) -> None:
        super().__init__()
        self.network = network
        self.channels_last = record.channels_last
        self.prefix_tokens = record.prefix_tokens
        for part in record.head:
            if hasattr(network, part):
                setattr(network, part, nn.Identity())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.network.forward_features(images)  # type: ignore[operator]
        return {"map": as_map(features, self.prefix_tokens, self.channels_last)}


def _trunk(network: nn.Module, record: Backbone) -> nn.Module:
    if record.source == "timm":
        return _TimmTrunk(network, record)
    return cast(nn.Module, create_feature_extractor(network, {record.default_layer: "map"}))


def empty_classifier(
    record: Backbone, n_classes: int, *, views: int = 1, measurements: int = 0
) -> ImageClassifier:
    """Build a network in the shape of a state dict to come (``load_state_dict(assign=True)``)."""
    network = empty_network(record)
    if dict(network.named_buffers()).keys() - network.state_dict().keys():
        network = random_network(record, 0)  # its builder computes what stands in no state dict
    return ImageClassifier(network, record, n_classes, views=views, measurements=measurements)


def start_head(
    network: ImageClassifier,
    features: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64],
    class_weights: npt.NDArray[np.float64],
) -> None:
    """Begin with the logistic regression on the features of the frozen backbone.

    Parameters
    ----------
    network : ImageClassifier
        Its standardisation of the features and its last layer are set.
    features : ndarray of shape (n, width)
        From :meth:`ImageClassifier.joined`, of the training images as they are.
    codes : ndarray of shape (n,)
        Every class from 0 on is there.
    class_weights : ndarray of shape (n_classes,)
    """
    values = features.astype(np.float64)
    center, spread = values.mean(axis=0), values.std(axis=0)
    # A feature that hardly varies would blow up on the first image in which it does.
    of_network = network.pooled_width
    pooled, measured = spread[:of_network], spread[of_network:]
    spread[:of_network] = np.maximum(pooled, 0.1 * pooled.mean() + 1e-6)
    if len(measured):  # as much variance as all of the network's, each measurement by its weight
        spread[of_network:] = np.sqrt((measured**2).sum() / of_network) + 1e-6
    probe = LogisticRegression(C=_STRENGTH, max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        # Training goes on from here, so a start that is nearly there is good enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit((values - center) / spread, codes, sample_weight=class_weights[codes])
    weight, bias = probe.coef_, probe.intercept_
    if len(class_weights) == 2:  # one row of scores stands for the difference of two
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
    last = cast(nn.Linear, network.head[-1])
    with torch.no_grad():
        for target, source in (
            (network.center, center),
            (network.spread, spread),
            (last.weight, weight),
            (last.bias, bias),
        ):
            target.copy_(torch.as_tensor(source, dtype=torch.float32))


def training_precision(name: str, device: torch.device, network: nn.Module) -> Precision:
    """Find the precision to train in; ``"auto"`` is what is fastest without a loss.

    On a CPU that multiplies bf16 in hardware that is bf16, which then doubles the speed; not for
    networks with depthwise convolutions, which it slows down.
    """
    if name != "auto" or device.type != "cpu":
        return resolve_precision(name, device)
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in network.modules())
    return "bf16" if _has_bf16() and not depthwise else "fp32"


def _has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.8
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
