"""Where and how exactly networks run: device, precision, threads.

Also used for training (:mod:`hybridleuk.models.finetuned`).
"""

from __future__ import annotations

import glob
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "PRECISIONS",
    "Precision",
    "autocast",
    "check_device",
    "default_batch_size",
    "default_workers",
    "dtype_of",
    "exact_float32",
    "precision_without_torch",
    "resolve_device",
    "resolve_precision",
    "running_beside",
]

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS = ("fp32", "bf16", "fp16", "auto")
_BATCH_SIZE_CPU = 16
_MOST_BATCHES_AT_ONCE = 8
_LANES = 2  # of a GPU
_BATCH_SIZE_GPU = 256
# What the drivers of NVIDIA (also on Tegra and under WSL), AMD and Intel GPUs put there.
_GPU_FILES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/dxg", "/dev/kfd", "/dev/dri/*")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Find the device that a name stands for.

    ``"auto"`` takes a CUDA GPU, else Apple's ``mps``, else the CPU.

    Raises
    ------
    InputError
        The name means nothing, or the device is not there.
    """
    import torch

    if device == "auto":
        return torch.device(_best_device())
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device is {device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    if not _is_there(resolved):
        raise InputError(
            f"The device {device!r} is not available here (torch {torch.__version__} sees "
            f"{_seen()}); write 'auto' or 'cpu', or install a torch built for it."
        )
    return resolved


def check_device(device: str | torch.device) -> None:
    """Refuse a device that is not there, loading torch only where it has to be asked.

    Results in the cache need no device; but one that was asked for is there or not, whatever the
    cache holds.

    Raises
    ------
    InputError
        The name means nothing, or the device is not there.
    """
    if device not in ("auto", "cpu"):
        resolve_device(device)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_there(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return bool(torch.backends.mps.is_available())
    return device.type == "cpu"


def _seen() -> str:
    import torch

    seen = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    seen += ["mps"] if torch.backends.mps.is_available() else []
    return ", ".join(["cpu", *seen])


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Find the precision that a name stands for on a device.

    ``"auto"`` is the fastest that is exact enough: bf16 (else fp16) on a GPU, bf16 on a CPU that
    multiplies it in hardware, else fp32.

    Raises
    ------
    InputError
        The name means nothing, or the device does not compute in it.
    """
    check_precision(precision)
    if precision == "auto":
        return _fastest(device)
    if precision == "fp16" and device.type == "cpu":
        raise InputError("Precision fp16 is for GPUs; write 'bf16' or 'fp32' for a CPU.")
    return precision  # type: ignore[return-value]


def precision_without_torch(precision: str, device: str | torch.device) -> Precision | None:
    """Find the precision that a name stands for without loading torch, where that is certain.

    Loading torch takes longer than all the rest of a run whose results are in the cache. Certain
    are names other than ``"auto"`` that every device computes in, and machines that show no sign
    of a GPU.

    Returns
    -------
    {"fp32", "bf16"} or None
        None where torch has to be asked: :func:`resolve_precision`.
    """
    if precision in ("fp32", "bf16"):
        return precision  # type: ignore[return-value]
    if precision == "auto" and (device == "cpu" or (device == "auto" and not _may_have_gpu())):
        flags = _cpu_flags()
        if flags is not None and _torch_tells_bf16():
            return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "fp32"
    return None


def _may_have_gpu() -> bool:
    """Tell whether there may be a GPU that torch uses; false only where there is certainly none."""
    if sys.platform != "linux":
        return True
    return any(glob.glob(pattern) for pattern in _GPU_FILES)


def _cpu_flags() -> set[str] | None:
    """Read what the processor can do from Linux; None elsewhere, or on another than x86."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((set(line.split()) for line in lines if line.startswith("flags")), None)


def _torch_tells_bf16() -> bool:
    version = importlib.metadata.version("torch").split(".")
    return (int(version[0]), int(version[1])) >= (2, 8)


def check_precision(precision: str) -> None:
    """Refuse a precision that does not exist, without asking for the device."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")


def _fastest(device: torch.device) -> Precision:
    import torch

    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    import torch

    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.8
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def dtype_of(precision: Precision) -> torch.dtype:
    """Return torch's type for a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Run what is inside in mixed precision; with fp32, change nothing."""
    import torch

    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype_of(precision))


@contextmanager
def exact_float32(device: torch.device, precision: Precision) -> Iterator[None]:
    """Keep a GPU from rounding fp32 to TF32 (10 bits of mantissa) inside convolutions."""
    import torch

    if device.type != "cuda" or precision != "fp32":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


@contextmanager
def running_beside(device: torch.device) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Make the threads in which batches run through a network, and say how many there are.

    On a CPU every core takes a batch of its own, rather than all cores one batch together: then no
    core waits for the others at the end of every layer, nor for those that decode images. As many
    cores are used as torch may use (``torch.set_num_threads``). A GPU computes one batch while
    another one is copied to it (:mod:`hybridleuk.embeddings.lane`).
    """
    import torch

    allowed = torch.get_num_threads()
    most = {"cpu": min(allowed, _MOST_BATCHES_AT_ONCE), "cuda": _LANES}
    at_once = most.get(device.type, 1)
    pool = ThreadPoolExecutor(
        at_once,
        thread_name_prefix="hybridleuk-network",
        initializer=torch.set_num_threads,
        initargs=(max(1, allowed // at_once),),
    )
    try:
        yield pool, at_once
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(allowed)  # part of the setting is shared by all threads


def default_workers() -> int:
    """Count the cores this process may use: as many threads decode images."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_batch_size(device: torch.device) -> int:
    """Return how many pictures go through the network at once, unless told."""
    return _BATCH_SIZE_CPU if device.type == "cpu" else _BATCH_SIZE_GPU
