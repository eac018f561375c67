"""The backbone that comes in the package: a small residual network for pictures of 128 px.

Dense 3 x 3 convolutions throughout, which a CPU runs quickest for their number of operations, and a
quarter of the resolution after two of them. Every batch normalisation follows a convolution that
nothing else sees, so that it folds into it (:mod:`~hybridleuk.embeddings.fused`). What its weights
were learned from is told in ``weights/NOTICE.md`` beside this file.

References
----------
He et al., Deep residual learning for image recognition, CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SmearNet"]

_STEM, _WIDTHS = 32, (48, 96, 192)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]


class _Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_convolution(width, width), nn.ReLU(inplace=True), *_convolution(width, width)
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.activation(maps + self.change(maps))
        return changed


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(inputs, outputs, stride=2), nn.ReLU(inplace=True), _Residual(outputs)
    )


class SmearNet(nn.Module):
    """Four steps down to a sixteenth of the picture, then the mean and one linear layer.

    Parameters
    ----------
    num_classes : int, default 8
        Width of the last layer, ``classifier``.
    """

    def __init__(self, num_classes: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, _STEM, stride=2), nn.ReLU(inplace=True))
        self.stage1 = _stage(_STEM, _WIDTHS[0])
        self.stage2 = _stage(_WIDTHS[0], _WIDTHS[1])
        self.stage3 = _stage(_WIDTHS[1], _WIDTHS[2])
        self.classifier = nn.Linear(_WIDTHS[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """Map (n, 3, h, w) to (n, num_classes)."""
        maps = self.stage3(self.stage2(self.stage1(self.stem(pictures))))
        scores: Tensor = self.classifier(maps.mean((2, 3)))
        return scores
