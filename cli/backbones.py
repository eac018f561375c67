"""``hybridleuk backbones``: the networks that make embeddings, and their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hybridleuk.exceptions import InputError, WeightsError

from .console import Outcome
from .outputs import claim_file, require_suffix

if TYPE_CHECKING:
    from hybridleuk.embeddings.records import Backbone

__all__ = [
    "BUNDLE_EXAMPLE",
    "EXAMPLE",
    "EXPORT_EXAMPLE",
    "FETCH_EXAMPLE",
    "bundle",
    "export",
    "fetch",
    "list_backbones",
    "weights_state",
]

EXAMPLE = "hybridleuk backbones list"
FETCH_EXAMPLE = "hybridleuk backbones fetch resnet50 NASNetLarge"
BUNDLE_EXAMPLE = (
    "hybridleuk backbones bundle resnet50 Xception -o bundle.zip\n"
    "hybridleuk extract smears/ -o features.parquet --backbone Xception --weights bundle.zip"
)
EXPORT_EXAMPLE = (
    "hybridleuk backbones export network.hleuk -o own.safetensors\n"
    "hybridleuk compare others/ -o comparison/ --candidate hybrid+svm --weights own.safetensors"
)
_OWN_TAG = "a file of one's own"
_Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="As in 'hybridleuk backbones list'; or timm:NAME, or hf-hub:OWNER/NAME.",
        show_default=False,
    ),
]
_Paper = Annotated[
    bool, typer.Option("--paper", help="The ten networks of Ghaderzadeh et al. 2022.")
]
_All = Annotated[bool, typer.Option("--all", help="Every network of the list.")]


def list_backbones() -> Outcome:
    """List networks, their sizes, and whether their weights are on this machine."""
    from hybridleuk.embeddings.backbones import BACKBONES
    from hybridleuk.embeddings.huggingface import hub_cache
    from hybridleuk.embeddings.timm_backbones import has_timm
    from hybridleuk.embeddings.weights import hub_folder

    there = weights_state()
    rows = [_described(record, there[name]) for name, record in BACKBONES.items()]
    licences = sorted({f"{row['source']}: {row['licence']}." for row in rows})
    notes = [f"{row['name']}: {row['note']}" for row in rows if row["note"]]
    hints = [
        "Names are found however they are spelled: VGG-19, vgg_19. Any other network of timm is "
        "timm:NAME, one at Hugging Face hf-hub:OWNER/NAME.",
        f"Weights that are not here are fetched when first used, into {hub_folder()} and "
        f"{hub_cache()}. Without internet, bring them in a bundle: hybridleuk backbones bundle.",
    ]
    if not has_timm():
        hints.append("Networks from timm need it to be installed: pip install 'hybridleuk[timm]'.")
    document = {
        "folder": hub_folder(),
        "huggingface_folder": hub_cache(),
        "timm": has_timm(),
        "backbones": rows,
    }
    shown: list[Any] = [_table(rows), "", *notes, "", *licences, "", *hints]
    return Outcome(document, shown, essential=True)


def fetch(
    names: _Names = None,
    paper: _Paper = False,
    everything: _All = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files whose hash is wrong.")
    ] = False,
) -> Outcome:
    """Fetch weights into the caches of torch and Hugging Face, and check their hashes.

    What is there already is only checked. A download that was cut short goes on where it stopped.
    """
    rows, problems = [], []
    records = _chosen(names, paper, everything)
    for record in records:
        try:
            rows.append(_fetched(record, overwrite))
        except WeightsError as error:
            if len(records) == 1:
                raise
            problems.append({"name": record.name, "problem": str(error)})
    shown: list[Any] = [_fetched_table(rows)] if rows else []
    shown += [Text(item["problem"], style="red") for item in problems]
    document = {"backbones": rows, "problems": problems}
    return Outcome(document, shown, essential=bool(problems), status=int(bool(problems)))


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.hleuk", help="Model of a network that was trained.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.safetensors", help="File of weights to write."
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
) -> Outcome:
    """Write the backbone of a fine-tuned network to a file that --weights takes.

    The file lists the images it was trained on, so that a comparison on them says so.
    """
    from hybridleuk.persistence import load_model

    require_suffix(output, ".safetensors")
    claim_file(output, overwrite=overwrite)
    fitted = load_model(model)
    if not hasattr(fitted, "save_backbone"):
        raise InputError(
            f"{model} holds a {type(fitted).__name__}, whose networks are as they came; expected a "
            "model of 'hybridleuk fit --classifier finetuned'."
        )
    fitted.save_backbone(output)
    n = len(fitted.learned_from_)
    document = {"output": output, "backbone": fitted.record_.name, "n_learned_from": n}
    return Outcome(
        document,
        [
            f"{output} holds {fitted.record_.name}, trained on {n:,} image files; use it with: "
            f"--weights {output}",
        ],
    )


def bundle(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.zip", help="Bundle to write.")
    ],
    names: _Names = None,
    paper: _Paper = False,
    everything: _All = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of one's own for the one network named; by default the published ones.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
) -> Outcome:
    """Write weights and their hashes into one file, for a site without internet.

    Weights that are not on this machine are fetched first. Give the bundle to --weights as it is.
    """
    from hybridleuk.embeddings.bundle import write_bundle
    from hybridleuk.embeddings.weights import file_sha256

    require_suffix(output, ".zip")
    claim_file(output, overwrite=overwrite)
    index = write_bundle(output, _to_bundle(names, paper, everything, weights))
    rows = [{k: v for k, v in item.items() if k != "record"} for item in index["backbones"]]
    size = output.stat().st_size
    document = {
        "bundle": output,
        "bytes": size,
        "sha256": file_sha256(output),
        "backbones": rows,
    }
    shown: list[Any] = [
        _bundled_table(rows),
        "",
        f"{output}: {size / 1e6:.1f} MB, SHA-256 {document['sha256']}",
        f"Use it with: hybridleuk extract IMAGES -o F.parquet --backbone {rows[0]['name']} "
        f"--weights {output}",
    ]
    return Outcome(document, shown)


def weights_state() -> dict[str, bool]:
    """Tell for each backbone whether its weights are on this machine."""
    from hybridleuk.embeddings.backbones import BACKBONES
    from hybridleuk.embeddings.weights import cached_weights

    return {name: cached_weights(record) is not None for name, record in BACKBONES.items()}


def _chosen(names: list[str] | None, paper: bool, everything: bool) -> list[Backbone]:
    from hybridleuk.embeddings.backbones import BACKBONES, PAPER, backbone

    wanted = list(names or [])
    wanted += PAPER if paper else []
    wanted += BACKBONES if everything else []
    if not wanted:
        raise typer.BadParameter(
            "name at least one network, or give --paper or --all", param_hint="NAME"
        )
    records = {record.name: record for record in map(backbone, wanted)}
    return list(records.values())


def _to_bundle(
    names: list[str] | None, paper: bool, everything: bool, weights: Path | None
) -> list[tuple[Backbone, Path]]:
    from hybridleuk.embeddings.backbones import backbone
    from hybridleuk.embeddings.weights import resolve_weights, trunk_state

    if weights is None:
        return [(record, _genuine(record).path) for record in _chosen(names, paper, everything)]
    if paper or everything or len(names or []) != 1:
        raise typer.BadParameter("name the one network it is of", param_hint="--weights")
    record = backbone(names[0], weights)  # type: ignore[index]
    found = resolve_weights(record, weights)
    if found.kind != "file":
        raise typer.BadParameter(f"{weights} is a bundle already", param_hint="--weights")
    trunk_state(found)  # a bundle that does not work helps nobody
    own: dict[str, Any] = {
        "weights_tag": _OWN_TAG,
        "licence": "not stated",
        "hub": "",
        "url": "",
        "sha256": "",
    }
    return [(replace(record, **own), weights)]


def _genuine(record: Backbone) -> Any:
    """Find the published weights, and refuse a file that only has their name."""
    from hybridleuk.embeddings.weights import resolve_weights

    found = resolve_weights(record)
    if not found.is_genuine:
        raise WeightsError(
            f"{found.path} is there, but its hash is not the published one: somebody replaced it, "
            f"or it is damaged; 'hybridleuk backbones fetch {record.name} --overwrite' fetches it "
            "again."
        )
    return found


def _fetched(record: Backbone, overwrite: bool) -> dict[str, Any]:
    from hybridleuk.embeddings.weights import cached_weights, resolve_weights

    before = cached_weights(record)
    replaceable = overwrite and record.source != "package"
    if before is not None and replaceable and not resolve_weights(record).is_genuine:
        before.resolve().unlink()
        before.unlink(missing_ok=True)
        before = None
    found = _genuine(record)
    return {
        "name": record.name,
        "state": "fetched" if before is None else "here",
        "file": found.path,
        "bytes": found.path.stat().st_size,
        "sha256": found.sha256,
        "licence": record.licence,
    }


def _described(record: Backbone, there: bool) -> dict[str, Any]:
    return {
        "name": record.name,
        "aliases": list(record.aliases),
        "width": record.width,
        "layers": {layer.name: layer.width for layer in record.layers},
        "input_size": record.input_size,
        "mean": record.mean,
        "std": record.std,
        "interpolation": record.interpolation,
        "parameters": record.parameters,
        "weights": record.weights_tag,
        "weights_file": record.weights_file,
        "downloaded": there,
        "source": record.source,
        "builder": record.architecture,
        "hub": record.hub,
        "url": record.url,
        "licence": record.licence,
        "reference": record.reference,
        "note": record.note,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("backbone", no_wrap=True)
    for heading in ("width", "input", "parameters"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("from", no_wrap=True)
    shown.add_column("weights", no_wrap=True)
    for row in rows:
        state = Text("here", style="green") if row["downloaded"] else Text("to download")
        size = f"{row['parameters'] / 1e6:.1f} M"
        width, side = f"{row['width']:,}", f"{row['input_size']} px"
        shown.add_row(row["name"], width, side, size, row["source"], state)
    return shown


def _fetched_table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("backbone", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("size", justify="right", no_wrap=True)
    shown.add_column("SHA-256", no_wrap=True)
    shown.add_column("file", overflow="fold")
    for row in rows:
        size, digest = f"{row['bytes'] / 1e6:.1f} MB", f"{row['sha256'][:12]}..."
        shown.add_row(row["name"], row["state"], size, digest, str(row["file"]))
    return shown


def _bundled_table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("backbone", no_wrap=True)
    shown.add_column("size", justify="right", no_wrap=True)
    shown.add_column("SHA-256", no_wrap=True)
    shown.add_column("licence", overflow="fold")
    for row in rows:
        size, digest = f"{row['bytes'] / 1e6:.1f} MB", f"{row['sha256'][:12]}..."
        shown.add_row(row["name"], size, digest, row["licence"])
    return shown
