"""The model file ``.hleuk``: everything a prediction needs, and nothing that runs code.

A zip archive with

- ``model.json``: format number, kind, versions, parameters, classes, the SHA-256 of every other
  member and of this description;
- ``estimators.skops``: fitted scikit-learn parts, types checked against a list before loading;
- ``booster.ubj``: the trees, in XGBoost's own format;
- ``weights/*.safetensors``: the networks.

To raise :data:`FORMAT`: add a reader of the new number to ``_READERS``, leave the older ones in
place, and add a file of the new format to ``tests/models_of_older_formats``.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import os
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridleuk.embeddings.backbones import (
    backbone,
    backbone_name,
    backbones_of,
    file_name,
    identity_of,
    is_module,
)
from hybridleuk.embeddings.described import metadata_for
from hybridleuk.exceptions import InputError, ModelFileError, OutputError
from hybridleuk.models.hybrid import CLASSIFIERS, HybridClassifier

if TYPE_CHECKING:
    from hybridleuk.models.finetuned import FineTunedCNN

__all__ = ["FORMAT", "load_model", "model_card", "save_model"]

FORMAT = 2
_HEADER = "model.json"
_SEAL = "sha256"
_ESTIMATORS = "estimators.skops"
_BOOSTER = "booster.ubj"
_MAXIMUM_BYTES = 8 * 1024**3
_TRUSTED = {
    "hybridleuk.hybrid.BlockScaler",  # where it was in format 1
    "hybridleuk.scaling.BlockScaler",
    "hybridleuk.models.classifiers.SVMClassifier",
    "hybridleuk.models.classifiers.XGBoostClassifier",
    "hybridleuk.models.linear.LogisticClassifier",
    "hybridleuk.models.neighbors.KNNClassifier",
    "hybridleuk.models.uncertainty.PredictionSets",
}
_MACHINE_DEPENDENT: dict[str, Any] = {"cache": "default", "device": "auto", "workers": None}
_VERSIONED = ("hybridleuk", "numpy", "scikit-learn", "torch", "torchvision", "xgboost", "skops")


def save_model(
    model: HybridClassifier | FineTunedCNN,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    notes: list[str] | None = None,
) -> None:
    """Write a fitted classifier to one file.

    Parameters
    ----------
    model : HybridClassifier or FineTunedCNN, fitted
    path : path
        By custom it ends in ``.hleuk``. The file appears only when it is complete.
    overwrite : bool, default False
    notes : list of str, optional
        Sentences that whoever loads the model should read.

    Raises
    ------
    OutputError
        The file exists and `overwrite` is false, or it cannot be written.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; choose another name or allow overwriting.")
    header, members = _described(model)
    header["notes"] = list(notes or [])
    header["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    header[_SEAL] = seal(header)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_HEADER, json.dumps(header, indent=1))
            for name, data in members.items():
                archive.writestr(name, data)
        os.replace(unfinished, target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror or error}); free some space or choose "
            "another folder."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_model(path: str | os.PathLike[str]) -> HybridClassifier | FineTunedCNN:
    """Read a classifier written by :func:`save_model`; nothing in the file is run.

    Raises
    ------
    ModelFileError
        The file is missing, cut off, changed, of a newer format, or holds types not trusted.
    """
    with _opened(Path(path)) as archive:
        header = _read_header(archive, path)
        members = _read_members(archive, header, path)
    return _READERS[header["format"]](header, members, Path(path))


def model_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a model file says of itself: kind, classes, parameters, versions, notes."""
    with _opened(Path(path)) as archive:
        return _read_header(archive, path)


def seal(header: dict[str, Any]) -> str:
    """Hash a header without its own hash: against damage and careless edits, not forgers."""
    content = {name: value for name, value in header.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _described(model: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    if not hasattr(model, "classes_"):
        raise InputError(f"{type(model).__name__} is not fitted; call fit before saving.")
    header = {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in _VERSIONED},
        "classes": [_plain(name) for name in model.classes_],
    }
    if isinstance(model, HybridClassifier):
        part, members = _described_hybrid(model)
    elif hasattr(model, "to_state"):
        part, members = _described_network(model)
    else:
        raise InputError(
            f"{type(model).__name__} has no model file; expected HybridClassifier or FineTunedCNN."
        )
    return header | part, members


def _described_hybrid(model: HybridClassifier) -> tuple[dict[str, Any], dict[str, bytes]]:
    import skops.io

    _check_parts(model)
    head = copy.copy(model.head_)
    members = {}
    if hasattr(head, "booster_"):
        members[_BOOSTER] = bytes(head.booster_.save_raw("ubj"))
        del head.booster_
    fitted = {
        "scaler": model.features_.scaler_,
        "head": head,
        "prediction_sets": model.prediction_sets_,
    }
    members[_ESTIMATORS] = skops.io.dumps(fitted)
    members |= _network_members(model)
    part = {
        "kind": "hybrid",
        "parameters": _portable(model.get_params(deep=False)),
        "blocks": model.features_.blocks_,
        "measured_with": model.features_.versions_,
        "feature_names": [str(name) for name in model.features_.get_feature_names_out()],
    }
    return part, members


def _network_members(model: HybridClassifier) -> dict[str, bytes]:
    import safetensors.torch

    members = {}
    for name, extractor in model.features_.extractors().items():
        if name != "morphology":
            record = backbone(extractor.backbone, extractor.weights)
            state = {key: value.contiguous() for key, value in extractor.network_state().items()}
            # What the table does not know, the weights themselves have to say.
            said = metadata_for(record) if identity_of(record) != record.name else None
            members[_weights_member(record.name)] = safetensors.torch.save(state, said)
    return members


def _weights_member(name: str) -> str:
    return f"weights/{file_name(name)}.safetensors"


def _check_parts(model: HybridClassifier) -> None:
    """Refuse what a file without code cannot bring back."""
    if model.classifier not in CLASSIFIERS:
        raise InputError(
            f"The classifier {type(model.classifier).__name__} is one's own, and a model file "
            f"holds no code that could bring it back; fit with one of {', '.join(CLASSIFIERS)}, "
            "or keep the Python object itself."
        )
    own = [name for name in backbones_of(model.backbone) if is_module(name)]
    if own and model.features != "morphology":
        raise InputError(
            f"The backbone {backbone_name(own[0])} is a network of one's own, and a model file "
            "holds no code that could build it again; train with a backbone that has a name (with "
            "weights written by hybridleuk.embeddings.states.write_weights, where it is one of "
            "torchvision or timm), or keep the Python objects themselves."
        )


def _described_network(model: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    import safetensors.torch

    description, tensors = model.to_state()
    state = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    part = {"kind": "finetuned", "description": description}
    part["parameters"] = _portable(description["parameters"])
    return part, {"weights/network.safetensors": safetensors.torch.save(state)}


def _portable(parameters: dict[str, Any]) -> dict[str, Any]:
    """Leave out what belongs to the machine the model was trained on."""
    return {
        name: _plain(value) for name, value in parameters.items() if name not in _MACHINE_DEPENDENT
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _opened(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file.")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelFileError(
            f"{path}: not a model file, or cut off ({error}); copy it again from its source."
        ) from error


def _read_header(archive: zipfile.ZipFile, path: Any) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(archive.read(_HEADER))
        number = int(header["format"])
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(
            f"{path}: not a hybridleuk model ({_HEADER} is missing or unreadable)."
        ) from error
    if number not in _READERS:
        raise ModelFileError(
            f"{path}: a model of format {number}, but hybridleuk {version('hybridleuk')} reads up "
            f"to {FORMAT}; update hybridleuk, or save the model with this version."
        )
    if header.get(_SEAL) != seal(header):
        raise _changed(path, _HEADER)
    return header


def _read_members(archive: zipfile.ZipFile, header: dict[str, Any], path: Any) -> dict[str, bytes]:
    listed = dict(header.get("members", {}))
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    if set(sizes) != {*listed, _HEADER} or sum(sizes.values()) > _MAXIMUM_BYTES:
        raise ModelFileError(
            f"{path}: its contents are not those it lists, so it was changed or damaged after "
            "saving; get it again from its source."
        )
    members = {}
    for name, expected in listed.items():
        try:
            data = archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _changed(path, name) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise _changed(path, name)
        members[name] = data
    return members


def _changed(path: Any, name: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: {name} does not match its hash, so the file was changed or damaged after saving; "
        "get it again from its source."
    )


def _read_1(
    header: dict[str, Any], members: dict[str, bytes], path: Path
) -> HybridClassifier | FineTunedCNN:
    """Read the format without bounds of features, choice of measurements, and their versions."""
    if header.get("kind") != "hybrid":
        return _read_2(header, members, path)
    parameters = {**header.get("parameters", {}), "measurements": "all"}
    model = _read_2({**header, "parameters": parameters, "measured_with": {}}, members, path)
    scaler = model.features_.scaler_
    varies = np.isfinite(scaler.scale_)
    scaler.bound = None
    scaler.spread_ = np.where(varies, 1.0, np.inf)
    scaler.scale_ = np.where(varies, scaler.scale_, 1.0)
    return model


def _read_2(header: dict[str, Any], members: dict[str, bytes], path: Path) -> Any:
    try:
        if header["kind"] == "hybrid":
            return _restored_hybrid(header, members, path)
        if header["kind"] == "finetuned":
            return _restored_network(header, members)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path}: {_HEADER} does not describe a complete model ({error}); get it again."
        ) from error
    raise ModelFileError(f"{path}: a model of the unknown kind {header['kind']!r}.")


_READERS: dict[int, Callable[..., Any]] = {1: _read_1, 2: _read_2}


def _restored_hybrid(
    header: dict[str, Any], members: dict[str, bytes], path: Path
) -> HybridClassifier:
    model = HybridClassifier(**header["parameters"], **_MACHINE_DEPENDENT)
    if any(name.startswith("weights/") for name in members):
        model.weights = _unpacked_weights(model, members)
    fitted = _loaded_estimators(members[_ESTIMATORS], path)
    model.head_ = fitted["head"]
    if _BOOSTER in members:
        model.head_.booster_ = _booster(members[_BOOSTER])
    model.features_ = model.unfitted_features()
    model.features_.scaler_ = fitted["scaler"]
    model.features_.blocks_ = dict(header["blocks"])
    model.features_.versions_ = dict(header["measured_with"])
    model.features_.names_ = list(header["feature_names"])
    model.prediction_sets_ = fitted["prediction_sets"]
    model.classes_ = model.head_.classes_
    return model


def _loaded_estimators(data: bytes, path: Path) -> dict[str, Any]:
    import skops.io

    unknown = set(skops.io.get_untrusted_types(data=data)) - _TRUSTED
    if unknown:
        raise ModelFileError(
            f"{path}: holds {', '.join(sorted(unknown))}, which hybridleuk never writes; the file "
            "is not to be trusted and was not loaded."
        )
    return skops.io.loads(data, trusted=sorted(_TRUSTED))


def _booster(data: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    return booster


def _unpacked_weights(model: HybridClassifier, members: dict[str, bytes]) -> list[str]:
    """Lay the networks' weights in a folder that lives as long as the model."""
    folder = tempfile.TemporaryDirectory(prefix="hybridleuk-")
    weakref.finalize(model, folder.cleanup)
    paths = []
    for given in backbones_of(model.backbone):
        member = _weights_member(backbone_name(given))
        target = Path(folder.name, Path(member).name)
        target.write_bytes(members[member])
        paths.append(str(target))
    return paths


def _restored_network(header: dict[str, Any], members: dict[str, bytes]) -> FineTunedCNN:
    import safetensors.torch

    from hybridleuk.models.finetuned import FineTunedCNN

    tensors = safetensors.torch.load(members["weights/network.safetensors"])
    return FineTunedCNN.from_state(header["description"], tensors)
