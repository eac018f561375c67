"""How a network is trained: the settings, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.runtime import Precision
from hybridleuk.exceptions import InputError
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.training_network import ImageClassifier

__all__ = ["Recipe", "check_ranges", "parameter_groups", "rate_factor"]

_LEAST_RISE = 10


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training images; the cosine ends at zero with the last.
    patience : int
        Epochs without a better validation loss after which training stops.
    batch_size : int
    learning_rate : float
        Of the new last layer, after warm-up.
    backbone_factor : float
        The backbone's learning rate as a share of `learning_rate`.
    warmup : float
        Share of all steps over which the rates rise from zero.
    weight_decay : float
        Decoupled (AdamW); biases and the parameters of normalisations are spared.
    label_smoothing : float
    augmentation : Augmentation or None
    seed : int
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    backbone_factor: float
    warmup: float
    weight_decay: float
    label_smoothing: float
    augmentation: Augmentation | None
    seed: int
    device: torch.device
    precision: Precision


def rate_factor(step: int, total: int, warmup: float) -> float:
    """Return the learning rate at a step as a share of its highest: a rise, then half a cosine.

    The rise takes ten steps or a third of a short training at least: the first steps of AdamW are
    of full length whatever the gradient, and would throw a pretrained network off.

    Examples
    --------
    >>> [round(rate_factor(step, 110, 0.1), 2) for step in (0, 10, 11, 61, 109)]
    [0.09, 1.0, 1.0, 0.49, 0.0]
    """
    rising = max(round(total * warmup), min(_LEAST_RISE, total // 3))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def parameter_groups(network: ImageClassifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Divide parameters by learning rate and weight decay, the head last."""
    groups = []
    for part, rate in (
        (network.backbone, recipe.learning_rate * recipe.backbone_factor),
        (network.head, recipe.learning_rate),
    ):
        trained = [p for p in part.parameters() if p.requires_grad]
        for chosen, decay in (
            ([p for p in trained if p.ndim > 1], recipe.weight_decay),
            ([p for p in trained if p.ndim <= 1], 0.0),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "highest": rate})
    return groups


def check_ranges(parameters: Mapping[str, Any], record: Backbone) -> None:
    """Refuse numbers among the parameters of a classifier that cannot be meant.

    Raises
    ------
    InputError
        One is out of its range; the message says which, and the range.
    """
    ranges = {
        "epochs": (1, None),
        "patience": (1, None),
        "batch_size": (1, None),
        "image_size": (record.minimum_size, None),
        "learning_rate": (0, 1),
        "backbone_factor": (0, 1),
        "weight_decay": (0, None),
        "label_smoothing": (0, 0.9),
        "dropout": (0, 0.9),
        "validation_fraction": (0, 0.5),
    }
    for name, (low, high) in ranges.items():
        value = parameters[name]
        if value is None and name == "image_size":
            continue
        if not low <= value <= (math.inf if high is None else high):
            limit = "" if high is None else f" and at most {high}"
            raise InputError(f"{name} is {value}; expected at least {low}{limit}.")
