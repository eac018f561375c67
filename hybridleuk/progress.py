"""How long work tells what it is doing, without the library knowing about screens.

Library code opens a task and advances it; whoever wants to see it installs a listener. The command
line installs one that draws a bar with a rate and the time left; a notebook may install its own;
without a listener nothing happens.

Examples
--------
>>> from hybridleuk import progress
>>> class Printing(progress.Listener):
...     def opened(self, task):
...         print("begin", task.description, task.total, task.unit)
...     def closed(self, task):
...         print("end", task.done)
>>> with progress.report_to(Printing()), progress.task("Reading", total=2) as reading:
...     for _ in range(2):
...         reading.advance()
begin Reading 2 images
end 2
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Listener", "Task", "note", "report_to", "task"]


@dataclass
class Task:
    """A piece of work under way: what it is, how much there is, how much is done."""

    description: str
    total: int | None
    unit: str
    listener: Listener
    done: int = 0
    detail: str = ""

    def advance(self, n: int = 1, detail: str | None = None) -> None:
        """Count `n` more units as done; `detail` replaces the short text beside the bar."""
        self.done += n
        if detail is not None:
            self.detail = detail
        self.listener.advanced(self)


class Listener:
    """What happens to news of progress: nothing. Subclass it to show them."""

    def opened(self, task: Task) -> None:
        """Learn that `task` begins."""

    def advanced(self, task: Task) -> None:
        """Learn that ``task.done`` or ``task.detail`` has changed."""

    def closed(self, task: Task) -> None:
        """Learn that `task` has ended, finished or not."""

    def noted(self, text: str) -> None:
        """Learn one sentence the user should read, such as that weights are random."""


_listener: ContextVar[Listener] = ContextVar("hybridleuk_progress", default=Listener())  # noqa: B039


@contextmanager
def report_to(listener: Listener) -> Iterator[Listener]:
    """Send news of progress to `listener` for the length of a ``with`` block."""
    token = _listener.set(listener)
    try:
        yield listener
    finally:
        _listener.reset(token)


@contextmanager
def task(description: str, total: int | None = None, unit: str = "images") -> Iterator[Task]:
    """Open a task of `total` units for the length of a ``with`` block."""
    listener = _listener.get()
    opened = Task(description, total, unit, listener)
    listener.opened(opened)
    try:
        yield opened
    finally:
        listener.closed(opened)


def note(text: str) -> None:
    """Pass on one sentence the user should read."""
    _listener.get().noted(text)
