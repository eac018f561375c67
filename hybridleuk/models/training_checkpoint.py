"""Where a training stands, kept in one file: tensors and plain values, no pickle.

The file is a safetensors file; its header holds the plain values as JSON. It is written beside its
place and then renamed, so that whoever is killed at any moment finds the previous one whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hybridleuk import progress
from hybridleuk.exceptions import OutputError

__all__ = ["Checkpoint", "Snapshot", "optimizer_from_tensors", "optimizer_to_tensors"]

FORMAT = 2


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training: tensors by name, and values that JSON can hold."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


class Checkpoint:
    """The checkpoint of one training in a folder that may hold those of others.

    Parameters
    ----------
    directory : path
        Made if it does not exist.
    fingerprint : str
        Hash of everything the training depends on. It names the file, so that another recipe,
        other images or another fold never continue from here.
    """

    def __init__(self, directory: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(directory) / f"training-{fingerprint[:20]}.safetensors"

    def save(self, snapshot: Snapshot) -> None:
        """Replace what is stored by `snapshot`.

        Raises
        ------
        OutputError
            The disk is full, or the folder cannot be written.
        """
        header = {"hybridleuk": json.dumps({"format": FORMAT, **snapshot.values})}
        tensors = {
            name: value.detach().cpu().contiguous() for name, value in snapshot.tensors.items()
        }
        unfinished = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, unfinished, metadata=header)
            os.replace(unfinished, self.path)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"Cannot write the checkpoint {self.path} ({error}); free some disk space or name "
                "another folder. The previous checkpoint, if any, is kept."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def load(self) -> Snapshot | None:
        """Read what is stored, on the CPU; ``None`` where there is nothing or it is damaged."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                values = json.loads((file.metadata() or {})["hybridleuk"])
                if values.pop("format") != FORMAT:
                    raise ValueError("it has another format number")
                names = list(file.keys())
                return Snapshot({name: file.get_tensor(name) for name in names}, values)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            progress.note(
                f"The checkpoint {self.path} cannot be used ({error}); training begins anew."
            )
            return None


def optimizer_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Name the optimizer's tensors ``optimizer.<number of the parameter>.<name>``."""
    state: Mapping[int, Mapping[str, torch.Tensor]] = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": value
        for number, entries in state.items()
        for name, value in entries.items()
    }


def optimizer_from_tensors(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put tensors named by :func:`optimizer_to_tensors` into an optimizer made in the same way."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == "optimizer":
            number, _, name = rest.partition(".")
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
