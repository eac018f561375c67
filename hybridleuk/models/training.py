"""The training loop: AdamW, warm-up and cosine, early stopping, and resuming to the same result.

Written here rather than taken from a trainer because of the last point. All randomness of a step is
a function of the seed, the epoch and the step, and the learning rate is a function of the step, so
that weights, optimizer and position are all there is to keep, and a training that was killed goes
on as if nothing had happened. (skorch restores neither schedules nor random numbers, and stores
optimizers only in pickles.) Only a time budget is another matter: what fits into it depends on the
machine, so the schedule follows the clock, over all runs of the training.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk import progress
from hybridleuk.exceptions import InputError
from hybridleuk.models.training_checkpoint import Checkpoint, Snapshot
from hybridleuk.models.training_clock import Clock, planned_steps
from hybridleuk.models.training_data import LabelledPixels
from hybridleuk.models.training_learner import Learner, under
from hybridleuk.models.training_network import ImageClassifier
from hybridleuk.models.training_processes import Processes
from hybridleuk.models.training_recipe import Recipe, rate_factor

__all__ = ["Training"]

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass
class _Position:
    """Where a training stands; all of it fits into JSON."""

    epoch: int = 0
    step: int = 0
    done: int = 0
    seconds: float = 0.0
    stepping: float = 0.0
    spent: float = 0.0
    waited: float = 0.0
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
    clock : Clock, optional
        Runs already where images had to be read first.
    processes : Processes, optional
        Those that train the network together; each calls this with the same.
    """

    def __init__(
        self,
        network: ImageClassifier,
        recipe: Recipe,
        train: LabelledPixels,
        valid: LabelledPixels | None,
        class_weights: npt.NDArray[np.float64],
        checkpoint: Checkpoint | None = None,
        clock: Clock | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.recipe = recipe
        self.network = network
        self.train = train
        self.valid = valid
        self.checkpoint = checkpoint
        self.clock = clock or Clock()
        self.processes = processes or Processes()
        self.learner = Learner(network, recipe, class_weights, self.processes)
        self.best: dict[str, torch.Tensor] = {}
        self.at = _Position()
        self._saved = time.monotonic()
        self.steps = math.ceil(len(train) / recipe.batch_size)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, and return one record per epoch."""
        if not self._resume():
            begun = time.monotonic()
            self._record(0.0, *self.learner.begin(self.train), begun)
        with (
            _reproducible(self.recipe.device),
            progress.task("Training the network", self._planned(), unit="batches") as task,
        ):
            task.advance(self.at.done, detail=self._detail())
            while not self.at.finished:
                self._run_epoch(task)
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()
        return self.at.history

    @property
    def waiting_share(self) -> float:
        """Share of the steps' time in which the network waited for images."""
        return self.clock.waited / max(self.at.stepping, 1e-9)

    def _run_epoch(self, task: progress.Task) -> None:
        begun, stepped = time.monotonic() - self.at.seconds, time.monotonic() - self.at.stepping
        wholes = self._batches()
        shares = [self.processes.share(whole) for whole in wholes]
        batches = self.train.ahead(shares, self.recipe.device, self.clock)
        for whole, batch in zip(wholes, batches, strict=True):
            self._step(batch, counts=self.processes.rank < len(whole))
            self.at.seconds = time.monotonic() - begun
            self.at.stepping = time.monotonic() - stepped
            task.total = self._planned()
            task.advance(detail=self._detail())
            if self._save_is_due():
                self._save()
            if self.at.done >= self._planned():
                break
        self._close_epoch(begun)
        self.at.stepping = time.monotonic() - stepped
        task.advance(0, detail=self._detail())
        self._save()

    def _batches(self) -> list[npt.NDArray[np.intp]]:
        # Batches of nearly equal size: a last one of a single image would upset BatchNorm.
        order = np.random.default_rng([self.recipe.seed, self.at.epoch]).permutation(
            len(self.train)
        )
        return np.array_split(order, self.steps)[self.at.step :]

    def _step(self, batch: Any, *, counts: bool) -> None:
        place = [self.recipe.seed, self.at.epoch, self.at.step, self.processes.rank]
        seeds = np.random.SeedSequence(place)
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        factor = rate_factor(self.at.done, self._planned(), self.recipe.warmup)
        self.learner.step(batch, self.at.done, factor, counts=counts)
        self.at.step += 1
        self.at.done += 1

    def _planned(self) -> int:
        planned = planned_steps(
            self.at.done,
            self.recipe.epochs * self.steps,
            stepping=self.at.stepping,
            elapsed=self.clock.elapsed,
            budget=self.recipe.budget,
        )
        # Each process has a clock of its own, and all must take the same number of steps.
        return planned if self.recipe.budget is None else self.processes.agreed(planned)

    def _close_epoch(self, begun: float) -> None:
        loss, accuracy = self.learner.close()
        if not math.isfinite(loss):
            raise InputError(
                f"The training loss became {loss} in epoch {self.at.epoch + 1}; use a lower "
                f"learning_rate (it is {self.recipe.learning_rate:g}) or precision='fp32'."
            )
        self.at.epoch += 1
        self._record(self.learner.optimizer.param_groups[-1]["lr"], loss, accuracy, begun)
        self.at.step, self.at.seconds = 0, 0.0
        stale = self.valid is not None and (
            self.at.epoch - self.at.best_epoch >= self.recipe.patience
        )
        self.at.finished = stale or self.at.done >= self._planned()
        if self.at.finished and self.valid is None:
            self.best = self.learner.kept()

    def _record(self, rate: float, loss: float, accuracy: float, begun: float) -> None:
        record = {
            "epoch": self.at.epoch,
            "learning_rate": rate,
            "train_loss": loss,
            "train_accuracy": accuracy,
            **({} if self.valid is None else self.learner.validated(self.valid)),
        }
        self.at.history.append({**record, "seconds": time.monotonic() - begun})
        if self.valid is not None and record["valid_loss"] < self.at.best_loss:
            self.at.best_loss, self.at.best_epoch = record["valid_loss"], self.at.epoch
            self.best = self.learner.kept()

    def _detail(self) -> str:
        planned = math.ceil(self._planned() / self.steps)
        text = f"epoch {min(self.at.epoch + 1, planned)}/{planned}"
        if not self.at.history:
            return text
        last = self.at.history[-1]
        text += f", loss {last['train_loss']:.3f}"
        if "valid_balanced_accuracy" in last:
            text += f", validation accuracy {last['valid_balanced_accuracy']:.1%}"
        return text

    def _save_is_due(self) -> bool:
        waited = time.monotonic() - self._saved
        return self.checkpoint is not None and self.processes.agreed(
            waited > _SECONDS_BETWEEN_CHECKPOINTS
        )

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {f"best.{name}": value for name, value in self.best.items()}
        if not self.at.finished:
            tensors |= self.learner.tensors()
        self.at.scaler = self.learner.scaler.state_dict()
        self.at.spent, self.at.waited = self.clock.elapsed, self.clock.waited
        if self.processes.leads:
            self.checkpoint.save(Snapshot(tensors, vars(self.at)))
        self._saved = time.monotonic()

    def _resume(self) -> bool:
        if self.checkpoint is None:
            return False
        snapshot = self.processes.agreed(self.checkpoint.load() if self.processes.leads else None)
        if snapshot is None:
            return False
        self.at = _Position(**snapshot.values)
        self.best = under("best", snapshot.tensors)
        self.clock.spent, self.clock.waited = self.at.spent, self.at.waited
        if not self.at.finished:
            self.learner.restore(snapshot.tensors)
            self.learner.scaler.load_state_dict(self.at.scaler)
            progress.note(f"Training goes on in epoch {self.at.epoch + 1}.")
        return True


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Seed freely inside without touching the caller's random numbers; no autotuned kernels."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield
