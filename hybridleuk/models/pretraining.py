"""Pretraining of a backbone on a laboratory's own images, labelled or not.

Each picture is shown as other microscopes would show it
(:mod:`~hybridleuk.models.microscopes`), and the backbone learns by SimCLR, BYOL or the classes
(:mod:`~hybridleuk.models.pretraining_methods`). A vote of nearest neighbors watches it. As in
fine-tuning, all randomness of a step is a function of seed, epoch and step, so that a run that was
killed goes on to the same result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk.embeddings.backbones import trainable_backbone
from hybridleuk.embeddings.learned import learned_text
from hybridleuk.embeddings.records import Backbone
from hybridleuk.embeddings.runtime import resolve_device
from hybridleuk.embeddings.states import write_weights
from hybridleuk.embeddings.weights import load_network
from hybridleuk.exceptions import InputError
from hybridleuk.models.pretraining_methods import Trunk, make_method
from hybridleuk.models.pretraining_run import Pictures, PretrainingRecipe, Run
from hybridleuk.models.training_checkpoint import Checkpoint
from hybridleuk.models.training_data import ImageReader
from hybridleuk.models.training_recipe import picture_size

__all__ = ["Pretrained", "PretrainingRecipe", "pretrain"]

Array = npt.NDArray[Any]
_ROOM = 1.25  # side of the pictures that are kept, as a multiple of the network's input


@dataclass(frozen=True)
class Pretrained:
    """A backbone that was pretrained.

    Attributes
    ----------
    record : Backbone
        Its record, with where the weights came from.
    state : dict of str to Tensor
        Its weights, on the CPU.
    history : list of dict
        For each epoch ``epoch, learning_rate, loss, probe, seconds``. The probe is the balanced
        accuracy of a vote of nearest neighbors where there are labels, else the share of pictures
        that are found again by another view of them; epoch 0 is before the first step.
    learned : frozenset of str
        SHA-256 of the images' files.
    """

    record: Backbone
    state: dict[str, torch.Tensor]
    history: list[dict[str, Any]]
    learned: frozenset[str] = frozenset()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.safetensors`` file that can be given as weights; it tells its images.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        history = {"hybridleuk_history": json.dumps(self.history)}
        write_weights(path, self.state, self.record, learned_text(self.learned) | history)


def pretrain(
    images: Sequence[Any],
    labels: Any = None,
    groups: Any = None,
    *,
    sha256: Sequence[str] = (),
    backbone: str = "smearnet",
    weights: str | os.PathLike[str] = "default",
    recipe: PretrainingRecipe | None = None,
    image_size: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    cache: Any = "default",
    workers: int | None = None,
) -> Pretrained:
    """Pretrain a backbone.

    Parameters
    ----------
    images : sequence of n paths or (H, W, 3) uint8 arrays
    labels : sequence of n str or None, optional
        What "supervised" learns, and what the probe is asked otherwise; None where not known.
    groups : sequence of n, optional
        Patients: for the probe, an image has no neighbors among those of its own.
    sha256 : sequence of str, optional
        Of the images' files, so that the result can say what it was trained on.
    backbone : str, default "smearnet"
        One of the table, or ``timm:NAME``.
    weights : {"default", "bundled", "random"} or path, default "default"
        What it begins with.
    recipe : PretrainingRecipe, optional
    image_size : int, optional
        Side of the network's input, px; by default the backbone's, at most 160, and for most vision
        transformers the only one. The result is used with this size.
    device, precision : str, default "auto"
    checkpoint : path, optional
        Folder in which the training leaves its state each epoch and each minute, and goes on from.
    cache : "default", path or None
        Of the cells, for views that need them.
    workers : int, optional

    Returns
    -------
    Pretrained

    Raises
    ------
    InputError
        A parameter is out of its range, there are too few images, "supervised" has too few classes,
        or the training diverged.
    WeightsError
        The weights cannot be had.

    Examples
    --------
    >>> from hybridleuk.data.artificial import draw_cell
    >>> from hybridleuk.models.pretraining import PretrainingRecipe, pretrain
    >>> kinds = ["lymphocyte", "neutrophil"] * 4
    >>> cells = [draw_cell(kind, random_state=i).image for i, kind in enumerate(kinds)]
    >>> recipe = PretrainingRecipe("supervised", epochs=1, batch_size=4)
    >>> made = pretrain(cells, kinds, recipe=recipe, weights="random", image_size=32)
    >>> made.record.input_size, [line["epoch"] for line in made.history]
    (32, [0, 1])
    """
    recipe = recipe or PretrainingRecipe()
    recipe.check()
    record = trainable_backbone(backbone, weights)
    classes, codes = _codes(labels, len(images))
    _check_enough(len(images), recipe, classes)
    size = picture_size(record, image_size)
    loaded = load_network(record, weights, recipe.seed)
    place = resolve_device(device)
    reader = ImageReader(record, (recipe.view,), round(_ROOM * size), cache, workers)
    pictures = Pictures(reader.read(images), codes, groups, size)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        learner = make_method(recipe.method, Trunk(loaded.network, record), len(classes))
        settings = [loaded.weights_hash, asdict(recipe), record.recipe, size, list(classes)]
        kept = None
        if checkpoint is not None:
            kept = Checkpoint(checkpoint, pictures.fingerprint(settings))
        run = Run(learner.to(place), pictures, recipe, place, precision, kept)
        run.to_the_end()
    described = replace(
        record,
        weights_tag=f"{recipe.method}, {recipe.epochs} epochs from {loaded.description}",
        licence="of whoever pretrained it",
        input_size=size,
        weights_file="",
        hub="",
        url="",
        sha256="",
        note="",
    )
    state = {k: v.detach().cpu() for k, v in loaded.network.state_dict().items()}
    return Pretrained(described, state, run.at.history, frozenset(sha256))


def _codes(labels: Any, n: int) -> tuple[Array, npt.NDArray[np.int64]]:
    if labels is None:
        return np.array([], dtype=object), np.full(n, -1)
    given = [None if label is None or label != label else str(label) for label in labels]
    if len(given) != n:
        raise InputError(f"{n} images but {len(given)} labels; one each is needed.")
    classes = np.array(sorted({label for label in given if label is not None}), dtype=object)
    number = {label: code for code, label in enumerate(classes)}
    return classes, np.array([-1 if k is None else number[k] for k in given], dtype=np.int64)


def _check_enough(n: int, recipe: PretrainingRecipe, classes: Array) -> None:
    if n < 4:
        raise InputError(f"{n} images to pretrain on; expected at least 4, and rather thousands.")
    if recipe.method == "supervised" and len(classes) < 2:
        raise InputError(
            f"The method 'supervised' learns classes, but the images have {len(classes)}; put them "
            "in one folder per class, or choose 'simclr' or 'byol', which need no labels."
        )
