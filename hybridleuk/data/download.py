"""One file from a plain address: resumed where it was cut short, checked, then given its name."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from hybridleuk import progress
from hybridleuk.exceptions import DownloadError

__all__ = ["download", "unfinished_downloads"]

_PIECE = 1 << 18
_SECONDS_OF_SILENCE = 20
_LEFT_BEHIND = 3 * _SECONDS_OF_SILENCE  # nobody writes to a download that is older
_SUFFIX = ".partial"


def unfinished_downloads(folder: Path) -> list[Path]:
    """List downloads that were cut short and can be gone on with."""
    return sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []


def download(url: str, target: Path, *, sha256: str = "", md5: str = "") -> str:
    """Download a file, check its hash, and put it in place only when complete.

    Parameters
    ----------
    url : str
    target : path
    sha256 : str, optional
        The hash that the file must have, or how it begins.
    md5 : str, optional
        The same, for files whose publisher names no better one.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    DownloadError
        It cannot be reached, was cut off, has another hash, or cannot be written. What was
        downloaded of it is kept when the connection broke, and gone on with next time.
    """
    unfinished = target.with_name(f"{target.name}.{os.getpid()}{_SUFFIX}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _take_over(target, unfinished)
        digests = _fetch(url, unfinished)
        expected = {"SHA-256": sha256, "MD5": md5}
        for (name, wanted), digest in zip(expected.items(), digests, strict=True):
            if not digest.startswith(wanted):
                unfinished.unlink()
                raise DownloadError(
                    f"{url} came with {name} {digest[:16]}..., expected {wanted}...: something on "
                    "the way changed or cut it off; try again"
                )
        os.replace(unfinished, target)
        return digests[0]
    except (OSError, HTTPException) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            unfinished.unlink(missing_ok=True)
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DownloadError(f"{target.name} cannot be downloaded from {url} ({reason})") from error
    finally:
        _leave(unfinished, target)


def _take_over(target: Path, unfinished: Path) -> None:
    """Go on with a download of the same file that nobody is writing to any more."""
    for left in sorted(target.parent.glob(f"{target.name}*{_SUFFIX}")):
        with suppress(OSError):  # another process was faster
            named = left.name == target.name + _SUFFIX
            if named or time.time() - left.stat().st_mtime > _LEFT_BEHIND:
                os.replace(left, unfinished)
                return


def _leave(unfinished: Path, target: Path) -> None:
    """Leave what there is of a download for the next attempt."""
    with suppress(OSError):
        if unfinished.stat().st_size:
            os.replace(unfinished, target.with_name(target.name + _SUFFIX))
        else:
            unfinished.unlink()


def _fetch(url: str, target: Path) -> tuple[str, str]:
    """Download to a file, or the rest of it, and return SHA-256 and MD5 of the whole."""
    digest, weak = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    there = target.stat().st_size if target.exists() else 0
    with _asked(url, there) as answer:
        there = there if answer.status == 206 else 0  # 206: only the rest is sent
        size = int(answer.headers.get("Content-Length") or 0) + there or None
        with (
            target.open("r+b" if there else "wb") as file,
            progress.task(f"Downloading {url.rsplit('/', 1)[1]}", size, "bytes") as task,
        ):
            for piece in _pieces(file, there):
                digest.update(piece)
                weak.update(piece)
            task.advance(there)
            for piece in _pieces(answer):
                file.write(piece)
                digest.update(piece)
                weak.update(piece)
                task.advance(len(piece))
            file.truncate()
    if size is not None and target.stat().st_size != size:
        raise OSError(f"{target.stat().st_size} of {size} bytes came, then the connection broke")
    return digest.hexdigest(), weak.hexdigest()


def _asked(url: str, there: int) -> Any:
    """Open a connection, for what is beyond the first `there` bytes."""
    request = urllib.request.Request(url)
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        return urllib.request.urlopen(request, timeout=_SECONDS_OF_SILENCE)
    except urllib.error.HTTPError as error:
        if there and error.code == 416:  # there is nothing beyond: begin anew
            return urllib.request.urlopen(url, timeout=_SECONDS_OF_SILENCE)
        raise


def _pieces(file: IO[bytes], length: int | None = None) -> Iterator[bytes]:
    """Read a file to its end, or its first `length` bytes."""
    left = length
    while left is None or left > 0:
        piece = file.read(_PIECE if left is None else min(_PIECE, left))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece
