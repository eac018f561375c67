"""The folder that ``hybridleuk segment`` writes: whose it is, and how files get into it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hybridleuk.data.manifest import Manifest
from hybridleuk.exceptions import OutputError
from hybridleuk.morphology.catalogue import MORPHOLOGY_VERSION

__all__ = [
    "AGREEMENT",
    "CELLS",
    "FINISHED",
    "FOLDERS",
    "KINDS",
    "SHEET",
    "STARTED",
    "Settings",
    "claim_folder",
    "unfinished_name",
    "write_whole",
    "writing",
]

FINISHED = "index.csv"
STARTED = "segmentation.json"
CELLS = "cells.parquet"
SHEET = "contact_sheet.jpg"
AGREEMENT = "agreement.csv"
FOLDERS = ("regions", "instances", "overlays")
KINDS = {"regions": "png", "instances": "png", "overlay": "jpg"}


@dataclass(frozen=True)
class Settings:
    """What a worker needs besides the images: as given to ``segment_images``."""

    directory: Path
    method: str
    spacing: float | None
    cache: Any


def claim_folder(settings: Settings, manifest: Manifest, overwrite: bool) -> None:
    """Make the folder ready, or refuse it."""
    folder = settings.directory
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder.")
    document = _document(settings, manifest)
    marker = folder / STARTED
    ours = marker.is_file()
    same = ours and marker.read_text(encoding="utf-8") == document
    held = sorted(p.name for p in folder.glob("*") if not p.name.startswith("."))
    if held and not ours:
        raise OutputError(
            f"{folder} holds {held[0]}{_others(held)}, which no run of this command wrote; name a "
            "new or an empty folder."
        )
    if held and not same and not overwrite:
        raise OutputError(
            f"{folder} holds results of other images or settings; name another folder, or "
            "overwrite (--overwrite)."
        )
    _refuse_foreign(folder, manifest)
    if ours and overwrite and (not same or (folder / FINISHED).is_file()):
        _clear(folder)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_whole(marker, lambda path: path.write_text(document, encoding="utf-8"))


def _document(settings: Settings, manifest: Manifest) -> str:
    from hybridleuk.segmentation.cells import SEGMENTATION_VERSION

    images = manifest.frame[["image_id", "sha256"]].to_csv(index=False)
    document = {
        "format": 2,
        "n_images": len(manifest),
        "images_sha256": hashlib.sha256(images.encode()).hexdigest(),
        "method": settings.method,
        "spacing": settings.spacing,
        "segmentation_version": SEGMENTATION_VERSION,
        "morphology_version": MORPHOLOGY_VERSION,
        "image_ids": [str(image_id) for image_id in manifest.image_ids],
    }
    return json.dumps(document, indent=2) + "\n"


def _clear(folder: Path) -> None:
    """Remove what the run wrote whose list lies there; the mark of a finished run goes first."""
    pictures = _written(folder)
    for name in (FINISHED, SHEET, CELLS, AGREEMENT, *pictures):
        (folder / name).unlink(missing_ok=True)


def _written(folder: Path) -> set[str]:
    """Names, relative to the folder, of the pictures of the run whose list lies there."""
    marker = folder / STARTED
    if not marker.is_file():
        return set()
    try:
        image_ids = json.loads(marker.read_text(encoding="utf-8"))["image_ids"]
    except (ValueError, KeyError, TypeError):
        return set()
    return _picture_names(image_ids)


def _picture_names(image_ids: Iterable[str]) -> set[str]:
    kinds = zip(FOLDERS, KINDS.values(), strict=True)
    return {
        f"{subfolder}/{image_id}.{suffix}"
        for (subfolder, suffix), image_id in product(kinds, list(image_ids))
    }


def _refuse_foreign(folder: Path, manifest: Manifest) -> None:
    """Make sure that no picture takes the name of a file of other origin."""
    new = _picture_names(manifest.image_ids) - _written(folder)
    foreign = sorted(name for name in new if (folder / name).exists())
    if foreign:
        raise OutputError(
            f"{folder} holds {foreign[0]}{_others(foreign)}, which no run of this command wrote, "
            "under names it would take; name another folder, or move them away."
        )


def _others(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then give it its name."""
    unfinished = unfinished_name(path)
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_name(path: Path) -> Path:
    """Name a hidden file beside `path`, to be given its name when it is complete."""
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Say in one sentence that the folder cannot be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be written ({error.strerror or error}); free some space or name "
            "another folder. What was written is kept, and the same call resumes."
        ) from error
