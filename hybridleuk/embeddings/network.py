"""A frozen backbone: pictures in, pooled values of its layers out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hybridleuk import progress
from hybridleuk.embeddings.fused import reduced_copy
from hybridleuk.embeddings.lane import Cuda, Lane, runs_in_lanes
from hybridleuk.embeddings.pooling import pool, stain_weights
from hybridleuk.embeddings.preprocessing import ORIENTATIONS, Pictures
from hybridleuk.embeddings.records import OUTPUT, Backbone, Block
from hybridleuk.embeddings.runtime import Precision, autocast, dtype_of, exact_float32
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    from hybridleuk.embeddings.weights import Weights

__all__ = ["FrozenBackbone", "empty_network", "frozen_backbone", "random_network", "turned"]


def random_network(record: Backbone, seed: int) -> nn.Module:
    """Build a complete network with weights drawn from `seed`; torch's own generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(record)


def empty_network(record: Backbone) -> nn.Module:
    """Build a network that has shapes but no values (on torch's ``meta`` device)."""
    try:
        with torch.device("meta"):
            return _build(record)
    except (NotImplementedError, RuntimeError):  # a builder that computes with values
        return random_network(record, 0).to("meta")


def _build(record: Backbone) -> nn.Module:
    if record.source == "own":
        raise InputError(
            f"{record.name} is a network of one's own, which only its own code can build; give the "
            "module itself as backbone."
        )
    if record.source == "timm":
        from hybridleuk.embeddings.timm_backbones import build_timm

        return build_timm(record).eval()
    if record.source == "package":
        from hybridleuk.embeddings.smearnet import SmearNet

        return SmearNet().eval()
    import torchvision

    network = torchvision.models.get_model(
        record.architecture, weights=None, **dict(record.options)
    )
    return cast(nn.Module, network.eval())


def frozen_backbone(weights: Weights, blocks: Sequence[Block]) -> FrozenBackbone:
    """Read weights, or copy a network of one's own, and freeze it."""
    from hybridleuk.embeddings.weights import trunk_state

    if weights.network is not None:
        from hybridleuk.embeddings.own import frozen_copy

        return FrozenBackbone(weights.record, frozen_copy(weights.network), blocks)
    return FrozenBackbone(weights.record, trunk_state(weights), blocks)


class _AllPooled(Exception):
    """The last layer asked for has been reached: what follows need not be computed."""


class FrozenBackbone(nn.Module):
    """A network without its head, in ``eval`` mode and without gradients.

    Standardisation is part of it, so that pictures travel to the device as bytes. The layers are
    pooled as they are computed, in float32, and the network stops after the last of them.

    Parameters
    ----------
    record : Backbone
    source : dict of str to Tensor, or torch.nn.Module
        The trunk's state, from :func:`hybridleuk.embeddings.weights.trunk_state`; or a network that
        belongs to this object alone.
    blocks : sequence of Block
        What to pool; the output lies side by side in this order.
    """

    factor: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        record: Backbone,
        source: dict[str, torch.Tensor] | nn.Module,
        blocks: Sequence[Block],
    ) -> None:
        super().__init__()
        self.record = record
        self.blocks = tuple(blocks)
        self.network = source if isinstance(source, nn.Module) else _trunk(record, source)
        std = torch.tensor(record.std)
        self.register_buffer("factor", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-torch.tensor(record.mean) / std).view(1, 3, 1, 1))
        self._own = threading.local()  # several threads may run one network at once
        self._reduced: dict[str, nn.Module | None] = {}
        self._making = threading.Lock()
        self._submitting = threading.Lock()
        self._most: int | None = None  # pictures that a GPU's memory holds, once it did not
        self._watch()
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in ``eval`` mode: a frozen network has no other."""
        return super().train(False)

    def _watch(self) -> None:
        for layer in {block.layer for block in self.blocks} - {OUTPUT}:
            self.network.get_submodule(layer).register_forward_hook(self._hook(layer))

    def _hook(self, layer: str) -> Any:
        def pool_it(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            self._pool(layer, output)

        return pool_it

    def _pool(self, layer: str, output: torch.Tensor) -> None:
        record = self.record
        values = torch.relu(output) if layer in record.rectified else output
        for block in self.blocks:
            if block.layer == layer:
                self._own.pooled[layer, block.pooling] = pool(
                    values,
                    block.pooling,
                    prefix_tokens=record.prefix_tokens,
                    channels_last=record.channels_last,
                    weights=self._own.weights,
                )
        if len(self._own.pooled) == len(self.blocks):
            raise _AllPooled

    def forward(self, pictures: torch.Tensor, precision: Precision = "fp32") -> torch.Tensor:
        """Embed pictures of shape (n, 3, H, W), uint8; returns (n, width) float32.

        Precisions below fp32 are those of the surrounding autocast, but on a CPU, where a copy of
        the network that is fused and cast once takes its place (:mod:`~.fused`).
        """
        levels = pictures.to(torch.float32)
        values = levels * self.factor + self.shift
        network = self._network_for(precision)
        if network is not self.network:
            values = values.to(dtype_of(precision))
        pooled: dict[tuple[str, str], torch.Tensor] = {}
        self._own.pooled = pooled
        stained = any(block.pooling == "stained" for block in self.blocks)
        self._own.weights = stain_weights(levels) if stained else None
        # What timm's networks do after `forward_features` is their classifier's business.
        run = network.forward_features if self.record.source == "timm" else network
        with suppress(_AllPooled):
            output = run(values.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
            self._pool(OUTPUT, output)
        return torch.cat([pooled[block.layer, block.pooling] for block in self.blocks], dim=1)

    def _network_for(self, precision: Precision) -> nn.Module:
        if precision == "fp32" or self.factor.device.type != "cpu":
            return self.network
        with self._making:
            if precision not in self._reduced:
                self._reduced[precision] = reduced_copy(self.network, dtype_of(precision))
        return self._reduced[precision] or self.network

    def embed(
        self,
        pictures: Pictures,
        *,
        precision: Precision = "fp32",
        batch_size: int = 32,
        orientations: int = 1,
    ) -> npt.NDArray[np.float32]:
        """Embed pictures in batches that fit in memory.

        Parameters
        ----------
        pictures : ndarray of shape (n, H, W, 3), uint8
        precision : {"fp32", "bf16", "fp16"}
        batch_size : int
            Halved for as long as a GPU's memory does not suffice, and said once; later calls begin
            with what sufficed.
        orientations : {1, 2, 4, 8}, default 1
            Average over the picture as it is; and mirrored; in four rotations; in four rotations
            and mirrored, the whole symmetry of a square. A smear has no up and no left, so with 8
            an embedding does not depend on how it lay under the microscope. Time grows with it.

        Returns
        -------
        ndarray of shape (n, width), float32

        Raises
        ------
        InputError
            The network returned NaN or infinity, as where a number is too large for fp16.
        """
        if orientations not in ORIENTATIONS:
            raise InputError(
                f"orientations is {orientations!r}; expected 1, 2, 4 or 8 flips and rotations."
            )
        parts = []
        start = 0
        while start < len(pictures):
            size = min(batch_size, self._most or batch_size)
            try:
                parts.append(self._embed(pictures[start : start + size], precision, orientations))
                start += size
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self._back_off(size)
        if not parts:
            return np.zeros((0, sum(block.width for block in self.blocks)), dtype=np.float32)
        return np.concatenate(parts)

    def _back_off(self, size: int) -> None:
        """Take half as many pictures from now on; of several threads the first one says it."""
        with self._submitting:
            torch.cuda.empty_cache()
            if self._most is None or self._most >= size:
                self._most = size // 2
                progress.note(
                    f"The GPU's memory does not hold {size} pictures in {self.record.name}; going "
                    f"on with {self._most} at a time."
                )

    def _embed(
        self, pictures: Pictures, precision: Precision, orientations: int = 1
    ) -> npt.NDArray[np.float32]:
        given = np.require(pictures, requirements=["C", "W"])
        if runs_in_lanes(self.factor.device):
            found = self._lane(precision, orientations).rows(given)
        else:
            # torch.fx replaces how any module is called while it traces one, so the copy that it
            # makes has to be there before a second thread calls this module.
            self._network_for(precision)
            # (n, H, W, 3) in memory is what torch calls (n, 3, H, W) in channels-last order.
            batch = torch.from_numpy(given).permute(0, 3, 1, 2)
            with torch.inference_mode():
                rows = self._averaged(batch.to(self.factor.device), precision, orientations)
            found = np.asarray(rows.cpu().numpy())
        self._check_finite(found, precision)
        return found

    def _averaged(
        self, batch: torch.Tensor, precision: Precision, orientations: int
    ) -> torch.Tensor:
        """Embed pictures of shape (n, 3, H, W) in every orientation: their mean, (n, width)."""
        device = self.factor.device
        with exact_float32(device, precision), autocast(device, precision):
            rows = [self(lying, precision) for lying in turned(batch, orientations)]
            return rows[0] if orientations == 1 else torch.stack(rows).mean(0)

    def _lane(self, precision: Precision, orientations: int) -> Lane:
        """Return this thread's lane for one way of embedding."""
        lanes = self._own.__dict__.setdefault("lanes", {})
        if (precision, orientations) not in lanes:
            lanes[precision, orientations] = Lane(
                partial(self._averaged, precision=precision, orientations=orientations),
                Cuda(self.factor.device),
                self._submitting,
                recordable=self.record.source != "own",  # whose code is not known
            )
        made: Lane = lanes[precision, orientations]
        return made

    def _check_finite(self, rows: npt.NDArray[np.float32], precision: Precision) -> None:
        wrong = len(rows) - np.isfinite(rows).all(axis=1).sum()
        if wrong:
            remedy = "give other weights, or another network"
            if precision != "fp32":
                remedy = f"numbers may be too large for {precision}, so take fp32, or {remedy}"
            raise InputError(
                f"The network {self.record.name}, in {precision}, returned NaN or infinity for "
                f"{wrong} of {len(rows)} pictures, expected finite numbers; {remedy}."
            )


def turned(batch: torch.Tensor, orientations: int) -> Iterator[torch.Tensor]:
    """Yield a batch (n, c, side, side) as it is, then rotated and mirrored, one by one."""
    for quarters in range(4 if orientations >= 4 else 1):
        rotated = torch.rot90(batch, quarters, (2, 3)) if quarters else batch
        yield rotated
        if orientations in (2, 8):
            yield rotated.flip(3)


def _trunk(record: Backbone, state: dict[str, torch.Tensor]) -> nn.Module:
    network = _without_head(empty_network(record), record)
    network.load_state_dict(state, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        # Some tensors are computed by the builder and stand in no file.
        network = _without_head(random_network(record, 0), record)
        network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last)


def _without_head(network: nn.Module, record: Backbone) -> nn.Module:
    for name in record.head:
        parent, _, last = name.rpartition(".")
        with suppress(AttributeError):
            inside = network.get_submodule(parent)
            if hasattr(inside, last):
                setattr(inside, last, nn.Identity())
    return network
