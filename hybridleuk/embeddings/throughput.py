"""How fast images became rows, and where the time went."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["STAGES", "Throughput"]

STAGES = ("decode", "cells", "preprocess", "network", "write")
_Item = TypeVar("_Item")


class Throughput:
    """Seconds that threads spent in each stage of one extraction.

    Stages run beside each other, so their seconds add up to more than the extraction took; their
    shares tell which stage the others wait for.

    Attributes
    ----------
    images : int
        Images embedded, those from the cache left out.
    seconds : float
        From the first stage's begin to the last one's end.
    stages : dict of str to float
        Seconds in each of :data:`STAGES`, over all threads.

    Examples
    --------
    >>> from hybridleuk.embeddings.throughput import Throughput
    >>> spent = Throughput()
    >>> with spent.stage("network"):
    ...     rows = sum(range(1000))
    >>> spent.images += 8
    >>> sorted(spent.document())
    ['images', 'images_per_second', 'seconds', 'stages']
    """

    def __init__(self) -> None:
        self.images = 0
        self.stages = dict.fromkeys(STAGES, 0.0)
        self._begin: float | None = None
        self._end = 0.0
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Wall-clock time between the first stage's begin and the last one's end."""
        return 0.0 if self._begin is None else self._end - self._begin

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a ``with`` block, in whatever thread, towards a stage."""
        begin = time.perf_counter()
        with self._lock:
            self._begin = begin if self._begin is None else min(self._begin, begin)
        try:
            yield
        finally:
            end = time.perf_counter()
            with self._lock:
                self.stages[name] += end - begin
                self._end = max(self._end, end)

    def waiting(self, name: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Pass items on, counting the time until each is there towards a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def document(self) -> dict[str, Any]:
        """Return all of it as plain data, for the provenance of features."""
        rate = self.images / self.seconds if self.seconds else 0.0
        return {
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(rate, 2),
            "stages": {name: round(spent, 3) for name, spent in self.stages.items()},
        }

    def sentence(self) -> str:
        """Say rate and shares in one line."""
        total = sum(self.stages.values()) or 1.0
        shares = ", ".join(f"{n} {t / total:.0%}" for n, t in self.stages.items() if t > 0)
        return (
            f"Embedded {self.images:,} images in {self.seconds:.1f} s, "
            f"{self.images / max(self.seconds, 1e-9):.1f} images/s; threads spent {shares}."
        )
