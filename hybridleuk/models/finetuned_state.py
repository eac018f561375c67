"""A fitted network as a description and tensors, for model files and pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hybridleuk.embeddings.backbones import trainable_backbone
from hybridleuk.embeddings.learned import learned_text
from hybridleuk.embeddings.records import record_from_json, record_to_json
from hybridleuk.embeddings.states import write_weights
from hybridleuk.exceptions import ModelFileError
from hybridleuk.hybrid import HybridFeatures
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.finetuned_inputs import NetworkInputs
from hybridleuk.models.training_checkpoint import Checkpoint
from hybridleuk.models.training_data import LabelledPixels, fingerprint
from hybridleuk.models.training_network import ImageClassifier, empty_classifier
from hybridleuk.models.training_recipe import Recipe
from hybridleuk.scaling import BlockScaler

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
# With what a file from before they were there stands for.
_LEARNED_LATER: dict[str, Any] = {
    "temperature_": 1.0,
    "waiting_share_": 0.0,
    "learned_from_": (),
}
_MEASURED = "measured."
_SCALES = ("mean_", "spread_", "scale_")


class StoredNetwork(NetworkInputs, BaseEstimator):
    """What makes :class:`hybridleuk.FineTunedCNN` storable without pickling a network."""

    backbone: str
    augment: bool | Augmentation
    checkpoint: str | os.PathLike[str] | None
    class_weight: Any
    classes_: Any
    history_: pd.DataFrame
    image_size_: int
    learned_from_: Sequence[str]
    weights_description_: str
    weights_sha256_: str
    network_: ImageClassifier

    def training_state(
        self, train: LabelledPixels, recipe: Recipe, processes: int
    ) -> Checkpoint | None:
        """Say where a training by so many processes leaves its state; None for nowhere."""
        if self.checkpoint is None:
            return None
        settings = {
            **self.portable_parameters(),
            "class_weight": str(self.class_weight),
            "weights": self.weights_sha256_,
            "recipe": repr(recipe),
            "classes": self.classes_.tolist(),
            **({"processes": processes} if processes > 1 else {}),
        }
        return Checkpoint(self.checkpoint, fingerprint(settings, train))

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
            "learned": {name: getattr(self, name) for name in (*_LEARNED, *_LEARNED_LATER)},
            "record": record_to_json(self.record_),
            "measured": None if self.measured_ is None else _described(self.measured_),
        }
        tensors = dict(self.network_.state_dict())
        if self.measured_ is not None:
            scaler = self.measured_.scaler_
            tensors |= {_MEASURED + n: torch.from_numpy(getattr(scaler, n)) for n in _SCALES}
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
        for name, before in _LEARNED_LATER.items():
            setattr(classifier, name, description["learned"].get(name, before))
        record = description.get("record")
        classifier.record_ = (
            trainable_backbone(classifier.backbone) if record is None else record_from_json(record)
        )
        classifier.measured_ = classifier._scaled_again(description.get("measured"), tensors)
        classifier.network_ = classifier._restored(tensors)
        return classifier

    def save_backbone(self, path: str | os.PathLike[str]) -> None:
        """Write the trained backbone to a file that ``--weights`` takes, for frozen embeddings.

        The file says which network it holds, the size of the pictures it was trained on, and the
        images: their embeddings must not be used to judge it, and comparisons say so. Images that
        were given as arrays are no files, and stand in no list.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors``. A file that is there is replaced when the new one is complete.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        check_is_fitted(self)
        record = replace(
            self.record_,
            input_size=self.image_size_,
            resize_size=self.image_size_,
            weights_tag=f"fine-tuned from {self.weights_description_}",
            sha256="",
            hub="",
            url="",
        )
        said = learned_text(self.learned_from_)
        write_weights(path, self.network_.trunk_state(), record, said)

    def _restored(self, tensors: Mapping[str, torch.Tensor]) -> ImageClassifier:
        measured = self.measured_
        network = empty_classifier(
            self.record_,
            len(self.classes_),
            views=len(self.views),
            measurements=0 if measured is None else len(measured.names_),
        )
        of_network = {n: value for n, value in tensors.items() if not n.startswith(_MEASURED)}
        try:
            network.load_state_dict(of_network, assign=True)
        except RuntimeError as error:
            raise ModelFileError(
                f"The stored weights are not those of {self.backbone} with {len(self.classes_)} "
                "classes; the file is damaged or was put together by hand, so get it again."
            ) from error
        return network.to(memory_format=torch.channels_last).eval()

    def _scaled_again(
        self, description: Mapping[str, Any] | None, tensors: Mapping[str, torch.Tensor]
    ) -> HybridFeatures | None:
        """Bring back how measurements were scaled."""
        if description is None:
            return None
        features = self.unfitted_measurements()
        features.blocks_ = dict(description["blocks"])
        features.names_ = list(description["names"])
        features.versions_ = dict(description["versions"])
        features.scaler_ = BlockScaler(list(features.blocks_.values()))
        features.scaler_.n_features_in_ = len(features.names_)
        for name in _SCALES:
            setattr(features.scaler_, name, tensors[_MEASURED + name].numpy())
        return features

    def __getstate__(self) -> dict[str, Any]:
        # Weights leave as tensors on the CPU, so that a GPU is not needed to unpickle.
        state = dict(super().__getstate__())
        if "network_" in state:
            state["network_"] = {n: v.detach().cpu() for n, v in self.network_.state_dict().items()}
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


def _described(measured: HybridFeatures) -> dict[str, Any]:
    return {
        "blocks": measured.blocks_,
        "names": [str(name) for name in measured.names_],
        "versions": measured.versions_,
    }
