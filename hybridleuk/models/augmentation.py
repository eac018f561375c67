"""Random changes of a training image under which a cell stays the cell it is.

A smear has no up and no down, so flips and any rotation are free. Magnification, stain and lamp
differ a little from slide to slide, so scale, optical density and brightness vary a little.
Nothing is sheared, cut out, inverted or mixed: the shape of the nucleus and the N:C ratio are the
diagnosis.

Everything runs on whole batches of tensors, on whatever device they are on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

__all__ = ["Augmentation"]

_DARKEST = 1.0 / 255.0


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; calling it changes a batch.

    Parameters
    ----------
    rotation : float, default 180.0
        Largest angle to either side in degrees.
    flip : bool, default True
        Mirror half of the images.
    scale : float, default 0.1
        Magnification between ``1 / (1 + scale)`` and ``1 + scale``, shape kept.
    shift : float, default 0.05
        Largest displacement, as a share of the image's side.
    stain : float, default 0.15
        Largest relative change of optical density, common to the three channels. By the law of
        Beer and Lambert, more dye multiplies the density: ``I' = I ** (1 + s)`` for transmitted
        light `I` in 0..1.
    tint : float, default 0.05
        The same, drawn for each channel: a dye of slightly other hue.
    brightness : float, default 0.08
        Largest relative change of the lamp: ``I' = I * (1 + b)``.

    Examples
    --------
    >>> import torch
    >>> from hybridleuk.models.augmentation import Augmentation
    >>> batch = torch.rand(2, 3, 32, 32)
    >>> Augmentation()(batch).shape
    torch.Size([2, 3, 32, 32])
    """

    rotation: float = 180.0
    flip: bool = True
    scale: float = 0.1
    shift: float = 0.05
    stain: float = 0.15
    tint: float = 0.05
    brightness: float = 0.08

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Change each image of a batch in its own way.

        Parameters
        ----------
        batch : tensor of shape (n, 3, height, width), float, 0..1
            Random numbers come from PyTorch's global generator, on the CPU, so that a seed means
            the same on every device.

        Returns
        -------
        tensor of the same shape, 0..1
        """
        return self.change_light(self.move(batch))

    def move(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn, mirror, scale and shift; what comes into view is the image's own reflection."""
        matrices = self._matrices(len(batch), batch.shape[3] / batch.shape[2]).to(batch.device)
        grid = functional.affine_grid(matrices, list(batch.shape), align_corners=False)
        return functional.grid_sample(
            batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )

    def change_light(self, batch: torch.Tensor) -> torch.Tensor:
        """Vary stain strength, hue of the stain, and brightness of the lamp."""
        n = len(batch)
        density = 1 + _uniform(n, 1, 1, 1, reach=self.stain) + _uniform(n, 3, 1, 1, reach=self.tint)
        lamp = 1 + _uniform(n, 1, 1, 1, reach=self.brightness)
        changed = batch.clamp(min=_DARKEST) ** density.to(batch.device)
        return changed.mul_(lamp.to(batch.device)).clamp_(0, 1)

    def _matrices(self, n: int, aspect: float) -> torch.Tensor:
        # affine_grid maps output to input positions, both in -1..1 whatever the sides are; `aspect`
        # keeps a rotation a rotation on images that are not square.
        angle = _uniform(n, reach=math.radians(self.rotation))
        zoom = torch.exp(_uniform(n, reach=math.log1p(self.scale)))
        mirror = 1.0 - 2.0 * (torch.rand(n) < 0.5) if self.flip else torch.ones(n)
        cosine, sine = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        across, down = _uniform(2, n, reach=2 * self.shift)
        rows = [mirror * cosine, -sine / aspect, across, mirror * sine * aspect, cosine, down]
        return torch.stack(rows, dim=1).view(n, 2, 3)


def _uniform(*shape: int, reach: float) -> torch.Tensor:
    return (2 * torch.rand(*shape) - 1) * reach
