"""Weights that say which network they are of: in a safetensors header, or in a bundle's index."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from hybridleuk.embeddings.records import Backbone, record_from_json, record_to_json
from hybridleuk.exceptions import InputError, WeightsError

__all__ = ["described_record", "header_in", "header_of", "metadata_for"]

_KEY = "hybridleuk_backbone"
_ARCHITECTURE = "architecture"
_LARGEST_HEADER = 100_000_000  # as the format itself allows


def metadata_for(record: Backbone) -> dict[str, str]:
    """Return what a safetensors file says of its network."""
    document = json.dumps(record_to_json(record), sort_keys=True)
    return {"format": "pt", _ARCHITECTURE: record.architecture, _KEY: document}


def described_record(name: str, weights: str | os.PathLike[str]) -> Backbone | None:
    """Ask weights which network they are of; None where they do not say.

    A safetensors file says it in its metadata: ``architecture`` is a name of the table, or
    ``timm:NAME``; ``input_size``, ``mean``, ``std`` (as JSON) and ``interpolation`` may stand
    beside it. Files of :func:`hybridleuk.embeddings.states.write_weights` hold the whole record.

    Parameters
    ----------
    name : str
        The backbone that was asked for; a bundle holds several.
    weights : str or path

    Raises
    ------
    WeightsError
        The description itself is damaged.
    """
    from hybridleuk.embeddings.bundle import bundled_record, is_bundle

    path = Path(weights).expanduser()
    if not path.is_file():
        return None
    if is_bundle(path):
        return bundled_record(path, name)
    said = header_of(path)
    if not said:
        return None
    try:
        if _KEY in said:
            return record_from_json(json.loads(said[_KEY]))
        return _from_names(said)
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{path}: its metadata does not describe a network ({error}); write the file again, or "
            "remove the metadata and name the backbone it fits."
        ) from error


def header_of(path: Path) -> Mapping[str, str]:
    """Read the metadata of a safetensors file; empty for any other file."""
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with path.open("rb") as file:
            return header_in(file, path.stat().st_size)
    except OSError:
        return {}  # said where the tensors are read


def header_in(file: IO[bytes], size: int) -> Mapping[str, str]:
    """Read the metadata of an opened safetensors file of `size` bytes; empty where damaged."""
    try:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, size):
            return {}
        said = json.loads(file.read(length)).get("__metadata__") or {}
    except (ValueError, AttributeError):
        return {}
    return said if isinstance(said, dict) else {}


def _from_names(said: Mapping[str, str]) -> Backbone | None:
    from hybridleuk.embeddings.backbones import backbone

    if not said.get(_ARCHITECTURE):
        return None
    try:
        record = backbone(said[_ARCHITECTURE])
    except InputError:  # an architecture of somebody else's naming
        return None
    facts = {key: _fact(key, said[key]) for key in ("input_size", "mean", "std") if key in said}
    if "interpolation" in said:
        facts["interpolation"] = said["interpolation"]
    return record_from_json(record_to_json(replace(record, **facts)))


def _fact(key: str, text: str) -> Any:
    """Read a field of the metadata, or say which one is wrong."""
    expected = "a whole number of px" if key == "input_size" else "three numbers, as JSON"
    try:
        value = json.loads(text)
        if key == "input_size":
            if type(value) is not int:
                raise ValueError
            return value
        red, green, blue = (float(number) for number in value)
    except (ValueError, TypeError):
        raise ValueError(f"{key} is {text!r}, expected {expected}") from None
    return (red, green, blue)
