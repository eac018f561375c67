"""Which known data set a folder holds: told from names and sizes of its files, not of folders.

A folder that was renamed, lies inside another, or holds only part of a set is known all the same.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hybridleuk.data.contents import is_folder, open_content
from hybridleuk.data.datasets.card import DatasetCard, Part
from hybridleuk.data.datasets.cards import CARDS, find_card
from hybridleuk.data.images import read_image
from hybridleuk.data.scan import top_folder, walk
from hybridleuk.exceptions import ImageError, ManifestError

__all__ = ["PLAIN", "Found", "Recognition", "read_name", "recognise", "size_of"]

PLAIN = "none"
"""What is said instead of a data set's name for a folder that is none."""

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".ppm", ".pgm", ".npz"}
)
ENOUGH = 0.8
_SAMPLED = 9
_LOOKED_AT = 256
_HOPELESS = 0.5
_PARENTS = 2
_BLACK = 24
Named = list[tuple[Path, str]]


@dataclass(frozen=True)
class Found:
    """One file of a data set.

    Attributes
    ----------
    path : Path
    part : Part
    label, group, number, split : str or None
        What its path tells.
    """

    path: Path
    part: Part
    label: str | None = None
    group: str | None = None
    number: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Recognition:
    """A folder and the data set that lies in it.

    Attributes
    ----------
    root : Path
    card : DatasetCard
    files : tuple of Found
        What belongs to the data set.
    others : tuple of Path
        Images that do not.
    ignored : int
        Hidden files and clutter.
    """

    root: Path
    card: DatasetCard
    files: tuple[Found, ...]
    others: tuple[Path, ...]
    ignored: int = 0

    def of(self, part: Part) -> list[Found]:
        """List the files of one part."""
        return [found for found in self.files if found.part is part]

    @property
    def present(self) -> list[Part]:
        """Parts of images of which something is there, in the order of the card."""
        held = {id(found.part) for found in self.files}
        return [part for part in self.card.image_parts if id(part) in held]


def recognise(folder: str | os.PathLike[str], name: str | None = None) -> Recognition | None:
    """Tell which data set a folder holds.

    Parameters
    ----------
    folder : path
    name : str, optional
        Of the data set that it is said to be; by default the one that fits best, if at least four
        fifths of the images are named as its files are.

    Returns
    -------
    Recognition or None

    Raises
    ------
    ManifestError
        No such folder, or nothing in it is named like the files of the data set `name`.
    """
    if not is_folder(folder):
        raise ManifestError(f"{folder}: no such folder.")
    root = top_folder(Path(folder))
    files, ignored = walk(root)
    named = _subjects(root, files)
    cards = _likely(named) if name is None else [find_card(name)]
    matched = [_matched(root, card, named, ignored, unnamed=name is None) for card in cards]
    best = max(matched, key=_share, default=None)
    if best is not None and (_share(best) >= ENOUGH or (name is not None and best.present)):
        return best
    if name is not None:
        part = find_card(name).image_parts[0]
        raise ManifestError(
            f"{root}: no file is named like those of {name} (pattern {part.pattern}); check the "
            "folder, or leave out the name of the data set."
        )
    return None


def read_name(name: str) -> tuple[str, str | None]:
    """Take ``NAME`` or ``NAME:PART`` apart, and check the name.

    Examples
    --------
    >>> from hybridleuk.data.datasets.recognition import read_name
    >>> read_name("all:Segmented"), read_name("pbc")
    (('all', 'Segmented'), ('pbc', None))
    """
    dataset, _, part = name.partition(":")
    return find_card(dataset.strip()).name, part.strip() or None


def _share(found: Recognition) -> float:
    """Share of the images in a folder that belong to a card; 0 where none is an image to read."""
    if not found.present:
        return 0.0
    pictures = [f for f in found.files if f.path.suffix.lower() in IMAGE_SUFFIXES]
    return len(pictures) / (len(pictures) + len(found.others))


def _subjects(root: Path, files: Sequence[Path]) -> Named:
    """Name each file with the folders above it, also those that lead to the root."""
    above = root.resolve().parts[-_PARENTS:]
    return [(path, "/".join((*above, *path.relative_to(root).parts))) for path in files]


def _likely(named: Named) -> list[DatasetCard]:
    """List the cards that some images, spread over all, are named like; the others cannot fit."""
    pictures = [subject for path, subject in named if path.suffix.lower() in IMAGE_SUFFIXES]
    looked = [pictures[i] for i in _spread(len(pictures), _LOOKED_AT)]
    return [
        card
        for card in CARDS.values()
        if sum(_part_of(card, subject)[0] is not None for subject in looked)
        >= max(1.0, _HOPELESS * len(looked))
    ]


def _matched(
    root: Path, card: DatasetCard, named: Named, ignored: int, *, unnamed: bool
) -> Recognition:
    found, others = [], []
    for path, subject in named:
        part, told = _part_of(card, subject)
        if part is not None:
            found.append(Found(path, part, **(told | {"split": told.get("split", part.split)})))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            others.append(path)
    if (
        unnamed
        and card.witness
        and not any(re.search(card.witness, s, re.IGNORECASE) for _, s in named)
    ):
        others, found = sorted([*others, *(f.path for f in found)]), []
    sized = _of_right_size(_told_apart(card, found))
    kept = {f.path for f in sized}
    others += [f.path for f in found if f.path not in kept and f.part.role == "images"]
    return Recognition(root, card, tuple(sized), tuple(others), ignored)


def _part_of(card: DatasetCard, subject: str) -> tuple[Part | None, dict[str, str]]:
    for part in card.parts:
        named = part.match(subject)
        if named is not None:
            return part, named
    return None, {}


def _of_right_size(found: list[Found]) -> list[Found]:
    """Drop folders whose file names are nothing special and whose images have another size."""
    kept: list[Found] = []
    for own in _by_folder(found, lambda f: f.part.name).values():
        size = own[0].part.size
        if own[0].part.distinctive or size is None or _has_size(own, size):
            kept += own
    return kept


def _by_folder(
    found: Iterable[Found], also: Callable[[Found], str] = lambda _: ""
) -> dict[tuple[Path, str], list[Found]]:
    folders: dict[tuple[Path, str], list[Found]] = {}
    for f in found:
        folders.setdefault((f.path.parent, also(f)), []).append(f)
    return folders


def _has_size(found: Sequence[Found], size: tuple[int, int]) -> bool:
    sizes = Counter(size_of(f.path) for f in _sampled(found))
    return sizes.most_common(1)[0][0] == size


def size_of(path: Path) -> tuple[int, int] | None:
    """Read height and width from an image's header; ``None`` when it has none."""
    try:
        with open_content(path) as file, Image.open(file) as picture:
            return picture.height, picture.width
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _told_apart(card: DatasetCard, found: list[Found]) -> list[Found]:
    """Give files to the right one of two parts that name them alike: original, or on black."""
    twins = [p for p in card.image_parts if p.pattern == card.image_parts[0].pattern]
    if len(twins) < 2:
        return found
    told: list[Found] = []
    for (folder, _), own in _by_folder(found).items():
        part = _twin_of(folder, own, twins)
        told += [_moved(f, part) if f.part in twins else f for f in own]
    return told


def _twin_of(folder: Path, found: Sequence[Found], twins: Sequence[Part]) -> Part:
    steps = {step.casefold() for step in folder.resolve().parts}
    for part in twins:
        if part.name.casefold() in steps:
            return part
    dark = _on_black(f.path for f in _sampled(found))
    return next((part for part in twins if part.dark == dark), twins[0])


def _on_black(paths: Iterable[Path]) -> bool:
    edges = []
    for path in paths:
        try:
            image = read_image(path)
        except ImageError:
            continue
        edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        edges.append(float(np.median(edge)))
    return bool(edges) and float(np.median(edges)) < _BLACK


def _sampled(found: Sequence[Found]) -> list[Found]:
    return [found[i] for i in _spread(len(found), _SAMPLED)]


def _spread(n: int, most: int) -> list[int]:
    """Return at most so many indices, spread evenly over `n`."""
    return np.linspace(0, n - 1, min(most, n)).astype(int).tolist() if n else []


def _moved(found: Found, part: Part) -> Found:
    return Found(found.path, part, found.label, found.group, found.number, part.split)
