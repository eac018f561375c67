"""A convolutional network trained end to end on the images, the rival of the hybrid."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from hybridleuk import progress
from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.images import check_images
from hybridleuk.data.splits import check_labels
from hybridleuk.embeddings.backbones import trainable_backbone
from hybridleuk.embeddings.preprocessing import View, check_view
from hybridleuk.embeddings.runtime import exact_float32, resolve_device
from hybridleuk.embeddings.weights import load_network
from hybridleuk.exceptions import InputError
from hybridleuk.hybrid import Measurements
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.calibrated_scores import (
    best_temperature,
    mean_probabilities,
    oriented_scores,
)
from hybridleuk.models.finetuned_state import StoredNetwork
from hybridleuk.models.training import Training
from hybridleuk.models.training_clock import Clock, seconds_of
from hybridleuk.models.training_data import LabelledPixels
from hybridleuk.models.training_network import ImageClassifier, training_precision
from hybridleuk.models.training_processes import Processes
from hybridleuk.models.training_recipe import Recipe, check_ranges, picture_size
from hybridleuk.models.training_split import inner_split

__all__ = ["FineTunedCNN"]

_WARMUP = 0.1


class FineTunedCNN(TakesImages, ClassifierMixin, StoredNetwork):
    """Fine-tune a pretrained network on labelled images.

    Training begins with the logistic regression on the frozen features and goes on with all layers,
    the backbone at a lower rate than the head. A part of the training images, with groups kept
    whole, decides when to stop and how far probabilities are to be trusted; the best weights are
    restored. The seed fixes everything, so that a training that was killed and resumed ends with
    the same weights as one that was not, on the same machine with the same number of threads.
    Processes that ``torchrun`` started together, each with the same call, train one network, each
    on a GPU of its own.

    Parameters
    ----------
    backbone : str, default "squeezenet1_0"
        A name from :data:`hybridleuk.embeddings.backbones.BACKBONES`, ``timm:NAME``,
        ``hf-hub:OWNER/NAME``, or any name where `weights` is a file that says what it holds.
    weights : {"default", "bundled", "random"} or path, default "default"
        As in :class:`hybridleuk.DeepEmbeddings`.
    view : {"image", "segmented", "cells"}, default "image"
        What the network sees of an image. ``cells`` is the central, else the largest cell.
    second_view : {"segmented", "hsv"} or None, default None
        Another view that goes through the same backbone; the features of both lie side by side
        before the head. With ``hsv``, leukocytes cut out by fixed thresholds in HSV color space,
        and ``densenet201``, it is the two-channel network of Ghaderzadeh et al. 2022 (Int. J.
        Intell. Syst. 37:5113, doi 10.1002/int.22753).
    morphology : bool, default False
        Train the measurements of the cells jointly: they go through a small residual layer and lie
        beside the pooled features before the head.
    measurements : {"weighted", "portable", "all"}, default "weighted"
        Which of them, as in :class:`hybridleuk.HybridFeatures`.
    spacing : float, optional
        Micrometres per pixel, for the measurements.
    image_size : int, optional
        Side of the network's input, px; by default the backbone's, at most 160. Most vision
        transformers take one size only.
    epochs : int, default 20
        Passes over the training images, at most.
    budget : str or float, optional
        Time that the training may take, reading the images included: seconds, or text such as
        ``"20m"``. The schedule follows the speed of the machine and ends in time; so does the
        result, which is then not the same on another machine.
    patience : int, default 6
        Epochs without a better validation loss after which training stops.
    batch_size : int, default 32
    accumulate : int, default 1
        Parts in which a batch goes through the network one after the other, for less memory; their
        gradients are summed.
    learning_rate : float, default 6e-4
        Of the head, the highest in a schedule of linear warm-up and half a cosine.
    backbone_factor : float, optional
        The backbone's learning rate as a share of `learning_rate`; by default
        :attr:`Backbone.rates <hybridleuk.embeddings.records.Backbone.rates>`: 0.8, and 0.2 for
        transformers.
    layer_decay : float, optional
        What is left of that rate from one layer to the one before it; by default 1, and 0.75 for
        transformers. Only networks of timm tell their layers.
    weight_decay : float, default 0.02
    label_smoothing : float, default 0.1
    averaging : float, default 0.98
        Decay of the moving average of the weights over steps; the average is validated and kept.
        0 for none.
    mixing : {"mixup", "cutmix"} or None, default None
        Mix pairs of images and their labels.
    dropout : float, default 0.2
        Before the last layer.
    validation_fraction : float, default 0.2
        Share of the training images watched for early stopping, at most 0.5; none that the first
        weights were learned from, as far as their file says and enough others are there. With 0,
        all of them are learned from, all epochs are run, and probabilities are not calibrated.
    augment : bool or Augmentation, default True
    class_weight : "balanced", dict or None, default "balanced"
    orientations : {1, 2, 4, 8}, default 1
        Turned and mirrored copies of each picture whose probabilities a prediction is the mean of.
    device : str, default "auto"
    precision : {"auto", "fp32", "bf16", "fp16"}, default "auto"
        Of the training: "auto" is mixed precision on a GPU and on a CPU that has bf16. Predictions
        are always made in fp32.
    checkpoint : path, optional
        Folder in which training leaves its state every epoch, and every minute. The same call on
        the same images goes on from there. The file stays when training is complete.
    cache : "default", None or path, default "default"
        For the segmentation behind the views ``segmented`` and ``cells``, and the measurements.
    workers : int, optional
        Threads that decode images; by default one for each core.
    random_state : int, default 0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    history_ : DataFrame, one row per epoch
        ``epoch, learning_rate, train_loss, train_accuracy, valid_loss, valid_balanced_accuracy,
        seconds``. Epoch 0 is the logistic regression on frozen features; from then on the training
        columns are of augmented images with dropout. ``valid_loss`` is the one at the best
        temperature. The columns ``valid_...`` are missing where nothing is watched.
    best_epoch_ : int
        Whose weights are kept; 0 if training never beat the frozen features.
    temperature_ : float
        What class scores are divided by before they become probabilities, found on the images
        watched.
    waiting_share_ : float
        Share of the steps' time that the network waited for images.
    watched_ : ndarray of int
        The training images that only decided when to stop. Not in the model file.
    network_ : ImageClassifier
    record_ : Backbone
    image_size_ : int
    device_, precision_ : str
        Where and how it was trained.
    weights_description_, weights_sha256_ : str
        What training began with.
    learned_from_ : list of str
        The files that the network knows, those watched and those behind its first weights
        included: the first twelve digits of each one's SHA-256.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk import FineTunedCNN
    >>> random = np.random.default_rng(0)
    >>> images = [random.integers(60 * k, 60 * k + 90, (40, 40, 3), np.uint8) for k in (0, 2) * 8]
    >>> network = FineTunedCNN(weights="random", image_size=32, epochs=2)
    >>> network.fit(images, ["normal", "ALL"] * 8).predict(images[:2])
    array(['normal', 'ALL'], dtype='<U6')
    """

    uses_all_cores = True  # so that folds of a comparison are trained one after another

    def __init__(
        self,
        backbone: str = "squeezenet1_0",
        *,
        weights: str | os.PathLike[str] = "default",
        view: View = "image",
        second_view: str | None = None,
        morphology: bool = False,
        measurements: Measurements = "weighted",
        spacing: float | None = None,
        image_size: int | None = None,
        epochs: int = 20,
        budget: str | float | None = None,
        patience: int = 6,
        batch_size: int = 32,
        accumulate: int = 1,
        learning_rate: float = 6e-4,
        backbone_factor: float | None = None,
        layer_decay: float | None = None,
        weight_decay: float = 0.02,
        label_smoothing: float = 0.1,
        averaging: float = 0.98,
        mixing: str | None = None,
        dropout: float = 0.2,
        validation_fraction: float = 0.2,
        augment: bool | Augmentation = True,
        class_weight: Any = "balanced",
        orientations: int = 1,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        cache: Any = "default",
        workers: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.view = view
        self.second_view = second_view
        self.morphology = morphology
        self.measurements = measurements
        self.spacing = spacing
        self.image_size = image_size
        self.epochs = epochs
        self.budget = budget
        self.patience = patience
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.learning_rate = learning_rate
        self.backbone_factor = backbone_factor
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.averaging = averaging
        self.mixing = mixing
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.augment = augment
        self.class_weight = class_weight
        self.orientations = orientations
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.cache = cache
        self.workers = workers
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : sequence of n paths or (H, W, 3) uint8 arrays
        y : array-like of shape (n,)
        groups : array-like of shape (n,), optional
            Patients; the images watched for early stopping share none with those learned from.

        Raises
        ------
        InputError
            A parameter is out of its range, or the training diverged.
        ImageError
            An image cannot be decoded; the message names the file.
        SplitError
            There is one class only, or one with too few images or groups to watch.
        WeightsError
            The weights cannot be had.
        """
        images, labels = check_images(X), check_labels(y)
        if len(images) != len(labels):
            raise InputError(f"{len(images)} images but {len(labels)} labels; one each is needed.")
        check_view(self.view)
        self.record_ = trainable_backbone(self.backbone, self.weights)
        unused = self.record_.source == "timm"  # where a part of the head may be left over
        processes = Processes.started(resolve_device(self.device), unused=unused)
        with processes.audible():
            return self._fit(images, labels, groups, processes)

    def _fit(self, images: Any, labels: Any, groups: Any, processes: Processes) -> Self:
        clock = Clock()
        check_ranges(self.get_params(deep=False))
        self.image_size_ = picture_size(self.record_, self.image_size)
        seed = int(np.random.default_rng(self.random_state).integers(2**31))
        self.seed_ = processes.agreed(seed)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        fraction = float(self.validation_fraction)
        learned, self.watched_ = inner_split(
            labels, groups, fraction, self.seed_, self.known_images(images, self.weights)
        )
        loaded = self._load_network()  # before the images: weights may be missing
        measured = self.fit_measurements(images, learned)
        network = self._classifier(loaded, 0 if measured is None else measured.shape[1])
        pixels = self.reader().read(images)
        self.learned_from_ = self.seen_files(images, self.weights)
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=labels[learned])
        train = LabelledPixels(pixels, codes.astype(np.int64), learned, measured)
        return self._train(network, train, weights, clock, processes)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return probabilities of shape (n, n_classes), columns in the order of ``classes_``."""
        check_is_fitted(self)
        images = check_images(X)
        device = resolve_device(self.device)
        network = self.network_.to(device).eval()
        measured = self.measure(images)
        parts = []
        with (
            exact_float32(device, "fp32"),
            progress.task("Predicting", total=len(images)) as task,
        ):
            for pixels in self.reader().chunks(images):
                beside = None if measured is None else measured[task.done :][: len(pixels)]
                data = LabelledPixels.unlabelled(pixels, beside)
                scores = oriented_scores(network, data, device, self.orientations)
                parts.append(mean_probabilities(scores, self.temperature_))
                task.advance(len(pixels))
        return np.concatenate(parts)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each image."""
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def _load_network(self) -> torch.nn.Module:
        loaded = load_network(self.record_, self.weights, self.seed_)
        self.weights_sha256_ = loaded.weights_hash
        self.weights_description_ = loaded.description
        return loaded.network

    def _classifier(self, network: torch.nn.Module, measurements: int) -> ImageClassifier:
        return ImageClassifier(
            network,
            self.record_,
            len(self.classes_),
            dropout=self.dropout,
            frozen_statistics=self.weights != "random",
            views=len(self.views),
            measurements=measurements,
        )

    def _recipe(self, network: ImageClassifier, device: torch.device) -> Recipe:
        rates = self.record_.rates
        augmentation = Augmentation() if self.augment is True else self.augment or None
        return Recipe(
            epochs=self.epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            backbone_factor=rates.backbone
            if self.backbone_factor is None
            else self.backbone_factor,
            layer_decay=rates.decay if self.layer_decay is None else self.layer_decay,
            warmup=_WARMUP,
            weight_decay=self.weight_decay,
            label_smoothing=self.label_smoothing,
            averaging=self.averaging,
            accumulate=self.accumulate,
            mixing=self.mixing,
            budget=seconds_of(self.budget),
            augmentation=augmentation,
            seed=self.seed_,
            device=device,
            precision=training_precision(self.precision, device, network),
        )

    def _train(
        self,
        network: ImageClassifier,
        train: LabelledPixels,
        class_weights: npt.NDArray[np.float64],
        clock: Clock,
        processes: Processes,
    ) -> Self:
        recipe = self._recipe(network, processes.device(resolve_device(self.device)))
        watched = replace(train, rows=self.watched_) if len(self.watched_) else None
        checkpoint = self.training_state(train, recipe, processes.count)
        training = Training(
            network, recipe, train, watched, class_weights, checkpoint, clock, processes
        )
        self.history_ = pd.DataFrame(training.run())
        self.best_epoch_ = training.at.best_epoch if watched else training.at.epoch
        self.n_watched_ = len(self.watched_)
        self.seconds_ = float(self.history_["seconds"].sum())
        self.device_, self.precision_ = str(recipe.device), recipe.precision
        self.waiting_share_ = training.waiting_share
        self.network_ = network
        self.temperature_ = 1.0
        if watched is not None:
            with exact_float32(recipe.device, "fp32"):
                scores = oriented_scores(network, watched, recipe.device, self.orientations)
            self.temperature_ = best_temperature(scores, watched.labels)
            if not self.best_epoch_:
                progress.note(
                    "Training never beat the frozen features on the images watched: what is kept "
                    "is a logistic regression on them. More epochs, more images or a lower "
                    "learning_rate may help."
                )
        return self
