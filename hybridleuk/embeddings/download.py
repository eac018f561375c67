"""Torchvision's weight files, fetched into torch hub's cache as torchvision would."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO

from hybridleuk import progress
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.weights import ways_out
from hybridleuk.exceptions import WeightsError

__all__ = ["download_weights", "weights_url"]

_PIECE = 1 << 18
_SECONDS_OF_SILENCE = 20


def weights_url(record: Backbone) -> str:
    """Ask torchvision where the weights of a backbone are."""
    import torchvision.models

    weights = torchvision.models.get_model_weights(record.name)[record.weights_tag]
    return str(weights.url)


def download_weights(record: Backbone, target: Path) -> None:
    """Download torchvision's file, check its hash, and put it in place only when complete.

    Raises
    ------
    WeightsError
        It cannot be reached, was cut off, has another hash, or cannot be written.
    """
    url = weights_url(record)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = _fetch(url, unfinished)
        expected = record.weights_file.rsplit("-", 1)[1].removesuffix(".pth")
        if not digest.startswith(expected):
            raise WeightsError(
                f"{url} came with SHA-256 {digest[:16]}..., expected {expected}...: something on "
                f"the way changed or cut it off; try again, or {ways_out(record)}"
            )
        os.replace(unfinished, target)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise WeightsError(
            f"The weights of {record.name} are not in {target.parent} and cannot be downloaded "
            f"from {url} ({reason}); {ways_out(record)}"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _fetch(url: str, target: Path) -> str:
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(url, timeout=_SECONDS_OF_SILENCE) as answer,
        target.open("wb") as file,
    ):
        size = int(answer.headers.get("Content-Length") or 0) or None
        with progress.task(f"Downloading {url.rsplit('/', 1)[1]}", size, "bytes") as task:
            for piece in _pieces(answer):
                file.write(piece)
                digest.update(piece)
                task.advance(len(piece))
    return digest.hexdigest()


def _pieces(answer: IO[bytes]) -> Iterator[bytes]:
    while piece := answer.read(_PIECE):
        yield piece
