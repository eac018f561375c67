"""Options of networks that are trained, shared by ``fit`` and ``compare``; how a training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

from hybridleuk.exceptions import InputError

from .options import FeatureOptions
from .weights import check_networks

__all__ = [
    "TrainingOptions",
    "check_candidates",
    "of_candidate",
    "trained_lines",
    "waiting_lines",
    "with_own_networks",
]

_PANEL = "Training of networks"
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 40
_OF_ANY = ("default", "random")  # weights that every backbone has
_CURVES = {
    "train_loss": "training loss",
    "valid_loss": "validation loss",
    "valid_balanced_accuracy": "validation accuracy",
}


def check_budget(budget: str | None) -> str | None:
    """Refuse what is no time, as wrong usage."""
    from hybridleuk.models.training_clock import seconds_of

    try:
        seconds_of(budget)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    return budget


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained; other classifiers make no use of it."""

    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Most epochs; by default 20.", rich_help_panel=_PANEL
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            callback=check_budget,
            metavar="TIME",
            help="Time for each training, such as 90s, 20m or 1.5h; the schedule adapts to it.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            min=32,
            metavar="PX",
            help="Side of the pictures; by default the network's, at most 160.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="By default 32.", rich_help_panel=_PANEL),
    ] = None
    accumulate: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Parts in which a batch is computed, for less memory.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-7, max=1, metavar="RATE", help="By default 0.0006.", rich_help_panel=_PANEL
        ),
    ] = None
    mixing: Annotated[
        Literal["mixup", "cutmix"] | None,
        typer.Option(help="Mix pairs of images.", rich_help_panel=_PANEL, show_default=False),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """Parameters of ``FineTunedCNN`` that were named."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def of_candidate(
    name: str, parameters: Mapping[str, Any], features: FeatureOptions
) -> dict[str, Any]:
    """Return the parameters of a candidate: ``two-channel`` has a backbone of its own.

    Unless ``--backbone`` names another, or ``--weights`` are those of another.
    """
    from hybridleuk.models.named import TWO_CHANNEL

    told = features.backbone or parameters["weights"] not in _OF_ANY
    if name != TWO_CHANNEL or told:
        return dict(parameters)
    return {key: value for key, value in parameters.items() if key != "backbone"}


def check_candidates(
    chosen: Sequence[str],
    images: Iterable[Any],
    parameters: dict[str, Any],
    features: FeatureOptions,
) -> None:
    """Look for the weights of every candidate's network before anything slow."""
    from hybridleuk.models.named import TWO_CHANNEL

    if any(not name.startswith("morphology") and name != TWO_CHANNEL for name in chosen):
        check_networks(images, "deep", parameters)
    for made in with_own_networks(chosen, parameters, features, TrainingOptions()):
        if not isinstance(made, str):
            networks = {"backbone": made[1].backbone, "weights": made[1].weights}
            check_networks(images, "deep", parameters | networks)


def with_own_networks(
    chosen: Sequence[str],
    parameters: dict[str, Any],
    features: FeatureOptions,
    training: TrainingOptions,
) -> list[str | tuple[str, Any]]:
    """Make the candidates whose backbone is not that of the others."""
    from hybridleuk.candidates import make_candidate
    from hybridleuk.models.named import TWO_CHANNEL

    def made(name: str) -> Any:
        own = of_candidate(name, parameters, features)
        return make_candidate(name, finetuning=training.given, **own)

    return [(name, made(name)) if name == TWO_CHANNEL else name for name in chosen]


def trained_lines(model: Any) -> list[str]:
    """Draw the learning curve of a network that was trained, and say where its time went."""
    history = model.history_
    last = int(history["epoch"].iloc[-1])
    lines = [f"Learning curve, epochs 0 to {last}; kept is epoch {model.best_epoch_}"]
    for column, name in _CURVES.items():
        if column in history:
            values = history[column].tolist()
            lines.append(f"  {name:<20}{values[0]:6.3f} {sparkline(values)} {values[-1]:.3f}")
    lines.append(
        f"Epochs took {model.seconds_:.1f} s; the network waited for images "
        f"{model.waiting_share_:.1%} of the steps' time."
    )
    return lines


def waiting_lines(trained: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each candidate that was trained how long it waited for images.

    Examples
    --------
    >>> waiting_lines([{"candidate": "finetuned", "waiting_share": 0.02}])
    ["finetuned waited for images 2.0% of the steps' time."]
    """
    return [
        f"{entry['candidate']} waited for images {entry['waiting_share']:.1%} of the steps' time."
        for entry in trained
        if entry.get("waiting_share") is not None
    ]


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a row of bars, at most 40.

    Examples
    --------
    >>> sparkline([4, 2, 1, 1])
    '█▃▁▁'
    """
    shown = list(values)
    if len(shown) > _WIDEST:
        shown = [shown[round(i * (len(shown) - 1) / (_WIDEST - 1))] for i in range(_WIDEST)]
    low, reach = min(shown), max(shown) - min(shown)
    steps = len(_BARS) - 1
    return "".join(_BARS[int((v - low) / reach * steps + 0.5) if reach else 0] for v in shown)
