"""``hybridleuk extract``: images to a Parquet file of features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Outcome
from .images import read_images
from .options import FeatureOptions, ImageOptions, ImageSources, Overwrite, ResourceOptions, Seed
from .outputs import claim_file, require_suffix
from .weights import check_networks

__all__ = ["EXAMPLE", "extract"]

EXAMPLE = "hybridleuk extract smears/ -o features.parquet --backbone resnet50"


def extract(
    images: ImageSources,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.parquet",
            help="File to write.",
            rich_help_panel="Output",
        ),
    ],
    features: FeatureOptions,
    listing: ImageOptions,
    resources: ResourceOptions,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Measure and embed images; one row each.

    Results are kept in a cache by content: what was computed once is not computed again.
    """
    require_suffix(output, ".parquet")
    claim_file(output, overwrite=overwrite)
    kind = features.features or "hybrid"
    parameters = features.parameters(resources) | {"random_state": seed}
    manifest, account = read_images(
        images, listing, resources, outputs=[output], inputs=features.weights_files
    )
    check_networks(manifest.paths, kind, parameters)

    from hybridleuk.hybrid import extract_features

    table = extract_features(manifest, features=kind, **parameters)
    account.check(len(table))
    table.write_parquet(output)
    skipped = account.write(output)
    blocks = dict(zip(table.blocks, table.block_sizes, strict=True))
    sizes = ", ".join(f"{name} {size:,}" for name, size in blocks.items())
    return Outcome(
        {
            "output": output,
            **account.document(),
            "skipped_file": skipped,
            "blocks": blocks,
            "provenance": dict(table.provenance),
        },
        [f"{len(table):,} images x {table.shape[1]:,} features ({sizes}) in {output}"],
    )
