"""How a network is trained: the settings, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.preprocessing import ORIENTATIONS
from hybridleuk.embeddings.runtime import Precision
from hybridleuk.exceptions import InputError
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.training_data import SECOND_VIEWS, Batch
from hybridleuk.models.training_network import ImageClassifier

__all__ = [
    "MIXINGS",
    "Recipe",
    "average_decay",
    "check_ranges",
    "mixed",
    "parameter_groups",
    "picture_size",
    "rate_factor",
]

MIXINGS = ("mixup", "cutmix")

_LEAST_RISE = 10
_LARGEST_SIZE = 160  # px, unless told
_OF_RECORD = ("backbone_factor", "layer_decay")
_CHOICES: dict[str, tuple[Any, ...]] = {
    "mixing": (None, *MIXINGS),
    "orientations": ORIENTATIONS,
    "second_view": (None, *SECOND_VIEWS),
}


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
    layer_decay : float
        What is left of the backbone's rate from one layer to the one before it; 1 for all.
    warmup : float
        Share of all steps over which the rates rise from zero.
    weight_decay : float
        Decoupled (AdamW); biases and the parameters of normalisations are spared.
    label_smoothing : float
    averaging : float
        Decay of the moving average of the weights; 0 for none.
    accumulate : int
        Parts in which a batch goes through the network, one after the other.
    mixing : {"mixup", "cutmix"} or None
    budget : float or None
        Seconds that the training may take.
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
    layer_decay: float
    warmup: float
    weight_decay: float
    label_smoothing: float
    averaging: float
    accumulate: int
    mixing: str | None
    budget: float | None
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


def average_decay(step: int, highest: float) -> float:
    """Return how much of the average stays at a step: less at first, when it is of few steps.

    Examples
    --------
    >>> [round(average_decay(step, 0.99), 2) for step in (0, 10, 100, 10_000)]
    [0.1, 0.55, 0.92, 0.99]
    """
    return min(highest, (1 + step) / (10 + step))


def mixed(batch: Batch, recipe: Recipe, n_classes: int) -> tuple[Batch, torch.Tensor]:
    """Mix pairs of images and their classes, where the recipe says so.

    ``"mixup"`` adds two images with a share drawn from the uniform distribution (Zhang et al.,
    ICLR 2018), ``"cutmix"`` puts a rectangle of one into the other (Yun et al., ICCV 2019).

    Returns
    -------
    (batch, targets)
        Targets are class numbers (n,), or shares of classes (n, n_classes) where images are mixed.
    """
    if recipe.mixing is None:
        return batch, batch.codes
    from torchvision.transforms import v2

    mix = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[recipe.mixing](num_classes=n_classes)
    images, targets = mix(batch.images, batch.codes)
    return batch._replace(images=images), targets


def parameter_groups(network: ImageClassifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Divide parameters by learning rate and weight decay, the head last."""
    scales, spared = network.layer_scales(recipe.layer_decay), network.spared()
    slow = recipe.learning_rate * recipe.backbone_factor
    rates: dict[float, dict[str, torch.nn.Parameter]] = {}
    for name, parameter in network.backbone.named_parameters(prefix="backbone"):
        rates.setdefault(slow * scales.get(name, 1.0), {})[name] = parameter
    new = {n: p for n, p in network.named_parameters() if not n.startswith("backbone.")}
    groups = []
    for rate, part in (*rates.items(), (recipe.learning_rate, new)):
        trained = {name: p for name, p in part.items() if p.requires_grad}
        light = {name for name, p in trained.items() if p.ndim <= 1 or name in spared}
        for chosen, decay in (
            ([p for name, p in trained.items() if name not in light], recipe.weight_decay),
            ([p for name, p in trained.items() if name in light], 0.0),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "highest": rate})
    return groups


def picture_size(record: Backbone, wanted: int | None) -> int:
    """Return the side of the pictures a network is trained on, px: by default at most 160.

    Raises
    ------
    InputError
        The network does not take pictures of the size that is wanted.
    """
    if record.fixed_size and wanted not in (None, record.input_size):
        raise InputError(
            f"image_size is {wanted}; {record.name} takes pictures of {record.input_size} px only, "
            "since it has learned each place by itself. Leave the size out, or choose another "
            "network."
        )
    if record.fixed_size:
        return record.input_size
    size = int(min(record.input_size, _LARGEST_SIZE) if wanted is None else wanted)
    if size < record.minimum_size:
        raise InputError(
            f"image_size is {size}; expected at least {record.minimum_size} px for {record.name}."
        )
    return size


def check_ranges(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of a classifier that cannot be meant.

    Raises
    ------
    InputError
        One is out of its range or none of its choices; the message says which, and these.
    """
    ranges = {
        "epochs": (1, None),
        "patience": (1, None),
        "batch_size": (1, None),
        "learning_rate": (0, 1),
        "backbone_factor": (0, 1),
        "layer_decay": (0.01, 1),
        "weight_decay": (0, None),
        "label_smoothing": (0, 0.9),
        "averaging": (0, 0.9999),
        "accumulate": (1, parameters["batch_size"]),
        "dropout": (0, 0.9),
        "validation_fraction": (0, 0.5),
    }
    for name, (low, high) in ranges.items():
        value = parameters[name]
        if value is None and name in _OF_RECORD:
            continue
        if not low <= value <= (math.inf if high is None else high):
            limit = "" if high is None else f" and at most {high}"
            raise InputError(f"{name} is {value}; expected at least {low}{limit}.")
    for name, choices in _CHOICES.items():
        if parameters[name] not in choices:
            expected = ", ".join(map(repr, choices))
            raise InputError(f"{name} is {parameters[name]!r}; expected one of {expected}.")
