"""How long a training takes: what is left of a budget, and how much of it was spent waiting."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hybridleuk.exceptions import InputError

__all__ = ["Clock", "planned_steps", "seconds_of"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_FEWEST = 5  # steps that are timed before the plan follows their speed
_RESERVE = 0.03  # of the budget, for the last validation and what follows it


@dataclass
class Clock:
    """Seconds since a training began, those of the runs before an interruption included.

    Parameters
    ----------
    begun : float
        ``time.monotonic()`` when this run began.
    spent : float
        Of earlier runs, s.
    waited : float
        What the network waited for images, s.
    """

    begun: float = field(default_factory=lambda: time.monotonic())
    spent: float = 0.0
    waited: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of this run and those before it."""
        return self.spent + time.monotonic() - self.begun

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a ``with`` block as spent waiting."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - begun


def planned_steps(
    done: int, longest: int, *, stepping: float, elapsed: float, budget: float | None
) -> int:
    """Return how many steps a training will have when its time is up.

    Parameters
    ----------
    done, longest : int
        Steps made, and made at most.
    stepping : float
        What those made took, validations included, s.
    elapsed, budget : float
        Since the training began, and allowed, s; no budget means `longest`.

    Examples
    --------
    >>> planned_steps(10, 500, stepping=20.0, elapsed=30.0, budget=100.0)
    43
    """
    if budget is None or done < min(_FEWEST, longest):
        return longest
    left = max(0.0, budget * (1 - _RESERVE) - elapsed)
    return min(longest, done + math.floor(left * done / max(stepping, 1e-9)))


def seconds_of(duration: str | float | None) -> float | None:
    """Read a duration: seconds, or text such as ``"90s"``, ``"20m"`` or ``"1.5h"``.

    Raises
    ------
    InputError
        It is none, or not above zero.

    Examples
    --------
    >>> seconds_of("20m"), seconds_of(90)
    (1200.0, 90.0)
    """
    if duration is None:
        return None
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh]?)\s*", str(duration).lower())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise InputError(
            f"budget is {duration!r}; expected a time such as '90s', '20m' or '1.5h', or a number "
            "of seconds above 0."
        )
    return seconds
