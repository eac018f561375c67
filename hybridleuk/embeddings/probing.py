"""What a network returns, seen by running it once on an empty picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from hybridleuk.embeddings.records import OUTPUT, Backbone
from hybridleuk.exceptions import InputError

__all__ = ["channels_of", "output_widths"]


def channels_of(output: Any, channels_last: bool = False) -> int | None:
    """Count the channels of a row (n, c), tokens (n, length, c) or a map; None of anything else."""
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4):
        return None
    return int(output.shape[1 if output.ndim == 4 and not channels_last else -1])


def output_widths(
    network: nn.Module,
    run: Callable[[torch.Tensor], Any],
    modules: Iterable[str],
    record: Backbone,
    channels_last: bool = False,
) -> dict[str, int]:
    """Find which modules can be pooled, and how wide they are.

    Parameters
    ----------
    network : torch.nn.Module
        In ``eval`` mode; on torch's ``meta`` device nothing is computed.
    run : callable
        ``network`` itself, or the method of it that makes features.
    modules : iterable of str
        Names to look at; those that are not reached exactly once, or return no tensor, are left
        out.
    record : Backbone
        For the input size and the name in errors.

    Returns
    -------
    dict of str to int
        In the order in which they are reached; ``"output"``, what `run` returns, is the last.

    Raises
    ------
    InputError
        `run` fails, or returns no tensor of 2, 3 or 4 dimensions.
    """
    seen: dict[str, list[int | None]] = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(_watching(name, seen, channels_last))
        for name in modules
        if name in dict(network.named_modules())
    ]
    first = next((p for p in network.parameters()), torch.empty(0))
    side = record.input_size
    try:
        with torch.no_grad():
            output = run(torch.zeros(1, 3, side, side, device=first.device, dtype=first.dtype))
    except Exception as error:  # whatever a network of somebody else's raises
        reason = str(error).strip().split("\n")[0][:160] or type(error).__name__
        raise InputError(
            f"The network {record.name} does not take pictures of shape (n, 3, {side}, {side}) "
            f"({reason}); give it another input_size, or another network."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    width = channels_of(output, channels_last)
    if width is None:
        raise InputError(
            f"The network {record.name} returns {_what(output)}; expected a tensor of shape "
            "(n, width), (n, tokens, width) or (n, width, h, w), so wrap it in a module that does."
        )
    found = {name: widths[0] for name, widths in seen.items() if len(widths) == 1 and widths[0]}
    return {**found, OUTPUT: width}


def _watching(name: str, seen: dict[str, list[int | None]], channels_last: bool) -> Any:
    def watch(_: nn.Module, __: Any, output: Any) -> None:
        seen.setdefault(name, []).append(channels_of(output, channels_last))

    return watch


def _what(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor of {output.ndim} dimensions"
    return type(output).__name__
