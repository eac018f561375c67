"""The same cell as other microscopes, stains and cameras would show it: views for pretraining.

Fine-tuning changes an image a little (:mod:`~hybridleuk.models.augmentation`). Pretraining has to
learn what stays the same between laboratories, so here changes are as large as between them:
magnification, resolution and focus, amount and hue of the stain, lamp, noise, compression, and what
lies around the cell. Stain is changed in optical density (Beer and Lambert), where dyes add.

Everything runs on batches of tensors; random numbers come from torch's global generator, so a seed
gives the same views again.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

__all__ = ["CELL_ALONE", "ONE_LABORATORY", "OtherMicroscope"]

_OFFSET = 4.0 / 255.0  # added before a logarithm, as in hybridleuk.segmentation.stain
_GROUP = 8  # pictures that share a resolution


@dataclass(frozen=True)
class OtherMicroscope:
    """Ranges of the random changes; calling it shows a batch under other microscopes.

    Parameters
    ----------
    field : tuple of float, default (0.42, 1.15)
        Side of what is seen, as a share of the picture's, log-uniform: the magnification.
    rotation : float, default 180.0
        Largest angle to either side, degrees. Half of the pictures are mirrored.
    shift : float, default 0.08
        Largest displacement, as a share of the side.
    pixels : tuple of float, default (44.0, 180.0)
        Resolution: pixels the camera has along the side of what is seen, log-uniform.
    focus : float, default 1.2
        Largest standard deviation of a blur, px of the result.
    stain : float, default 0.25
        Standard deviation of the logarithm of the amount of stain.
    tint : float, default 0.2
        The same, for each channel apart.
    hue : float, default 0.1
        Standard deviation of what each channel takes over from the others.
    contrast : float, default 0.15
        Standard deviation of how much more than in proportion deep stain grows.
    lamp : float, default 0.3
        Largest loss of light, in all channels together and again in each.
    surroundings : float, default 0.5
        Share of pictures whose background fades, or is another picture's.
    noise : float, default 0.03
        Largest standard deviation of the camera's noise; light goes from 0 to 1.
    compressed : float, default 0.2
        Share of pictures that go through JPEG of quality 25 to 90.

    Examples
    --------
    >>> import torch
    >>> from hybridleuk.models.microscopes import OtherMicroscope
    >>> pictures, cell = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    >>> OtherMicroscope()(pictures, cell, torch.full((2, 3), 0.9), side=32).shape
    torch.Size([2, 3, 32, 32])
    """

    field: tuple[float, float] = (0.42, 1.15)
    rotation: float = 180.0
    shift: float = 0.08
    pixels: tuple[float, float] = (44.0, 180.0)
    focus: float = 1.2
    stain: float = 0.25
    tint: float = 0.2
    hue: float = 0.1
    contrast: float = 0.15
    lamp: float = 0.3
    surroundings: float = 0.5
    noise: float = 0.03
    compressed: float = 0.2

    def __call__(
        self, pictures: torch.Tensor, cell: torch.Tensor, smear: torch.Tensor, *, side: int
    ) -> torch.Tensor:
        """Show each picture in its own way.

        Parameters
        ----------
        pictures : tensor of shape (n, 3, H, W), float, 0..1
        cell : tensor of shape (n, 1, H, W), float, 0..1
            Where the cell is that has to stay; 1 everywhere where it is not known.
        smear : tensor of shape (n, 3), float, 0..1
            Color of the empty smear of each.
        side : int
            Of the result, px.

        Returns
        -------
        tensor of shape (n, 3, side, side), float, 0..1
        """
        seen = self._moved(torch.cat([pictures, cell], 1), side)
        shown = self._stained(seen[:, :3], seen[:, 3:], smear)
        return self._photographed(shown)

    def _moved(self, layers: torch.Tensor, side: int) -> torch.Tensor:
        """Turn, mirror, magnify and shift, and lose what a coarser camera or lens loses."""
        n = len(layers)
        size = [n, layers.shape[1], side, side]
        grid = functional.affine_grid(self._matrices(n), size, align_corners=False)
        moved = functional.grid_sample(
            layers, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        order = torch.randperm(n)
        groups = [order[start : start + _GROUP] for start in range(0, n, _GROUP)]
        result = layers.new_empty(n, layers.shape[1], side, side)
        for rows in groups:
            pixels = round(math.exp(_between(*map(math.log, self.pixels))))
            part = moved[rows]
            if pixels < side:
                part = _resized(_resized(part, pixels), side)
            result[rows] = _blurred(part, self.focus * float(torch.rand(())) ** 2)
        return result

    def _matrices(self, n: int) -> torch.Tensor:
        angle = _uniform(n) * math.radians(self.rotation)
        low, high = map(math.log, self.field)
        seen = torch.exp(low + (high - low) * torch.rand(n))
        mirror = 1.0 - 2.0 * (torch.rand(n) < 0.5)
        cosine, sine = torch.cos(angle) * seen, torch.sin(angle) * seen
        across, down = _uniform(2, n) * 2 * self.shift
        rows = [mirror * cosine, -sine, across, mirror * sine, cosine, down]
        return torch.stack(rows, dim=1).view(n, 2, 3)

    def _stained(
        self, light: torch.Tensor, cell: torch.Tensor, smear: torch.Tensor
    ) -> torch.Tensor:
        """Other stain, lamp and surroundings, in optical density against the empty smear."""
        n = len(light)
        empty = smear[:, :, None, None] + _OFFSET
        density = torch.log(empty / (light + _OFFSET))
        density = self._surrounded(density, cell)
        mixing = torch.eye(3) + self.hue * torch.randn(n, 3, 3)
        strength = torch.exp(self.stain * torch.randn(n, 1) + self.tint * torch.randn(n, 3))
        mixing = mixing * strength[:, :, None]
        density = torch.einsum("nij,njhw->nihw", mixing, density)
        bend = (self.contrast * torch.randn(n, 1, 1, 1)).clamp(-0.3, 0.3)
        density = density * (1 + bend * (density - 1))
        lamp = 1 - self.lamp * torch.rand(n, 1, 1, 1) * torch.rand(n, 1, 1, 1)
        lamp = lamp * (1 - self.lamp * torch.rand(n, 3, 1, 1) ** 2)
        return (lamp + _OFFSET) * torch.exp(-density) - _OFFSET

    def _surrounded(self, density: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        n = len(density)
        other = torch.randperm(n)
        chosen = (torch.rand(n, 1, 1, 1) < self.surroundings).to(density.dtype)
        own, foreign = torch.rand(n, 1, 1, 1), torch.rand(n, 1, 1, 1).round()
        around = own * density + foreign * (1 - cell[other]) * density[other]
        around = chosen * around + (1 - chosen) * density
        return cell * density + (1 - cell) * around

    def _photographed(self, light: torch.Tensor) -> torch.Tensor:
        n = len(light)
        noise = self.noise * torch.rand(n, 1, 1, 1) ** 2 * torch.randn(light.shape)
        light = (light + noise).clamp_(0, 1)
        for row in torch.nonzero(torch.rand(n) < self.compressed).flatten().tolist():
            light[row] = _compressed(light[row], int(torch.randint(25, 91, ())))
        return light


CELL_ALONE = OtherMicroscope(
    field=(0.9, 1.12),
    shift=0.03,
    pixels=(50.0, 180.0),
    stain=0.08,
    tint=0.06,
    hue=0.04,
    contrast=0.1,
    lamp=0.0,
    surroundings=0.0,
    noise=0.015,
    compressed=0.0,
)
"""Ranges for pictures of the view ``cells``, out of which microscopes were taken already."""

ONE_LABORATORY = OtherMicroscope(stain=0.12, tint=0.1, hue=0.05, lamp=0.15, surroundings=0.0)
"""Half the change of color, for learning without labels: with all of it too little stays the same.

Magnification, resolution and focus change as much as otherwise.
"""


def _uniform(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(*shape) - 1


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _resized(layers: torch.Tensor, side: int) -> torch.Tensor:
    return functional.interpolate(
        layers, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )


def _blurred(layers: torch.Tensor, deviation: float) -> torch.Tensor:
    if deviation < 0.2:
        return layers
    reach = math.ceil(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=layers.dtype)
    weights = torch.exp(-0.5 * (places / deviation) ** 2)
    weights = (weights / weights.sum()).repeat(layers.shape[1], 1, 1, 1)
    padded = functional.pad(layers, [reach] * 4, mode="reflect")
    padded = functional.conv2d(padded, weights, groups=layers.shape[1])
    return functional.conv2d(padded, weights.transpose(2, 3), groups=layers.shape[1])


def _compressed(light: torch.Tensor, quality: int) -> torch.Tensor:
    levels = (light * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    seen = np.array(Image.open(buffer))
    return torch.from_numpy(seen).permute(2, 0, 1).to(light.dtype) / 255
