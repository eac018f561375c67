"""Weights at Hugging Face, through its own client: its cache, its settings, its offline switch.

``HF_HOME`` and ``HF_HUB_CACHE`` say where the cache is, ``HF_HUB_OFFLINE=1`` that nothing may be
fetched. A file is only ever taken as tensors: ``.safetensors`` first, else a checkpoint of which
nothing is run.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybridleuk import progress
from hybridleuk.embeddings.records import Backbone
from hybridleuk.exceptions import InputError, WeightsError

__all__ = [
    "cached_file",
    "fetch_from_hub",
    "hub_cache",
    "is_offline",
    "read_config",
    "stated_sha256",
]

_LARGEST_CONFIG = 1 << 20
_SECONDS_TO_ANSWER = 10
_OLDER_FILE = "pytorch_model.bin"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_cache() -> Path:
    """Return the folder of Hugging Face's cache, also where its client is not installed."""
    try:
        from huggingface_hub import constants
    except ImportError:
        home = os.environ.get("HF_HOME") or os.path.join(
            os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
        )
        place = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
        return Path(os.path.expandvars(place)).expanduser()
    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Tell whether Hugging Face's client was told to fetch nothing."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return False
    return bool(constants.HF_HUB_OFFLINE)


def cached_file(record: Backbone) -> Path | None:
    """Find the weights of a backbone in Hugging Face's cache."""
    found = (_cached(record.hub, name) for name in _names(record))
    return next((path for path in found if path is not None), None)


def fetch_from_hub(record: Backbone) -> Path:
    """Find the weights of a backbone in the cache, or fetch them there.

    Raises
    ------
    WeightsError
        They are not there and cannot be fetched; the message names the ways out.
    """
    found = cached_file(record)
    if found is not None:
        return found
    from hybridleuk.embeddings.weights import ways_out

    def problem(reason: str) -> WeightsError:
        return WeightsError(
            f"The weights of {record.name} are not in {hub_cache()} and cannot be fetched from "
            f"Hugging Face's {record.hub} ({reason}); {ways_out(record)}"
        )

    for name in _names(record):
        with _readable_errors(problem):
            path = _fetched(record.hub, name)
        if path is not None:
            return path
    raise problem(f"it has neither of {', '.join(_names(record))}")


def read_config(repository: str) -> dict[str, Any]:
    """Read ``config.json`` of a repository, from the cache or fetched into it.

    Raises
    ------
    InputError
        The name is none of a repository.
    WeightsError
        It cannot be had, or is no JSON.
    """
    import json

    name, _ = _split(repository)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(
            f"hf-hub:{repository} names no repository; expected hf-hub:OWNER/NAME, as in "
            "hf-hub:1aurent/vit_small_patch14_224.dinobloom."
        )

    def problem(reason: str) -> WeightsError:
        return WeightsError(
            f"hf-hub:{repository} is not in {hub_cache()} and cannot be fetched ({reason}); on a "
            "machine with internet write it into a bundle with 'hybridleuk backbones bundle', and "
            "give that with --weights."
        )

    path = _cached(repository, "config.json")
    if path is None:
        with _readable_errors(problem):
            path = _fetched(repository, "config.json")
    if path is None:
        raise problem("it has no config.json")
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError("it is too large")
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: no readable config.json ({error}); fetch it again.") from error
    return document


def stated_sha256(path: Path) -> str:
    """Return the SHA-256 that Hugging Face states for a file of its cache; empty where it does not.

    The cache keeps large files under their hash, and a link with their name beside it.
    """
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else ""


def _names(record: Backbone) -> list[str]:
    return list(dict.fromkeys((record.weights_file, "model.safetensors", _OLDER_FILE)))


def _split(repository: str) -> tuple[str, str | None]:
    name, _, revision = repository.partition("@")
    return name, revision or None


def _cached(repository: str, file: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    name, revision = _split(repository)
    found = try_to_load_from_cache(name, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _fetched(repository: str, file: str) -> Path | None:
    """Fetch one file, or find it in the cache; None where the repository does not have it."""
    from huggingface_hub import errors, hf_hub_download

    name, revision = _split(repository)
    _knock()
    with progress.task(f"Fetching {name}/{file}", None, "bytes") as task, _quiet():
        try:
            return Path(hf_hub_download(name, file, revision=revision, **_shown(task)))
        except errors.LocalEntryNotFoundError:
            raise
        except errors.EntryNotFoundError:
            return None


def _knock() -> None:
    """Fail at once where there is no internet; the client would try for half a minute.

    Raises
    ------
    OSError
    """
    from huggingface_hub import constants

    if is_offline():
        return
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER).close()
    except urllib.error.HTTPError:  # whatever it says, it is there
        return
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):  # the client may know other certificates
            return
        raise OSError(f"{constants.ENDPOINT}: {error.reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's own log of its attempts off the screen: what fails is raised."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _shown(task: progress.Task) -> dict[str, Any]:
    """Let the client tell of its progress as we do, where it can."""
    import inspect

    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import tqdm

    if "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}

    class Told(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            task.total = options.get("total") or None
            task.advance(int(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> None:
            task.advance(int(n or 0))

    return {"tqdm_class": Told}


@contextmanager
def _readable_errors(problem: Any) -> Iterator[None]:
    """Turn what the client raises into one sentence."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise problem("its client comes with timm: pip install 'hybridleuk[timm]'") from error
    try:
        yield
    except errors.GatedRepoError as error:
        raise problem(
            "its authors ask for an agreement: accept it on the page of the repository, then log "
            "in with 'hf auth login'"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise problem("there is no such repository, or it is private") from error
    except errors.LocalEntryNotFoundError as error:
        raise problem(_why_offline(error)) from error
    except (OSError, ValueError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled) as error:
        raise problem(" ".join(str(error).split())[:160]) from error


def _why_offline(error: Exception) -> str:
    if is_offline():
        return "HF_HUB_OFFLINE is set"
    cause = error.__cause__ or error.__context__
    return " ".join(str(cause or error).split())[:120] or "it cannot be reached"
