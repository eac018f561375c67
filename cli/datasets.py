"""``hybridleuk datasets``: known public data sets, how to come by them, whether one is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from .console import Outcome
from .options import ImageSource, Overwrite
from .outputs import claim_file, refuse_to_replace, require_suffix, write_file

if TYPE_CHECKING:
    from hybridleuk.data.datasets.card import DatasetCard
    from hybridleuk.data.datasets.checking import PartCheck
    from hybridleuk.data.datasets.recognition import Recognition

__all__ = [
    "CHECK_EXAMPLE",
    "DESCRIBE_EXAMPLE",
    "EXAMPLE",
    "FETCH_EXAMPLE",
    "MAP_EXAMPLE",
    "check",
    "describe",
    "fetch",
    "list_datasets",
    "map_classes",
]

EXAMPLE = "hybridleuk datasets list"
DESCRIBE_EXAMPLE = "hybridleuk datasets describe c-nmc"
FETCH_EXAMPLE = "hybridleuk datasets fetch all -o leukemia/"
CHECK_EXAMPLE = "hybridleuk datasets check leukemia/"
MAP_EXAMPLE = (
    "hybridleuk datasets map pbc/ --to zheng/ -o map.csv\n"
    "hybridleuk compare pbc/ --test zheng/ --classes map.csv -o comparison/"
)
_Name = Annotated[str, typer.Argument(metavar="NAME", help="As in 'hybridleuk datasets list'.")]


def list_datasets() -> Outcome:
    """List the data sets that are known, what they show, and whether patients can be told."""
    from hybridleuk.data.datasets.cards import CARDS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "shows", "images", "classes", "patients", "from", "licence"):
        table.add_column(heading, justify="right" if heading in ("images", "classes") else "left")
    for card in CARDS.values():
        count = "?" if card.n_images is None else f"{card.n_images:,}"
        kind = "no" if card.groups is None else "yes"
        classes = str(len(card.classes))
        row = (card.name, card.shows, count, classes, kind, _origin(card), card.licence)
        table.add_row(*row)
    hint = "What is known to be wrong with one: hybridleuk datasets describe NAME"
    document = {"datasets": [_document(card) for card in CARDS.values()]}
    return Outcome(document, [table, "", hint], essential=True)


def describe(name: _Name) -> Outcome:
    """Show the card of a data set: classes, counts, patients, licence, citation, known defects."""
    from hybridleuk.data.datasets.cards import find_card

    card = find_card(name)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, text in _described(card):
        table.add_row(key, text)
    return Outcome(_document(card), [Text(card.title, style="bold"), "", table], essential=True)


def fetch(
    name: _Name,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the data set.")
    ],
) -> Outcome:
    """Fetch a data set, or say which steps a person must take to come by it.

    A download that was cut short goes on where it stopped. Terms are shown, not accepted for you.
    """
    from hybridleuk.data.datasets.cards import find_card
    from hybridleuk.data.datasets.fetching import fetch_dataset

    from .console import current_screen

    card = find_card(name)
    current_screen().noted(f"{card.title}. Licence: {card.licence}. {card.terms}")
    written = fetch_dataset(card, output)
    document = {"name": name, "output": output, "written": written, "citation": card.citation}
    shown: list[Any] = [*(f"Written: {path}" for path in written), f"Cite: {card.citation}"]
    return Outcome(document, shown)


def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder or archive that holds a data set, or part of one."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Which one it is said to be; by default it is recognised.",
            show_default=False,
        ),
    ] = None,
) -> Outcome:
    """Recognise a data set on disk and compare it with its card.

    Folders may be renamed or nested, and half of the set is enough. Exit status 1 where images are
    missing, extra or contradict their folder.
    """
    from hybridleuk.data.datasets.checking import check_dataset
    from hybridleuk.data.datasets.recognition import recognise
    from hybridleuk.exceptions import ManifestError

    found = recognise(folder, name)
    if found is None:
        raise ManifestError(
            f"{folder}: not recognised as one of the known data sets ('hybridleuk datasets "
            "list'); name it with --dataset if it should be one."
        )
    parts = check_dataset(found)
    remarks = _remarks(found, parts)
    document = {
        "name": found.card.name,
        "title": found.card.title,
        "folder": folder,
        "parts": [part.as_dict() for part in parts],
        "extra": [str(path) for path in found.others],
        "n_ignored": found.ignored,
        "remarks": remarks,
        "complete": not remarks,
    }
    title = Text(f"{found.card.name}: {found.card.title}", style="bold")
    shown: list[Any] = [title, "", _parts_table(parts), ""]
    shown += remarks or ["Everything that the card knows of is there."]
    shown += [f"Known defect: {defect}" for defect in found.card.defects]
    return Outcome(document, shown, essential=True, status=int(bool(remarks)))


def map_classes(
    images: ImageSource,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="IMAGES2|CLASS",
            help="Images whose classes are wanted, or the name of a class. Repeatable.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MAP.csv", help="File to write.")
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:PART]|none", help="Data set that IMAGES is.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> Outcome:
    """Suggest which class of IMAGES is which of one's own, in a table to look over and edit.

    An empty 'becomes' leaves a class out. The table goes to --classes of every command; it names
    the classes wanted too, so that 'compare IMAGES --test IMAGES2' can use it for both.
    """
    from hybridleuk.data.datasets.mapping import suggest_mapping, write_mapping

    require_suffix(output, ".csv")
    claim_file(output, overwrite=overwrite)
    refuse_to_replace([images, *to], [output])
    classes, card = _classes_of(images, dataset)
    mapping: dict[str, str | None] = {}
    for wanted, wanted_card in _wanted(to):
        found = suggest_mapping(classes, wanted, card, wanted_card)
        mapping = found | {k: v for k, v in mapping.items() if v is not None}
        mapping |= {name: mapping.get(name) or name for name in wanted}
    write_file(output, lambda path: write_mapping(mapping, path))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("label", "becomes"):
        table.add_column(heading)
    for name, word in mapping.items():
        table.add_row(Text(name), Text(word or "(left out)", style="" if word else "dim"))
    shown: list[Any] = [table, "", f"Look it over, edit it, then use it: --classes {output}"]
    return Outcome({"output": output, "classes": mapping}, shown, essential=True)


def _wanted(to: list[str]) -> list[tuple[list[str], DatasetCard | None]]:
    """Classes that are wanted: of other images each for itself, and those named one by one."""
    from hybridleuk.data.contents import content_exists
    from hybridleuk.exceptions import ManifestError

    names = [name for name in to if not content_exists(name)]
    for name in names:
        if "/" in name or name.lower().endswith((".csv", ".parquet")):
            raise ManifestError(f"{name}: no such file or folder; name images, or a class.")
    sources = [_classes_of(name, None) for name in to if content_exists(name)]
    return [*sources, *([(names, None)] if names else [])]


def _classes_of(source: str, dataset: str | None) -> tuple[list[str], DatasetCard | None]:
    from hybridleuk.data.contents import is_folder
    from hybridleuk.data.datasets.recognition import PLAIN, read_name, recognise
    from hybridleuk.data.file_hashes import remembering_files
    from hybridleuk.data.manifest import Manifest
    from hybridleuk.exceptions import ManifestError

    with remembering_files("default"):
        manifest = Manifest.from_source(source, dataset=dataset)
    if not manifest.classes:
        raise ManifestError(f"{source}: the images have no labels, so there are no classes to map.")
    known = None
    if is_folder(source) and dataset != PLAIN:
        known = recognise(source, None if dataset is None else read_name(dataset)[0])
    return manifest.classes, None if known is None else known.card


def _origin(card: DatasetCard) -> str:
    names = {"Kaggle": "Kaggle", "Download": "download", "ByHand": "by hand"}
    return names[type(card.source).__name__]


def _described(card: DatasetCard) -> list[tuple[str, str]]:
    from hybridleuk.data.datasets.fetching import steps_by_hand

    counts = card.image_parts[0].counts
    classes = [
        f"{name}{f' ({counts[name]:,})' if name in counts else ''}"
        f"{f' = {card.cells[name]}' if card.cells.get(name, name) != name else ''}"
        for name in card.classes
    ]
    return [
        ("name", card.name),
        ("shows", card.shows),
        ("classes", ", ".join(classes)),
        ("parts", ", ".join(f"{part.name} ({part.role})" for part in card.parts)),
        ("patients", card.groups or "nothing in a file tells the patient"),
        ("licence", card.licence),
        ("terms", card.terms),
        ("citation", card.citation),
        *([("doi", card.doi)] if card.doi else []),
        ("how to get it", steps_by_hand(card)),
        *(("known defect", defect) for defect in card.defects),
    ]


def _document(card: DatasetCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "shows": card.shows,
        "n_images": card.n_images,
        "classes": card.classes,
        "counts": dict(card.image_parts[0].counts),
        "cells": dict(card.cells),
        "parts": [{"name": part.name, "role": part.role} for part in card.parts],
        "groups": card.groups,
        "group_kind": card.group_kind,
        "licence": card.licence,
        "terms": card.terms,
        "citation": card.citation,
        "doi": card.doi,
        "homepage": card.homepage,
        "source": _origin(card),
        "defects": list(card.defects),
    }


def _remarks(found: Recognition, parts: list[PartCheck]) -> list[str]:
    """Say in sentences what is missing, extra, or contradicts itself."""
    said = []
    for part in parts:
        if part.n_expected is not None and part.n_found != part.n_expected:
            gone = part.n_expected - part.n_found
            what = f"{gone:,} missing" if gone > 0 else f"{-gone:,} more than expected"
            said.append(f"{part.part}: {part.n_found:,} of {part.n_expected:,} files, {what}.")
        if part.contradictions:
            said.append(
                f"{part.part}: {len(part.contradictions)} files lie in the folder of another "
                f"class than their name tells, first {part.contradictions[0]}."
            )
    if found.others:
        said.append(f"{len(found.others):,} images do not belong to it, first {found.others[0]}.")
    return said


def _parts_table(parts: list[PartCheck]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("part")
    for heading in ("found", "expected", "other sizes"):
        table.add_column(heading, justify="right")
    for part in parts:
        expected = "?" if part.n_expected is None else f"{part.n_expected:,}"
        table.add_row(part.part, f"{part.n_found:,}", expected, f"{part.other_sizes:,}")
        for name, (count, wanted) in part.classes.items():
            told = "?" if wanted is None else f"{wanted:,}"
            table.add_row(f"  {name}", f"{count:,}", told, "", style="dim")
    return table
