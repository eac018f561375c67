"""What reaches the terminal: results on stdout; progress, notes and errors on stderr."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from hybridleuk.progress import Listener, Task

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

__all__ = ["Outcome", "Screen", "current_screen", "duration", "fresh_screen"]

_SHOW_AFTER = 1.0
_REPORT_AFTER = 2.0
_LINE_EVERY = 10.0
_WIDE, _BAR_WIDE, _BAR_NARROW = 100, 32, 14


@dataclass(frozen=True)
class Outcome:
    """What a command has to say at its end.

    Attributes
    ----------
    document : mapping
        JSON-serialisable; printed with ``--json``.
    summary : list of renderables
        Printed without ``--json``.
    essential : bool
        Printed even with ``--quiet``, since it is all that the command makes.
    status : int
        The exit status.
    """

    document: Mapping[str, Any]
    summary: list[RenderableType]
    essential: bool = False
    status: int = 0


@dataclass
class _Shown:
    """One task as the terminal knows it."""

    began: float = field(default_factory=time.monotonic)
    first: tuple[float, int] | None = None
    last_line: float = field(default_factory=time.monotonic)
    timer: threading.Timer | None = None
    bar: TaskID | None = None


class Screen(Listener):
    """The listener of the command line.

    On a terminal a task longer than a second gets a bar with rate and time left, which becomes one
    line at its end. Elsewhere a task longer than two seconds gets a plain line now and then.

    Parameters
    ----------
    as_json : bool, default False
        Keep stdout for one JSON object.
    quiet : bool, default False
        Show notes and errors only.
    debug : bool, default False
        Show tracebacks and the warnings of other libraries.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.debug = debug
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)
        self._noted: set[str] = set()
        self._shown: dict[int, _Shown] = {}
        self._progress: Progress | None = None
        self._lock = threading.RLock()

    def opened(self, task: Task) -> None:
        """Begin to watch a task."""
        if self.quiet:
            return
        shown = self._shown[id(task)] = _Shown()
        if self.err.is_terminal:
            shown.timer = threading.Timer(_SHOW_AFTER, self._show_bar, (task,))
            shown.timer.daemon = True
            shown.timer.start()

    def advanced(self, task: Task) -> None:
        """Move the bar, or print a line when the last one is long ago."""
        with self._lock:
            shown = self._shown.get(id(task))
            if shown is None:
                return
            if shown.first is None:
                shown.first = (time.monotonic(), task.done)
            if shown.bar is not None and self._progress is not None:
                self._progress.update(
                    shown.bar, total=task.total, completed=task.done, detail=task.detail
                )
            elif not self.err.is_terminal:
                self._line_now_and_then(task, shown)

    def closed(self, task: Task) -> None:
        """Replace the bar by one line that stays."""
        with self._lock:
            shown = self._shown.pop(id(task), None)
            if shown is None:
                return
            if shown.timer is not None:
                shown.timer.cancel()
            self._remove_bar(shown)
            took = time.monotonic() - shown.began
            if took >= _REPORT_AFTER:
                self.line(_ended(task, took))

    def noted(self, text: str) -> None:
        """Print a sentence the user should read, once, whatever the options."""
        if text not in self._noted:
            self._noted.add(text)
            self.message("Note:", text, "bold yellow")

    def error(self, text: str) -> None:
        """Print what went wrong as one red line."""
        self.message("Error:", text, "bold red", "red")

    def message(self, head: str, text: str, head_style: str, style: str = "") -> None:
        """Print one sentence on stderr."""
        body = Text(" ".join(text.split()), style=style)
        self._print(self.err, Text.assemble((head, head_style), " ", body))

    def line(self, text: str | Text) -> None:
        """Print one line of news on stderr, unless quiet."""
        if not self.quiet:
            self._print(self.err, Text(text, style="dim") if isinstance(text, str) else text)

    def finish(self, outcome: Outcome) -> None:
        """Print what a command has to say."""
        if self.as_json:
            print(json.dumps(outcome.document, indent=2, default=str), flush=True)
        elif outcome.essential or not self.quiet:
            for part in outcome.summary:
                self._print(self.out, Text(part) if isinstance(part, str) else part)

    def _print(self, console: Console, part: RenderableType) -> None:
        # Between words on a terminal; elsewhere not at all, so that lines can be searched.
        whole = isinstance(part, Text) and not console.is_terminal
        console.print(part, soft_wrap=whole)

    def _show_bar(self, task: Task) -> None:
        with self._lock:
            shown = self._shown.get(id(task))
            if shown is None:
                return
            if self._progress is None:
                self._progress = _new_progress(self.err)
                self._progress.start()
            shown.bar = self._progress.add_task(
                task.description,
                total=task.total,
                completed=task.done,
                unit=task.unit,
                detail=task.detail,
            )

    def _remove_bar(self, shown: _Shown) -> None:
        if shown.bar is None or self._progress is None:
            return
        self._progress.remove_task(shown.bar)
        if not self._progress.tasks:
            self._progress.stop()
            self._progress = None

    def _line_now_and_then(self, task: Task, shown: _Shown) -> None:
        now = time.monotonic()
        pause = _LINE_EVERY if shown.last_line > shown.began else _REPORT_AFTER
        if now - shown.last_line >= pause and task.done != task.total:
            shown.last_line = now
            self.line(_under_way(task, shown, now))


_screen = Screen()


def current_screen() -> Screen:
    """Return the screen of the command that is running."""
    return _screen


@contextmanager
def fresh_screen() -> Iterator[Screen]:
    """Use a new screen, bound to the present stdout and stderr, for one run of the program."""
    global _screen
    before, _screen = _screen, Screen()
    try:
        yield _screen
    finally:
        _screen = before


def duration(seconds: float) -> str:
    """Write a duration as people read it.

    Examples
    --------
    >>> duration(4.26), duration(75), duration(7325)
    ('4.3 s', '1:15 min', '2:02 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _under_way(task: Task, shown: _Shown, now: float) -> str:
    of = f" of {task.total:,}" if task.total else ""
    parts = [f"{task.description}: {task.done:,}{of} {task.unit}"]
    # Measured from the first news on: what was loaded before it says nothing of the rest.
    first, done = shown.first or (now, task.done)
    if task.done > done and now > first:
        rate = (task.done - done) / (now - first)
        parts.append(_rate(rate, task.unit))
        if task.total:
            parts.append(f"{duration(max(task.total - task.done, 0) / rate)} left")
    if task.detail:
        parts.append(task.detail)
    return ", ".join(parts)


def _ended(task: Task, took: float) -> str:
    if task.total is not None and task.done < task.total:
        return f"{task.description}: stopped after {task.done:,} of {task.total:,} {task.unit}"
    what = f"{task.done:,} {task.unit}" if task.done else "done"
    rate = f" ({_rate(task.done / took, task.unit)})" if task.done > 1 else ""
    return f"{task.description}: {what} in {duration(took)}{rate}"


def _rate(rate: float, unit: str) -> str:
    if rate >= 0.1:
        return f"{rate:.1f} {unit}/s" if rate < 100 else f"{rate:,.0f} {unit}/s"
    return f"{60 * rate:.1f} {unit}/min"


def _new_progress(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Task as Row
    from rich.table import Column

    class Rate(ProgressColumn):
        """Units done, and units each second or minute."""

        def render(self, task: Row) -> Text:
            speed = task.finished_speed or task.speed or 0.0
            total = f"/{task.total:,.0f}" if task.total else ""
            rate = _rate(speed, task.fields["unit"]) if speed else task.fields["unit"]
            return Text(f"{task.completed:,.0f}{total} {rate}", style="cyan")

    class Detail(ProgressColumn):
        """What is being done just now, cut where the terminal ends."""

        def render(self, task: Row) -> Text:
            detail = str(task.fields["detail"])
            return Text(detail, style="dim", no_wrap=True, overflow="ellipsis")

    whole = Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", table_column=whole),
        BarColumn(_BAR_WIDE if console.width >= _WIDE else _BAR_NARROW, table_column=whole.copy()),
        Rate(table_column=whole.copy()),
        TimeRemainingColumn(compact=True, table_column=whole.copy()),
        Detail(),
        console=console,
        transient=True,
    )
