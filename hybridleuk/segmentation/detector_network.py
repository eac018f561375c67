"""The small network that sees where the cells of a field are; needs torch, so import it when used.

Four steps down to a sixteenth of the scale and back up to a half (a U-Net of about 250,000
parameters). For each kind of cell it gives the probability that a cell's center lies at a place,
and the size such a cell would have (centers and sizes as in CenterNet).

References
----------
Ronneberger, Fischer and Brox, MICCAI 2015, 234-241; Zhou, Wang and Krähenbühl, arXiv:1904.07850.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

__all__ = ["STRIDE", "FieldNetwork", "predict_maps"]

STRIDE = 2
_DEEPEST = 16
_WIDTHS = (16, 32, 48, 64)
_TILE = 512
_OVERLAP = 64
_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class FieldNetwork(nn.Module):
    """Optical density and a mask of the image in, maps of centers and sizes at half the scale out.

    The input has 4 channels: optical density of red, green and blue, and 1 inside of the image. Of
    the 9 channels that come out the first 3 are logits of a center of a leukocyte, a red cell, a
    platelet; then height and width of each, as logarithm of their ratio to a red cell's radius.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.down1 = nn.Sequential(_convolution(4, a, 2), _convolution(a, a))
        self.down2 = nn.Sequential(_convolution(a, b, 2), _convolution(b, b))
        self.down3 = nn.Sequential(_convolution(b, c, 2), _convolution(c, c))
        self.down4 = nn.Sequential(_convolution(c, d, 2), _convolution(d, d), _convolution(d, d))
        self.up3 = _convolution(d + c, c)
        self.up2 = _convolution(c + b, b)
        self.up1 = nn.Sequential(_convolution(b + a, b), _convolution(b, b))
        self.head = nn.Conv2d(b, 9, 1)

    def forward(self, density: Tensor) -> Tensor:
        """Map (n, 4, h, w) to (n, 9, h / 2, w / 2)."""
        first = self.down1(density)
        second = self.down2(first)
        third = self.down3(second)
        third = self.up3(_beside(self.down4(third), third))
        second = self.up2(_beside(third, second))
        maps: Tensor = self.head(self.up1(_beside(second, first)))
        return maps


def _beside(coarse: Tensor, fine: Tensor) -> Tensor:
    size = fine.shape[-2:]
    raised = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return torch.cat([raised, fine], 1)


@torch.inference_mode()
def predict_maps(network: FieldNetwork, density: Tensor) -> tuple[Tensor, Tensor]:
    """Look at a picture of any size, in tiles, turned over in four ways, and take the mean.

    Parameters
    ----------
    network : FieldNetwork
        In evaluation mode.
    density : Tensor of shape (3, h, w)

    Returns
    -------
    centers : Tensor of shape (3, ceil(h / 2), ceil(w / 2))
        Probability that a leukocyte, red cell, platelet has its center there.
    sizes : Tensor of shape (6, ceil(h / 2), ceil(w / 2))
        Logarithm of height and width over the red cell's radius, for each kind.
    """
    height, width = density.shape[1:]
    rows, columns = (-(-side // STRIDE) for side in (height, width))
    result = torch.zeros(9, rows, columns)
    inside = torch.cat([density, torch.ones(1, height, width)])
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            y0, x0 = max(0, top - _OVERLAP), max(0, left - _OVERLAP)
            tile = inside[:, y0 : top + _TILE + _OVERLAP, x0 : left + _TILE + _OVERLAP]
            maps = _mean_over_flips(network, tile)
            mine = maps[:, (top - y0) // STRIDE :, (left - x0) // STRIDE :]
            mine = mine[:, : _TILE // STRIDE, : _TILE // STRIDE]
            y, x = top // STRIDE, left // STRIDE
            target = result[:, y : y + mine.shape[1], x : x + mine.shape[2]]
            target[...] = mine[:, : target.shape[1], : target.shape[2]]
    return result[:3], result[3:]


def _mean_over_flips(network: FieldNetwork, tile: Tensor) -> Tensor:
    """Probabilities and sizes of one tile, padded so that turned over it lies on the same grid."""
    height, width = tile.shape[1:]
    padded = functional.pad(tile, (0, -width % _DEEPEST, 0, -height % _DEEPEST))[None]
    total = torch.zeros(1)
    for flip in _FLIPS:
        maps = torch.flip(network(torch.flip(padded, flip)), flip)[0]
        total = total + torch.cat([torch.sigmoid(maps[:3]), maps[3:]])
    return total / len(_FLIPS)
