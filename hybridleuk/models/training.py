"""The training loop: AdamW, warm-up and cosine, early stopping, and resuming to the same result.

Written here rather than taken from a trainer because of the last point. All randomness of a step is
a function of the seed, the epoch and the step, and the learning rate is a function of the step, so
that weights, optimizer and position are all there is to keep, and a training that was killed goes
on as if nothing had happened. (skorch restores neither schedules nor random numbers, and stores
optimizers only in pickles.)
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hybridleuk import progress
from hybridleuk.embeddings.runtime import autocast
from hybridleuk.exceptions import InputError
from hybridleuk.models.training_checkpoint import (
    Checkpoint,
    Snapshot,
    optimizer_from_tensors,
    optimizer_to_tensors,
)
from hybridleuk.models.training_data import LabelledPixels
from hybridleuk.models.training_network import ImageClassifier, start_head
from hybridleuk.models.training_recipe import Recipe, parameter_groups, rate_factor

__all__ = ["Training"]

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass
class _Position:
    """Where a training stands; all of it fits into JSON."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    finished: bool = False
    scaler: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Training:
    """One training of one network.

    Parameters
    ----------
    network : ImageClassifier
        Trained in place; after :meth:`run` it holds the best weights.
    recipe : Recipe
    train : LabelledPixels
    valid : LabelledPixels or None
        Without them all epochs are run and the last weights are kept.
    class_weights : ndarray of shape (n_classes,)
    checkpoint : Checkpoint, optional
        Continued from, if there is something in it, and kept up to date.
    """

    def __init__(
        self,
        network: ImageClassifier,
        recipe: Recipe,
        train: LabelledPixels,
        valid: LabelledPixels | None,
        class_weights: npt.NDArray[np.float64],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.recipe = recipe
        self.network = network.to(recipe.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train = train
        self.valid = valid
        self.checkpoint = checkpoint
        self.class_weights = torch.as_tensor(class_weights, dtype=torch.float32).to(recipe.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(network, recipe))
        self.scaler = torch.amp.GradScaler(
            recipe.device.type, enabled=recipe.precision == "fp16", init_scale=1024.0
        )
        self.best: dict[str, torch.Tensor] = {}
        self.sums = torch.zeros(3, device=recipe.device)  # loss * n, hits, n of this epoch
        self.at = _Position()
        self._saved = time.monotonic()
        self.steps = math.ceil(len(train) / recipe.batch_size)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, and return one record per epoch."""
        if not self._resume():
            self._begin()
        total = self.recipe.epochs * self.steps
        with (
            _reproducible(self.recipe.device),
            progress.task("Training the network", total, unit="batches") as task,
        ):
            task.advance(self.at.epoch * self.steps + self.at.step, detail=self._detail())
            while not self.at.finished:
                self._run_epoch(task)
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()
        return self.at.history

    def _begin(self) -> None:
        """Start with the linear probe, which is epoch 0: training has to beat it."""
        begun = time.monotonic()
        self.network.eval()
        parts = []
        with torch.inference_mode():
            for images, _ in self.train.in_order(self.recipe.device):
                with autocast(self.recipe.device, self.recipe.precision):
                    parts.append(self.network.features(images).cpu())
        features, labels = torch.cat(parts), torch.from_numpy(self.train.labels)
        weights = self.class_weights.cpu()
        start_head(self.network, features.numpy(), labels.numpy(), weights.numpy())
        with torch.inference_mode():
            scores = self.network.head_scores(features.to(self.recipe.device)).cpu()
        loss = functional.cross_entropy(
            scores, labels, weights, label_smoothing=self.recipe.label_smoothing
        )
        hits = (scores.argmax(1) == labels).float()
        self._record(0.0, loss.item(), hits.mean().item(), begun)

    def _run_epoch(self, task: progress.Task) -> None:
        begun = time.monotonic() - self.at.seconds
        for rows in self._batches()[self.at.step :]:
            self._step(rows)
            self.at.step += 1
            self.at.seconds = time.monotonic() - begun
            task.advance(detail=self._detail())
            if time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
                self._save()
        self._close_epoch(begun)
        task.advance(0, detail=self._detail())
        self._save()

    def _batches(self) -> list[npt.NDArray[np.intp]]:
        # Batches of nearly equal size: a last one of a single image would upset BatchNorm.
        order = np.random.default_rng([self.recipe.seed, self.at.epoch]).permutation(
            len(self.train)
        )
        return np.array_split(order, self.steps)

    def _step(self, rows: npt.NDArray[np.intp]) -> None:
        self._set_rates()
        seeds = np.random.SeedSequence([self.recipe.seed, self.at.epoch, self.at.step])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        images, codes = self.train.batch(rows, self.recipe.device)
        if self.recipe.augmentation is not None:
            images = self.recipe.augmentation(images)
        self.network.train()
        scores = self._scores(images)
        loss = functional.cross_entropy(
            scores, codes, self.class_weights, label_smoothing=self.recipe.label_smoothing
        )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        hits = (scores.detach().argmax(1) == codes).sum()
        self.sums += torch.stack(
            [loss.detach() * len(rows), hits, torch.full_like(hits, len(rows))]
        )

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.recipe.device, self.recipe.precision):
            scores = self.network(images)
        return scores.float()

    def _set_rates(self) -> None:
        done = self.at.epoch * self.steps + self.at.step
        factor = rate_factor(done, self.recipe.epochs * self.steps, self.recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * factor

    def _close_epoch(self, begun: float) -> None:
        loss, hits, count = self.sums.tolist()
        if not math.isfinite(loss):
            raise InputError(
                f"The training loss became {loss} in epoch {self.at.epoch + 1}; use a lower "
                f"learning_rate (it is {self.recipe.learning_rate:g}) or precision='fp32'."
            )
        self.at.epoch += 1
        rate = self.optimizer.param_groups[-1]["lr"]
        self._record(rate, loss / count, hits / count, begun)
        self.at.step, self.at.seconds = 0, 0.0
        self.sums.zero_()
        stale = self.valid is not None and (
            self.at.epoch - self.at.best_epoch >= self.recipe.patience
        )
        self.at.finished = self.at.epoch >= self.recipe.epochs or stale

    def _record(self, rate: float, loss: float, accuracy: float, begun: float) -> None:
        record = {
            "epoch": self.at.epoch,
            "learning_rate": rate,
            "train_loss": loss,
            "train_accuracy": accuracy,
            **self._validated(),
        }
        self.at.history.append({**record, "seconds": time.monotonic() - begun})
        if self.valid is not None and record["valid_loss"] < self.at.best_loss:
            self._remember(record["valid_loss"])

    def _remember(self, loss: float) -> None:
        self.at.best_loss, self.at.best_epoch = loss, self.at.epoch
        self.best = {
            name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()
        }

    @torch.inference_mode()
    def _validated(self) -> dict[str, float]:
        if self.valid is None:
            return {}
        self.network.eval()
        batches = [
            (self._scores(images), codes)
            for images, codes in self.valid.in_order(self.recipe.device)
        ]
        scores, codes = (torch.cat(parts) for parts in zip(*batches, strict=True))
        loss = functional.cross_entropy(scores, codes, self.class_weights)
        hits = (scores.argmax(1) == codes).float()
        recalls = [hits[codes == code].mean() for code in set(codes.tolist())]
        return {
            "valid_loss": loss.item(),
            "valid_balanced_accuracy": torch.stack(recalls).mean().item(),
        }

    def _detail(self) -> str:
        text = f"epoch {min(self.at.epoch + 1, self.recipe.epochs)}/{self.recipe.epochs}"
        if not self.at.history:
            return text
        last = self.at.history[-1]
        text += f", loss {last['train_loss']:.3f}"
        if "valid_balanced_accuracy" in last:
            text += f", validation accuracy {last['valid_balanced_accuracy']:.1%}"
        return text

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {f"best.{name}": value for name, value in self.best.items()}
        if not (self.at.finished and self.best):
            tensors |= {f"now.{name}": value for name, value in self.network.state_dict().items()}
        if not self.at.finished:
            tensors |= optimizer_to_tensors(self.optimizer) | {"sums": self.sums}
        self.at.scaler = self.scaler.state_dict()
        self.checkpoint.save(Snapshot(tensors, vars(self.at)))
        self._saved = time.monotonic()

    def _resume(self) -> bool:
        snapshot = self.checkpoint.load() if self.checkpoint is not None else None
        if snapshot is None:
            return False
        self.at = _Position(**snapshot.values)
        self.best = _under("best", snapshot.tensors)
        current = _under("now", snapshot.tensors)
        if current:
            self.network.load_state_dict(current)
        if not self.at.finished:
            optimizer_from_tensors(self.optimizer, snapshot.tensors)
            self.sums = snapshot.tensors["sums"].to(self.recipe.device)
            self.scaler.load_state_dict(self.at.scaler)
            progress.note(f"Training goes on in epoch {self.at.epoch + 1}.")
        return True


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Seed freely inside without touching the caller's random numbers; no autotuned kernels."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield
