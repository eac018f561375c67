"""Which weights belong to which backbone on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from hybridleuk import progress
from hybridleuk.exceptions import WeightsError

__all__ = ["DEFAULT_BACKBONE", "WORDS", "check_networks", "check_weights", "pair_weights"]

DEFAULT_BACKBONE = "squeezenet1_0"
WORDS = ("default", "bundled", "random")


def pair_weights(
    backbones: Sequence[str], weights: Sequence[str], typed: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Give each backbone its weights, and the name by which the table knows it.

    Where no backbone is named, it is the one that the weights are of: ``bundled`` is the package's
    own, and a file may say what it holds. A word or a bundle given once is for all backbones.
    Otherwise weights belong to the backbone
    named just before them, or, when that has its weights or there is none, to the one named just
    after.

    Parameters
    ----------
    backbones, weights : sequence of str
        As parsed, each in its own order.
    typed : sequence of str
        The arguments as they were typed.

    Returns
    -------
    (backbones, weights) : lists of the same length

    Examples
    --------
    >>> pair_weights(["resnet18", "resnet50"], ["random"], typed=[])
    (['resnet18', 'resnet50'], ['random', 'random'])
    >>> pair_weights([], ["bundled"], typed=[])
    (['smearnet'], ['bundled'])
    """
    from hybridleuk.embeddings.backbones import canonical_name

    given = [canonical_name(name) for name in backbones]
    for value in weights:
        check_weights(value)
    names = given or [_told_by(weights)]
    if len(weights) == 1 and (len(names) == 1 or _is_for_all(weights[0])):
        paired = [weights[0]] * len(names)
    elif not weights:
        paired = ["default"] * len(names)
    else:
        paired = _beside(names, _in_order(given, weights, typed))
    _check_backbones(names, paired)
    return names, paired


def _told_by(weights: Sequence[str]) -> str:
    """Name the backbone that weights are of, where they alone are given."""
    from hybridleuk.embeddings.described import described_record, header_of
    from hybridleuk.embeddings.package_table import BUNDLED

    if list(weights) == ["bundled"]:
        return BUNDLED
    if len(weights) == 1 and weights[0] not in WORDS and header_of(Path(weights[0])):
        said = described_record("", weights[0])
        if said is not None:
            return said.name
    return DEFAULT_BACKBONE


def _is_for_all(value: str) -> bool:
    from hybridleuk.embeddings.bundle import is_bundle

    return value in WORDS or is_bundle(Path(value))


def _in_order(
    backbones: Sequence[str], weights: Sequence[str], typed: Sequence[str]
) -> list[tuple[str, str]]:
    """List ``("backbone" | "weights", value)`` in the order they were typed."""
    left = {"backbone": list(backbones), "weights": list(weights)}
    order = []
    for argument in typed:
        option = argument.partition("=")[0].removeprefix("--")
        if argument.startswith("--") and left.get(option):
            order.append((option, left[option].pop(0)))
    return order


def _beside(names: Sequence[str], order: Sequence[tuple[str, str]]) -> list[str]:
    paired: dict[str, str] = {}
    before: str | None = None
    waiting: str | None = None
    for option, value in order:
        if option == "backbone":
            before = value
            if waiting is not None:
                paired[value], waiting = waiting, None
        elif before is not None and before not in paired:
            paired[before] = value
        elif waiting is None:
            waiting = value
        else:
            raise _unclear(waiting)
    if waiting is not None:
        raise _unclear(waiting)
    return [paired.get(name, "default") for name in names]


def _unclear(value: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"no --backbone beside --weights {value}; name each backbone, then its weights",
        param_hint="--weights",
    )


def _check_backbones(names: Sequence[str], weights: Sequence[str]) -> None:
    from hybridleuk.embeddings.backbones import BACKBONES, backbone
    from hybridleuk.embeddings.package_table import BUNDLED
    from hybridleuk.exceptions import InputError

    for name, value in zip(names, weights, strict=True):
        if names.count(name) > 1:
            raise typer.BadParameter(f"{name} is named twice", param_hint="--backbone")
        if value == "bundled" and name != BUNDLED:
            raise typer.BadParameter(
                f"the package has no weights of {name}, only of {BUNDLED}; leave --backbone out, "
                f"or name --backbone {BUNDLED}",
                param_hint="--weights",
            )
        if name in BACKBONES or ":" in name:  # others of timm are looked up when they are used
            continue
        try:
            backbone(name, value)
        except InputError as error:
            raise typer.BadParameter(
                f"no backbone {name!r}; known are {', '.join(BACKBONES)}, timm:NAME and "
                "hf-hub:OWNER/NAME",
                param_hint="--backbone",
            ) from error


def check_weights(value: str) -> None:
    """Refuse weights that are neither a known word nor a file, before anything slow.

    Raises
    ------
    WeightsError
    """
    if value not in WORDS and not Path(value).is_file():
        what = "this is a folder" if Path(value).is_dir() else "no such file"
        raise WeightsError(
            f"--weights {value}: {what}; expected {', '.join(WORDS)}, or a file of weights "
            "or a bundle."
        )


def check_networks(
    images: Iterable[Any], kind: str, parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Find the weights, and download them where need be, before hours of measuring.

    Returns
    -------
    dict
        SHA-256 of the weights of each embedding.

    Raises
    ------
    WeightsError
        Weights cannot be had, or do not fit their backbone.
    InputError
        A layer, a precision or the device does not exist.
    """
    from hybridleuk.hybrid import HybridFeatures

    known = HybridFeatures().get_params(deep=False)
    settings = {name: value for name, value in parameters.items() if name in known}
    extractors = HybridFeatures(**{**settings, "features": kind}).extractors()
    deep = {name: made for name, made in extractors.items() if name != "morphology"}
    found = {}
    unit = "network" if len(deep) == 1 else "networks"
    with progress.task("Looking for weights", len(deep), unit) as looking:
        for name, extractor in deep.items():
            found[name] = str(extractor.fit(images).weights_sha256_)
            looking.advance()
    return found
