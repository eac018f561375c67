"""What the parts of an audit look at: the images that can be read, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.audit.record import Record
from hybridleuk.data.manifest import Manifest

__all__ = ["Evidence"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Evidence:
    """The images of a manifest that were decoded, row by row.

    Attributes
    ----------
    manifest : Manifest
        Without the files that cannot be decoded; these are in its ``skipped``.
    records : sequence of Record
        One for each row.
    """

    manifest: Manifest
    records: Sequence[Record]

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def paths(self) -> list[str]:
        """Absolute paths."""
        return [str(path) for path in self.manifest.paths]

    @cached_property
    def identity(self) -> dict[str, list[str | None]]:
        """Lists ``labels``, ``groups`` and ``splits``, with ``None`` where one is not known."""
        frame = self.manifest.frame[["label", "group", "split"]].astype(object)
        return {f"{name}s": frame[name].where(frame[name].notna(), None).tolist() for name in frame}

    @property
    def labels(self) -> Array | None:
        """Class of each image as text, or ``None`` where not every image has one."""
        return _complete(self.manifest.labels)

    @property
    def groups(self) -> Array | None:
        """Group of each image as text, or ``None`` where not every image has one."""
        return _complete(self.manifest.groups)

    @property
    def splits(self) -> Array | None:
        """Part of a split that each image is in, or ``None`` where none is given."""
        column = self.manifest.frame["split"]
        return None if column.isna().all() else column.to_numpy(dtype=object)

    def column(self, name: str) -> Array:
        """One field of all records, of shape (n,)."""
        return np.array([getattr(record, name) for record in self.records])


def _complete(values: Array | None) -> Array | None:
    if values is None or any(value is None or value != value for value in values):
        return None
    return values.astype(str)
