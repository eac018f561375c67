"""State dicts read from files: only tensors, and only those of the right architecture."""

from __future__ import annotations

import io
import os
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hybridleuk.embeddings.backbones import BACKBONES, Backbone
from hybridleuk.embeddings.timm_backbones import converted_state, has_timm
from hybridleuk.exceptions import OutputError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "check_finite",
    "fitting_state",
    "head_state",
    "parse_state",
    "read_state",
    "write_weights",
]

State: TypeAlias = "dict[str, torch.Tensor]"

_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
_INSIDE = "backbone."  # of networks trained with projection heads beside them, as by DINOv2
_COUNTER = "num_batches_tracked"
_LOOKS_LIKE = 0.9
# How a zip archive of torch and a bare pickle begin; anything else never was one.
_PICKLES = (b"PK", b"\x80")
# torchvision's DenseNet files are older than its module names: `norm.1` became `norm1`.
_OLD_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")


def read_state(path: Path) -> State:
    """Read a state dict without running anything that is in the file.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or what ``torch.save(network.state_dict(), path)`` writes.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, or holds anything but plain tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: the weights cannot be read ({error.strerror}); check path and permissions."
        ) from error
    return parse_state(content, path)


def parse_state(content: bytes, path: Path) -> State:
    """Read a state dict from the bytes of a file; `path` is for its suffix and for errors."""
    if path.suffix.lower() == ".safetensors":
        return _plain_state(_read_safetensors(content, path), path)
    return _plain_state(_read_pth(content, path), path)


def write_weights(
    path: str | os.PathLike[str],
    state: State,
    record: Backbone,
    said: Mapping[str, str] | None = None,
) -> None:
    """Write weights as ``.safetensors`` whose metadata says which network they are of.

    The file can be given as ``--weights`` beside any ``--backbone`` name, and is used with the
    input size, mean and standard deviation of `record`.

    Parameters
    ----------
    path : path
        The file appears only when it is complete.
    state : dict of str to Tensor
        With or without the head.
    record : Backbone
    said : mapping of str to str, optional
        What else the file says of itself.

    Raises
    ------
    OutputError
        The file cannot be written.
    WeightsError
        The state does not fit the record.
    """
    import safetensors.torch

    from hybridleuk.embeddings.described import metadata_for

    target = Path(path)
    trunk = fitting_state(state, record, f"The state for {target.name}")
    plain = {name: value.detach().cpu().contiguous() for name, value in trunk.items()}
    with _written(target) as unfinished:
        safetensors.torch.save_file(plain, unfinished, metadata_for(record) | dict(said or {}))


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    import safetensors

    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, target)
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{target} cannot be written ({reason}); free some space or choose another folder."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _read_safetensors(content: bytes, path: Path) -> Any:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_pth(content: bytes, path: Path) -> Any:
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if content.startswith(_PICKLES):
            raise _not_plain(path) from error
        raise _damaged(path, error) from error
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
    return WeightsError(
        f"{path}: no readable weights, or cut off ({reason}); expected a state dict as .pth or "
        ".safetensors, so copy it again from its source."
    )


def _not_plain(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: holds more than plain tensors and could run code, so it was not loaded; save "
        "the weights alone, as torch.save(network.state_dict(), FILE) or as .safetensors."
    )


def _plain_state(content: Any, path: Path) -> State:
    import torch

    state = content
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state:
        raise WeightsError(
            f"{path}: holds {type(state).__name__}, expected a state dict of named tensors."
        )
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _not_plain(path)
    inner = {n[len(_INSIDE) :]: v for n, v in state.items() if str(n).startswith(_INSIDE)}
    return {_modern_name(str(n)): value.detach() for n, value in (inner or state).items()}


def _modern_name(name: str) -> str:
    return _OLD_DENSENET_NAME.sub(r"\1\2", name.removeprefix("module."))


def fitting_state(state: State, record: Backbone, source: str) -> State:
    """Take the trunk of a state dict, or say why it is none of this architecture.

    The trunk is everything but the head, so that weights fine-tuned for other classes fit too.

    Raises
    ------
    WeightsError
        Tensors are missing, unknown or of another shape; the message counts them and names the
        backbone the file looks like. Or a tensor holds NaN or infinity.
    """
    import torch

    expected = _trunk_shapes(record)
    trunk = _trunk_of(state, record)
    if record.source == "timm" and not _fits(trunk, expected):
        from hybridleuk.embeddings.network import random_network

        trunk = _trunk_of(converted_state(state, random_network(record, 0)), record)
    missing, unexpected, differing = _misfits(trunk, expected)
    if missing or unexpected or differing:
        counts = (
            f"{missing} of {len(expected)} tensors are missing, {unexpected} are "
            f"unexpected and {differing} differ in shape"
        )
        raise WeightsError(f"{source} does not fit {record.name}: {counts}; {_advice(state)}")
    counters = {n: torch.tensor(0) for n in expected if n.endswith(_COUNTER)}
    fitting = counters | {n: v if n in counters else v.float() for n, v in trunk.items()}
    check_finite(fitting.items(), source)
    return fitting


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], source: str) -> None:
    """Refuse weights with NaN or infinity: every embedding made with them would have them too.

    Parameters
    ----------
    tensors : iterable of (str, Tensor)
        Names and values; integers are always finite.
    source : str
        What they are of, for the error.

    Raises
    ------
    WeightsError
        The first such tensor is named, and how many of its values are wrong.
    """
    for name, tensor in tensors:
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise WeightsError(
                f"{source}: {wrong:,} of {tensor.numel():,} values of the tensor {name} are NaN or "
                "infinite in float32, as after a training that diverged; give other weights."
            )


def _trunk_of(state: State, record: Backbone) -> State:
    return {name: value for name, value in state.items() if not record.in_head(name)}


def _fits(trunk: State, expected: dict[str, tuple[int, ...]]) -> bool:
    return not any(_misfits(trunk, expected))


def _misfits(trunk: State, expected: dict[str, tuple[int, ...]]) -> tuple[int, int, int]:
    """Count tensors that are missing, unexpected, and of another shape."""
    missing = sum(n not in trunk and not n.endswith(_COUNTER) for n in expected)
    unexpected = sum(n not in expected for n in trunk)
    differing = sum(n in expected and tuple(v.shape) != expected[n] for n, v in trunk.items())
    return missing, unexpected, differing


def _advice(state: State) -> str:
    lookalike = _looks_like(state)
    if lookalike is None:
        return "it looks like none of the known backbones, so give another file."
    return f"it looks like {lookalike}, so name that backbone or give another file."


def _looks_like(state: State) -> str | None:
    """Find the backbone whose trunk shares most tensors, by name and shape, with a state dict."""
    shares = {}
    for name, record in BACKBONES.items():
        if record.source == "timm" and not has_timm():
            continue
        expected = {n: s for n, s in _trunk_shapes(record).items() if not n.endswith(_COUNTER)}
        trunk = [n for n in state if not record.in_head(n) and not n.endswith(_COUNTER)]
        common = sum(n in expected and tuple(state[n].shape) == expected[n] for n in trunk)
        shares[name] = common / max(len(expected), len(trunk))
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LOOKS_LIKE else None


@lru_cache(maxsize=64)
def _trunk_shapes(record: Backbone) -> dict[str, tuple[int, ...]]:
    from hybridleuk.embeddings.network import empty_network

    state = empty_network(record).state_dict()
    return {n: tuple(v.shape) for n, v in state.items() if not record.in_head(n)}


def head_state(state: State, network: torch.nn.Module) -> State:
    """Take what a state dict holds beyond the trunk, where every tensor fits `network`'s head."""
    own = network.state_dict()
    head = {name: value for name, value in state.items() if name in own}
    fits = all(value.shape == own[name].shape for name, value in head.items())
    return head if fits else {}
