"""Commands are declared with groups of options; typer sees them one by one.

A group is a dataclass whose fields are options. A command that takes one gets all of its options,
so that what several commands share is written down once.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from hybridleuk import progress

from .console import Outcome, Screen, current_screen

__all__ = ["Command", "General", "arguments_as_typed", "register"]

_FOR_PROGRAMMERS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    ResourceWarning,
)
_GENERAL = "General"
_ARGUMENTS = "hybridleuk.arguments"
_typed: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


@dataclass(frozen=True)
class General:
    """Options of every command."""

    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_GENERAL),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show notes and errors only.", rich_help_panel=_GENERAL),
    ] = False
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_GENERAL),
    ] = False


class Command(TyperCommand):
    """A command that remembers its arguments as they were typed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep a copy of the arguments, since parsing loses which option stood beside which."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def arguments_as_typed() -> list[str]:
    """Return the arguments of the command that is running, in the order they were typed."""
    return list(_typed.get())


def register(app: typer.Typer, name: str, function: Callable[..., Outcome], example: str) -> None:
    """Add a command to `app`; `example` ends its help."""
    lines = "\n\n".join(f"  [cyan]{line}[/cyan]" for line in example.splitlines())
    app.command(name, cls=Command, epilog=f"[bold]Example[/bold]\n\n{lines}")(_flat(function))


def _flat(function: Callable[..., Outcome]) -> Callable[..., None]:
    """Give `function` a signature in which groups of options are replaced by their options."""
    hints = get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind) and name != "return"}
    parameters = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    ]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _parameters_of(groups[name])
        else:
            parameters.append(
                parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            )
    parameters += _parameters_of(General)

    def run(context: typer.Context, **values: Any) -> None:
        _typed.set(context.meta[_ARGUMENTS])
        general = _taken(General, values)
        made = {name: _taken(kind, values) for name, kind in groups.items()}
        _run(lambda: function(**values, **made), general)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _run(function: Callable[[], Outcome], general: General) -> None:
    screen = current_screen()
    screen.as_json, screen.quiet, screen.debug = general.json, general.quiet, general.debug
    with progress.report_to(screen), warnings.catch_warnings():
        _route_warnings(screen)
        outcome = function()
    screen.finish(outcome)
    if outcome.status:
        raise typer.Exit(outcome.status)


def _route_warnings(screen: Screen) -> None:
    """Show warnings meant for users as notes, and those meant for programmers with --debug only."""
    warnings.simplefilter("default")
    for category in _FOR_PROGRAMMERS:
        warnings.simplefilter("default" if screen.debug else "ignore", category)

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        screen.noted(f"{category.__name__}: {message}" if screen.debug else str(message))

    warnings.showwarning = show


def _parameters_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _taken(group: Any, values: dict[str, Any]) -> Any:
    return group(**{field.name: values.pop(field.name) for field in fields(group)})
