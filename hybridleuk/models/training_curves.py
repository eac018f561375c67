"""How networks were trained: the probe that keeps the learning curve of every fold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.models.finetuned import FineTunedCNN

__all__ = ["TrainingProbe"]

_COLUMNS = ("epoch", "train_loss", "valid_loss", "valid_balanced_accuracy", "seconds")


@dataclass(frozen=True)
class TrainingProbe:
    """Takes the history of a network that was trained, and its waiting; it asks of no image."""

    name: str = field(default="training", init=False)

    def applies_to(self, estimator: Any) -> bool:
        """Tell whether a candidate is a network that was trained itself."""
        return isinstance(estimator, FineTunedCNN)

    def ask(self, fitted: Any, study: Any, fold: Any) -> dict[str, npt.NDArray[Any]]:
        """Return the history's columns, NaN where nothing was watched, epoch kept and waiting."""
        history = fitted.history_
        columns = {name: history.get(name, np.nan) for name in _COLUMNS}
        arrays = {name: np.full(len(history), value, float) for name, value in columns.items()}
        arrays["waiting_share"] = np.array([fitted.waiting_share_])
        return arrays | {"best_epoch": np.array([fitted.best_epoch_])}
