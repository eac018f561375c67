"""The program started several times at once by ``torchrun``: only the first process speaks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from hybridleuk.exceptions import InputError
from hybridleuk.models.training_processes import process_count, process_number

__all__ = ["only_the_first_speaks", "refuse_several", "speaks", "wait_for_the_first"]

_PATIENCE = 10.0  # seconds in which the first process says what it, too, has met


def speaks() -> bool:
    """Return whether this process prints and writes."""
    return process_number() == 0


def refuse_several(what: str) -> None:
    """Make sure that `what` runs in one process, since several would write the same files.

    Raises
    ------
    InputError
        There are several.
    """
    if process_count() > 1:
        raise InputError(
            f"{what} runs in one process, and torchrun has started {process_count()}; start it "
            "without torchrun (only 'fit' with a network that is trained makes use of several)."
        )


@contextlib.contextmanager
def only_the_first_speaks() -> Iterator[None]:
    """Keep all processes but the first from printing, for the length of a ``with`` block."""
    if speaks():
        yield
        return
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def wait_for_the_first(text: str) -> None:
    """Say what went wrong in this process, if the first has not ended all with the same by then.

    ``torchrun`` ends all processes as soon as one fails; of an error that all of them meet, the
    first one's message is to be read, and once.
    """
    if speaks():
        return
    time.sleep(_PATIENCE)
    print(f"Error: (process {process_number()}) {text}", file=sys.__stderr__, flush=True)
