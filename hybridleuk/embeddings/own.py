"""A network of one's own: any ``torch.nn.Module`` that turns pictures into a tensor.

What it has to offer
    ``forward`` takes standardised pictures (n, 3, side, side), float32, and returns a tensor: a map
    (n, width, h, w), tokens (n, length, width) or a row (n, width). It keeps nothing between calls:
    several batches may go through it at once.
What it has to say
    ``input_size``, the side of its input in px, as an attribute of the module. Optional attributes
    are ``mean`` and ``std`` (three numbers each, of RGB between 0 and 1; by default ImageNet's) and
    ``interpolation`` (``"bilinear"`` or ``"bicubic"``). Instead of these it may have one attribute
    ``backbone_record``, a :class:`~hybridleuk.embeddings.records.Backbone`; networks of timm bring
    theirs along as ``pretrained_cfg``.

The module itself is never changed: a copy of it is put into ``eval`` mode and frozen. Layers one
can ask for are its direct children that return a tensor, and ``"output"``, what it returns.

Embeddings are cached under a fingerprint of everything that decides them: every parameter and
buffer, the tree of modules with their settings, plain attributes, and the code of classes that are
not torch's, torchvision's or timm's.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
import types
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hybridleuk.embeddings.probing import output_widths
from hybridleuk.embeddings.records import OUTPUT, Backbone, Layer
from hybridleuk.embeddings.states import check_finite
from hybridleuk.exceptions import InputError

__all__ = ["frozen_copy", "own_fingerprint", "own_record"]

_KNOWN_CODE = ("torch", "torchvision", "timm")
_LARGEST_SIDE = 4096
_KEPT_BY_TORCH = frozenset(vars(nn.Module()))
_Probed = tuple[str, dict[str, int]]
_probed: weakref.WeakKeyDictionary[nn.Module, _Probed] = weakref.WeakKeyDictionary()


def own_record(network: nn.Module) -> Backbone:
    """Describe a network of one's own, running it once on an empty picture.

    Raises
    ------
    InputError
        It does not say its input size, says something impossible, or returns no tensor.
    """
    draft = getattr(network, "backbone_record", None)
    if not isinstance(draft, Backbone):
        draft = _from_attributes(network)
    draft = replace(draft, source="own", head=(), rectified=(), layers=(Layer(OUTPUT, 1),))
    # Anything that could change what is returned is in here, values of parameters aside.
    key = f"{draft.input_size} {draft.channels_last} {network!r}"
    if network not in _probed or _probed[network][0] != key:
        _probed[network] = (key, _widths(network, draft))
    widths = _probed[network][1]
    parameters = sum(p.numel() for p in network.parameters())
    layers = tuple(Layer(name, width) for name, width in widths.items())
    return replace(draft, layers=layers, parameters=parameters)


def frozen_copy(network: nn.Module) -> nn.Module:
    """Copy a network, in ``eval`` mode and without gradients, on the CPU.

    Raises
    ------
    InputError
        It cannot be copied.
    WeightsError
        A parameter holds NaN or infinity.
    """
    # Parameters alone: a buffer may well hold infinity, as masks of attention do.
    check_finite(network.named_parameters(), f"The network {type(network).__name__}")
    try:
        copied = copy.deepcopy(network)
    except Exception as error:  # whatever its attributes raise
        raise InputError(
            f"The network {type(network).__name__} cannot be copied ({error}); keep handles, open "
            "files and results of computations out of its attributes."
        ) from error
    return copied.to("cpu").eval().requires_grad_(False)


def own_fingerprint(network: nn.Module) -> str:
    """Identify a network by its values, its settings and its code: a SHA-256."""
    digest = hashlib.sha256()
    for line in _architecture(network):
        digest.update(f"{line}\n".encode())
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {_described(value)};".encode())
    return digest.hexdigest()


def _from_attributes(network: nn.Module) -> Backbone:
    name = type(network).__name__
    settings = getattr(network, "pretrained_cfg", None)
    settings = dict(settings) if isinstance(settings, Mapping) else {}
    size = getattr(network, "input_size", settings.get("input_size"))
    if isinstance(size, (tuple, list)) and size:
        size = size[-1]
    if not isinstance(size, int) or not 8 <= size <= _LARGEST_SIDE:
        raise InputError(
            f"The network {name} has input_size {size!r}; expected the side of its input in px, so "
            "set network.input_size = 224, or what it was trained with."
        )
    interpolation = getattr(network, "interpolation", settings.get("interpolation", "bilinear"))
    if interpolation not in ("bilinear", "bicubic"):
        raise InputError(
            f"The network {name} has interpolation {interpolation!r}; expected 'bilinear' or "
            "'bicubic'."
        )
    return Backbone(
        name,
        "own",
        "",
        (Layer(OUTPUT, 1),),
        (),
        0,
        "a network of one's own",
        input_size=size,
        resize_size=size,
        mean=_three(network, settings, "mean", (0.485, 0.456, 0.406)),
        std=_three(network, settings, "std", (0.229, 0.224, 0.225)),
        interpolation=interpolation,
        minimum_size=size,
        source="own",
        licence=str(settings.get("license") or "of its author"),
    )


def _three(
    network: nn.Module, settings: Mapping[str, Any], name: str, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    found = getattr(network, name, settings.get(name, default))
    try:
        red, green, blue = (float(value) for value in found)
        if name == "std" and min(red, green, blue) <= 0:
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            f"The network {type(network).__name__} has {name} {found!r}; expected three numbers, "
            f"one for each of red, green and blue{', above 0' if name == 'std' else ''}."
        ) from None
    return (red, green, blue)


def _widths(network: nn.Module, draft: Backbone) -> dict[str, int]:
    copied = frozen_copy(network)
    children = [name for name, _ in copied.named_children() if name != OUTPUT]
    return output_widths(copied, copied, children, draft, draft.channels_last)


def _architecture(network: nn.Module) -> Iterator[str]:
    """Yield a line for everything but tensors that decides what a network returns."""
    yield repr(network)
    classes: dict[str, type] = {}
    for name, module in network.named_modules():
        kind = type(module)
        where = f"{kind.__module__}.{kind.__qualname__}"
        yield f"{name}: {where} {sorted(_settings(module))}"
        for parent in kind.__mro__:
            if parent is not object and parent.__module__.split(".")[0] not in _KNOWN_CODE:
                classes[f"{parent.__module__}.{parent.__qualname__}"] = parent
    for where in sorted(classes):
        functions = {n: _function(f) for n, f in vars(classes[where]).items()}
        yield f"{where} {[(n, _code(f.__code__)) for n, f in sorted(functions.items()) if f]}"


def _settings(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield every attribute that torch does not keep itself, and the hooks that change results."""
    for name, value in vars(module).items():
        if name not in _KEPT_BY_TORCH:
            yield name, _described(value)
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        yield from (("hook", _described(hook)) for hook in hooks.values())


def _described(value: Any) -> str:
    """Write an attribute so that another value gives another text."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(_described, value))})"
    if isinstance(value, (set, frozenset)):
        return f"set({', '.join(sorted(map(_described, value)))})"
    if isinstance(value, Mapping):
        return f"map({', '.join(f'{_described(k)}: {_described(v)}' for k, v in value.items())})"
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {value.dtype} {_digest(value)}"
    if isinstance(value, types.FunctionType):
        inside = [cell.cell_contents for cell in value.__closure__ or ()]
        return f"{_code(value.__code__)} {_described([value.__defaults__, inside])}"
    if isinstance(value, nn.Module):
        return own_fingerprint(value)
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()
    except Exception:  # not to be told from others of its kind, so from no other at all
        return f"{type(value).__qualname__} {id(value)}"


def _digest(value: torch.Tensor) -> str:
    values = value.detach().cpu().contiguous().flatten()
    return hashlib.sha256(values.view(torch.uint8).numpy().data).hexdigest()


def _function(member: Any) -> types.FunctionType | None:
    member = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
    return member if isinstance(member, types.FunctionType) else None


def _code(code: types.CodeType) -> str:
    """Digest what a function does; where it stands in its file does not matter."""
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    parts = (code.co_code.hex(), constants, code.co_names, code.co_varnames)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
