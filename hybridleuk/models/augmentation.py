"""Random changes of a training image under which a cell stays the cell it is.

A smear has no up and no down, so flips and any rotation are free. Magnification, stain, lamp and
focus differ a little from slide to slide, so scale, optical density, brightness and blur vary a
little. Nothing is sheared, cut out or inverted: the shape of the nucleus and the N:C ratio are the
diagnosis.

Pictures of one image that lie behind each other as further channels are turned, shifted, stained
and blurred alike.

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
    blur : float, default 0.5
        Largest share, 0 to 1, to which half of the images are mixed with themselves blurred by a
        binomial kernel of 5 x 5 px, whose standard deviation is 1 px.

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
    blur: float = 0.5

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Change each image of a batch in its own way.

        Parameters
        ----------
        batch : tensor of shape (n, 3 * views, height, width), float, 0..1
            Random numbers come from PyTorch's global generator, on the CPU, so that a seed means
            the same on every device.

        Returns
        -------
        tensor of the same shape, 0..1
        """
        return self.defocus(self.change_light(self.move(batch)))

    def move(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn, mirror, scale and shift; what comes into view is the image's own reflection."""
        matrices = self._matrices(len(batch), batch.shape[3] / batch.shape[2]).to(batch.device)
        grid = functional.affine_grid(matrices, list(batch.shape), align_corners=False)
        return functional.grid_sample(
            batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )

    def change_light(self, batch: torch.Tensor) -> torch.Tensor:
        """Vary stain strength, hue of the stain, and brightness of the lamp."""
        n, views = len(batch), batch.shape[1] // 3
        tint = _uniform(n, 3, 1, 1, reach=self.tint).repeat(1, views, 1, 1)
        density = 1 + _uniform(n, 1, 1, 1, reach=self.stain) + tint
        lamp = 1 + _uniform(n, 1, 1, 1, reach=self.brightness)
        changed = batch.clamp(min=_DARKEST) ** density.to(batch.device)
        return changed.mul_(lamp.to(batch.device)).clamp_(0, 1)

    def defocus(self, batch: torch.Tensor) -> torch.Tensor:
        """Blur half of the images, each by its own share."""
        n = len(batch)
        blurred = torch.rand(n) < 0.5
        shares = (self.blur * torch.rand(n))[blurred].view(-1, 1, 1, 1).to(batch.device)
        if self.blur == 0 or len(shares) == 0:
            return batch
        rows = blurred.nonzero()[:, 0].to(batch.device)
        sharp = batch[rows]
        return batch.index_copy(0, rows, torch.lerp(sharp, _binomial(sharp), shares))

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


def _binomial(batch: torch.Tensor) -> torch.Tensor:
    """Blur by (1, 4, 6, 4, 1) / 16 along both sides; the border is mirrored."""
    channels = batch.shape[1]
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=batch.device) / 16
    kernel = line.expand(channels, 1, 1, 5)
    padded = functional.pad(batch, (2, 2, 2, 2), mode="reflect")
    along = functional.conv2d(padded, kernel, groups=channels)
    return functional.conv2d(along, kernel.transpose(2, 3), groups=channels)


def _uniform(*shape: int, reach: float) -> torch.Tensor:
    return (2 * torch.rand(*shape) - 1) * reach
