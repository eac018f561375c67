"""What a backbone learns by: SimCLR and BYOL without labels, classes with them.

Losses and heads of the first two are those of lightly (MIT), which has to be installed for them:
``pip install 'hybridleuk[pretrain]'``.

References
----------
Chen et al., A simple framework for contrastive learning of visual representations, ICML 2020;
Grill et al., Bootstrap your own latent, NeurIPS 2020.
"""

from __future__ import annotations

import copy
import math
from contextlib import suppress
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from hybridleuk.embeddings.pooling import as_map
from hybridleuk.embeddings.records import OUTPUT, Backbone
from hybridleuk.exceptions import InputError

__all__ = ["METHODS", "Method", "Trunk", "make_method"]

METHODS = ("simclr", "byol", "supervised")
_TEMPERATURE = 0.2
_SMOOTHING = 0.1
_MOMENTUM = 0.99
_LEAST_HIDDEN, _SAID = 256, 128


class _Reached(Exception):
    """The map is there: what follows in the network need not be computed."""


class Trunk(nn.Module):
    """A backbone up to its deepest layer, standardisation included: light in, rows out.

    Parameters
    ----------
    network : torch.nn.Module
        Complete; trained in place.
    record : Backbone
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, record: Backbone) -> None:
        super().__init__()
        self.network = network
        self.record = record
        self.register_buffer("mean", torch.tensor(record.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(record.std).view(1, 3, 1, 1))

    def forward(self, light: torch.Tensor) -> torch.Tensor:
        """Map pictures (n, 3, h, w), 0..1, to the mean over the deepest map, (n, width)."""
        values = ((light - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        deepest = self._deepest(values)
        maps = as_map(deepest, self.record.prefix_tokens, self.record.channels_last)
        if self.record.default_layer in self.record.rectified:
            maps = torch.relu(maps)
        return maps.mean((2, 3), dtype=torch.float32)

    def _deepest(self, values: torch.Tensor) -> torch.Tensor:
        if self.record.default_layer == OUTPUT:
            return cast(torch.Tensor, self.network.forward_features(values))  # type: ignore[operator]
        seen: list[torch.Tensor] = []

        def keep(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            seen.append(output)
            raise _Reached

        handle = self.network.get_submodule(self.record.default_layer).register_forward_hook(keep)
        try:
            with suppress(_Reached):
                self.network(values)
        finally:
            handle.remove()
        return seen[0]


class Method(nn.Module):
    """A trunk with what is needed only while it learns.

    Parameters
    ----------
    trunk : Trunk
    """

    n_views = 2

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def loss(self, views: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        """Return the loss of `n_views` views (n, 3, h, w) of the same pictures."""
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Do what follows each step; `progress` goes from 0 to 1."""


class _Supervised(Method):
    """Cross-entropy of the classes; -1 is no class."""

    n_views = 1

    def __init__(self, trunk: Trunk, n_classes: int) -> None:
        super().__init__(trunk)
        self.head = nn.Linear(trunk.record.width, n_classes)

    def loss(self, views: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        scores = self.head(self.trunk(views[0]))
        return functional.cross_entropy(scores, codes, label_smoothing=_SMOOTHING)


class _SimCLR(Method):
    """Two views of a picture are to be told from views of all others."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        _needs_lightly()
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import SimCLRProjectionHead

        width = trunk.record.width
        self.head = SimCLRProjectionHead(width, max(width, _LEAST_HIDDEN), _SAID)
        self.criterion = NTXentLoss(temperature=_TEMPERATURE)

    def loss(self, views: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        first, second = self.head(self.trunk(torch.cat(views))).chunk(2)
        return cast(torch.Tensor, self.criterion(first, second))


class _BYOL(Method):
    """One view is to say what a slower copy of the network says of the other."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        _needs_lightly()
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead

        width = trunk.record.width
        hidden = max(width, _LEAST_HIDDEN)
        self.head = BYOLProjectionHead(width, hidden, _SAID)
        self.predictor = BYOLPredictionHead(_SAID, hidden, _SAID)
        self.slow_trunk = copy.deepcopy(trunk).requires_grad_(False)
        self.slow_head = copy.deepcopy(self.head).requires_grad_(False)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        both = torch.cat(views)
        first, second = self.predictor(self.head(self.trunk(both))).chunk(2)
        with torch.no_grad():
            slow_first, slow_second = self.slow_head(self.slow_trunk(both)).chunk(2)
        apart = self.criterion(first, slow_second) + self.criterion(second, slow_first)
        return cast(torch.Tensor, apart / 2)

    def after_step(self, progress: float) -> None:
        from lightly.models.utils import update_momentum

        keep = 1 - (1 - _MOMENTUM) * (math.cos(math.pi * progress) + 1) / 2
        update_momentum(self.trunk, self.slow_trunk, keep)
        update_momentum(self.head, self.slow_head, keep)


def make_method(name: str, trunk: Trunk, n_classes: int) -> Method:
    """Make a method by name; heads are drawn from torch's global generator.

    Raises
    ------
    InputError
        There is none of this name, or lightly, which it needs, is not installed.
    """
    if name == "supervised":
        return _Supervised(trunk, n_classes)
    if name == "simclr":
        return _SimCLR(trunk)
    if name == "byol":
        return _BYOL(trunk)
    raise InputError(f"method is {name!r}; expected one of {', '.join(METHODS)}.")


def _needs_lightly() -> None:
    import importlib.util

    if importlib.util.find_spec("lightly") is None:
        raise InputError(
            "Learning without labels is done with lightly, which is not installed; install it with "
            "pip install 'hybridleuk[pretrain]', or choose the method 'supervised'."
        )
