"""Outputs: refused early where they exist, written under a unique name, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from hybridleuk.exceptions import OutputError

__all__ = [
    "checkpoint_beside",
    "claim_directory",
    "claim_file",
    "clear",
    "refuse_to_replace",
    "require_suffix",
    "write_file",
]


def require_suffix(path: Path, suffix: str) -> None:
    """Refuse a name that says something else than what is written, as wrong usage."""
    if path.suffix.lower() != suffix:
        raise typer.BadParameter(
            f"{path} is written as {suffix[1:].upper()}, so its name has to end in {suffix}",
            param_hint="--output",
        )


def checkpoint_beside(output: Path) -> Path:
    """Where a training leaves its state until `output` is written."""
    return output.with_name(f".{output.name}.training")


def claim_file(path: Path, *, overwrite: bool) -> None:
    """Make sure, before any work, that `path` can be written and may be.

    Raises
    ------
    OutputError
        It exists and `overwrite` is false, it is a folder, or its folder cannot be written; or its
        name is no text, which some kinds of files cannot be written under.
    """
    _check_name(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file for the output.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name, or give --overwrite to replace it.")
    _try_writing(path.parent)


def claim_directory(
    path: Path, *, finished: str, unfinished: Iterable[str], overwrite: bool
) -> bool:
    """Make sure, before any work, that a folder of results can be written and may be.

    Parameters
    ----------
    path : Path
    finished : str
        Name of the file that is written last: where it is, the folder is complete.
    unfinished : iterable of str
        Names of which one shows that an earlier run of the same command was cut short.
    overwrite : bool

    Returns
    -------
    bool
        Whether results of an earlier run have to be removed; an unfinished run is resumed.

    Raises
    ------
    OutputError
        The folder holds finished results and `overwrite` is false, or only something else: that is
        nobody's to overwrite.
    """
    _check_name(path)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; name a folder for the output.")
    complete = (path / finished).exists()
    if complete and not overwrite:
        raise OutputError(
            f"{path} holds finished results; choose another folder, or give --overwrite to make "
            "them again."
        )
    begun = any((path / name).exists() for name in unfinished)
    if path.is_dir() and not complete and not begun and any(_visible(path)):
        raise OutputError(
            f"{path} is not empty, and what it holds is not from this command; choose a new or an "
            "empty folder."
        )
    _try_writing(path)
    return complete


def refuse_to_replace(inputs: Iterable[str | Path], outputs: Iterable[Path | None]) -> None:
    """Make sure that no output can take the place of something that is read, overwriting or not.

    Parameters
    ----------
    inputs : iterable of path
        Images, and what was typed for IMAGES.
    outputs : iterable of Path or None
        Files, and folders into which files are written.

    Raises
    ------
    OutputError
        An input is one of the files or lies in one of the folders.
    """
    places = {Path(output).resolve() for output in outputs if output is not None}
    for given in inputs:
        place = Path(given).resolve()
        if (place in places and not place.is_dir()) or places.intersection(place.parents):
            raise OutputError(
                f"{given} is read and would lie among what is written; choose another output."
            )


def clear(path: Path, names: Iterable[str]) -> None:
    """Remove results of an earlier run by their names, and nothing else."""
    for name in names:
        target = path / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def write_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file of a unique name, and give it its own name when it is complete.

    Raises
    ------
    OutputError
        The disk is full or the folder cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        write(unfinished)
        unfinished.chmod(0o666 & ~_umask())
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{os.fsencode(path).decode('utf-8', 'replace')} is not valid UTF-8; choose another "
            "name for the output."
        ) from error


def _visible(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if not entry.name.startswith(".")]


def _try_writing(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(
            f"{folder} cannot be written ({reason}); choose another folder or change its "
            "permissions."
        ) from error
