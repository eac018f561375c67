"""A frozen backbone: pictures in, pooled values of its layers out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from torch import nn

from hybridleuk.embeddings.backbones import Backbone, Block
from hybridleuk.embeddings.runtime import Precision, autocast, exact_float32

__all__ = ["FrozenBackbone", "empty_network", "random_network"]

Pictures = npt.NDArray[np.uint8]


def random_network(record: Backbone, seed: int) -> nn.Module:
    """Build a complete network with weights drawn from `seed`; torch's own generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(record)


def empty_network(record: Backbone) -> nn.Module:
    """Build a network that has shapes but no values (on torch's ``meta`` device)."""
    with torch.device("meta"):
        return _build(record)


def _build(record: Backbone) -> nn.Module:
    network = torchvision.models.get_model(record.name, weights=None, **dict(record.options))
    return cast(nn.Module, network.eval())


class _AllPooled(Exception):
    """The last layer asked for has been reached: what follows need not be computed."""


class FrozenBackbone(nn.Module):
    """A network without its head, in ``eval`` mode and without gradients.

    Standardisation is part of it, so that pictures travel to the device as bytes. The layers are
    pooled as they are computed, in float32, and the network stops after the last of them.

    Parameters
    ----------
    record : Backbone
    state : dict of str to Tensor
        Of the trunk, from :func:`hybridleuk.embeddings.weights.trunk_state`.
    blocks : sequence of Block
        What to pool; the output lies side by side in this order.
    """

    factor: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, record: Backbone, state: dict[str, torch.Tensor], blocks: Sequence[Block]
    ) -> None:
        super().__init__()
        self.record = record
        self.blocks = tuple(blocks)
        self.network = _trunk(record, state)
        std = torch.tensor(record.std)
        self.register_buffer("factor", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-torch.tensor(record.mean) / std).view(1, 3, 1, 1))
        self._own = threading.local()  # several threads may run one network at once
        self._watch()
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in ``eval`` mode: a frozen network has no other."""
        return super().train(False)

    def _watch(self) -> None:
        for layer in {block.layer for block in self.blocks}:
            self.network.get_submodule(layer).register_forward_hook(self._hook(layer))

    def _hook(self, layer: str) -> Any:
        rectified = layer in self.record.rectified
        poolings = [block.pooling for block in self.blocks if block.layer == layer]

        def pool_it(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            values = torch.relu(output) if rectified else output
            for pooling in poolings:
                self._own.pooled[layer, pooling] = _pool(values.float(), pooling)
            if len(self._own.pooled) == len(self.blocks):
                raise _AllPooled

        return pool_it

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed pictures of shape (n, 3, H, W), uint8; returns (n, width) float32."""
        values = pictures.to(torch.float32) * self.factor + self.shift
        pooled: dict[tuple[str, str], torch.Tensor] = {}
        self._own.pooled = pooled
        with suppress(_AllPooled):
            self.network(values.contiguous(memory_format=torch.channels_last))
        return torch.cat([pooled[block.layer, block.pooling] for block in self.blocks], dim=1)

    def embed(
        self, pictures: Pictures, *, precision: Precision = "fp32", batch_size: int = 32
    ) -> npt.NDArray[np.float32]:
        """Embed pictures in batches that fit in memory.

        Parameters
        ----------
        pictures : ndarray of shape (n, H, W, 3), uint8
        precision : {"fp32", "bf16", "fp16"}
        batch_size : int
            Halved, for this call, for as long as a GPU's memory does not suffice.

        Returns
        -------
        ndarray of shape (n, width), float32
        """
        parts = []
        start = 0
        while start < len(pictures):
            try:
                parts.append(self._embed(pictures[start : start + batch_size], precision))
                start += batch_size
            except torch.OutOfMemoryError:
                if batch_size == 1:
                    raise
                torch.cuda.empty_cache()
                batch_size = max(1, batch_size // 2)
        if not parts:
            return np.zeros((0, sum(block.width for block in self.blocks)), dtype=np.float32)
        return np.concatenate(parts)

    def _embed(self, pictures: Pictures, precision: Precision) -> npt.NDArray[np.float32]:
        device = self.factor.device
        # (n, H, W, 3) in memory is what torch calls (n, 3, H, W) in channels-last order.
        batch = torch.from_numpy(np.require(pictures, requirements=["C", "W"])).permute(0, 3, 1, 2)
        with torch.inference_mode(), exact_float32(device, precision), autocast(device, precision):
            return np.asarray(self(batch.to(device)).cpu().numpy())


def _trunk(record: Backbone, state: dict[str, torch.Tensor]) -> nn.Module:
    network = empty_network(record)
    for name in record.head:
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
    network.load_state_dict(state, assign=True)
    return network.to(memory_format=torch.channels_last)


def _pool(values: torch.Tensor, pooling: str) -> torch.Tensor:
    """Reduce a map of shape (n, channels, h, w) to (n, channels)."""
    if pooling == "max":
        return values.amax((2, 3))
    if pooling == "center":
        height, width = values.shape[2:]
        rows = slice(height // 3, height - height // 3)
        columns = slice(width // 3, width - width // 3)
        values = values[:, :, rows, columns]
    return values.mean((2, 3))
