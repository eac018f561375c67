"""A frozen network made quicker for arithmetic of 16 bits on a CPU, with the same outputs.

Batch normalisation after a convolution is a second pass over the same numbers that a frozen network
can spare: its factors go into the convolution's own (Jacob et al., CVPR 2018, section 3.2). And
weights that are cast once need not be cast again for every batch, as autocast does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["reduced_copy"]

_CAST = (nn.Conv2d, nn.Linear)
_SENSITIVE = ("LayerNorm", "Attention", "MultiheadAttention", "GroupNorm")


def reduced_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """Copy a network in ``eval`` mode, fuse what can be fused, and cast its convolutions.

    Parameters
    ----------
    network : torch.nn.Module
        Hooks on it stay on the copy.
    dtype : torch.dtype
        Of convolutions and linear layers; batch normalisation that is left keeps its own.

    Returns
    -------
    torch.nn.Module or None
        Takes inputs of `dtype`. None where the network has layers that need more digits, such as
        those of a transformer: autocast knows which.
    """
    if any(type(module).__name__.startswith(_SENSITIVE) for module in network.modules()):
        return None
    made = copy.deepcopy(network)
    for convolution, normalisation in list(_foldable(made)):
        _fold(made, convolution, normalisation)
    for module in made.modules():
        if isinstance(module, _CAST):
            module.to(dtype)
    return made.to(memory_format=torch.channels_last)


def _foldable(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Name convolutions with the batch normalisation that alone sees what they return."""
    try:
        graph = torch.fx.symbolic_trace(_without_hooks(network)).graph
    except Exception:  # control flow that depends on values: nothing is known to be safe
        return
    modules = dict(network.named_modules())
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if (
            getattr(before, "op", "") == "call_module"
            and isinstance(modules[before.target], nn.Conv2d)
            and len(before.users) == 1
            and calls.count(before.target) == calls.count(node.target) == 1
            and not _watched(modules[before.target])
            and not _watched(modules[node.target])
        ):
            yield before.target, node.target


def _without_hooks(network: nn.Module) -> nn.Module:
    bare = copy.deepcopy(network)
    for module in bare.modules():
        module._forward_hooks.clear()
    return bare


def _watched(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _fold(network: nn.Module, convolution: str, normalisation: str) -> None:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    fused = fuse_conv_bn_eval(
        network.get_submodule(convolution),  # type: ignore[type-var]
        network.get_submodule(normalisation),  # type: ignore[arg-type]
    )
    network.set_submodule(convolution, fused)
    network.set_submodule(normalisation, nn.Identity())
