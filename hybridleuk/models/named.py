"""Classifiers on images by name: what each name of a candidate stands for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sklearn.base import is_classifier

from hybridleuk.embeddings.backbones import backbones_of
from hybridleuk.exceptions import InputError
from hybridleuk.hybrid import FEATURES, HybridFeatures
from hybridleuk.models.hybrid import CLASSIFIERS, HybridClassifier
from hybridleuk.models.stacking import StackedClassifier

__all__ = [
    "CANDIDATES",
    "DEFAULT_CANDIDATES",
    "FINE_TUNED",
    "TRAINED",
    "TWO_CHANNEL",
    "is_own",
    "load_candidate",
    "make_candidate",
    "make_candidates",
    "parts_of",
]

FINE_TUNED = "finetuned"
WITH_MORPHOLOGY = f"{FINE_TUNED}+morphology"
JOINT = f"{FINE_TUNED}-joint"
TWO_CHANNEL = "two-channel"
TRAINED = (FINE_TUNED, JOINT, TWO_CHANNEL)
_OF_THE_PAPER = "densenet201"
LATE = "late"
_LATE_CLASSIFIERS = ("svm", "xgboost")
CANDIDATES = (
    *(f"{features}+{classifier}" for features in FEATURES for classifier in CLASSIFIERS),
    *(f"{LATE}+{classifier}" for classifier in _LATE_CLASSIFIERS),
    FINE_TUNED,
    WITH_MORPHOLOGY,
    JOINT,
    TWO_CHANNEL,
)
DEFAULT_CANDIDATES = ("morphology+svm", "deep+svm", "hybrid+svm", "hybrid+xgboost", FINE_TUNED)
_FOLDS_OF_TRAININGS = 2


def make_candidate(
    name: str, *, finetuning: Mapping[str, Any] | None = None, **features: Any
) -> Any:
    """Make the unfitted classifier that a name stands for.

    Parameters
    ----------
    name : str
        ``"<features>+<classifier>"``, such as ``"hybrid+svm"``: features side by side.
        ``"late+svm"`` and ``"late+xgboost"``: one such classifier on morphology and one on
        embeddings, whose probabilities a logistic regression combines
        (:class:`~hybridleuk.models.stacking.StackedClassifier`).
        ``"finetuned"``: :class:`hybridleuk.FineTunedCNN`.
        ``"finetuned+morphology"``: that network and ``morphology+svm``, combined in the same way
        on two inner folds, for which the network is trained three times.
        ``"finetuned-joint"``: one network, trained on pictures and measurements together.
        ``"two-channel"``: the network of Ghaderzadeh et al. 2022, image and HSV-segmented image
        through one backbone, DenseNet-201 unless a backbone is given.
        ``"NAME=module:attribute"``: a classifier of one's own (:func:`load_candidate`).
    finetuning : mapping, optional
        Parameters of :class:`hybridleuk.FineTunedCNN` beyond those shared with the features.
    **features
        Parameters of :class:`hybridleuk.HybridClassifier`: backbone, weights, view, cache, ...

    Examples
    --------
    >>> from hybridleuk.candidates import make_candidate
    >>> make_candidate("morphology+xgboost").classifier
    'xgboost'
    """
    if is_own(name):
        return load_candidate(name, **features)[1]
    if name not in CANDIDATES:
        raise InputError(f"No candidate {name!r}; known are {', '.join(CANDIDATES)}.")
    if name in TRAINED:
        return _finetuned(features, {**_kind_of_training(name, features), **(finetuning or {})})
    if name == WITH_MORPHOLOGY:
        network = _finetuned(features, finetuning or {})
        morphology = HybridClassifier("svm", "morphology", **features)
        return _stacked(
            [(FINE_TUNED, network), ("morphology", morphology)], features, _FOLDS_OF_TRAININGS
        )
    kind, classifier = name.split("+")
    if kind == LATE:
        parts = [
            (each, HybridClassifier(classifier, each, **features))
            for each in ("morphology", "deep")
        ]
        return _stacked(parts, features, 3)
    return HybridClassifier(classifier, kind, **features)  # type: ignore[arg-type]


def make_candidates(
    candidates: Iterable[str | tuple[str, Any]],
    *,
    finetuning: Mapping[str, Any] | None = None,
    **features: Any,
) -> dict[str, Any]:
    """Make every candidate; pairs of a name and an estimator of one's own are taken as they are.

    Raises
    ------
    InputError
        A name is unknown or given twice, or there is no candidate.
    """
    made: dict[str, Any] = {}
    for candidate in candidates:
        if isinstance(candidate, str):
            name = candidate.partition("=")[0]
            estimator = make_candidate(candidate, finetuning=finetuning, **features)
        else:
            name, estimator = candidate
        if name in made:
            raise InputError(f"The candidate {name!r} is given twice; name each once.")
        made[name] = estimator
    if not made:
        raise InputError(f"No candidate given; known are {', '.join(CANDIDATES)}.")
    return made


def is_own(name: str) -> bool:
    """Tell whether a name is of the kind ``NAME=module:attribute``."""
    return "=" in name


def load_candidate(text: str, **features: Any) -> tuple[str, Any]:
    """Make a classifier of one's own from ``NAME=module:attribute``; this runs the module.

    Parameters
    ----------
    text : str
        The attribute is a classifier, a class of them, or a function that returns one. Where NAME
        begins with ``morphology+``, ``deep+`` or ``hybrid+``, the classifier takes these features,
        scaled; else it takes images. Modules are looked for in the current folder, too.
    **features
        Parameters of :class:`hybridleuk.HybridClassifier`, where the classifier takes features.

    Returns
    -------
    (name, classifier)

    Raises
    ------
    InputError
        The text has another form, the module cannot be imported, or gives no classifier.

    Examples
    --------
    >>> from hybridleuk.models.named import load_candidate
    >>> load_candidate("hybrid+lda=sklearn.discriminant_analysis:LinearDiscriminantAnalysis")
    ('hybrid+lda', HybridClassifier(classifier=LinearDiscriminantAnalysis()))
    """
    name, _, place = text.partition("=")
    module, _, attribute = place.partition(":")
    if not name or not module or not attribute:
        raise InputError(
            f"The candidate {text!r} is not of the form NAME=module:attribute, such as "
            "hybrid+forest=sklearn.ensemble:RandomForestClassifier."
        )
    if name in CANDIDATES:
        raise InputError(f"The name {name!r} is that of a built-in candidate; choose another.")
    classifier = _made(_imported(module, attribute, text), text)
    kind = name.partition("+")[0]
    if kind not in FEATURES:
        return name, classifier
    return name, HybridClassifier(classifier, kind, **{**features, "tune": False})


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield a classifier, or those that it combines."""
    if isinstance(estimator, StackedClassifier):
        for _, part in estimator.classifiers:
            yield from parts_of(part)
    else:
        yield estimator


def _imported(module: str, attribute: str, text: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # anything may go wrong in code that is not ours
        raise InputError(
            f"The candidate {text!r} cannot be loaded ({type(error).__name__}: {error}); expected "
            "a module that Python finds from the current folder, and a name in it."
        ) from error


def _made(found: Any, text: str) -> Any:
    if isinstance(found, type) or not hasattr(found, "fit"):
        try:
            found = found()
        except Exception as error:
            raise InputError(
                f"The candidate {text!r} cannot be made without arguments ({error}); name a "
                "function that returns the classifier."
            ) from error
    if not hasattr(found, "__sklearn_tags__") or not is_classifier(found):
        raise InputError(
            f"The candidate {text!r} is a {type(found).__name__}; expected a scikit-learn "
            "classifier, a class of them, or a function that returns one."
        )
    return found


def _stacked(
    parts: list[tuple[str, Any]], features: Mapping[str, Any], folds: int
) -> StackedClassifier:
    shared = {key: features[key] for key in ("class_weight", "random_state") if key in features}
    return StackedClassifier(parts, folds=folds, **shared)


def _kind_of_training(name: str, features: Mapping[str, Any]) -> dict[str, Any]:
    if name == TWO_CHANNEL:
        own = {} if "backbone" in features else {"backbone": _OF_THE_PAPER}
        return {"second_view": "hsv", **own}
    return {"morphology": name == JOINT}


def _finetuned(features: Mapping[str, Any], finetuning: Mapping[str, Any]) -> Any:
    from hybridleuk.models.finetuned import FineTunedCNN

    backbone = backbones_of(features.get("backbone", HybridFeatures().backbone))[0]
    weights = features.get("weights", "default")
    weights = weights[0] if isinstance(weights, (list, tuple)) else weights
    accepted = FineTunedCNN().get_params()
    shared = {
        name: value
        for name, value in features.items()
        if name in accepted and name not in ("precision",)
    }
    return FineTunedCNN(**{**shared, "backbone": backbone, "weights": weights, **finetuning})
