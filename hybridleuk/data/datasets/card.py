"""The card of a data set: what one has to know before training on it, as plain data.

A data set is a set of **parts**, each with a pattern that its files' paths match. The pattern is
searched in the path below whatever folder the user names, so that a set is known again when its
folder was renamed, lies inside another, or holds only half of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

__all__ = ["ByHand", "DatasetCard", "Download", "Kaggle", "Part", "Source"]

Role = Literal["images", "masks", "boxes", "points", "labels"]


@dataclass(frozen=True)
class Kaggle:
    """Fetched from Kaggle, which asks for an account.

    Attributes
    ----------
    slug : str
        ``owner/name``, as in ``kaggle datasets download -d owner/name``.
    """

    slug: str


@dataclass(frozen=True)
class Download:
    """Fetched from plain addresses.

    Attributes
    ----------
    files : mapping of file name to address
    sha256, md5 : mapping of file name to hash
        For those whose hash is known.
    medmnist : str or None
        What the package ``medmnist``, where it is installed, calls it.
    """

    files: Mapping[str, str]
    sha256: Mapping[str, str] = field(default_factory=dict)
    md5: Mapping[str, str] = field(default_factory=dict)
    medmnist: str | None = None


@dataclass(frozen=True)
class ByHand:
    """Handed out on conditions that a person has to accept.

    Attributes
    ----------
    steps : tuple of str
        What to do, one step each.
    """

    steps: tuple[str, ...]


Source = Kaggle | Download | ByHand


@dataclass(frozen=True)
class Part:
    r"""Files of one kind in one data set.

    Attributes
    ----------
    name : str
        Such as ``"Original"``; unique within a card.
    pattern : str
        Regular expression searched in a path relative to the data set, with ``/`` between folders.
        Its group ``label`` (or ``code``, looked up in `labels`) is the class, ``group`` the
        patient or slide, ``number`` what tells an image apart from others of its class.
    role : {"images", "masks", "boxes", "points", "labels"}
    labels : mapping of code to class
    counts : mapping of class to int
        Files per class where it is known, ``""`` for files without a class.
    size : (height, width) or None
        Of every image in it.
    split : str or None
        What the authors use it for: ``train``, ``val``, ``test``.
    dark : bool
        Whether everything but the cells is painted black.
    distinctive : bool
        Whether file names of this kind are found nowhere else; otherwise `size` has to fit too.
    """

    name: str
    pattern: str
    role: Role = "images"
    labels: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    split: str | None = None
    dark: bool = False
    distinctive: bool = True

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled; letter case of folders and suffixes does not matter."""
        return re.compile(self.pattern, re.IGNORECASE)

    def match(self, path: str) -> dict[str, str] | None:
        """Read label, group and number from a path; ``None`` when it belongs elsewhere."""
        found = self.regex.search(path)
        if found is None:
            return None
        named = {name: value for name, value in found.groupdict().items() if value is not None}
        code = named.pop("code", named.get("label"))
        if code is not None:
            folded = {key.casefold(): label for key, label in self.labels.items()}
            named["label"] = folded.get(code.casefold(), code)
        return named


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a data set.

    Attributes
    ----------
    name : str
        What ``--dataset`` takes.
    title : str
    shows : {"cells", "fields"}
        Single cells, or smear fields of many.
    parts : tuple of Part
        The first one of role ``images`` is what is read unless another is asked for.
    cells : mapping of class to cell name
        The class in words shared by all data sets (:mod:`hybridleuk.data.datasets.cell_names`);
        a class that is a diagnosis and no kind of cell is left out.
    groups : str or None
        How a patient or slide is read from a file, in words; ``None`` where nothing tells.
    group_kind : {"patient", "slide", "none"}
    licence, terms, citation, homepage : str
    doi : str or None
    defects : tuple of str
        What is known to be wrong with it.
    witness : str or None
        Regular expression that the path of one file at least must hold, where the names of images
        alone could be anyone's.
    source : Kaggle, Download or ByHand
    """

    name: str
    title: str
    shows: Literal["cells", "fields"]
    parts: tuple[Part, ...]
    cells: Mapping[str, str]
    licence: str
    terms: str
    citation: str
    homepage: str
    source: Source
    doi: str | None = None
    groups: str | None = None
    group_kind: Literal["patient", "slide", "none"] = "none"
    defects: tuple[str, ...] = ()
    witness: str | None = None

    @property
    def image_parts(self) -> tuple[Part, ...]:
        """The parts that hold images."""
        return tuple(part for part in self.parts if part.role == "images")

    @property
    def classes(self) -> list[str]:
        """Names of the classes in the data set's own words, sorted."""
        known = {name for part in self.image_parts for name in part.counts if name}
        return sorted(known | set(self.cells))

    @property
    def n_images(self) -> int | None:
        """Number of images that its first part should hold, where that is known."""
        counts = self.image_parts[0].counts
        return sum(counts.values()) if counts else None
