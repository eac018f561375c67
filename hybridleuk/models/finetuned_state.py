"""A fitted network as a description and tensors, for model files and pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hybridleuk.embeddings.backbones import trainable_backbone as find_backbone
from hybridleuk.exceptions import ModelFileError
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.training_network import ImageClassifier, empty_classifier

__all__ = ["StoredNetwork"]

_MACHINE_DEPENDENT = ("cache", "checkpoint", "device", "workers")
_LEARNED = (
    "best_epoch_",
    "image_size_",
    "n_watched_",
    "precision_",
    "seconds_",
    "seed_",
    "weights_description_",
    "weights_sha256_",
)


class StoredNetwork(BaseEstimator):
    """What makes :class:`hybridleuk.FineTunedCNN` storable without pickling a network."""

    backbone: str
    augment: bool | Augmentation
    classes_: Any
    history_: pd.DataFrame
    network_: ImageClassifier

    def to_state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Describe the fitted classifier for a model file.

        Returns
        -------
        (description, tensors)
            The first holds what JSON can; the second the network's weights, on the CPU.
        """
        check_is_fitted(self)
        description = {
            "parameters": self.portable_parameters(),
            "classes": self.classes_.tolist(),
            "history": self.history_.to_dict("records"),
            "learned": {name: getattr(self, name) for name in _LEARNED},
        }
        tensors = self.network_.state_dict()
        return description, {name: value.detach().cpu() for name, value in tensors.items()}

    @classmethod
    def from_state(
        cls, description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> Self:
        """Make a fitted classifier from what :meth:`to_state` returned, on any device.

        Raises
        ------
        ModelFileError
            The weights do not belong to the network that is described.
        """
        parameters = dict(description["parameters"])
        if isinstance(parameters["augment"], dict):
            parameters["augment"] = Augmentation(**parameters["augment"])
        classifier = cls(**parameters)
        classifier.classes_ = np.asarray(description["classes"])
        classifier.history_ = pd.DataFrame(description["history"])
        for name in _LEARNED:
            setattr(classifier, name, description["learned"][name])
        classifier.network_ = classifier._restored(tensors)
        return classifier

    def _restored(self, tensors: Mapping[str, torch.Tensor]) -> ImageClassifier:
        network = empty_classifier(find_backbone(self.backbone), len(self.classes_))
        try:
            network.load_state_dict(dict(tensors), assign=True)
        except RuntimeError as error:
            raise ModelFileError(
                f"The stored weights are not those of {self.backbone} with {len(self.classes_)} "
                "classes; the file is damaged or was put together by hand, so get it again."
            ) from error
        return network.to(memory_format=torch.channels_last).eval()

    def __getstate__(self) -> dict[str, Any]:
        # Weights leave as tensors on the CPU, so that a GPU is not needed to unpickle.
        state = dict(super().__getstate__())
        if "network_" in state:
            state["network_"] = self.to_state()[1]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "network_" in state:
            self.network_ = self._restored(state["network_"])

    def portable_parameters(self) -> dict[str, Any]:
        """Return the parameters that do not belong to one machine, as JSON can hold them."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in _MACHINE_DEPENDENT
        }
        parameters["weights"] = os.fspath(parameters["weights"])
        if isinstance(self.augment, Augmentation):
            parameters["augment"] = asdict(self.augment)
        return parameters
