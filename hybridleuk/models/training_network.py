"""A backbone with a new head, and how it begins: linear probing first, then all layers.

The head is not left to chance: it begins as the logistic regression on the frozen features. The
first steps then do not tear the pretrained features apart (Kumar et al., Fine-tuning can distort
pretrained features and underperform out-of-distribution, ICLR 2022), and few epochs are enough.
"""

from __future__ import annotations

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
from hybridleuk.embeddings.network import empty_network
from hybridleuk.embeddings.pooling import as_map
from hybridleuk.embeddings.runtime import Precision, resolve_precision

__all__ = ["ImageClassifier", "empty_classifier", "start_head", "training_precision"]

_STRENGTH = 0.01  # inverse regularisation of the first head


class ImageClassifier(nn.Module):
    """Images to class scores: standardise, backbone, mean over the map, head.

    Parameters
    ----------
    network : torch.nn.Module
        Complete, from :func:`hybridleuk.embeddings.weights.load_network`; its head is not used.
    record : Backbone
    n_classes : int
    dropout : float
        Share of the pooled features left out in each training step.
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
    ) -> None:
        super().__init__()
        self.frozen_statistics = frozen_statistics
        self.rectified = record.default_layer in record.rectified
        self.backbone = _trunk(network, record)
        # No random numbers are drawn here: `start_head` or a state dict gives the values.
        last = nn.utils.skip_init(nn.Linear, record.width, n_classes)  # type: ignore[no-untyped-call]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), last)
        self.register_buffer("mean", torch.tensor(record.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(record.std).view(1, 3, 1, 1))
        self.register_buffer("center", torch.zeros(record.width))
        self.register_buffer("spread", torch.ones(record.width))

    def train(self, mode: bool = True) -> ImageClassifier:
        """Switch between training and use; frozen statistics stay frozen."""
        super().train(mode)
        if mode and self.frozen_statistics:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last map of images (n, 3, H, W), 0..1: (n, width, h, w)."""
        values = self.backbone((images - self.mean) / self.std)["map"]
        return torch.relu(values) if self.rectified else cast(torch.Tensor, values)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Pool the backbone's last map of images (n, 3, H, W), 0..1, to (n, width)."""
        return self.maps(images).mean((2, 3), dtype=torch.float32)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class scores (n, n_classes), before the softmax."""
        return self.head_scores(self.features(images))

    def head_scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return class scores of pooled features (n, width)."""
        return cast(torch.Tensor, self.head((features - self.center) / self.spread))


class _TimmTrunk(nn.Module):
    """What a network of timm makes before its classifier; some of them cannot be traced."""

    def __init__(self, network: nn.Module, record: Backbone) -> None:
        super().__init__()
        self.network = network
        self.channels_last = record.channels_last
        for part in record.head:
            if hasattr(network, part):
                setattr(network, part, nn.Identity())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.network.forward_features(images)  # type: ignore[operator]
        return {"map": as_map(features, channels_last=self.channels_last)}


def _trunk(network: nn.Module, record: Backbone) -> nn.Module:
    if record.source == "timm":
        return _TimmTrunk(network, record)
    return cast(nn.Module, create_feature_extractor(network, {record.default_layer: "map"}))


def empty_classifier(record: Backbone, n_classes: int) -> ImageClassifier:
    """Build a network in the shape of a state dict to come (``load_state_dict(assign=True)``)."""
    return ImageClassifier(empty_network(record), record, n_classes)


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
        From :meth:`ImageClassifier.features`, of the training images as they are.
    codes : ndarray of shape (n,)
        Every class from 0 on is there.
    class_weights : ndarray of shape (n_classes,)
    """
    values = features.astype(np.float64)
    center, spread = values.mean(axis=0), values.std(axis=0)
    # A feature that hardly varies would blow up on the first image in which it does.
    spread = np.maximum(spread, 0.1 * spread.mean() + 1e-6)
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
