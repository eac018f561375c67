"""Whether a data set on disk is whole: compared with its card, missing and extra files named."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from hybridleuk.data.datasets.card import Part
from hybridleuk.data.datasets.reading import labelled
from hybridleuk.data.datasets.recognition import Recognition, size_of

__all__ = ["PartCheck", "check_dataset"]


@dataclass(frozen=True)
class PartCheck:
    """What is there of one part.

    Attributes
    ----------
    part, role : str
    n_found : int
    n_expected : int or None
    classes : dict
        Class to ``(found, expected)``; expected is ``None`` where it is not known.
    other_sizes : int
        Images of another size than the card says.
    contradictions : list of str
        Files whose folder names another class of the data set than their name does.
    """

    part: str
    role: str
    n_found: int
    n_expected: int | None
    classes: dict[str, tuple[int, int | None]]
    other_sizes: int
    contradictions: list[str]

    @property
    def share(self) -> float | None:
        """Share of the expected images that is there; ``None`` where it is not known."""
        return self.n_found / self.n_expected if self.n_expected else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"share": self.share}


def check_dataset(found: Recognition) -> list[PartCheck]:
    """Compare every part of a recognised data set with its card."""
    return [_checked(found, part) for part in found.card.parts]


def _checked(found: Recognition, part: Part) -> PartCheck:
    files = labelled(found, part) if part.role == "images" else found.of(part)
    counts = Counter(f.label or "" for f in files)
    names = sorted({*counts, *part.counts})
    pictures = part.role == "images" and part.size is not None
    return PartCheck(
        part.name,
        part.role,
        len(files),
        sum(part.counts.values()) if part.counts else None,
        {name: (counts.get(name, 0), part.counts.get(name)) for name in names if name},
        sum(size_of(f.path) != part.size for f in files) if pictures else 0,
        [str(f.path) for f in files if _contradicts(f.path.parent.name, f.label, part)],
    )


def _contradicts(folder: str, label: str | None, part: Part) -> bool:
    classes = {name.casefold() for name in {*part.labels.values(), *part.counts} if name}
    if label is None or folder.casefold() not in classes:
        return False
    return folder.casefold() != label.casefold()
