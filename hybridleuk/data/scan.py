"""Files on disk: which are there, which are images, what each is called."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from hybridleuk import progress
from hybridleuk.data.archives.archive import SUFFIXES, UNREAD_SUFFIXES
from hybridleuk.data.archives.opening import is_archive
from hybridleuk.data.cache import cache_key, open_cache
from hybridleuk.data.contents import files_below
from hybridleuk.data.file_hashes import (
    FileHash,
    hash_content,
    known_good_files,
    remember_good_files,
)
from hybridleuk.data.images import inspect_bytes, read_image
from hybridleuk.data.skipped import is_text, readable_path
from hybridleuk.exceptions import ImageError

__all__ = [
    "decode_files",
    "decode_new",
    "inspect_files",
    "is_clutter",
    "make_image_ids",
    "safe_name",
    "top_folder",
    "walk",
]

# Raise it with every change of what `inspect_bytes` accepts.
_RULES = 1
_DECODED_VERSION = 1
_FILES_AT_ONCE = 1024
_CLUTTER = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__macosx"}


def walk(root: Path) -> tuple[list[Path], int]:
    """List the files below `root`, links followed but no folder entered twice.

    `root` may be an archive, or a folder in one.
    """
    packed = files_below(root)
    if packed is not None:
        return _walk_archive(root, packed)
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


def _walk_archive(root: Path, packed: list[PurePosixPath]) -> tuple[list[Path], int]:
    seen = [file for file in packed if not any(map(is_clutter, file.parents))]
    files = [root / file for file in seen if not is_clutter(file)]
    return sorted(files), len(seen) - len(files)


def top_folder(path: Path) -> Path:
    """Enter the one folder that is all an archive holds, as people pack a folder with its name.

    Of folders that hold nothing but one file of arrays, that file is meant. Any other path comes
    back as it is.
    """
    if not is_archive(path):
        return _lone_arrays(path) or path
    files = [file for file in files_below(path) or () if not is_clutter(Path(file.parts[0]))]
    tops = {file.parts[0] for file in files}
    alone = len(tops) == 1 and all(len(file.parts) > 1 for file in files)
    return path / tops.pop() if alone else path


def _lone_arrays(folder: Path) -> Path | None:
    while folder.is_dir():
        held = [entry for entry in islice(folder.iterdir(), 64) if not is_clutter(entry)]
        if len(held) != 1:
            return None
        folder = held[0]
    return folder if folder.suffix.lower() == ".npz" else None


def is_clutter(path: PurePath) -> bool:
    """Tell hidden files and what file managers leave behind."""
    return path.name.startswith(".") or path.name.lower() in _CLUTTER


def inspect_files(paths: list[str]) -> tuple[list[str], list[str | None]]:
    """Hash files and read their headers: SHA-256 of each, and why it is no usable image or None.

    Within :func:`~hybridleuk.data.file_hashes.remembering_files`, files that were found good before
    and have not changed are not read. A name that is no text cannot stand in any table or cache, so
    that its file is not usable, whatever it holds.
    """
    found = {path: ("", _why_no_text(path)) for path in paths if not is_text(path)}
    named = [path for path in paths if path not in found]
    found |= {path: (digest, None) for path, digest in known_good_files(named, _RULES).items()}
    todo = [path for path in paths if path not in found]
    if todo:
        with ThreadPoolExecutor() as pool, progress.task("Reading files", len(todo)) as reading:
            for start in range(0, len(todo), _FILES_AT_ONCE):
                batch = todo[start : start + _FILES_AT_ONCE]
                good: dict[str, FileHash] = {}
                for path, (known, reason) in zip(batch, pool.map(_inspect, batch), strict=True):
                    found[path] = (known.sha256, reason)
                    if reason is None:
                        good[path] = known
                    reading.advance()
                remember_good_files(good, _RULES)
    return [found[path][0] for path in paths], [found[path][1] for path in paths]


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
        else f"{name}-{hashlib.sha256(os.fsencode(path.as_posix())).hexdigest()[:8]}"
        for name, path in zip(plain, relative, strict=True)
    ]


def safe_name(name: str) -> str:
    """Replace what cannot stand in a file name on some system."""
    return re.sub(r"[^\w.+-]", "_", name.replace("..", "_"))


def _why_no_text(path: str) -> str | None:
    return (
        f"{readable_path(path)}: the name of the file or of a folder around it is not valid UTF-8; "
        "rename it."
    )


def _inspect(path: str) -> tuple[FileHash, str | None]:
    if path.lower().endswith((*SUFFIXES, *UNREAD_SUFFIXES)):
        reason = f"{path}: an archive among the images; unpack what it is in, and give it alone."
        return FileHash("", ""), reason
    try:
        known, content = hash_content(path)
    except OSError as error:
        reason = f"{path}: cannot be read ({error.strerror}); check its permissions."
        return FileHash("", ""), reason
    try:
        inspect_bytes(content, name=path)
    except ImageError as error:
        return known, str(error)
    return known, None


def _decode(path: str) -> str | None:
    try:
        read_image(path)
    except ImageError as error:
        return str(error)
    return None


def decode_new(
    paths: Sequence[str], hashes: Sequence[str], cache: Any, n_jobs: int | None
) -> dict[int, str]:
    """Decode the files that no earlier run has decoded; return the rows that fail, and why."""
    keys = [cache_key("decoded", sha256, {"version": _DECODED_VERSION}) for sha256 in hashes]
    store = open_cache(cache)
    try:
        known = store.get_many(keys) if store is not None else {}
        todo = [i for i, key in enumerate(keys) if key not in known]
        reasons = decode_files([paths[i] for i in todo], n_jobs)
        if store is not None and todo:
            sound = [keys[i] for i, reason in zip(todo, reasons, strict=True) if reason is None]
            store.put_many({key: np.array(True) for key in sound})
    finally:
        if store is not None:
            store.close()
    return {i: reason for i, reason in zip(todo, reasons, strict=True) if reason is not None}
