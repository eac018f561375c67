"""From what a layer returns to one value for each channel.

``avg``, ``max``
    Mean and greatest value over the map.
``gem``
    The generalised mean ``(mean(x^p))^(1/p)`` with *p* = 3, values below 1e-6 raised to it: between
    mean and maximum (Radenović, Tolias, Chum, Fine-tuning CNN image retrieval with no human
    annotation, IEEE TPAMI 2019). Meant for layers after a ReLU; it does not see negative values.
``center``
    Mean over the middle ninth of the map.
``stained``
    Mean over the map, weighted with how deep and how colored the stain is at that place of the
    picture (:func:`stain_weights`), so that leukocytes count and the empty smear hardly does,
    wherever in the picture they lie.
``cls``
    The class token of a vision transformer. The other poolings take its patches, without class and
    register tokens.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

__all__ = ["as_map", "pool", "stain_weights"]

_POWER = 3.0
_SMALLEST = 1e-6
_GRID = 56  # places along a side at which a picture's stain is looked at
_OFFSET = 8.0  # levels, added before a logarithm
_LEAST_WEIGHT = 1e-6  # a picture without stain is averaged evenly


def pool(
    output: torch.Tensor,
    pooling: str,
    *,
    prefix_tokens: int = 0,
    channels_last: bool = False,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Reduce a layer's output to (n, channels), float32.

    Parameters
    ----------
    output : Tensor of shape (n, channels, h, w), (n, h, w, channels), (n, length, channels) or
        (n, channels)
    pooling : {"avg", "max", "gem", "center", "stained", "cls"}
    prefix_tokens : int, default 0
        Tokens before those of the patches.
    channels_last : bool, default False
        Whether four dimensions are (n, h, w, channels).
    weights : Tensor of shape (n, 1, side, side), optional
        Of the places of the picture, for ``"stained"``; brought to the map's size by averaging.
    """
    if pooling == "cls":
        return output[:, 0].float()
    values = as_map(output, prefix_tokens, channels_last).float()
    if pooling == "max":
        return values.amax((2, 3))
    if pooling == "gem":
        powered = values.clamp(min=_SMALLEST).pow(_POWER).mean((2, 3))
        return powered.pow(1 / _POWER)
    height, width = values.shape[2:]
    if pooling == "stained":
        if weights is None:
            raise ValueError("pooling 'stained' needs the weights of the picture")
        shares = functional.adaptive_avg_pool2d(weights, (height, width))
        return (values * shares).sum((2, 3)) / shares.sum((2, 3))
    if pooling == "center":
        rows = slice(height // 3, height - height // 3)
        columns = slice(width // 3, width - width // 3)
        values = values[:, :, rows, columns]
    return values.mean((2, 3))


def stain_weights(pictures: torch.Tensor) -> torch.Tensor:
    """Weigh the places of pictures by their stain: saturation times optical density of red light.

    Chromatin takes red light away and is colored; red cells let red light pass, and black paint,
    letters and gray pictures have no color. The density is ``log10((R_0 + 8) / (R + 8))`` against
    the lightest place of the same picture, the saturation ``(max - min) / (max + 1)`` of RGB, both
    on a grid of 56 x 56 means, so that it costs next to nothing beside a network.

    Parameters
    ----------
    pictures : Tensor of shape (n, 3, H, W), float32
        RGB levels from 0 to 255.

    Returns
    -------
    Tensor of shape (n, 1, 56, 56)
        Above 0 everywhere; even where there is no stain at all.
    """
    levels = functional.adaptive_avg_pool2d(pictures, (_GRID, _GRID))
    red = levels[:, :1] + _OFFSET
    density = torch.log10(red.amax((2, 3), keepdim=True) / red)
    greatest = levels.amax(1, keepdim=True)
    saturation = (greatest - levels.amin(1, keepdim=True)) / (greatest + 1)
    return saturation * density + _LEAST_WEIGHT


def as_map(
    output: torch.Tensor, prefix_tokens: int = 0, channels_last: bool = False
) -> torch.Tensor:
    """Bring a layer's output to the shape (n, channels, h, w); a row becomes a map of one point."""
    if output.ndim == 2:
        return output[:, :, None, None]
    if output.ndim == 3:
        patches = output[:, prefix_tokens:].transpose(1, 2)
        side = math.isqrt(patches.shape[2])
        height = side if side * side == patches.shape[2] else 1
        return patches.reshape(*patches.shape[:2], height, -1)
    return output.permute(0, 3, 1, 2) if channels_last else output
