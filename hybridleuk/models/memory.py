"""How much memory a support vector machine needs, and whether it is there."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hybridleuk.exceptions import InputError

__all__ = ["available_memory", "check_kernel_memory", "kernel_memory"]

_GIB = 2**30
_BYTES = 8  # of a distance, in double precision


def kernel_memory(n: int, *, tuned: bool = False, folds: int = 3) -> int:
    """Return the greatest memory in bytes that fitting on the distances of `n` rows takes.

    ``8 n^2`` bytes hold the distances of all pairs in double precision, or the kernel in their
    place. Beside it lies a copy of the part that an inner fold is fitted on, ``((k - 1) / k)^2`` of
    it with `k` folds, and when tuning the distances that the kernel is made of.
    """
    share = 1 - 1 / max(folds, 2)
    return round((1 + share**2 + tuned) * _BYTES * n * n)


def check_kernel_memory(n: int, *, tuned: bool = False, folds: int = 3) -> None:
    """Make sure, before anything is computed, that a support vector machine fits into memory.

    Parameters
    ----------
    n : int
        Rows it is fitted on.
    tuned : bool, default False
        Whether its settings are searched for.
    folds : int, default 3
        Inner folds of its calibration.

    Raises
    ------
    InputError
        It needs more than is free. Where the system does not tell how much that is, nothing is
        checked.
    """
    needed, free = kernel_memory(n, tuned=tuned, folds=folds), available_memory()
    if free is None or needed <= free:
        return
    fitting = int(n * math.sqrt(free / needed))
    raise InputError(
        f"A support vector machine on {n:,} images needs about {needed / _GIB:.1f} GiB of memory "
        f"for the distances of all pairs, and {free / _GIB:.1f} GiB are free; take fewer "
        f"images of each class (up to {fitting:,} in all fit), or XGBoost, whose memory grows "
        "with the number of images and not with its square."
    )


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can be taken without swapping, or None where the system does not tell.

    On Linux what the kernel gives as available, or less where a control group (a container, a job
    of a cluster) allows less; on other systems all that is built in, if that can be asked for.

    Parameters
    ----------
    root : Path, default "/"
        Where ``proc`` and ``sys`` lie.
    """
    free = _of_machine(root)
    allowed = list(_of_control_groups(root))
    return min([free, *allowed]) if free is not None else min(allowed, default=None)


def _of_machine(root: Path) -> int | None:
    known = _table(root / "proc/meminfo")
    if "MemAvailable:" in known:
        return known["MemAvailable:"] * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _of_control_groups(root: Path) -> Iterator[int]:
    """Yield what is left in each control group that this process is in, innermost first."""
    for line in _lines(root / "proc/self/cgroup"):
        controllers, place = line.split(":", 2)[1:] if line.count(":") >= 2 else ("-", "")
        if controllers and "memory" not in controllers.split(","):
            continue
        first = controllers != ""  # version 1 has a tree for each controller, version 2 one for all
        tree = root / ("sys/fs/cgroup/memory" if first else "sys/fs/cgroup")
        inner = PurePosixPath(place.lstrip("/"))
        for group in (inner, *inner.parents):
            left = _left(tree / group, first)
            if left is not None:
                yield left


def _left(group: Path, first: bool) -> int | None:
    """Limit of one control group less what is used and cannot be given back."""
    limit = _number(group / ("memory.limit_in_bytes" if first else "memory.max"))
    used = _number(group / ("memory.usage_in_bytes" if first else "memory.current"))
    if limit is None or used is None:
        return None
    prefix = "total_" if first else ""
    known = _table(group / "memory.stat")
    files = sum(known.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return max(0, limit - max(0, used - files))


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)[:1])
    return int(text) if text.isdecimal() else None


def _table(path: Path) -> dict[str, int]:
    words = [line.split() for line in _lines(path)]
    return {pair[0]: int(pair[1]) for pair in words if len(pair) > 1 and pair[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
