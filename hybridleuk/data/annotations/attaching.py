"""Which file is drawn on which image: by its name in a folder, or as a file of many images says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from hybridleuk.data.annotations.reading import BOXES_AND_CENTERS, PICTURES, of_many
from hybridleuk.data.annotations.records import AnnotationError
from hybridleuk.data.contents import content_exists, is_folder
from hybridleuk.data.scan import top_folder, walk

__all__ = ["Drawn", "find_annotations"]

Drawn = tuple[str | None, str | None]
"""Paths of what is drawn on an image: boxes or centers, and a mask; None where there is none."""

_MASK_ENDING = "_mask"
_MANY = (".json", ".csv")


def find_annotations(
    images: Sequence[str], image_ids: Sequence[str], source: str | os.PathLike[str]
) -> list[Drawn]:
    """Find what is drawn on each image.

    Parameters
    ----------
    images, image_ids : sequence of str
        Paths, and the names that ``hybridleuk segment`` writes masks under.
    source : path
        A COCO file, a CSV of centers of many images, or a folder or archive whose files are called
        as the images or their ids are (a mask perhaps with ``_mask`` behind). Where several images
        have one name, the folders around them have to agree.

    Raises
    ------
    AnnotationError
        There is no such file, nothing in it belongs to any image, or several fit one image.
    """
    where = os.fspath(source)
    if not content_exists(where):
        raise AnnotationError(f"{where}: no such file or folder of annotations.")
    if is_folder(where):
        found = _in_folder(images, image_ids, Path(where))
    else:
        table = of_many(os.path.abspath(where))
        found = [(table.path if table.holds(image) else None, None) for image in images]
    if not any(any(drawn) for drawn in found):
        raise AnnotationError(
            f"{where}: nothing in it is named like any of the {len(images):,} images, as "
            f"{PurePath(images[0]).stem}.xml or {PurePath(images[0]).stem}.png is; expected files "
            "of the images' names, or a COCO file that names them."
        )
    return found


def _in_folder(images: Sequence[str], image_ids: Sequence[str], folder: Path) -> list[Drawn]:
    own = {os.path.abspath(image) for image in images}
    files = [os.path.abspath(file) for file in walk(top_folder(folder))[0]]
    files = [file for file in files if file not in own]
    many = [of_many(file) for file in files if _is_of_many(file)]
    marks = _by_name(file for file in files if file.lower().endswith(BOXES_AND_CENTERS))
    masks = _by_name(file for file in files if file.lower().endswith(PICTURES))
    drawn: list[Drawn] = []
    for image, image_id in zip(images, image_ids, strict=True):
        marked = _fitting(marks, image, image_id)
        named = [table.path for table in many if table.holds(image)]
        if marked is None and len(named) > 1:
            raise AnnotationError(f"{named[0]} and {named[1]} both name {image}; give one of them.")
        drawn.append((marked or (named[0] if named else None), _fitting(masks, image, image_id)))
    return drawn


def _is_of_many(file: str) -> bool:
    """Tell a file of many images; other tables and JSON files in the folder are left alone."""
    if not file.lower().endswith(_MANY):
        return False
    try:
        table = of_many(file)
    except AnnotationError:
        return False
    return getattr(table, "images", None) is not None


def _by_name(files: Iterable[str]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for file in files:
        stem = PurePath(file).stem.casefold()
        named.setdefault(stem.removesuffix(_MASK_ENDING), []).append(file)
    return named


def _fitting(named: dict[str, list[str]], image: str, image_id: str) -> str | None:
    """Choose the file of an image's name whose folders agree best with the image's."""
    by_id = named.get(image_id.casefold(), [])
    files = by_id or named.get(PurePath(image).stem.casefold(), [])
    if len(files) < 2:
        return files[0] if files else None
    agreeing = [_agreement(file, image) for file in files]
    best = max(agreeing)
    if agreeing.count(best) > 1:
        first, second = (f for f, n in zip(files, agreeing, strict=True) if n == best)
        raise AnnotationError(
            f"{first} and {second} both are called as {image}; keep one of them, or name the right "
            "one in a manifest (columns annotations and mask)."
        )
    return files[agreeing.index(best)]


def _agreement(file: str, image: str) -> int:
    """Count the folders around an image that are around the file too, from the inside out."""
    ours, theirs = (
        [p.casefold() for p in PurePath(path).parent.parts[::-1]] for path in (image, file)
    )
    shared = 0
    for name in ours:
        if name not in theirs[shared:]:
            break
        shared = theirs.index(name, shared) + 1
    return shared
