"""``hybridleuk audit``: what is wrong with a set of images, before anyone trains on it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hybridleuk.exceptions import InputError

from .console import Outcome, current_screen
from .declare import arguments_as_typed
from .images import Account, read_images
from .options import (
    DirectoryOutput,
    ImageOptions,
    ImageSource,
    Overwrite,
    ResourceOptions,
    Seed,
)
from .outputs import claim_directory, clear

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hybridleuk.audit.audit import Audit
    from hybridleuk.data.manifest import Manifest

__all__ = ["EXAMPLE", "RESULTS", "audit", "findings_table"]

EXAMPLE = (
    "hybridleuk audit smears/ -o audit/ --group-regex '(P[0-9]+)_'\n"
    "hybridleuk audit smears/manifest.csv -o audit/ --fail-on leakage --fail-on labels"
)
FINISHED = "audit.html"
UNFINISHED = ("audit.json", "cleaned.csv")
RESULTS = (FINISHED, "audit.json", "cleaned.csv", "left_out.csv")


def audit(
    images: ImageSource,
    output: DirectoryOutput,
    listing: ImageOptions,
    resources: ResourceOptions,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Exit with status 1 if this is found: leakage, duplicates, files, labels, "
            "shortcuts or quality. Repeatable.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="F.parquet",
            help="Features by which labels are doubted, from 'hybridleuk extract'; by default "
            "the morphology of the cells.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Look for duplicates, leakage, shortcuts, wrong labels and poor pictures; write a page.

    Nothing is changed or deleted: cleaned.csv lists the images to train on.
    """
    wanted = _kinds(fail_on or [])
    replaced = claim_directory(
        output, finished=FINISHED, unfinished=UNFINISHED, overwrite=overwrite
    )
    inputs = [] if features is None else [str(features)]
    manifest, account = read_images(images, listing, resources, outputs=[output], inputs=inputs)
    table = None if features is None else _features(features, manifest)

    from hybridleuk.audit.audit import audit as audit_images

    if replaced:
        clear(output, RESULTS)
    found = audit_images(
        manifest,
        cache=resources.cache_place,
        workers=resources.workers,
        features=table,
        random_state=seed,
        command=shlex.join(["hybridleuk", "audit", *arguments_as_typed()]),
    )
    found.write(output)
    return _outcome(found, output, account, wanted)


def findings_table(found: Audit) -> Table:
    """Show one line for each thing that was looked for."""
    from hybridleuk.report.findings import findings

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("looked for", no_wrap=True)
    shown.add_column("found", justify="right")
    shown.add_column("of which", overflow="fold")
    for row in findings(found.document):
        count = "-" if row.count is None else f"{row.count:,}"
        shown.add_row(row.kind, count, row.words)
    return shown


def _kinds(named: list[str]) -> list[str]:
    from hybridleuk.audit.failing import FAIL_ON

    for name in named:
        if name not in FAIL_ON:
            raise typer.BadParameter(
                f"no kind {name!r}; known are {', '.join(FAIL_ON)}", param_hint="--fail-on"
            )
    return list(dict.fromkeys(named))


def _features(path: Path, manifest: Manifest) -> npt.NDArray[np.float64]:
    """Read the features of the manifest's images, found by the content of each file.

    Raises
    ------
    InputError
        The file is no table of features, or has none of some of the images.
    """
    from hybridleuk.features import FeatureTable

    table = FeatureTable.read_parquet(path)
    rows = {sha256: row for row, sha256 in enumerate(table.identity["sha256"])}
    wanted = list(manifest.frame["sha256"])
    missing = [at for at, sha256 in enumerate(wanted) if sha256 not in rows]
    if missing:
        raise InputError(
            f"{path} has no features of {len(missing):,} of {len(wanted):,} images, first "
            f"{manifest.paths[missing[0]]}; extract features of all of them."
        )
    return table.matrix()[[rows[sha256] for sha256 in wanted]]


def _outcome(found: Audit, output: Path, account: Account, wanted: list[str]) -> Outcome:
    skipped = account.write(output)
    failed = found.fails(wanted)
    if failed:
        current_screen().error(f"Found what was asked to fail on: {', '.join(failed)}.")
    page = output / FINISHED
    document = {
        "output": output,
        "report": page,
        **account.document(),
        "skipped_file": skipped,
        "verdict": found.verdict,
        "failed_on": failed,
        "audit": found.document,
    }
    kept = found.document["cleaned"]
    lines: list[Any] = [
        findings_table(found),
        "",
        *found.verdict,
        "",
        f"{kept['n_images']:,} images to train on, {kept['n_left_out']:,} files left out: "
        f"{output / 'cleaned.csv'}",
        f"Report: {page}",
    ]
    return Outcome(document, lines, status=1 if failed else 0)
