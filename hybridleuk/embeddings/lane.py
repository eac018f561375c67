"""Batches on a GPU: bytes through pinned memory, copies beside the arithmetic, launches recorded.

A fast GPU waits for the processor: for bytes in memory that may be swapped out, and for Python to
launch some hundred kernels one by one while other threads decode images. So each thread that embeds
has a lane of its own: a CUDA stream, on which its batch is copied while that of another lane is
computed, pinned memory in which bytes go in and rows come out, and, once a batch of one shape has
come often enough that it pays, a CUDA graph of the whole way, which one call launches.

A recorded graph is used only if it gives the same rows as the launches one by one; where a network
cannot be recorded, it goes on as before.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk.embeddings.preprocessing import Pictures

__all__ = ["Cuda", "Lane", "runs_in_lanes"]

_WORTH_RECORDING = 3  # batches of one shape: a short run never pays for a recording
_TOLERANCE = 1e-2  # of the largest value: kernels may be chosen anew, in 8 bits of mantissa
Rows = npt.NDArray[np.float32]
Run = Callable[[torch.Tensor], torch.Tensor]


def runs_in_lanes(device: torch.device) -> bool:
    """Tell whether batches go to a device by lanes."""
    return device.type == "cuda"


class Cuda:
    """What a lane asks of ``torch.cuda``, in one place: tests put a stand-in here."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def stream(self) -> Any:
        """Make a stream that begins when the weights have arrived."""
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.default_stream(self.device))
        return stream

    def on(self, stream: Any) -> AbstractContextManager[object]:
        """Queue what is inside on a stream."""
        return torch.cuda.stream(stream)

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Allocate memory of the processor that the GPU reads and writes by itself."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def record(
        self, stream: Any, function: Callable[[], torch.Tensor]
    ) -> tuple[Callable[[], None], torch.Tensor]:
        """Record the kernels of a function; return what launches them, and where they write."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may copy meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            output = function()
        return graph.replay, output


class _Recorded(NamedTuple):
    pictures: torch.Tensor
    replay: Callable[[], None]
    rows: torch.Tensor


class Lane:
    """One of the batches under way on a GPU.

    Parameters
    ----------
    run : callable
        Takes pictures of shape (n, 3, H, W), uint8, on the device; returns (n, width) float32.
    cuda : Cuda
    submitting : threading.Lock
        Shared by the lanes of a network: one at a time launches or records.
    recordable : bool, default True
        False for a network whose code may do more than launch kernels.
    """

    def __init__(
        self, run: Run, cuda: Cuda, submitting: threading.Lock, *, recordable: bool = True
    ) -> None:
        self.run = run
        self.cuda = cuda
        self.recordable = recordable
        self._submitting = submitting
        self._stream = cuda.stream()
        self._pinned: dict[str, torch.Tensor] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    def rows(self, pictures: Pictures) -> Rows:
        """Embed pictures of shape (n, H, W, 3); returns (n, width).

        Raises
        ------
        torch.OutOfMemoryError
            The GPU's memory does not hold so many at once.
        """
        with self._submitting:
            inward = self._room("in", pictures.shape, torch.uint8)
        inward.copy_(torch.from_numpy(pictures))
        with self._submitting, torch.inference_mode(), self.cuda.on(self._stream):
            found = self._found(inward)
            outward = self._room("out", tuple(found.shape), found.dtype)
            outward.copy_(found, non_blocking=True)
        self._stream.synchronize()
        return np.array(outward.numpy(), dtype=np.float32)

    def _room(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return pinned memory of a shape, the same for every batch that fits in it."""
        kept = self._pinned.get(name)
        if kept is None or kept.shape[1:] != shape[1:] or len(kept) < shape[0]:
            kept = self._pinned[name] = self.cuda.pinned(shape, dtype)
        return kept[: shape[0]]

    def _found(self, inward: torch.Tensor) -> torch.Tensor:
        shape = tuple(inward.shape)
        known = self._recorded.get(shape)
        if known is not None:
            known.pictures.copy_(inward, non_blocking=True)
            known.replay()
            return known.rows
        pictures = inward.to(self.cuda.device, copy=True, non_blocking=True)
        found = self._launched(pictures)
        self._seen[shape] += 1
        if self.recordable and self._seen[shape] >= _WORTH_RECORDING:
            self._record(shape, pictures, found)
        return found

    def _launched(self, pictures: torch.Tensor) -> torch.Tensor:
        # (n, H, W, 3) in memory is what torch calls (n, 3, H, W) in channels-last order.
        return self.run(pictures.permute(0, 3, 1, 2))

    def _record(
        self, shape: tuple[int, ...], pictures: torch.Tensor, expected: torch.Tensor
    ) -> None:
        """Record the way of a batch, and keep that if it gives the rows that are expected."""
        try:
            replay, rows = self.cuda.record(self._stream, lambda: self._launched(pictures))
            replay()
            largest = (rows - expected).abs().max()
            same = bool(largest <= _TOLERANCE * expected.abs().max())
        except RuntimeError:  # not every network can be recorded; too little memory is one, too
            same = False
        if same:
            self._recorded[shape] = _Recorded(pictures, replay, rows)
        else:
            self.recordable = False
