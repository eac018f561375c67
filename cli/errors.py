"""What an error is called on the screen, and the exit status that goes with it."""

from __future__ import annotations

import errno

from hybridleuk.exceptions import HybridLeukError
from hybridleuk.models.training_processes import process_count

__all__ = ["INTERRUPTED", "exit_status", "explain"]

INTERRUPTED = 130


def exit_status(error: BaseException) -> int:
    """Return 2 for wrong usage, 1 for everything else."""
    return int(getattr(error, "exit_code", 1)) if _is_usage(error) else 1


def explain(error: BaseException) -> str:
    """Say in one sentence what went wrong and what to do."""
    if _is_usage(error):
        return _usage(error)
    if isinstance(error, HybridLeukError):
        return str(error)
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return (
            "Out of memory; close other programs, give fewer --workers, or choose a smaller "
            "backbone or --device cpu. What was computed is kept."
        )
    if process_count() > 1 and "connection closed by peer" in str(error).lower():
        return "Another process of this training has ended; its own message says why."
    return (
        f"Unexpected {type(error).__name__}: {error or 'no message'}; this is a mistake in "
        "hybridleuk. Run the command again with --debug to see where, and report it."
    )


def _is_usage(error: BaseException) -> bool:
    # Asked by what it can do, since typer has moved this class between its releases.
    return hasattr(error, "format_message")


def _usage(error: BaseException) -> str:
    text = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    path = "hybridleuk" if context is None else context.command_path
    return f"{text}; see '{path} --help'."


def _system(error: OSError) -> str:
    name = error.filename or getattr(error, "filename2", None)
    where = f" at {name}" if name else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full{where}; free some space and give the same command again. "
            "What was computed is kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Permission denied{where}; choose another folder or change its permissions."
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}{where}; check the path and the disk, then give the same command again."
