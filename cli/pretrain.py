"""``hybridleuk pretrain``: a laboratory's own images to a backbone of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from .console import Outcome
from .images import Account, read_images
from .options import ImageOptions, ImageSources, Overwrite, ResourceOptions, Seed
from .outputs import checkpoint_beside, claim_file, clear, refuse_to_replace, require_suffix
from .weights import WORDS, check_weights, pair_weights

if TYPE_CHECKING:
    from hybridleuk.models.pretraining import Pretrained

__all__ = ["EXAMPLE", "pretrain"]

EXAMPLE = (
    "hybridleuk pretrain smears/ -o own.safetensors --method simclr --epochs 50\n"
    "hybridleuk compare labelled/ -o comparison --weights own.safetensors"
)
_SHOWN = 12  # epochs that are printed at most


def pretrain(
    images: ImageSources,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.safetensors",
            help="File of weights to write.",
            rich_help_panel="Output",
        ),
    ],
    listing: ImageOptions,
    resources: ResourceOptions,
    method: Annotated[
        Literal["simclr", "byol", "supervised"],
        typer.Option(help="The first two need no labels; supervised learns the classes."),
    ] = "simclr",
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Network of 'hybridleuk backbones list', or timm:NAME; by default smearnet.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(metavar="default|bundled|random|FILE", help="What it begins with."),
    ] = "default",
    view: Annotated[
        Literal["image", "cells", "segmented"], typer.Option(help="What the network sees.")
    ] = "image",
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 30,
    batch_size: Annotated[
        int, typer.Option(min=2, metavar="N", help="Pictures that are learned from at once.")
    ] = 64,
    learning_rate: Annotated[
        float, typer.Option(min=1e-7, max=0.5, metavar="RATE", help="The highest of the schedule.")
    ] = 2e-3,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=32,
            metavar="PX",
            help="Side of the network's input; by default the network's own, at most 160.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Pretrain a backbone on images, labelled or not, as other microscopes would show them.

    A vote of nearest neighbors is taken each epoch. The file is given to --weights as it is; it
    lists the images it was learned from, and later results on these are marked.
    """
    require_suffix(output, ".safetensors")
    claim_file(output, overwrite=overwrite)
    check_weights(weights)
    name, weights = _network(backbone, weights)
    read = [weights] if weights not in WORDS else []
    refuse_to_replace([*images, *read], [output, checkpoint_beside(output)])
    manifest, account = read_images(
        images, listing, resources, outputs=[output, checkpoint_beside(output)], inputs=read
    )
    from hybridleuk.models.pretraining import PretrainingRecipe
    from hybridleuk.models.pretraining import pretrain as run

    recipe = PretrainingRecipe(method, epochs, batch_size, learning_rate, view=view, seed=seed)
    made = run(
        list(manifest.paths),
        manifest.labels,
        manifest.groups,
        sha256=list(manifest.frame["sha256"]),
        backbone=name,
        weights=weights,
        recipe=recipe,
        image_size=image_size,
        device=resources.device,
        checkpoint=checkpoint_beside(output),
        cache=resources.cache_place,
        workers=resources.workers,
    )
    account.check()
    made.write(output)
    clear(output.parent, [checkpoint_beside(output).name])
    return _outcome(made, output, account, account.write(output))


def _network(backbone: str | None, weights: str) -> tuple[str, str]:
    from hybridleuk.embeddings.package_table import BUNDLED

    named = [backbone] if backbone else [BUNDLED] if weights in ("default", "random") else []
    (name,), (found,) = pair_weights(named, [weights], typed=[])
    return name, found


def _outcome(made: Pretrained, output: Path, account: Account, skipped: Path | None) -> Outcome:
    size = output.stat().st_size / 1e6
    document: dict[str, Any] = {
        "output": output,
        **account.document(),
        "skipped_file": skipped,
        "backbone": made.record.name,
        "input_size": made.record.input_size,
        "weights": made.record.weights_tag,
        "history": made.history,
    }
    sentences = [
        "",
        f"{output} ({size:.1f} MB), {made.record.name} of {made.record.input_size} px, learned "
        f"from {account.rows:,} images; use it with: hybridleuk extract IMAGES -o F.parquet "
        f"--weights {output}",
    ]
    return Outcome(document, [_table(made.history), *sentences])


def _table(history: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("epoch", "loss", "nearest neighbors", "seconds"):
        shown.add_column(heading, justify="right")
    step = -(-len(history) // _SHOWN)
    for line in [*history[:-1:step], history[-1]]:
        loss = "-" if line["loss"] is None else f"{line['loss']:.3f}"
        probe, seconds = f"{line['probe']:.1%}", f"{line['seconds']:.0f}"
        shown.add_row(str(line["epoch"]), loss, probe, seconds)
    return shown
