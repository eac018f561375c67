"""Why an image was called what it was: a picture for each prediction.

Of a classifier on morphology, the outlines of nucleus and cytoplasm with the groups of measurements
that spoke most for and against the call; of a fine-tuned network, the image under its Grad-CAM
(:mod:`hybridleuk.models.attention`).

How much a group of measurements speaks for a call is found by occlusion (Zeiler and Fergus 2014,
ECCV; Robnik-Sikonja and Kononenko 2008, IEEE TKDE 20:589-600): its values are replaced by the mean
of the training images, and

    evidence = logit(p) - logit(p without the group),    logit(p) = ln(p / (1 - p)),

with p the probability of the class called. Evidence is above 0 where the group speaks for the call
more than that of an average training image would. Groups are replaced one at a time, so what two of
them say alike shows in neither, and evidence does not add up to the probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from hybridleuk import progress
from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.data.manifest import Manifest
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.features import FeatureTable
from hybridleuk.models.hybrid import HybridClassifier
from hybridleuk.morphology.groups import GROUPS, feature_of, group_of
from hybridleuk.report.explained import evidence_picture, heat_picture

__all__ = [
    "FOLDER",
    "INDEX",
    "Evidence",
    "check_explainable",
    "explain_images",
    "weigh_evidence",
]

Array = npt.NDArray[Any]
FOLDER = "explained"
INDEX = "index.csv"
_AT_ONCE = 64
_SURE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against the class that one image was called.

    Attributes
    ----------
    label : str
        The class called.
    probability : float
    weights : mapping of str to float
        Evidence of each group of measurements, and of each network's features, as in the module's
        docstring; strongest first.
    remarkable : mapping of str to (str, float)
        Of each group of measurements the one that lies farthest from the mean of the training
        images, and how far, in their standard deviations.
    """

    label: str
    probability: float
    weights: dict[str, float]
    remarkable: dict[str, tuple[str, float]]


def check_explainable(model: Any) -> None:
    """Make sure that there is something to show for a model's predictions.

    Raises
    ------
    InputError
        It learned from a network's features alone, which have no names, or is another classifier.
    """
    if isinstance(model, HybridClassifier) and model.features == "deep":
        raise InputError(
            "This model learned from the features of a frozen network alone, which stand for "
            "nothing that has a name; explanations need features 'hybrid' or 'morphology', or a "
            "fine-tuned network."
        )
    if not isinstance(model, HybridClassifier) and not hasattr(model, "pictures"):
        raise InputError(
            f"Predictions of {type(model).__name__} cannot be explained; expected a "
            "HybridClassifier or a FineTunedCNN."
        )


def explain_images(model: Any, manifest: Manifest, directory: str | Path) -> pd.DataFrame:
    """Draw a picture for each image that says why it was called what it was.

    Parameters
    ----------
    model : HybridClassifier or FineTunedCNN, fitted
    manifest : Manifest
    directory : path
        Gets ``explained/<image_id>.jpg``, and ``index.csv`` when all of them are there. Files of
        these names are replaced.

    Returns
    -------
    DataFrame, what ``index.csv`` holds
        ``path``, ``image_id``, ``label``, ``probability``, ``picture`` (relative to the folder),
        ``method``, ``for`` and ``against``: ``name +evidence`` of all groups, joined by ``|``.

    Raises
    ------
    InputError
        The model learned from a network's features alone.
    OutputError
        The folder cannot be written.
    """
    check_explainable(model)
    folder = Path(directory)
    explained = _measured if isinstance(model, HybridClassifier) else _attended
    rows = []
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with progress.task("Explaining", total=len(manifest)) as task:
            for place, (picture, said) in enumerate(explained(model, manifest)):
                identity = manifest.frame.iloc[place]
                name = f"{FOLDER}/{identity['image_id']}.jpg"
                _write_picture(folder / name, picture)
                head = {"path": identity["path"], "image_id": identity["image_id"]}
                rows.append({**head, "picture": name, **said})
                task.advance()
        columns = [
            "path",
            "image_id",
            "label",
            "probability",
            "picture",
            "method",
            "for",
            "against",
        ]
        index = pd.DataFrame(rows, columns=columns)
        unfinished = folder / f".{INDEX}.unfinished"
        index.to_csv(unfinished, index=False)
        unfinished.replace(folder / INDEX)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); free some space or name another "
            "folder. The same command goes on from there."
        ) from error
    return index


def weigh_evidence(model: HybridClassifier, table: FeatureTable) -> list[Evidence]:
    """Say for each image what speaks for and against the class that the model calls it.

    Parameters
    ----------
    model : HybridClassifier, fitted
    table : FeatureTable
        What its extractor made of the images.

    Returns
    -------
    list of Evidence, one per image
    """
    values = model.features_.transform(table)
    groups = _groups(model.features_.blocks_, model.features_.names_)
    probabilities = model.head_.predict_proba(values)
    called = probabilities.argmax(axis=1)
    whole = _logit(_of_called(probabilities, called))
    weights = {}
    for name, columns in groups.items():
        without = values.copy()
        without[:, columns] = 0.0  # scaled features of the mean of the training images
        weights[name] = whole - _logit(_of_called(model.head_.predict_proba(without), called))
    deviations = model.features_.deviations(table)
    return [
        Evidence(
            str(model.classes_[called[row]]),
            float(probabilities[row, called[row]]),
            _by_strength({name: float(weights[name][row]) for name in groups}),
            _remarkable(groups, model.features_.names_, deviations[row]),
        )
        for row in range(len(values))
    ]


def _measured(
    model: HybridClassifier, manifest: Manifest
) -> Iterator[tuple[RGBImage, dict[str, Any]]]:
    from hybridleuk.segmentation.cells import iter_cells

    for start in range(0, len(manifest), _AT_ONCE):
        paths = list(manifest.paths[start : start + _AT_ONCE])
        found = weigh_evidence(model, model.features_.extract(paths))
        cells = iter_cells(paths, cache=model.cache, n_jobs=1)
        for path, of_image, evidence in zip(paths, cells, found, strict=True):
            picture = evidence_picture(
                read_image(path),
                of_image,
                f"{evidence.label}  {evidence.probability:.0%}",
                evidence.weights,
                evidence.remarkable,
            )
            yield picture, _said(evidence)


def _said(evidence: Evidence) -> dict[str, Any]:
    signs = {"for": 1, "against": -1}
    return {
        "label": evidence.label,
        "probability": evidence.probability,
        "method": "occlusion to the training mean",
        **{
            side: "|".join(
                f"{name} {weight:+.2f}"
                for name, weight in evidence.weights.items()
                if sign * weight >= 0.005
            )
            for side, sign in signs.items()
        },
    }


def _attended(model: Any, manifest: Manifest) -> Iterator[tuple[RGBImage, dict[str, Any]]]:
    from hybridleuk.models.attention import METHOD, grad_cam

    for start in range(0, len(manifest), _AT_ONCE):
        paths = list(manifest.paths[start : start + _AT_ONCE])
        probabilities = model.predict_proba(paths)
        called = probabilities.argmax(axis=1)
        inputs = model.inputs(paths)
        heats = grad_cam(model, inputs, called)
        for row, (picture, heat) in enumerate(zip(inputs.pixels[..., :3], heats, strict=True)):
            label, chance = str(model.classes_[called[row]]), float(probabilities[row, called[row]])
            said = {"label": label, "probability": chance, "method": METHOD}
            yield (
                heat_picture(picture, heat, f"{label}  {chance:.0%}"),
                {**said, "for": "", "against": ""},
            )


def _groups(blocks: dict[str, int], names: Sequence[str]) -> dict[str, Array]:
    """Columns of each group of measurements and of each network, in the order of GROUPS."""
    found: dict[str, list[int]] = {}
    start = 0
    for block, width in blocks.items():
        for place in range(start, start + width):
            measured = block.startswith("morphology")
            group = group_of(feature_of(names[place])) if measured else _network(block)
            found.setdefault(group, []).append(place)
        start += width
    ordered = sorted(found, key=lambda name: GROUPS.index(name) if name in GROUPS else len(GROUPS))
    return {name: np.array(found[name]) for name in ordered}


def _network(block: str) -> str:
    return f"{block.split('__')[1]} features"


def _of_called(probabilities: Array, called: Array) -> Array:
    return probabilities[np.arange(len(called)), called]


def _logit(probability: Array) -> Array:
    bounded = np.clip(probability, _SURE, 1 - _SURE)
    return np.log(bounded / (1 - bounded))


def _by_strength(weights: dict[str, float]) -> dict[str, float]:
    return dict(sorted(weights.items(), key=lambda item: -abs(item[1])))


def _remarkable(
    groups: dict[str, Array], names: Sequence[str], deviations: Array
) -> dict[str, tuple[str, float]]:
    found = {}
    for group, columns in groups.items():
        if group in GROUPS:
            place = columns[np.argmax(np.abs(deviations[columns]))]
            found[group] = (feature_of(names[place]), float(deviations[place]))
    return found


def _write_picture(path: Path, picture: RGBImage) -> None:
    unfinished = path.with_name(f".{path.name}")
    Image.fromarray(picture).save(unfinished, "JPEG", quality=90)
    unfinished.replace(path)
