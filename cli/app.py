"""The program ``hybridleuk``: its commands, and the one place where errors are caught."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from . import (
    audit,
    backbones,
    cache,
    compare,
    count,
    datasets,
    demo,
    doctor,
    extract,
    fit,
    predict,
    pretrain,
    segment,
)
from .console import Outcome, Screen, fresh_screen
from .declare import register
from .errors import INTERRUPTED, exit_status, explain
from .processes import only_the_first_speaks, refuse_several, wait_for_the_first

__all__ = ["app", "main"]

app = typer.Typer(
    name="hybridleuk",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="[bold]Example[/bold]\n\n  [cyan]hybridleuk demo[/cyan]",
)
_backbones_app = typer.Typer(no_args_is_help=True, help="Networks that make embeddings.")
app.add_typer(_backbones_app, name="backbones")
_cache_app = typer.Typer(no_args_is_help=True, help="Results that are kept by content.")
app.add_typer(_cache_app, name="cache")

_datasets_app = typer.Typer(no_args_is_help=True, help="Known public data sets.")
app.add_typer(_datasets_app, name="datasets")

register(app, "demo", demo.demo, demo.EXAMPLE)
register(app, "audit", audit.audit, audit.EXAMPLE)
register(app, "extract", extract.extract, extract.EXAMPLE)
register(app, "fit", fit.fit, fit.EXAMPLE)
register(app, "predict", predict.predict, predict.EXAMPLE)
register(app, "compare", compare.compare, compare.EXAMPLE)
register(app, "pretrain", pretrain.pretrain, pretrain.EXAMPLE)
register(app, "segment", segment.segment, segment.EXAMPLE)
register(app, "count", count.count, count.EXAMPLE)
register(app, "doctor", doctor.doctor, doctor.EXAMPLE)
register(_backbones_app, "list", backbones.list_backbones, backbones.EXAMPLE)
register(_backbones_app, "fetch", backbones.fetch, backbones.FETCH_EXAMPLE)
register(_backbones_app, "bundle", backbones.bundle, backbones.BUNDLE_EXAMPLE)
register(_backbones_app, "export", backbones.export, backbones.EXPORT_EXAMPLE)
register(_datasets_app, "list", datasets.list_datasets, datasets.EXAMPLE)
register(_datasets_app, "describe", datasets.describe, datasets.DESCRIBE_EXAMPLE)
register(_datasets_app, "fetch", datasets.fetch, datasets.FETCH_EXAMPLE)
register(_datasets_app, "check", datasets.check, datasets.CHECK_EXAMPLE)
register(_datasets_app, "map", datasets.map_classes, datasets.MAP_EXAMPLE)
register(_cache_app, "info", cache.info, cache.INFO_EXAMPLE)
register(_cache_app, "prune", cache.prune, cache.PRUNE_EXAMPLE)
register(_cache_app, "verify", cache.verify, cache.VERIFY_EXAMPLE)


def _print_version(wanted: bool) -> None:
    if wanted:
        from hybridleuk import __version__

        print(f"hybridleuk {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Frozen CNN embeddings and cell morphology for blood smears, compared honestly."""
    if context.invoked_subcommand != "fit":
        refuse_several(f"hybridleuk {context.invoked_subcommand}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program on `arguments`, or on those of the process, and exit."""
    status = run(arguments)
    try:
        sys.stdout.flush()
    except OSError:  # reported already; what is buffered cannot be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    sys.exit(status)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0 done, 1 a problem, 2 wrong usage."""
    with only_the_first_speaks(), fresh_screen() as screen:
        try:
            status = app(args=arguments, prog_name="hybridleuk", standalone_mode=False)
        except KeyboardInterrupt:
            status = INTERRUPTED
        except Exception as error:
            return _failed(error, screen)
        if status == INTERRUPTED:  # typer turns Ctrl-C into this status by itself
            screen.error(
                "Interrupted; what was computed is kept, and the same command goes on from there."
            )
        return status if isinstance(status, int) else 0


def _failed(error: Exception, screen: Screen) -> int:
    """Print an error and return the exit status that goes with it."""
    if screen.debug:
        screen.err.print_exception(width=100)
    if screen.as_json:
        document = {"error": explain(error), "kind": type(error).__name__}
        with contextlib.suppress(OSError):  # stdout may be what failed
            screen.finish(Outcome(document, []))
    screen.error(explain(error))
    wait_for_the_first(explain(error))
    return exit_status(error)
