"""``hybridleuk count``: leukocytes, red cells and platelets of fields, with boxes and totals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.table import Table

from hybridleuk import progress
from hybridleuk.exceptions import OutputError

from .agreement import agreement_line, note_problems
from .console import Outcome, current_screen
from .images import read_images
from .options import Annotations, ImageOptions, ImageSources, Overwrite, ResourceOptions
from .outputs import (
    claim_directory,
    claim_file,
    clear,
    refuse_to_replace,
    require_suffix,
    write_file,
)
from .predict import on_this_machine

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from hybridleuk.counting import Counts
    from hybridleuk.data.manifest import Manifest

__all__ = ["EXAMPLE", "BoxOptions", "count"]

EXAMPLE = "hybridleuk count smears/ -o counts.csv --pictures pictures/"
_OUTPUT = "Output"
_STARTED, _FINISHED = ".count-started", ".count-finished"
# Suffix of the files, and what writes one of them.
_Kinds: TypeAlias = list[tuple[str, Callable[[Path, str, Any], None]]]


@dataclass(frozen=True)
class BoxOptions:
    """What is written besides the table."""

    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Also write the box of every cell.", rich_help_panel=_OUTPUT
        ),
    ] = None
    voc: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write one VOC XML per image.", rich_help_panel=_OUTPUT
        ),
    ] = None
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write each image with its boxes drawn in.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None

    def claim(self, *, overwrite: bool) -> None:
        """Make sure, before any work, that all of it may be written."""
        if self.boxes is not None:
            if self.boxes.suffix.lower() != ".json":
                raise typer.BadParameter(
                    f"{self.boxes} is written as JSON, so its name has to end in .json",
                    param_hint="--boxes",
                )
            claim_file(self.boxes, overwrite=overwrite)
        for folder in self._folders():
            claim_directory(folder, finished=_FINISHED, unfinished=(_STARTED,), overwrite=overwrite)

    def write(self, counts: Counts, manifest: Manifest) -> None:
        """Write all of it."""
        if self.boxes is not None:
            text = json.dumps(counts.boxes(), indent=1)
            _write_text(self.boxes, text + "\n")
        for folder, kinds in self._folders().items():
            _fill(folder, kinds, counts, manifest)

    def check(self, manifest: Manifest) -> None:
        """Make sure that no file of other origin has a name that one of ours would take."""
        for folder, kinds in self._folders().items():
            ours = _listed(folder)
            for name in _names(kinds, manifest):
                if (folder / name).exists() and name not in ours:
                    raise OutputError(
                        f"{folder / name} was not written by this command; move it away, or "
                        "choose another folder."
                    )

    def _folders(self) -> dict[Path, _Kinds]:
        """Which kinds of files each folder gets; both may go into one."""
        folders: dict[Path, _Kinds] = {}
        for folder, kind in (
            (self.voc, (".xml", _write_voc)),
            (self.pictures, (".jpg", _write_picture)),
        ):
            if folder is not None:
                folders.setdefault(folder.resolve(), []).append(kind)
        return folders


def count(
    images: ImageSources,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.csv", help="File to write.", rich_help_panel=_OUTPUT
        ),
    ],
    listing: ImageOptions,
    resources: ResourceOptions,
    besides: BoxOptions,
    annotations: Annotations = None,
    differential: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL.hleuk",
            help="Name the kind of each leukocyte by a model of single cells.",
        ),
    ] = None,
    crop_context: Annotated[
        float,
        typer.Option(
            min=1.0,
            metavar="FACTOR",
            help="Side of the square that the model sees, over that of the leukocyte's box.",
        ),
    ] = 2.0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Count leukocytes, red cells and platelets in fields.

    Where the images have groups, totals of each are written beside the output, and where people
    drew cells on the images, how the counts agree with it.
    """
    require_suffix(output, ".csv")
    claim_file(output, overwrite=overwrite)
    besides.claim(overwrite=overwrite)
    beside = output.with_name(f"{output.stem}_groups.csv")
    agreed = output.with_name(f"{output.stem}_agreement.csv")
    outputs = (output, beside, agreed, besides.boxes, besides.voc, besides.pictures)
    models = [] if differential is None else [differential]
    refuse_to_replace(models, outputs)
    model = None if differential is None else _loaded(differential, resources)
    manifest, account = read_images(
        images, listing, resources, outputs=outputs, inputs=models, annotations=annotations
    )
    besides.check(manifest)
    totals = None if manifest.groups is None else beside
    if totals is not None:
        claim_file(totals, overwrite=overwrite)
    if manifest.annotated.any():
        claim_file(agreed, overwrite=overwrite)

    from hybridleuk.counting import count_images

    counts = count_images(
        manifest,
        model=model,
        context=crop_context,
        cache=resources.cache_place,
        n_jobs=resources.workers,
    )
    account.check(len(counts.table))
    besides.write(counts, manifest)
    if totals is not None and counts.groups is not None:
        groups = counts.groups
        write_file(totals, lambda path: groups.to_csv(path, index=False))
    agreement = counts.agreement
    if agreement is not None:
        write_file(agreed, lambda path: agreement.to_csv(path, index=False))
    write_file(output, lambda path: counts.table.to_csv(path, index=False))
    written = {
        "output": output,
        "groups_file": totals,
        "agreement_file": None if agreement is None else agreed,
        "boxes": besides.boxes,
        "voc": besides.voc,
        "pictures": besides.pictures,
        "skipped_file": account.write(output),
    }
    return _outcome(counts, {**account.document(), **written})


def _loaded(model: str, resources: ResourceOptions) -> Any:
    from hybridleuk.persistence import load_model, model_card

    for note in model_card(model).get("notes", []):
        current_screen().noted(note)
    return on_this_machine(load_model(model), resources)


def _listed(folder: Path) -> set[str]:
    """Names of the files that earlier runs wrote into a folder, finished or not."""
    marks = [folder / name for name in (_FINISHED, _STARTED)]
    lines = [m.read_text(encoding="utf-8").splitlines() for m in marks if m.is_file()]
    return {name for names in lines for name in names if Path(name).name == name}


def _names(kinds: _Kinds, manifest: Manifest) -> list[str]:
    return [f"{image_id}{suffix}" for suffix, _ in kinds for image_id in manifest.image_ids]


def _fill(folder: Path, kinds: _Kinds, counts: Counts, manifest: Manifest) -> None:
    """Write files for each image, between two marks, so that an interrupted run is known.

    Files of an earlier run are removed only now, when everything that is read has been read.
    """
    names = _names(kinds, manifest)
    earlier = _listed(folder)
    (folder / _STARTED).write_text("\n".join({*names, *earlier}), encoding="utf-8")
    clear(folder, [_FINISHED, *earlier])
    with progress.task(f"Writing {folder.name}", total=len(names), unit="files") as task:
        for suffix, write in kinds:
            rows = zip(manifest.image_ids, manifest.paths, counts.fields, strict=True)
            for image_id, path, field in rows:
                write(folder / f"{image_id}{suffix}", path, field)
                task.advance()
    (folder / _STARTED).write_text("\n".join(names), encoding="utf-8")
    (folder / _STARTED).replace(folder / _FINISHED)


def _write_text(target: Path, text: str) -> None:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    write_file(target, write)


def _write_voc(target: Path, path: str, field: Any) -> None:
    from hybridleuk.counting import voc_document
    from hybridleuk.data.images import read_image

    _write_text(target, voc_document(path, read_image(path), field))


def _write_picture(target: Path, path: str, field: Any) -> None:
    from PIL import Image

    from hybridleuk.data.images import read_image
    from hybridleuk.segmentation.overlay import draw_counts

    picture = Image.fromarray(draw_counts(read_image(path), field))
    write_file(target, lambda unfinished: picture.save(unfinished, quality=90))


def _groups(totals: pd.DataFrame) -> dict[str, Any]:
    """Count the groups, and say which of them nothing is known of."""
    missing = [str(name) for name in totals.loc[totals["fields"] == 0, "group"]]
    if missing:
        current_screen().noted(
            f"{len(missing)} of {len(totals)} groups have no field that can be read, first "
            f"{missing[0]}; their counts are empty."
        )
    return {"n_groups": len(totals), "groups_without_field": missing}


def _outcome(counts: Counts, document: dict[str, Any]) -> Outcome:
    flags = Counter(flag for field in counts.fields for flag in field.flags)
    kinds = {
        name.removeprefix("diff_"): number
        for name, number in counts.totals.items()
        if name.startswith("diff_")
    }
    numbers = {name: counts.totals[name] for name in ("wbc", "rbc", "platelets")}
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("fields", "WBC", "RBC", "platelets", *kinds):
        shown.add_column(name, justify="right")
    values = (len(counts.fields), *numbers.values(), *kinds.values())
    shown.add_row(*(f"{value:,}" for value in values))
    named = ", ".join(f"{name} {n:,}" for name, n in flags.most_common()) or "none"
    written = [
        str(document[key])
        for key in ("output", "groups_file", "agreement_file", "boxes", "voc", "pictures")
        if document[key] is not None
    ]
    lines: list[RenderableType] = [
        shown,
        f"Fields with flags: {named}",
        f"Written: {', '.join(written)}",
    ]
    groups = {} if counts.groups is None else _groups(counts.groups)
    found = {**numbers, **groups, "flags": dict(flags)}
    if counts.agreement is not None:
        from hybridleuk.segmentation.agreement import summary_of_counts

        summed = summary_of_counts(counts.agreement)
        note_problems(counts.agreement)
        found["agreement"] = summed
        lines[1:1] = [agreement_line(kind, row) for kind, row in summed.items()]
    if kinds:
        found["differential"] = kinds
    return Outcome({**document, **found}, lines)
