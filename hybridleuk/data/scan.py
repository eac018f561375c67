"""Files on disk: which are there, which are images, what each is called."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from hybridleuk import progress
from hybridleuk.data.images import inspect_bytes, read_image, remember_sha256
from hybridleuk.exceptions import ImageError

__all__ = [
    "decode_files",
    "inspect_files",
    "is_clutter",
    "make_image_ids",
    "safe_name",
    "walk",
]

_CLUTTER = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__macosx"}


def walk(root: Path) -> tuple[list[Path], int]:
    """List the files below `root`, links followed but no folder entered twice."""
    files: list[Path] = []
    ignored = 0
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not is_clutter(Path(name)))
        visible = [name for name in sorted(names) if not is_clutter(Path(name))]
        ignored += len(names) - len(visible)
        files += [Path(folder, name) for name in visible]
    return sorted(files), ignored


def is_clutter(path: Path) -> bool:
    """Tell hidden files and what file managers leave behind."""
    return path.name.startswith(".") or path.name.lower() in _CLUTTER


def inspect_files(paths: list[str]) -> tuple[list[str], list[str | None]]:
    """Hash files and read their headers: SHA-256 of each, and why it is no usable image or None."""
    with ThreadPoolExecutor() as pool, progress.task("Reading files", len(paths)) as reading:
        results = []
        for result in pool.map(_inspect, paths):
            results.append(result)
            reading.advance()
    return [digest for digest, _ in results], [reason for _, reason in results]


def decode_files(paths: list[str], n_jobs: int | None) -> list[str | None]:
    """Decode files completely: for each, why that fails, or None."""
    if not paths:
        return []
    reasons = []
    with ThreadPoolExecutor(n_jobs) as pool, progress.task("Checking images", len(paths)) as task:
        for reason in pool.map(_decode, paths):
            reasons.append(reason)
            task.advance()
    return reasons


def make_image_ids(paths: Iterable[str], root: Path) -> list[str]:
    """Name images uniquely after their paths relative to `root`, each fit to be a file name."""
    relative = [Path(os.path.relpath(path, root)) for path in paths]
    plain = [safe_name("__".join((*path.parent.parts, path.stem))) for path in relative]
    # Case is folded because two names that differ by case are one file on macOS and Windows.
    counts = pd.Series([name.casefold() for name in plain], dtype=object).value_counts()
    return [
        name
        if counts[name.casefold()] == 1
        else f"{name}-{hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]}"
        for name, path in zip(plain, relative, strict=True)
    ]


def safe_name(name: str) -> str:
    """Replace what cannot stand in a file name on some system."""
    return re.sub(r"[^\w.+-]", "_", name.replace("..", "_"))


def _inspect(path: str) -> tuple[str, str | None]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return "", f"{path}: cannot be read ({error.strerror}); check its permissions."
    digest = hashlib.sha256(content).hexdigest()
    remember_sha256(path, digest)
    try:
        inspect_bytes(content, name=path)
    except ImageError as error:
        return digest, str(error)
    return digest, None


def _decode(path: str) -> str | None:
    try:
        read_image(path)
    except ImageError as error:
        return str(error)
    return None
