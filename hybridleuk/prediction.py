"""From images to predictions: what each shows, what cannot be ruled out, when to abstain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.manifest import Manifest
from hybridleuk.exceptions import InputError
from hybridleuk.models.hybrid import HybridClassifier

__all__ = ["predict_images"]

_NO_CELL = "qc_no_cell"


def predict_images(model: Any, manifest: Manifest) -> pd.DataFrame:
    """Predict every image of a manifest.

    Parameters
    ----------
    model : HybridClassifier or FineTunedCNN, fitted
    manifest : Manifest
        Its labels, if any, are not looked at.

    Returns
    -------
    DataFrame, one row per image in the order of the manifest
        ``path``, ``image_id``, ``label``, ``prob_<class>`` for each class, ``prediction_set``
        (classes that cannot be ruled out, joined by ``|``; empty where the model makes none),
        ``abstain`` and ``reason``. The model abstains where no cell was found, and where the
        prediction set does not hold exactly one class; ``abstain`` is missing where the model makes
        no sets, as networks do not, since nothing says then how sure it can be.
    """
    if not hasattr(model, "classes_"):
        raise InputError(f"{type(model).__name__} is not fitted; fit it or load a model first.")
    probabilities, no_cell = _probabilities(model, manifest)
    classes = [str(name) for name in model.classes_]
    maker = getattr(model, "prediction_sets_", None)
    sets = None if maker is None else maker.predict(probabilities)
    least = [] if maker is None else maker.thresholds_
    stay = [name for name, threshold in zip(classes, least, strict=False) if threshold <= 0]
    reasons = [
        _reason(classes, None if sets is None else sets[i], bool(no_cell[i]), stay)
        for i in range(len(manifest))
    ]
    table = pd.DataFrame(
        {
            "path": manifest.paths,
            "image_id": manifest.image_ids,
            "label": [classes[k] for k in probabilities.argmax(axis=1)],
        }
    )
    for k, name in enumerate(classes):
        table[f"prob_{name}"] = probabilities[:, k]
    table["prediction_set"] = (
        "" if sets is None else ["|".join(np.array(classes)[row]) for row in sets]
    )
    table["abstain"] = (
        pd.array([True if reason else None for reason in reasons], dtype="boolean")
        if sets is None
        else [bool(reason) for reason in reasons]
    )
    table["reason"] = reasons
    return table


def _probabilities(
    model: Any, manifest: Manifest
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    if not isinstance(model, HybridClassifier):
        return model.predict_proba(manifest.paths), np.zeros(len(manifest), dtype=bool)
    table = model.features_.extract(manifest)
    no_cell = np.zeros(len(manifest), dtype=bool)
    if "morphology" in table.blocks:
        no_cell = table.blocks["morphology"][_NO_CELL].to_numpy() > 0
    return model.predict_proba(table), no_cell


def _reason(
    classes: list[str],
    prediction_set: npt.NDArray[np.bool_] | None,
    no_cell: bool,
    stay: list[str],
) -> str:
    """Say why a model abstains; classes that `stay` were learned from too few to be ruled out."""
    if no_cell:
        return "no cell found"
    if prediction_set is None:
        return ""
    possible = [name for name, inside in zip(classes, prediction_set, strict=True) if inside]
    if len(possible) > 1:
        why = f"; of {', '.join(stay)} too few were seen ever to rule them out" if stay else ""
        return f"cannot decide between {' and '.join(possible)}{why}"
    return "" if possible else "unlike every class seen in training"
