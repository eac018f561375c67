"""Weights of a backbone: where they come from, whether they fit, and what identifies them.

Five sources, and never a silent change from one to another:

``"default"``
    The file of torchvision or timm, from torch hub's or Hugging Face's cache, fetched there when it
    is not; of a network of one's own, the values it has.
a file
    A state dict, ``.pth`` (read without running any code) or ``.safetensors``.
a bundle
    A zip of ``hybridleuk backbones bundle``, with the weights of several backbones.
``"random"``
    An untrained network from a seed, for trying things out; said in every output.
``"bundled"``
    The backbone that comes in the package, smearnet; no other backbone has weights there.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key
from hybridleuk.embeddings.backbones import BACKBONES, Backbone, identity_of
from hybridleuk.embeddings.bundle import bundle_entry, is_bundle, member_sha256, read_member
from hybridleuk.embeddings.package_table import BUNDLED, packaged_file
from hybridleuk.embeddings.timm_backbones import require_timm
from hybridleuk.exceptions import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "LoadedNetwork",
    "Weights",
    "WeightsLike",
    "cached_weights",
    "default_file",
    "file_sha256",
    "fingerprint",
    "hub_folder",
    "load_network",
    "resolve_weights",
    "trunk_state",
    "ways_out",
]

WeightsLike: TypeAlias = "str | os.PathLike[str]"
State: TypeAlias = "dict[str, torch.Tensor]"

_FINGERPRINT_VERSION = 2  # since 2, values were found finite before a fingerprint is kept


@dataclass(frozen=True)
class Weights:
    """Weights that were asked for and are there, not yet read.

    Attributes
    ----------
    record : Backbone
    kind : {"default", "file", "bundle", "random", "own"}
    path : Path or None
        The file or bundle, where there is one.
    seed : int
        Of random weights.
    network : torch.nn.Module or None
        A network of one's own.
    """

    record: Backbone
    kind: Literal["default", "file", "bundle", "random", "own"]
    path: Path | None = None
    seed: int = 0
    network: torch.nn.Module | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, as ``sha256sum`` prints it, also of one inside a bundle.

        ``random-<seed>`` for random weights; of a network of one's own, its fingerprint.
        """
        if self.network is not None:
            from hybridleuk.embeddings.own import own_fingerprint

            return own_fingerprint(self.network)
        if self.path is None:
            return f"random-{self.seed}"
        if self.kind == "bundle":
            return member_sha256(self.path, bundle_entry(self.path, self.record.name))
        return file_sha256(self.path)

    @property
    def is_genuine(self) -> bool:
        """Whether a file with the source's name also has its hash, where the source tells it."""
        return self.path is None or self.sha256.startswith(self._stated_sha256)

    @property
    def _stated_sha256(self) -> str:
        if self.record.sha256 or not self.record.hub or self.path is None:
            return self.record.sha256
        from hybridleuk.embeddings.huggingface import stated_sha256

        return stated_sha256(self.path)

    @property
    def description(self) -> str:
        """One phrase for reports: what the weights are."""
        if self.network is not None:
            return f"a network of one's own, {self.record.name}"
        if self.path is None:
            return f"RANDOM weights, seed {self.seed}: this network was never trained"
        if self.kind in ("file", "bundle"):
            return f"{self.kind} {self.path.name}"
        tag = f"{self.record.source} {self.record.weights_tag}"
        if self.record.source == "package":
            tag = f"{self.record.name} {self.record.weights_tag} of the package (blood cells)"
        elif self.record.name in BACKBONES:
            tag += " (ImageNet)"
        if self.is_genuine:
            return tag
        return f"{tag}, but {self.path.name} is not {self.record.source}'s file"

    def announce(self) -> None:
        """Tell the user what must not be overlooked: random or replaced weights."""
        if self.kind == "random":
            progress.note(
                f"{self.record.name} has {self.description}. Results show that the program runs, "
                "not what the method can do."
            )
        elif self.kind == "default" and not self.is_genuine:
            mend = "remove it to have torchvision's downloaded"
            if self.record.source == "package":
                mend = "install hybridleuk again to have the package's own"
            progress.note(
                f"{self.path} does not have the hash in its name: somebody replaced it, or it is "
                f"damaged. It is used as it is; {mend}."
            )


class LoadedNetwork(NamedTuple):
    """A network with its weights; unpacks into ``network, weights_hash, description``."""

    network: torch.nn.Module
    weights_hash: str
    description: str


def resolve_weights(
    record: Backbone,
    weights: WeightsLike = "default",
    random_state: int = 0,
    network: torch.nn.Module | None = None,
) -> Weights:
    """Find the weights that a parameter stands for, fetching the source's where needed.

    Parameters
    ----------
    record : Backbone
    weights : {"default", "bundled", "random"} or path
    random_state : int, default 0
    network : torch.nn.Module, optional
        A network of one's own, which brings its values along.

    Raises
    ------
    WeightsError
        They cannot be had; the message names the ways out.
    InputError
        timm, which would build the network, is not installed.
    """
    require_timm(record)
    if network is not None:
        if weights != "default":
            raise WeightsError(
                f"A network of one's own comes with its values, but weights is {weights!r}; load "
                "them into the network, and leave weights at 'default'."
            )
        return Weights(record, "own", network=network)
    if weights == "random":
        return Weights(record, "random", seed=int(random_state))
    if weights == "bundled" and record.source != "package":
        raise WeightsError(
            f"No weights of {record.name} come in the package, only those of {BUNDLED}; "
            f"{ways_out(record)}"
        )
    if weights in ("default", "bundled"):
        return Weights(record, "default", default_file(record))
    path = Path(weights).expanduser()
    if not path.is_file():
        what = "a folder, not a" if path.is_dir() else "no"
        raise WeightsError(
            f"Weights {os.fspath(weights)!r} are {what} file, nor 'default', 'bundled' or "
            f"'random'; check the path, or {ways_out(record)}"
        )
    if is_bundle(path):
        bundle_entry(path, record.name)
        return Weights(record, "bundle", path)
    return Weights(record, "file", path)


def ways_out(record: Backbone) -> str:
    """Say what to do when weights cannot be had."""
    if record.source == "package":
        return (
            f"install hybridleuk again, or give weights of {record.architecture} as a FILE "
            "(.safetensors) of 'hybridleuk pretrain'."
        )
    if record.hub:
        other = "make a bundle with 'hybridleuk backbones bundle' on a machine with internet"
    else:
        other = f"copy {record.weights_file} from a machine with internet to {hub_folder()}"
    return (
        f"give a state dict of {record.source}'s {record.architecture} as a FILE (.pth or "
        f".safetensors) or in a bundle, {other}, or take the backbone that comes in the package "
        f"({BUNDLED}: on a command line '--weights bundled' without --backbone, in Python "
        f"backbone='{BUNDLED}'), or write 'random' to try the program with an untrained network."
    )


def hub_folder() -> Path:
    """Return torch hub's folder of weight files, without importing torch for it."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir(), "checkpoints")
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(base, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def default_file(record: Backbone, fetch: bool = True) -> Path:
    """Find the file of the source's weights, in its cache; fetched there where it is not.

    Raises
    ------
    WeightsError
        It is not there, and cannot be fetched or may not be (`fetch`).
    """
    found = cached_weights(record)
    if found is not None:
        return found
    if not fetch:
        raise WeightsError(f"The weights of {record.name} are not here; {ways_out(record)}")
    if record.source == "package":
        raise WeightsError(
            f"{packaged_file(record)} is missing, though it is part of the package; "
            f"{ways_out(record)}"
        )
    if record.hub:
        from hybridleuk.embeddings.huggingface import fetch_from_hub

        return fetch_from_hub(record)
    from hybridleuk.embeddings.download import download_weights

    path = hub_folder() / record.weights_file
    download_weights(record, path)
    return path


def cached_weights(record: Backbone) -> Path | None:
    """Find the source's weights on this machine, or None."""
    if record.hub:
        from hybridleuk.embeddings.huggingface import cached_file

        return cached_file(record)
    folder = packaged_file(record).parent if record.source == "package" else hub_folder()
    path = folder / record.weights_file
    return path if path.is_file() else None


_sha256_of: dict[tuple[str, int, int], str] = {}


def file_sha256(path: Path) -> str:
    """Hash a file; remembered while its size and time stay the same."""
    try:
        status = path.stat()
        key = (str(path.absolute()), status.st_size, status.st_mtime_ns)
        if key not in _sha256_of:
            with path.open("rb") as file:
                _sha256_of[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return _sha256_of[key]
    except OSError as error:
        raise WeightsError(
            f"{path}: the weights cannot be read ({error.strerror}); check path and permissions."
        ) from error


_fingerprints: dict[tuple[str, str], str] = {}


def fingerprint(weights: Weights, cache: Cache | None = None) -> str:
    """Identify the values of the weights that an embedding depends on.

    Equal values give equal fingerprints whatever the file: with or without the classifier, in
    either format. The file is read and checked the first time; afterwards, and in later processes
    with the same `cache`, only its hash is computed.
    """
    if weights.kind in ("random", "own"):
        return weights.sha256
    identity = identity_of(weights.record)
    known = (identity, weights.sha256)
    if cache is not None:
        recipe = {"backbone": identity, "version": _FINGERPRINT_VERSION}
        key = cache_key("weights", weights.sha256, recipe)
        kept = cache.get_many([key])
        if key in kept:
            return kept[key].tobytes().hex()
    if known not in _fingerprints:
        _fingerprints[known] = _fingerprint_of(trunk_state(weights))
    if cache is not None:
        value = np.frombuffer(bytes.fromhex(_fingerprints[known]), dtype=np.uint8)
        cache.put_many({key: value})
    return _fingerprints[known]


def _fingerprint_of(state: State) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        # A counter that only training reads; older files do not have it.
        if not name.endswith("num_batches_tracked"):
            values = np.ascontiguousarray(state[name].numpy())
            digest.update(f"{name} {values.shape} {values.dtype};".encode())
            digest.update(values.data)
    return digest.hexdigest()


def trunk_state(weights: Weights) -> State:
    """Read the weights an embedding needs: everything but the head, float32, on the CPU.

    Raises
    ------
    WeightsError
        The file cannot be read, holds more than tensors, NaN or infinity, or belongs to another
        architecture.
    """
    from hybridleuk.embeddings.states import fitting_state

    if weights.network is not None:
        return {k: v.detach().cpu() for k, v in weights.network.state_dict().items()}
    if weights.path is None:
        from hybridleuk.embeddings.network import random_network

        state = random_network(weights.record, weights.seed).state_dict()
        return {k: v for k, v in state.items() if not weights.record.in_head(k)}
    return fitting_state(_state(weights), weights.record, str(weights.path))


def _state(weights: Weights) -> State:
    from hybridleuk.embeddings.states import parse_state, read_state

    assert weights.path is not None
    if weights.kind != "bundle":
        return read_state(weights.path)
    entry = bundle_entry(weights.path, weights.record.name)
    return parse_state(read_member(weights.path, entry), weights.path / entry.member)


def load_network(
    record: Backbone, weights: WeightsLike = "default", random_state: int = 0
) -> LoadedNetwork:
    """Build the complete network of a backbone, on the CPU, in ``eval`` mode.

    Its head is the file's where that fits, else a fresh one from `random_state`; whoever
    fine-tunes replaces it anyway.

    Parameters
    ----------
    record : Backbone
    weights : {"default", "bundled", "random"} or path
    random_state : int, default 0
        Seed of everything that does not come from a file.

    Returns
    -------
    LoadedNetwork
        ``network, weights_hash, description``; the hash is that of :func:`fingerprint`.

    Raises
    ------
    WeightsError
        The weights cannot be had, or do not fit.
    """
    from hybridleuk.embeddings.network import random_network
    from hybridleuk.embeddings.states import fitting_state, head_state

    found = resolve_weights(record, weights, random_state)
    found.announce()
    network = random_network(record, random_state)
    if found.path is not None:
        state = _state(found)
        trunk = fitting_state(state, record, str(found.path))
        _fingerprints[identity_of(record), found.sha256] = _fingerprint_of(trunk)
        network.load_state_dict({**network.state_dict(), **trunk, **head_state(state, network)})
    return LoadedNetwork(network.eval(), fingerprint(found), found.description)
