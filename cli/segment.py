"""``hybridleuk segment``: masks, overlays and one row per cell."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import typer

from .console import Outcome
from .images import read_images
from .options import (
    DirectoryOutput,
    ImageOptions,
    ImageSources,
    Overwrite,
    ResourceOptions,
    check_length,
)
from .outputs import claim_directory

__all__ = ["EXAMPLE", "segment"]

EXAMPLE = "hybridleuk segment smears/ -o masks/"
_FINISHED = "index.csv"
_UNFINISHED = ("segmentation.json",)


def segment(
    images: ImageSources,
    output: DirectoryOutput,
    listing: ImageOptions,
    resources: ResourceOptions,
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
    """Find leukocytes; write masks, overlays and one row of measurements per cell."""
    claim_directory(output, finished=_FINISHED, unfinished=_UNFINISHED, overwrite=overwrite)
    manifest, account = read_images(images, listing, resources, outputs=[output])

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
    return Outcome(
        {
            "output": output,
            **account.document(),
            "skipped_file": skipped,
            "n_cells": result.n_cells,
            "flags": dict(flags),
            "contact_sheet": result.contact_sheet,
        },
        [
            f"{result.n_cells:,} cells in {len(result.index):,} images",
            f"Images with flags: {counted}",
            f"Masks, overlays and tables in {output}; look at {result.contact_sheet} first",
        ],
    )
