"""``hybridleuk segment``: masks, overlays and one row per cell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .agreement import agreement_line, note_problems
from .console import Outcome
from .images import read_images
from .options import (
    Annotations,
    DirectoryOutput,
    ImageOptions,
    ImageSources,
    Overwrite,
    ResourceOptions,
    check_length,
)
from .outputs import claim_directory

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMPLE", "segment"]

EXAMPLE = "hybridleuk segment smears/ -o masks/"
_FINISHED = "index.csv"
_UNFINISHED = ("segmentation.json",)


def segment(
    images: ImageSources,
    output: DirectoryOutput,
    listing: ImageOptions,
    resources: ResourceOptions,
    annotations: Annotations = None,
    method: Annotated[
        Literal["otsu", "hsv"],
        typer.Option(help="How nuclei are found; hsv is a published baseline."),
    ] = "otsu",
    spacing: Annotated[
        float | None,
        typer.Option(
            callback=check_length,
            metavar="MICROMETRES",
            help="Size of a pixel; else lengths are px.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> Outcome:
    """Find leukocytes; write masks, overlays and one row of measurements per cell.

    Where people drew cells on the images, what was found is compared with it.
    """
    claim_directory(output, finished=_FINISHED, unfinished=_UNFINISHED, overwrite=overwrite)
    manifest, account = read_images(
        images, listing, resources, outputs=[output], annotations=annotations
    )

    from hybridleuk.morphology.files import segment_images

    result = segment_images(
        manifest,
        output,
        method=method,
        spacing=spacing,
        n_jobs=resources.workers,
        overwrite=overwrite,
        cache=resources.cache_place,
    )
    account.check(len(result.index))
    skipped = account.write(output)
    flags = Counter(
        flag for text in result.index["flags"] for flag in filter(None, text.split(";"))
    )
    counted = ", ".join(f"{name} {n:,}" for name, n in flags.most_common()) or "none"
    agreement, shown = _agreement(result.agreement)
    return Outcome(
        {
            "output": output,
            **account.document(),
            "skipped_file": skipped,
            "n_cells": result.n_cells,
            "flags": dict(flags),
            "contact_sheet": result.contact_sheet,
            "agreement": agreement,
        },
        [
            f"{result.n_cells:,} cells in {len(result.index):,} images",
            f"Images with flags: {counted}",
            *shown,
            f"Masks, overlays and tables in {output}; look at {result.contact_sheet} first",
        ],
    )


def _agreement(table: pd.DataFrame | None) -> tuple[dict[str, Any] | None, list[str]]:
    """Sum up how what was found agrees with what people drew, for programs and for people."""
    if table is None:
        return None, []
    from hybridleuk.segmentation.agreement import summary_of_cells

    found = summary_of_cells(table)
    unused = note_problems(table)
    shown = [agreement_line("leukocytes", found)]
    for name in ("dice_nucleus", "dice_cell"):
        if found[name] is not None:
            shown.append(f"Mean {name.replace('dice_', 'Dice of the ')}: {found[name]:.3f}")
    return found | {"n_problems": unused}, shown
