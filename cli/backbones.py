"""``hybridleuk backbones list``: the networks that make embeddings."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from .console import Outcome

__all__ = ["EXAMPLE", "list_backbones", "weights_state"]

EXAMPLE = "hybridleuk backbones list"


def list_backbones() -> Outcome:
    """List networks, their sizes, and whether their weights are on this machine."""
    from hybridleuk.embeddings.backbones import BACKBONES
    from hybridleuk.embeddings.weights import hub_folder

    there = weights_state()
    rows = [_described(record, there[name]) for name, record in BACKBONES.items()]
    licences = sorted({f"{row['source']}: {row['licence']}." for row in rows})
    hint = (
        f"Weights that are not here are downloaded when first used, into {hub_folder()}. "
        "Without internet, copy the file there or give it with --weights FILE."
    )
    document = {"folder": hub_folder(), "backbones": rows}
    return Outcome(document, [_table(rows), "", *licences, hint], essential=True)


def weights_state() -> dict[str, bool]:
    """Tell for each backbone whether its weights have been downloaded."""
    from hybridleuk.embeddings.backbones import BACKBONES
    from hybridleuk.embeddings.weights import hub_folder

    folder = hub_folder()
    return {name: (folder / record.weights_file).is_file() for name, record in BACKBONES.items()}


def _described(record: Any, there: bool) -> dict[str, Any]:
    return {
        "name": record.name,
        "width": record.width,
        "layers": {layer.name: layer.width for layer in record.layers},
        "input_size": record.input_size,
        "parameters": record.parameters,
        "weights": record.weights_tag,
        "weights_file": record.weights_file,
        "downloaded": there,
        "source": record.source,
        "licence": record.licence,
        "reference": record.reference,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("backbone", no_wrap=True)
    for heading in ("width", "input", "parameters"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("weights", no_wrap=True)
    for row in rows:
        state = Text("here", style="green") if row["downloaded"] else Text("to download")
        size = f"{row['parameters'] / 1e6:.1f} M"
        shown.add_row(
            row["name"],
            f"{row['width']:,}",
            f"{row['input_size']} px",
            size,
            state,
        )
    return shown
