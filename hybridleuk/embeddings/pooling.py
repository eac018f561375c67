"""From what a layer returns to one value for each channel.

``avg``, ``max``
    Mean and greatest value over the map.
``gem``
    The generalised mean ``(mean(x^p))^(1/p)`` with *p* = 3, values below 1e-6 raised to it: between
    mean and maximum (Radenović, Tolias, Chum, Fine-tuning CNN image retrieval with no human
    annotation, IEEE TPAMI 2019). Meant for layers after a ReLU; it does not see negative values.
``center``
    Mean over the middle ninth of the map.
``cls``
    The class token of a vision transformer. The other poolings take its patches, without class and
    register tokens.
"""

from __future__ import annotations

import math

import torch

__all__ = ["as_map", "pool"]

_POWER = 3.0
_SMALLEST = 1e-6


def pool(
    output: torch.Tensor, pooling: str, *, prefix_tokens: int = 0, channels_last: bool = False
) -> torch.Tensor:
    """Reduce a layer's output to (n, channels), float32.

    Parameters
    ----------
    output : Tensor of shape (n, channels, h, w), (n, h, w, channels), (n, length, channels) or
        (n, channels)
    pooling : {"avg", "max", "gem", "center", "cls"}
    prefix_tokens : int, default 0
        Tokens before those of the patches.
    channels_last : bool, default False
        Whether four dimensions are (n, h, w, channels).
    """
    if pooling == "cls":
        return output[:, 0].float()
    values = as_map(output, prefix_tokens, channels_last).float()
    if pooling == "max":
        return values.amax((2, 3))
    if pooling == "gem":
        powered = values.clamp(min=_SMALLEST).pow(_POWER).mean((2, 3))
        return powered.pow(1 / _POWER)
    if pooling == "center":
        height, width = values.shape[2:]
        rows = slice(height // 3, height - height // 3)
        columns = slice(width // 3, width - width // 3)
        values = values[:, :, rows, columns]
    return values.mean((2, 3))


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
