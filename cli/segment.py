"""``hybridleuk segment``: masks, overlays and one row per cell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .console import Outcome
from .images import read_images
from .options import DirectoryOutput, ImageOptions, ImageSources, Overwrite, ResourceOptions
from .outputs import claim_directory

__all__ = ["EXAMPLE", "segment"]

EXAMPLE = "hybridleuk segment smears/ -o masks/"
_FINISHED = "index.csv"
_UNFINISHED = ("regions", "instances", "overlays")


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
        typer.Option(min=0.0, metavar="MICROMETRES", help="Size of a pixel; else lengths are px."),
    ] = None,
    overwrite: Overwrite = False,
) -> Outcome:
    """Find leukocytes; write masks, overlays and one row of measurements per cell."""
    claim_directory(output, finished=_FINISHED, unfinished=_UNFINISHED, overwrite=overwrite)
    manifest, account = read_images(images, listing, resources)

    from hybridleuk.morphology.files import segment_images

    segment_images(
        manifest,
        output,
        method=method,
        spacing=spacing,
        n_jobs=resources.workers,
        overwrite=overwrite,
        cache=resources.cache_place,
    )
    counts = _counts(output / _FINISHED)
    account.check(counts["n_rows"])
    skipped = account.write(output)
    document = {"output": output, **account.document(), "skipped_file": skipped, **counts}
    flags = ", ".join(f"{name} {n:,}" for name, n in counts["flags"].items()) or "none"
    return Outcome(
        document,
        [
            f"{counts['n_cells']:,} cells in {counts['n_rows']:,} images; flags: {flags}",
            f"Masks, overlays, {_FINISHED} and cells.parquet in {output}",
        ],
    )


def _counts(index: Path) -> dict[str, Any]:
    import pandas as pd

    table = pd.read_csv(index, keep_default_na=False)
    flags = Counter(
        flag for text in table["flags"].astype(str) for flag in text.replace("|", " ").split()
    )
    return {
        "n_rows": len(table),
        "n_cells": int(table["n_cells"].sum()),
        "flags": dict(flags.most_common()),
    }
