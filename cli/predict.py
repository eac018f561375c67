"""``hybridleuk predict``: a model file and images to a table of predictions."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .console import Outcome, current_screen
from .images import read_images
from .options import ImageOptions, ImageSources, Overwrite, ResourceOptions
from .outputs import (
    claim_directory,
    claim_file,
    clear,
    refuse_to_replace,
    require_suffix,
    write_file,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMPLE", "on_this_machine", "predict"]

EXAMPLE = (
    "hybridleuk predict model.hleuk new_smears/ -o predictions.csv\n"
    "hybridleuk predict model.hleuk new_smears/ -o predictions.csv --explain explained/"
)


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL.hleuk", help="File written by 'hybridleuk fit'.", show_default=False
        ),
    ],
    images: ImageSources,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.csv", help="File to write.", rich_help_panel="Output"
        ),
    ],
    listing: ImageOptions,
    resources: ResourceOptions,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for a picture of each image that says why it was called so.",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> Outcome:
    """Say what each image shows, what cannot be ruled out, and when to abstain.

    Labels that the images may carry are not looked at.
    """
    require_suffix(output, ".csv")
    claim_file(output, overwrite=overwrite)
    refuse_to_replace([model], [output, explain])

    from hybridleuk.explanation import check_explainable, explain_images
    from hybridleuk.persistence import load_model, model_card
    from hybridleuk.prediction import predict_images

    replaced = explain is not None and _claim_explained(explain, overwrite)
    for note in model_card(model).get("notes", []):
        current_screen().noted(note)
    loaded = on_this_machine(load_model(model), resources)
    if explain is not None:
        check_explainable(loaded)
    written = [output] if explain is None else [output, explain]
    manifest, account = read_images(images, listing, resources, outputs=written, inputs=[model])
    table = predict_images(loaded, manifest)
    account.check(len(table))
    if explain is not None:
        if replaced:
            _clear_explained(explain)
        explain_images(loaded, manifest, explain)
    write_file(output, lambda path: table.to_csv(path, index=False))
    skipped = account.write(output)
    labels = Counter(table["label"])
    decides = bool(table["abstain"].notna().all())
    abstained = int(table["abstain"].sum()) if decides else None
    said = "no prediction sets" if abstained is None else f"abstained from {abstained:,}"
    if not decides:
        current_screen().noted(
            "This model makes no prediction sets, so that the columns prediction_set and abstain "
            "are empty: nothing says of which images it should not decide."
        )
    return Outcome(
        {
            "output": output,
            "model": model,
            **account.document(),
            "skipped_file": skipped,
            "labels": dict(labels),
            "n_abstained": abstained,
            "explained": explain,
        },
        [_summary(table), f"{len(table):,} images in {output}; {said}"],
    )


def on_this_machine(model: Any, resources: ResourceOptions) -> Any:
    """Set what belongs to this machine and not to the model."""
    settings = {
        "device": resources.device,
        "cache": resources.cache_place,
        "workers": resources.workers,
    }
    for part in (model, getattr(model, "features_", None)):
        if part is not None:
            known = part.get_params(deep=False)
            part.set_params(**{name: v for name, v in settings.items() if name in known})
    return model


def _claim_explained(folder: Path, overwrite: bool) -> bool:
    from hybridleuk.explanation import FOLDER, INDEX

    return claim_directory(folder, finished=INDEX, unfinished=[FOLDER], overwrite=overwrite)


def _clear_explained(folder: Path) -> None:
    """Remove the pictures of an earlier run that its own list names, and the list."""
    from hybridleuk.exceptions import OutputError
    from hybridleuk.explanation import FOLDER, INDEX

    with (folder / INDEX).open(encoding="utf-8", errors="replace", newline="") as lines:
        names = [row.get("picture") for row in csv.DictReader(lines)]
    if None in names:
        raise OutputError(
            f"{folder / INDEX} is not from this command and is not replaced; choose another folder."
        )
    ours = [name for name in names if Path(str(name)).parent == Path(FOLDER)]
    clear(folder, [*map(str, ours), INDEX])


def _summary(table: pd.DataFrame) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("label")
    shown.add_column("images", justify="right")
    shown.add_column("abstained", justify="right")
    for label, rows in table.groupby("label"):
        known = rows["abstain"].notna().all()
        shown.add_row(str(label), f"{len(rows):,}", f"{rows['abstain'].sum():,}" if known else "?")
    return shown
