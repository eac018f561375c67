"""One step of training, and what it changes: the network, its optimizer, its moving average."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hybridleuk.embeddings.runtime import autocast
from hybridleuk.models.calibrated_scores import best_temperature
from hybridleuk.models.training_checkpoint import optimizer_from_tensors, optimizer_to_tensors
from hybridleuk.models.training_data import Batch, LabelledPixels
from hybridleuk.models.training_network import ImageClassifier, start_head
from hybridleuk.models.training_processes import Processes
from hybridleuk.models.training_recipe import Recipe, average_decay, mixed, parameter_groups

__all__ = ["Learner"]

State = dict[str, torch.Tensor]


class Learner:
    """A network that learns from batches.

    Parameters
    ----------
    network : ImageClassifier
        Trained in place.
    recipe : Recipe
    class_weights : ndarray of shape (n_classes,)
    processes : Processes, optional
        Those that train it together.

    Attributes
    ----------
    average : ImageClassifier
        The moving average of the network's weights, which is what is validated and kept; the
        network itself where the recipe averages nothing.
    sums : Tensor of shape (3,)
        Loss times images, hits, and images of this process since the last :meth:`close`.
    """

    def __init__(
        self,
        network: ImageClassifier,
        recipe: Recipe,
        class_weights: npt.NDArray[np.float64],
        processes: Processes | None = None,
    ) -> None:
        device = recipe.device
        self.processes = processes or Processes()
        self.recipe = recipe
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.class_weights = torch.as_tensor(class_weights, dtype=torch.float32).to(device)
        self.optimizer = torch.optim.AdamW(parameter_groups(network, recipe))
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=recipe.precision == "fp16", init_scale=1024.0
        )
        self.average = copy.deepcopy(self.network) if recipe.averaging else self.network
        self.wrapped = self.processes.wrapped(self.network)
        self.sums = torch.zeros(3, device=device)

    def begin(self, data: LabelledPixels) -> tuple[float, float]:
        """Start with the linear probe; return its loss and accuracy on `data`."""
        self.network.start_measurements(self.recipe.seed)
        self.network.eval()
        parts = []
        with torch.inference_mode(), self._autocast():
            for batch in self._share(data).in_order(self.recipe.device):
                parts.append(self.network.joined(batch.images, batch.measured).cpu())
        features = self.processes.joined(torch.cat(parts), len(data))
        codes, weights = torch.from_numpy(data.labels), self.class_weights.cpu()
        if self.processes.leads:
            start_head(self.network, features.numpy(), codes.numpy(), weights.numpy())
        self.processes.same(self.network)
        self.average.load_state_dict(self.network.state_dict())
        with torch.inference_mode():
            scores = self.network.head_scores(features.to(self.recipe.device)).cpu()
        smoothing = self.recipe.label_smoothing
        loss = functional.cross_entropy(scores, codes, weights, label_smoothing=smoothing)
        return loss.item(), (scores.argmax(1) == codes).float().mean().item()

    def step(self, batch: Batch, number: int, factor: float, *, counts: bool = True) -> None:
        """Learn from one batch, with the learning rates at `factor` of their highest.

        Of several processes each gives its share of the batch, or, so that all take part in every
        exchange, any image that does not count. All randomness comes from torch's generator, which
        the caller has seeded.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * factor
        images = batch.images
        if self.recipe.augmentation is not None:
            images = self.recipe.augmentation(images)
        batch, targets = mixed(batch._replace(images=images), self.recipe, len(self.class_weights))
        total, n = self._weight_of(targets, counts)
        self.network.train()
        self.optimizer.zero_grad()
        parts = list(self._parts(batch, targets))
        for place, (part, wanted) in enumerate(parts, 1):
            with self.processes.part_of_step(self.wrapped, last=place == len(parts)):
                self._learn(part, wanted, total, n, counts)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if not self.network.frozen_statistics:
            self.processes.same(self.network, buffers_only=True)
        if self.average is not self.network:
            self._follow(average_decay(number, self.recipe.averaging))

    def close(self) -> tuple[float, float]:
        """Return mean loss and accuracy since the last call, and count anew."""
        loss, hits, count = self.processes.summed(self.sums).tolist()
        self.sums.zero_()
        return loss / count, hits / count

    @torch.inference_mode()
    def scores(self, data: LabelledPixels) -> torch.Tensor:
        """Return the averaged network's class scores of images as they are, (n, n_classes)."""
        self.average.eval()
        with self._autocast():
            parts = [
                self.average(batch.images, batch.measured).float()
                for batch in self._share(data).in_order(self.recipe.device)
            ]
        return self.processes.joined(torch.cat(parts), len(data))

    def validated(self, data: LabelledPixels) -> dict[str, float]:
        """Return loss and balanced accuracy on images that are not learned from.

        The loss is the one at the best temperature, since that is how the network will be used:
        label smoothing makes scores too even, and of two networks the loss of the raw scores
        would prefer the more confident to the better one.
        """
        scores = self.scores(data)
        codes = torch.from_numpy(data.labels).to(scores.device)
        temperature = best_temperature(scores.cpu().numpy()[None], data.labels)
        loss = functional.cross_entropy(scores / temperature, codes, self.class_weights)
        hits = (scores.argmax(1) == codes).float()
        recalls = [hits[codes == code].mean() for code in set(codes.tolist())]
        return self.processes.agreed(
            {
                "valid_loss": loss.item(),
                "valid_balanced_accuracy": torch.stack(recalls).mean().item(),
            }
        )

    def kept(self) -> State:
        """Copy the averaged weights."""
        return {n: value.detach().cpu().clone() for n, value in self.average.state_dict().items()}

    def tensors(self) -> State:
        """Return everything the next step depends on, for a checkpoint."""
        found = {f"now.{name}": value for name, value in self.network.state_dict().items()}
        if self.average is not self.network:
            state = self.average.state_dict()
            found |= {f"average.{name}": value for name, value in state.items()}
        return (
            found
            | optimizer_to_tensors(self.optimizer)
            | {"sums": self.processes.summed(self.sums)}
        )

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back to what :meth:`tensors` returned."""
        self.network.load_state_dict(under("now", tensors))
        if self.average is not self.network:
            self.average.load_state_dict(under("average", tensors))
        optimizer_from_tensors(self.optimizer, tensors)
        self.sums = tensors["sums"].to(self.recipe.device) * self.processes.leads

    def _share(self, data: LabelledPixels) -> LabelledPixels:
        return replace(data, rows=self.processes.share(data.rows))

    def _learn(
        self,
        batch: Batch,
        targets: torch.Tensor,
        total: torch.Tensor,
        n: torch.Tensor,
        counts: bool,
    ) -> None:
        with self._autocast():
            images = batch.images.contiguous(memory_format=torch.channels_last)
            scores = self.wrapped(images, batch.measured)
        scores = scores.float()
        loss = functional.cross_entropy(
            scores,
            targets,
            self.class_weights,
            reduction="sum",
            label_smoothing=self.recipe.label_smoothing,
        ).div(total)
        self.processes.backward(self.scaler.scale(loss) * counts)
        wanted = targets if targets.ndim == 1 else targets.argmax(1)
        hits = (scores.detach().argmax(1) == wanted).sum()
        sums = torch.stack([loss.detach() * n, hits, torch.full_like(hits, len(scores))])
        self.sums += sums * counts

    def _weight_of(self, targets: torch.Tensor, counts: bool) -> torch.Tensor:
        """Return weight and number of the images of a batch, those of all processes."""
        if targets.ndim == 1:
            weight = self.class_weights[targets].sum()
        else:
            weight = (targets @ self.class_weights).sum()
        n = torch.full_like(weight, len(targets))
        return self.processes.summed(torch.stack([weight, n]) * counts)

    def _parts(self, batch: Batch, targets: torch.Tensor) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Divide a batch into those that fit in memory, of which the gradients are summed."""
        size = -(-len(targets) // self.recipe.accumulate)
        for start in range(0, len(targets), size):
            yield batch.part(slice(start, start + size)), targets[start : start + size]

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        now, average = self.network.state_dict(), self.average.state_dict()
        moving = [name for name, value in average.items() if value.is_floating_point()]
        torch._foreach_lerp_([average[n] for n in moving], [now[n] for n in moving], 1 - decay)
        for name in average.keys() - set(moving):
            average[name].copy_(now[name])

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.recipe.device, self.recipe.precision)


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> State:
    """Take the tensors whose names begin with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
