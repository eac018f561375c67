"""Finished folds on disk, so that an interrupted comparison resumes and stale results are not used.

A fold is two files, ``<name>.parquet`` (a row of probabilities per test image) and
``<name>.json`` (what it cost), where the name ends in a hash of everything the result depends on:
the estimator's class and parameters, the images by content, their labels and groups, the split,
and the version of hybridleuk. Whatever changes gets another name. Both files are written to a
unique name and then renamed, the JSON file last: where it lies, the fold is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd

import hybridleuk
from hybridleuk.data.images import image_sha256
from hybridleuk.exceptions import ImageError, OutputError

__all__ = ["FORMAT", "Checkpoints", "FoldResult", "describe", "fingerprint", "write_atomically"]

FORMAT = 1
# Parameters that decide where and how fast something is computed, but not what comes out.
WITHOUT_EFFECT = frozenset({"cache", "workers", "n_jobs", "verbose", "checkpoint"})


@dataclass(frozen=True)
class FoldResult:
    """What one candidate made of one fold.

    Attributes
    ----------
    probabilities : ndarray of shape (n_test, n_classes)
    fit_seconds : float
    predict_ms : float
        Milliseconds per image, not a number where it was not measured.
    answers : mapping of probe to its named arrays
        Kept in files of their own.
    size_bytes : int or None
        Of the fitted candidate; None where it was not taken.
    """

    probabilities: npt.NDArray[np.float64]
    fit_seconds: float
    predict_ms: float = float("nan")
    answers: dict[str, Any] = field(default_factory=dict)
    size_bytes: int | None = None


class Checkpoints:
    """The folder of finished folds; without a folder nothing is kept.

    Parameters
    ----------
    directory : path or None
        Made when the first fold is written.
    """

    def __init__(self, directory: str | os.PathLike[str] | None) -> None:
        self.directory = None if directory is None else Path(directory)

    def load(self, name: str, shape: tuple[int, int]) -> FoldResult | None:
        """Read a finished fold; ``None`` when it is not there, incomplete or damaged."""
        if self.directory is None:
            return None
        try:
            costs = json.loads(self._path(name, ".json").read_text("utf-8"))
            table = pd.read_parquet(self._path(name, ".parquet"))
            probabilities = table.to_numpy(dtype=np.float64)
            fit_seconds, predict_ms = float(costs["fit_seconds"]), costs["predict_ms_per_image"]
            size = costs.get("size_bytes")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if probabilities.shape != shape or not np.isfinite(probabilities).all():
            return None
        return FoldResult(
            probabilities,
            fit_seconds,
            float("nan") if predict_ms is None else float(predict_ms),
            size_bytes=None if size is None else int(size),
        )

    def save(
        self, name: str, result: FoldResult, classes: Sequence[str], about: Mapping[str, Any]
    ) -> None:
        """Keep a finished fold; `about` goes into its JSON file for those who look."""
        if self.directory is None:
            return
        table = pd.DataFrame(result.probabilities, columns=list(classes))
        timed = np.isfinite(result.predict_ms)
        costs = {
            **about,
            "fit_seconds": result.fit_seconds,
            "predict_ms_per_image": result.predict_ms if timed else None,
            "size_bytes": result.size_bytes,
        }
        write_atomically(self._path(name, ".parquet"), table.to_parquet())
        write_atomically(self._path(name, ".json"), json.dumps(costs, indent=1).encode())

    def load_answer(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """Read what a probe found; ``None`` when it is not there or damaged."""
        if self.directory is None:
            return None
        try:
            content = io.BytesIO(self._path(name, ".npz").read_bytes())
            with np.load(content, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def save_answer(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep what a probe found."""
        if self.directory is None:
            return
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict[str, Any](arrays))
        write_atomically(self._path(name, ".npz"), buffer.getvalue())

    def training_folder(self, name: str) -> Path | None:
        """Where an estimator may keep its own state while it is fitted on this fold."""
        return None if self.directory is None else self._path(name, ".training")

    def _path(self, name: str, suffix: str) -> Path:
        assert self.directory is not None
        return self.directory / f"{name}{suffix}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, to a unique name that is then changed.

    Raises
    ------
    OutputError
        The disk is full or the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); free some space or name another "
            "folder. What was finished before is kept."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def fingerprint(candidate: str, *parts: Any) -> str:
    """Name a result after the candidate and a hash of all it depends on.

    Examples
    --------
    >>> from hybridleuk.evaluation.checkpoints import fingerprint
    >>> fingerprint("deep+svm", 1) == fingerprint("deep+svm", 1) != fingerprint("deep+svm", 2)
    True
    """
    content = json.dumps([FORMAT, hybridleuk.__version__, [describe(part) for part in parts]])
    digest = hashlib.sha256(content.encode()).hexdigest()
    readable = re.sub(r"[^\w+-]", "_", candidate)[:60]
    return f"{readable}-{digest[:24]}"


def describe(value: Any) -> Any:
    """Describe a setting so that equal settings read equal in every process, others do not.

    An estimator or dataclass becomes its class and parameters, a path to a file gets the hash of
    its content, a function the hash of its code.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value if value is None else f"{type(value).__name__} {value!r}"
    if isinstance(value, (str, os.PathLike)):
        return _describe_text(os.fspath(value))
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in sorted(value.items(), key=str)}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if hasattr(value, "get_params") and not isinstance(value, type):
        return [_name(type(value)), _parameters(value)]
    if callable(value) and hasattr(value, "__code__"):
        return [_name(value), *_describe_code(value.__code__)]
    if is_dataclass(value) and not isinstance(value, type):
        settings = {f.name: getattr(value, f.name) for f in fields(value)}
        return [_name(type(value)), _described(settings)]
    if isinstance(value, type) or callable(value):
        return _name(value if hasattr(value, "__qualname__") else type(value))
    return [_name(type(value)), joblib.hash(value)]


def _parameters(estimator: Any) -> dict[str, Any]:
    return _described(estimator.get_params(deep=False))


def _described(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: describe(value)
        for name, value in sorted(settings.items())
        if name not in WITHOUT_EFFECT
    }


def _describe_text(text: str) -> Any:
    if len(text) > 1 and os.path.isfile(text):
        with contextlib.suppress(ImageError):
            return [text, image_sha256(text)]
    return text


def _describe_code(code: CodeType) -> list[Any]:
    # Code inside code (comprehensions, inner functions) prints its address, so it is opened.
    constants = [
        _describe_code(item) if isinstance(item, CodeType) else repr(item)
        for item in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), constants]


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
