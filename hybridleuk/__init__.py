"""Frozen CNN embeddings and cell morphology for leukaemia in blood smears, compared honestly."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridleuk.candidates import compare as compare
    from hybridleuk.data.images import read_image as read_image
    from hybridleuk.data.manifest import Manifest as Manifest
    from hybridleuk.embeddings.extractor import DeepEmbeddings as DeepEmbeddings
    from hybridleuk.exceptions import HybridLeukError as HybridLeukError
    from hybridleuk.hybrid import HybridFeatures as HybridFeatures
    from hybridleuk.models.finetuned import FineTunedCNN as FineTunedCNN
    from hybridleuk.models.hybrid import HybridClassifier as HybridClassifier
    from hybridleuk.morphology.extractor import MorphologyFeatures as MorphologyFeatures
    from hybridleuk.persistence import load_model as load_model
    from hybridleuk.persistence import save_model as save_model
    from hybridleuk.segmentation.cells import find_cells as find_cells
    from hybridleuk.segmentation.fields import count_cells as count_cells

__version__ = "0.1.0"

_HOME = {
    "Manifest": "hybridleuk.data.manifest",
    "read_image": "hybridleuk.data.images",
    "find_cells": "hybridleuk.segmentation.cells",
    "count_cells": "hybridleuk.segmentation.fields",
    "MorphologyFeatures": "hybridleuk.morphology.extractor",
    "DeepEmbeddings": "hybridleuk.embeddings.extractor",
    "HybridFeatures": "hybridleuk.hybrid",
    "HybridClassifier": "hybridleuk.models.hybrid",
    "FineTunedCNN": "hybridleuk.models.finetuned",
    "compare": "hybridleuk.candidates",
    "save_model": "hybridleuk.persistence",
    "load_model": "hybridleuk.persistence",
    "HybridLeukError": "hybridleuk.exceptions",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    # Names are imported when used, so that importing the package stays silent and fast.
    if name not in _HOME:
        raise AttributeError(f"module 'hybridleuk' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
