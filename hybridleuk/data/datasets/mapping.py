"""From another data set's class names to one's own: a table with two columns, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hybridleuk.data.datasets.card import DatasetCard
from hybridleuk.data.datasets.cell_names import PARENTS, cell_name
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.tables import read_table
from hybridleuk.exceptions import ManifestError

__all__ = ["map_labels", "read_mapping", "suggest_mapping", "write_mapping"]

_COLUMNS = ("label", "becomes")


def read_mapping(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Read a table with the columns ``label`` and ``becomes``; an empty ``becomes`` leaves out.

    Raises
    ------
    ManifestError
        A column is missing, or a label stands there twice.
    """
    table = read_table(Path(path))
    if any(column not in table for column in _COLUMNS):
        raise ManifestError(
            f"{path}: columns {', '.join(map(str, table.columns))}; expected 'label' (as the data "
            "set has it) and 'becomes' (one's own word, empty to leave the class out)."
        )
    labels = [None if value is None else str(value).strip() for value in table["label"]]
    if None in labels or len(set(labels)) < len(labels):
        raise ManifestError(f"{path}: a label is empty or stands there twice; name each once.")
    own = [None if value is None else str(value).strip() or None for value in table["becomes"]]
    return {str(label): word for label, word in zip(labels, own, strict=True)}


def write_mapping(mapping: Mapping[str, str | None], path: str | os.PathLike[str]) -> None:
    """Write what :func:`read_mapping` reads: ``label,becomes``, to be edited by a person."""
    rows = [(label, word or "") for label, word in mapping.items()]
    pd.DataFrame(rows, columns=list(_COLUMNS)).to_csv(path, index=False)


def suggest_mapping(
    classes: Iterable[str],
    wanted: Iterable[str],
    card: DatasetCard | None = None,
    wanted_card: DatasetCard | None = None,
) -> dict[str, str | None]:
    """Translate classes through the names of cells; ``None`` where nothing of `wanted` fits.

    A finer kind (segmented neutrophil) becomes the wider one (neutrophil) where only that is
    wanted, never the other way round. A class that is wanted itself keeps its name.

    Parameters
    ----------
    classes, wanted : iterable of str
        Names to translate, and one's own.
    card, wanted_card : DatasetCard, optional
        Of the data sets that they come from, whose words come before those of the language.

    Examples
    --------
    >>> from hybridleuk.data.datasets.mapping import suggest_mapping
    >>> suggest_mapping(["NGS", "LYT", "MYO"], ["neutrophil", "lymphocyte"])
    {'NGS': 'neutrophil', 'LYT': 'lymphocyte', 'MYO': None}
    """
    names = list(wanted)
    own = {_cell(name, wanted_card): name for name in reversed(names)}
    own |= {name: name for name in names}
    suggested = {}
    for name in classes:
        cell = _cell(name, card)
        suggested[name] = own.get(name) or own.get(cell) or own.get(PARENTS.get(cell, ""))
    return suggested


def _cell(name: str, card: DatasetCard | None) -> str:
    return (None if card is None else card.cells.get(name)) or cell_name(name) or name


def map_labels(manifest: Manifest, mapping: Mapping[str, str | None]) -> Manifest:
    """Rename the classes of a manifest; images of a class that becomes ``None`` are left out.

    They are listed among the skipped files with that reason.

    Raises
    ------
    ManifestError
        There are no labels, a class of the images is not in the mapping, or nothing is left.
    """
    if manifest.labels is None:
        raise ManifestError("The images carry no labels, so there is nothing to rename.")
    unknown = sorted(set(manifest.labels) - set(mapping))
    if unknown:
        raise ManifestError(
            f"The mapping does not name the class {unknown[0]!r}; it must name every class of the "
            f"images ({', '.join(manifest.classes)}), with an empty word for one to be left out."
        )
    words = [mapping[label] for label in manifest.labels]
    dropped = {
        i: f"its class {manifest.labels[i]!r} is left out by the mapping"
        for i, word in enumerate(words)
        if word is None
    }
    if len(dropped) == len(manifest):
        raise ManifestError("The mapping leaves out every image; name at least one class.")
    column = pd.Series(words, dtype=object)
    return replace(manifest, frame=manifest.frame.assign(label=column)).without(dropped)
