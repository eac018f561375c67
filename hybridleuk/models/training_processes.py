"""Several processes, one for each GPU, that train one network together.

``torchrun`` starts them and tells each its number in the environment; Lightning Fabric connects
them and lets DistributedDataParallel add up their gradients. All of them hold the same images and
the same network. Of each batch a process computes its share, and since losses are divided by the
weight of the whole batch, the gradient is that of the whole batch, however the shares differ. What
depends on a clock or on a file is decided by the first process and told to the others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hybridleuk import progress
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:  # the command line asks for the number of processes before anything is loaded
    import numpy as np
    import numpy.typing as npt
    import torch

__all__ = ["Processes", "process_count", "process_number", "processes_here"]

T = TypeVar("T")

_TOLD = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Processes:
    """The processes that train a network together; by default this one alone.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric, optional
        Launched; from :meth:`started`.

    Attributes
    ----------
    rank : int
        Number of this process; the first, 0, writes files and speaks.
    count : int
    """

    def __init__(self, fabric: Any = None) -> None:
        self.fabric = fabric
        self.rank: int = 0 if fabric is None else fabric.global_rank
        self.count: int = 1 if fabric is None else fabric.world_size

    @classmethod
    def started(cls, device: torch.device, *, unused: bool = False) -> Self:
        """Connect the processes that ``torchrun`` has started, if it has started several.

        Parameters
        ----------
        device : torch.device
            A CPU, or CUDA without a number: each process takes the GPU of its own.
        unused : bool
            Whether the network may have parameters that no score depends on.

        Raises
        ------
        InputError
            Lightning Fabric is missing, or there is no device for each process.
        """
        if process_count() == 1:
            return cls()
        _check(device)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import TorchElasticEnvironment
        from lightning_fabric.strategies import DDPStrategy

        fabric = Fabric(
            accelerator=device.type,
            # Running statistics are kept by `same`, at the end of each step.
            strategy=DDPStrategy(find_unused_parameters=unused, broadcast_buffers=False),
            devices=processes_here(),
            num_nodes=process_count() // processes_here(),
            plugins=[TorchElasticEnvironment()],
        )
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its import sets INFO
        fabric.launch()
        return cls(fabric)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this process."""
        return device if self.fabric is None else self.fabric.device

    def wrapped(self, network: torch.nn.Module) -> torch.nn.Module:
        """Return what computes as `network` does, and whose gradients are those of all."""
        if self.fabric is None:
            return network
        return self.fabric.setup_module(network, move_to_device=False)

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients of the sum of the losses of all processes."""
        if self.fabric is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.fabric.backward(loss * self.count)  # since the mean of gradients is taken

    def part_of_step(self, wrapped: torch.nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Hold back the exchange of gradients until the last part of a step."""
        if self.fabric is None:
            return contextlib.nullcontext()
        return self.fabric.no_backward_sync(wrapped, enabled=not last)

    def share(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return this process's part of some places; the first where none is left for it."""
        mine = places[self.rank :: self.count]
        return mine if len(mine) else places[:1]

    def joined(self, part: torch.Tensor, total: int) -> torch.Tensor:
        """Put together what was computed of :meth:`share` of `total` places, in their order."""
        if self.fabric is None:
            return part
        whole = part.new_zeros((total, *part.shape[1:]))
        mine = whole[self.rank :: self.count]
        mine.copy_(part[: len(mine)])
        return self.summed(whole)

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up the tensors of all processes."""
        if self.fabric is None:
            return tensor
        total = self.fabric.all_reduce(tensor.to(self.fabric.device), reduce_op="sum")
        return total.to(tensor.device)

    def agreed(self, value: T) -> T:
        """Return the first process's value."""
        return value if self.fabric is None else self.fabric.broadcast(value)

    def same(self, network: torch.nn.Module, *, buffers_only: bool = False) -> None:
        """Give all processes the first one's network, or its running statistics."""
        if self.fabric is None:
            return
        if not buffers_only:
            state = {name: value.cpu() for name, value in network.state_dict().items()}
            network.load_state_dict(self.agreed(state if self.leads else {}))
            return
        import torch

        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)

    def audible(self) -> AbstractContextManager[Any]:
        """Let only the first process tell of its progress, for the length of a ``with`` block."""
        return contextlib.nullcontext() if self.leads else progress.report_to(progress.Listener())


def process_count() -> int:
    """Return how many processes were started together, as the environment says."""
    return max(1, _told("WORLD_SIZE", 1))


def process_number() -> int:
    """Return the number of this process among them; the first is 0."""
    return _told("RANK", 0) if process_count() > 1 else 0


def processes_here() -> int:
    """Return how many of them run on this machine."""
    return max(1, _told("LOCAL_WORLD_SIZE", 1)) if process_count() > 1 else 1


def _told(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


def _check(device: torch.device) -> None:
    if importlib.util.find_spec("lightning_fabric") is None:
        raise InputError(
            f"Training with {process_count()} processes needs Lightning Fabric, which is not "
            "installed; install it with pip install 'hybridleuk[distributed]', or start one "
            "process, without torchrun."
        )
    missing = [name for name in _TOLD if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {process_count()} in the environment, but {', '.join(missing)} is not "
            "set; start several processes with torchrun, or unset WORLD_SIZE to train in one."
        )
    if device.type not in ("cuda", "cpu") or ":" in str(device):
        raise InputError(
            f"{process_count()} processes cannot train on the device '{device}'; write 'cuda', "
            "where each takes the GPU of its own number, or 'cpu'."
        )
    _check_gpus(device)


def _check_gpus(device: torch.device) -> None:
    import torch

    if device.type == "cuda" and torch.cuda.device_count() < processes_here():
        raise InputError(
            f"There are {processes_here()} processes on this machine but only "
            f"{torch.cuda.device_count()} GPUs; give torchrun --nproc-per-node that many."
        )
