"""From whatever a user names to a manifest: a folder, an archive, a table, images, a data set."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from hybridleuk.data.archives.archive import UNREAD_SUFFIXES
from hybridleuk.data.contents import content_exists, is_folder
from hybridleuk.data.datasets.reading import read_if_known
from hybridleuk.data.datasets.recognition import PLAIN
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.tables import TABLES, refuse_group_column
from hybridleuk.exceptions import ManifestError

__all__ = ["Source", "read_source"]

Source = str | os.PathLike[str]


def read_source(
    source: Source | Iterable[Source],
    *,
    group_column: str | None = None,
    group_regex: str | None = None,
    dataset: str | None = None,
) -> Manifest:
    """Read what :meth:`Manifest.from_source` takes; its parameters and errors are described there.

    A group regex wins over the patients that a known data set tells.
    """
    if not isinstance(source, (str, os.PathLike)):
        _refuse_dataset(dataset, "a list of images")
        return Manifest.from_paths(source, group_regex=group_regex)
    path = Path(source)
    if is_folder(path):
        refuse_group_column(group_column)
        return _read_folder(path, group_regex, dataset)
    if path.name.lower().endswith(UNREAD_SUFFIXES):
        raise ManifestError(
            f"{path}: archives of this kind are not read; unpack it and give the folder, or pack "
            "it as zip or tar."
        )
    _refuse_dataset(dataset, os.fspath(source))
    if path.suffix.lower() in TABLES:
        return Manifest.from_file(path, group_column=group_column, group_regex=group_regex)
    refuse_group_column(group_column)
    if content_exists(path):
        return Manifest.from_paths([path], group_regex=group_regex)
    return Manifest.from_paths(_matching(os.fspath(source)), group_regex=group_regex)


def _read_folder(folder: Path, group_regex: str | None, dataset: str | None) -> Manifest:
    known = None if dataset == PLAIN else read_if_known(folder, dataset)
    manifest = Manifest.from_folder(folder) if known is None else known
    return manifest if group_regex is None else manifest.with_groups(regex=group_regex)


def _refuse_dataset(dataset: str | None, source: str) -> None:
    if dataset not in (None, PLAIN):
        raise ManifestError(
            f"{source}: the data set {dataset!r} is read from its folder or archive; "
            "give that, or leave out the name of the data set."
        )


def _matching(pattern: str) -> list[str]:
    matched = sorted(glob.glob(pattern, recursive=True))
    if not matched:
        raise ManifestError(
            f"{pattern}: no such file or folder, and no pattern that matches one; expected a "
            "folder with one sub-folder per class, a .csv or .parquet manifest, or images."
        )
    return [name for name in matched if os.path.isfile(name)]
