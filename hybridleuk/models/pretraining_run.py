"""How a pretraining runs: pictures, steps, a probe each epoch, and resuming to the same result."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hybridleuk import progress
from hybridleuk.embeddings.preprocessing import View
from hybridleuk.embeddings.runtime import Precision, autocast
from hybridleuk.exceptions import InputError
from hybridleuk.models.microscopes import CELL_ALONE, ONE_LABORATORY, OtherMicroscope
from hybridleuk.models.pretraining_methods import Method
from hybridleuk.models.pretraining_probe import found_again, neighbor_accuracy
from hybridleuk.models.training_checkpoint import (
    Checkpoint,
    Snapshot,
    optimizer_from_tensors,
    optimizer_to_tensors,
)
from hybridleuk.models.training_network import training_precision
from hybridleuk.models.training_recipe import rate_factor
from hybridleuk.segmentation.stain import estimate_background

__all__ = ["Pictures", "PretrainingRecipe", "Run"]

Array = npt.NDArray[Any]
_WARMUP = 0.05
_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_PROBED = 1000  # pictures of which the probe takes stock
_CHUNK = 64
_FOR_LABELS = OtherMicroscope(surroundings=0.0)


@dataclass(frozen=True)
class PretrainingRecipe:
    """How a backbone is pretrained.

    Parameters
    ----------
    method : {"simclr", "byol", "supervised"}, default "simclr"
    epochs : int, default 30
    batch_size : int, default 64
        Pictures, each shown twice but in "supervised".
    learning_rate : float, default 2e-3
        The highest, in a schedule of warm-up and half a cosine (AdamW).
    weight_decay : float, default 0.05
    view : {"image", "segmented", "cells"}, default "image"
        ``cells`` is the central, else the largest cell, alone on white.
    seed : int, default 0
    """

    method: str = "simclr"
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    view: View = "image"
    seed: int = 0

    def microscope(self) -> OtherMicroscope:
        """Return how differently a picture is shown: for labels more than without them."""
        if self.view == "cells":
            return CELL_ALONE
        return _FOR_LABELS if self.method == "supervised" else ONE_LABORATORY

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises
        ------
        InputError
        """
        for name, least in (("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}; expected a whole number from {least} on.")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"learning_rate is {self.learning_rate}; expected between 0 and 1.")


@dataclass(frozen=True)
class Pictures:
    """What is learned from: pixels (n, side, side, 3), codes, groups, and the network's input."""

    pixels: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.int64]
    groups: Any
    size: int

    def __len__(self) -> int:
        return len(self.pixels)

    def fingerprint(self, settings: Any) -> str:
        """Hash what a result depends on: settings, pictures and codes."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for array in (self.pixels, self.codes):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def light(self, rows: Array) -> torch.Tensor:
        """Return some pictures as light, (n, 3, side, side), 0..1."""
        return torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float() / 255

    def views(self, rows: Array, microscope: OtherMicroscope, n: int) -> list[torch.Tensor]:
        """Show some pictures `n` times under other microscopes."""
        light = self.light(rows)
        everywhere = torch.ones(len(rows), 1, *light.shape[2:])
        smear = np.stack([estimate_background(self.pixels[row]) for row in rows]) / 255
        return [
            microscope(light, everywhere, torch.from_numpy(smear).float(), side=self.size)
            for _ in range(n)
        ]


@dataclass
class _Position:
    """Where a training stands; all of it fits into JSON."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """One pretraining."""

    def __init__(
        self,
        learner: Method,
        pictures: Pictures,
        recipe: PretrainingRecipe,
        device: torch.device,
        precision: str,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.learner = learner.to(memory_format=torch.channels_last)
        self.pictures, self.recipe, self.device = pictures, recipe, device
        self.precision: Precision = training_precision(precision, device, learner)
        self.checkpoint = checkpoint
        learned = [p for p in learner.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.weight_decay},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        usable = len(pictures) if recipe.method != "supervised" else (pictures.codes >= 0).sum()
        self.steps = max(1, round(int(usable) / recipe.batch_size))
        self.at = _Position()
        self._saved = time.monotonic()

    def to_the_end(self) -> None:
        """Train all epochs that are left."""
        total = self.recipe.epochs * self.steps
        with progress.task("Pretraining", total, unit="batches") as task:
            if not self._resumed():
                self._record(None, 0.0, time.monotonic())
                self._save()  # a place that cannot be written is found now, not after an epoch
            task.advance(self.at.epoch * self.steps + self.at.step)
            while self.at.epoch < self.recipe.epochs:
                self._epoch(task)
        self.learner.eval()

    def _epoch(self, task: progress.Task) -> None:
        began = time.monotonic() - self.at.seconds
        for rows in self._batches()[self.at.step :]:
            rate = self._step(rows)
            self.at.step += 1
            self.at.seconds = time.monotonic() - began
            task.advance(detail=f"epoch {self.at.epoch + 1}/{self.recipe.epochs}")
            if time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
                self._save()
        loss = self.at.loss / self.steps
        if not math.isfinite(loss):
            raise InputError(
                f"The loss became {loss} in epoch {self.at.epoch + 1}; take a lower learning rate "
                f"(it is {self.recipe.learning_rate:g}) or the precision fp32."
            )
        self.at.epoch, self.at.step, self.at.loss, self.at.seconds = self.at.epoch + 1, 0, 0.0, 0.0
        self._record(loss, rate, began)
        self._save()

    def _batches(self) -> list[Array]:
        rows = np.arange(len(self.pictures))
        if self.recipe.method == "supervised":
            rows = rows[self.pictures.codes >= 0]
        order = np.random.default_rng([self.recipe.seed, self.at.epoch]).permutation(rows)
        return np.array_split(order, self.steps)

    def _step(self, rows: Array) -> float:
        done = self.at.epoch * self.steps + self.at.step
        total = self.recipe.epochs * self.steps
        rate = self.recipe.learning_rate * rate_factor(done, total, _WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seeds = np.random.SeedSequence([self.recipe.seed, self.at.epoch, self.at.step])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        views = self.pictures.views(rows, self.recipe.microscope(), self.learner.n_views)
        codes = torch.from_numpy(self.pictures.codes[rows]).to(self.device)
        self.learner.train()
        with autocast(self.device, self.precision):
            loss = self.learner.loss([view.to(self.device) for view in views], codes)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.learner.after_step((done + 1) / total)
        self.at.loss += float(loss.detach())
        return rate

    def _record(self, loss: float | None, rate: float, began: float) -> None:
        probe = self._probe()
        line = {"epoch": self.at.epoch, "learning_rate": rate, "loss": loss, "probe": probe}
        self.at.history.append({**line, "seconds": time.monotonic() - began})
        asked = "nearest neighbors" if (self.pictures.codes >= 0).any() else "found again"
        said = f"Epoch {self.at.epoch}/{self.recipe.epochs}: {asked} {probe:.1%}"
        progress.note(said if loss is None else f"{said}, loss {loss:.3f}.")

    def _probe(self) -> float:
        """Take stock of some of the pictures, always the same ones."""
        n = len(self.pictures)
        rows = np.random.default_rng(self.recipe.seed).permutation(n)[:_PROBED]
        if (self.pictures.codes[rows] >= 0).sum() < 2:
            with _seeded(self.recipe.seed):
                first, second = (self._embedded(np.sort(rows), shown=True) for _ in range(2))
            return found_again(first, second)
        groups = None if self.pictures.groups is None else np.asarray(self.pictures.groups)[rows]
        return neighbor_accuracy(self._embedded(rows), self.pictures.codes[rows], groups)

    @torch.inference_mode()
    def _embedded(self, rows: Array, shown: bool = False) -> npt.NDArray[np.float32]:
        self.learner.eval()
        parts = []
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            if shown:
                light = self.pictures.views(some, self.recipe.microscope(), 1)[0]
            else:
                side = (self.pictures.size,) * 2
                light = torch.nn.functional.interpolate(
                    self.pictures.light(some), side, mode="bilinear", antialias=True
                )
            parts.append(self.learner.trunk(light.to(self.device)).float().cpu().numpy())
        return np.concatenate(parts)

    def _save(self) -> None:
        if self.checkpoint is not None:
            tensors = {f"now.{k}": v for k, v in self.learner.state_dict().items()}
            tensors |= optimizer_to_tensors(self.optimizer)
            self.checkpoint.save(Snapshot(tensors, vars(self.at)))
        self._saved = time.monotonic()

    def _resumed(self) -> bool:
        snapshot = self.checkpoint.load() if self.checkpoint is not None else None
        if snapshot is None:
            self._tell_of_others()
            return False
        self.at = _Position(**snapshot.values)
        state = {k[4:]: v for k, v in snapshot.tensors.items() if k.startswith("now.")}
        self.learner.load_state_dict(state)
        optimizer_from_tensors(self.optimizer, snapshot.tensors)
        progress.note(f"Pretraining goes on in epoch {self.at.epoch + 1}.")
        return True

    def _tell_of_others(self) -> None:
        """Say why nothing is resumed where something might be expected to be."""
        folder = self.checkpoint.path.parent if self.checkpoint is not None else None
        if folder is not None and any(folder.glob("training-*.safetensors")):
            progress.note(
                f"{folder} holds the state of a training on other images or with other settings; "
                "this one begins anew."
            )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw the same random numbers each time, and leave the others alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
