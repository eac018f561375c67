"""Networks that timm builds: those of the table, and any other that it or Hugging Face names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from hybridleuk.embeddings.records import OUTPUT, Backbone, Layer
from hybridleuk.exceptions import InputError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "build_timm",
    "converted_state",
    "has_timm",
    "import_timm",
    "require_timm",
    "timm_record",
]


def has_timm() -> bool:
    """Tell whether timm is installed, without importing it."""
    import importlib.util

    return importlib.util.find_spec("timm") is not None


def import_timm(name: str) -> ModuleType:
    """Import timm, or say that `name` needs it.

    Raises
    ------
    InputError
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import timm
    except ImportError as error:
        raise _needs_timm(name, f"cannot be imported ({error})") from error
    return cast(ModuleType, timm)


def require_timm(record: Backbone) -> None:
    """Say at once that timm is missing, rather than after its weights have been fetched.

    Raises
    ------
    InputError
    """
    if record.source == "timm" and not has_timm():
        raise _needs_timm(record.name, "is not installed")


def _needs_timm(name: str, problem: str) -> InputError:
    return InputError(
        f"The backbone {name} is built by timm, which {problem}; install it with "
        "pip install 'hybridleuk[timm]'."
    )


def build_timm(record: Backbone) -> torch.nn.Module:
    """Build a network of timm with fresh values, on torch's default device.

    Networks of the table keep their head, which fine-tuning may begin with; others have none.
    """
    timm = import_timm(record.name)
    options = dict(record.options)
    if record.default_layer == OUTPUT:
        options["num_classes"] = 0
    try:
        network = timm.create_model(record.architecture, pretrained=False, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"timm {timm.__version__} cannot build {record.architecture!r} for the backbone "
            f"{record.name} ({_first_line(error)}); update timm, or choose another backbone."
        ) from error
    return cast("torch.nn.Module", network)


def timm_record(name: str) -> Backbone:
    """Describe ``timm:NAME`` or ``hf-hub:OWNER/NAME``.

    The last layer is what the network's ``forward_features`` returns; before it come the modules
    that timm lists as features.

    Raises
    ------
    InputError
        timm is missing, or does not know the network.
    WeightsError
        The repository cannot be reached, or is not in timm's format.
    """
    prefix, _, rest = name.partition(":")
    import_timm(name)
    if prefix == "timm":
        return _registered(name, rest)
    return _published(name, rest)


@lru_cache(maxsize=32)
def _registered(name: str, builder: str) -> Backbone:
    timm = import_timm(name)
    if not re.fullmatch(r"[\w.]+", builder) or not timm.is_model(builder):
        close = timm.list_models(f"*{builder.split('.')[0]}*")[:5] if builder.strip("*") else []
        hint = f"; it has {', '.join(close)}" if close else ""
        raise InputError(
            f"timm {timm.__version__} has no network {builder!r}{hint}. List them with "
            "timm.list_models() in Python."
        )
    try:
        found = timm.models.get_pretrained_cfg(builder)
    except RuntimeError as error:
        raise InputError(
            f"timm {timm.__version__} has {builder.split('.')[0]}, but no such weights of it "
            f"({_first_line(error)}); list them with timm.list_pretrained() in Python."
        ) from error
    settings = found.to_dict() if found is not None else {}
    return _record(name, builder, settings, {})


@lru_cache(maxsize=32)
def _published(name: str, repository: str) -> Backbone:
    from hybridleuk.embeddings.huggingface import read_config

    document = read_config(repository)
    settings = document.get("pretrained_cfg", document)
    builder = document.get("architecture")
    options = document.get("model_args") or {}
    timm = import_timm(name)
    if not isinstance(builder, str) or not isinstance(settings, Mapping):
        raise WeightsError(
            f"{name} is not in timm's format: its config.json names no timm architecture; choose a "
            "repository with the tag timm, or give the weights as a FILE beside timm:NAME."
        )
    if not timm.is_model(builder):
        raise InputError(
            f"{name} is a {builder!r}, which timm {timm.__version__} does not know; update timm."
        )
    return _record(name, builder, {**settings, "hf_hub_id": repository}, options)


def _record(
    name: str, builder: str, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> Backbone:
    size = int((settings.get("input_size") or (3, 224, 224))[-1])
    head = settings.get("classifier") or ()
    hub = str(settings.get("hf_hub_id") or "")
    draft = Backbone(
        name,
        str(settings.get("tag") or "") or "timm's default",
        str(settings.get("hf_hub_filename") or "model.safetensors"),
        (Layer(OUTPUT, 1),),
        (head,) if isinstance(head, str) else tuple(head),
        0,
        str(settings.get("paper_name") or settings.get("origin_url") or f"timm {builder}"),
        input_size=size,
        resize_size=int(size / float(settings.get("crop_pct") or 1.0)),
        mean=_three(settings.get("mean"), (0.485, 0.456, 0.406)),
        std=_three(settings.get("std"), (0.229, 0.224, 0.225)),
        interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        minimum_size=size if settings.get("fixed_input_size") else 32,
        options=tuple(
            sorted((str(k), _plain(v)) for k, v in options.items() if k != "num_classes")
        ),
        source="timm",
        licence=str(settings.get("license") or "not stated"),
        builder=builder,
        hub=hub,
        url="" if hub else str(settings.get("url") or ""),
    )
    return _probed(draft)


def _three(values: Any, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if not values or len(values) != 3:
        return default
    return (float(values[0]), float(values[1]), float(values[2]))


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value


def _probed(draft: Backbone) -> Backbone:
    """Complete a record with what the network itself shows: layers, their widths, tokens."""
    from dataclasses import replace

    from hybridleuk.embeddings.network import empty_network
    from hybridleuk.embeddings.probing import output_widths

    network = empty_network(draft)
    listed = getattr(network, "feature_info", None)
    names = [str(item["module"]) for item in listed or [] if "module" in item]
    channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
    widths = output_widths(network, network.forward_features, names, draft, channels_last)  # type: ignore[arg-type]
    tokens = int(getattr(network, "num_prefix_tokens", 0) or 0)
    class_token = tokens > 0 and getattr(network, "cls_token", None) is not None
    return replace(
        draft,
        layers=tuple(Layer(layer, width) for layer, width in widths.items()),
        parameters=sum(p.numel() for p in network.parameters()),
        channels_last=channels_last,
        prefix_tokens=tokens,
        class_token=class_token,
    )


def converted_state(state: dict[str, Any], network: torch.nn.Module) -> dict[str, Any]:
    """Rename the tensors of an original release to timm's, where timm knows how."""
    import sys

    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return dict(convert(dict(state), network))
    except Exception:  # not a release that it knows: what does not fit is said by the caller
        return state


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160] or type(error).__name__
