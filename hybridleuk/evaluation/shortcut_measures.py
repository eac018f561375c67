"""What an image shows when its leukocytes are not looked at: the numbers behind shortcut baselines.

Each measure is a pure function of the image, and where it needs them of the leukocytes found in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import window_of
from hybridleuk.segmentation.painting import cells_mask, put_on
from hybridleuk.segmentation.records import Cells

__all__ = [
    "background_color",
    "background_only",
    "cell_only",
    "mean_color",
    "region_statistics",
    "thumbnail",
]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PERCENTILES = (10, 50, 90)
LAGS = (1, 2, 4)
_ROOM = 0.1  # around a cell that is cut out, as a part of its longer side
_CELL_SIDE = 8


def background_color(image: RGBImage) -> Array:
    """Median and standard deviation of R, G, B over the pixels brighter than Otsu on green.

    Six numbers, 0 to 255. An image of one green value throughout counts as all background.
    (Otsu 1979, IEEE Trans. Systems, Man and Cybernetics 9:62-66.)

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.shortcuts import background_color
    >>> image = np.full((20, 20, 3), 230, np.uint8); image[5:15, 5:15] = (90, 40, 120)
    >>> background_color(image).tolist()
    [230.0, 230.0, 230.0, 0.0, 0.0, 0.0]
    """
    green = image[..., 1]
    bright = green > _otsu(green)
    levels = [_Levels.of(channel) for channel in _channels(image, bright if bright.any() else None)]
    return np.array([*(c.percentile(50) for c in levels), *(c.std() for c in levels)])


def mean_color(image: RGBImage) -> Array:
    """Mean of R, G, B over the whole image: three numbers, 0 to 255."""
    mean: Array = image.reshape(-1, 3).mean(axis=0)
    return mean


def thumbnail(image: RGBImage, size: int = 8) -> Array:
    """Return the image shrunk to `size` x `size` by averaging: 3 * size**2 numbers, 0 to 255."""
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def background_only(image: RGBImage, cells: Cells) -> Array:
    """Color and texture of what is left when every leukocyte is painted out: 21 numbers.

    Neither the number nor the size of the leukocytes is among them. Red cells and platelets
    belong to the background. See :func:`region_statistics`.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    cells : Cells
        Found in `image`; where there are none, everything stained like a nucleus is painted out.
    """
    return region_statistics(image, ~cells_mask(image, cells))


def cell_only(image: RGBImage, cells: Cells) -> Array:
    """Color, texture, size and a thumbnail of the leukocytes alone on a flat ground: 216 numbers.

    No shortcut but its contrast: what can be told without any background. In order:
    :func:`region_statistics` of the leukocytes, their number and their share of the image, the
    share of the nuclei, and the 8 x 8 thumbnail of the leukocytes' surroundings with everything
    else painted white. All 0 where no leukocyte is found.
    """
    mask = cells.instances > 0
    if not mask.any():
        return np.zeros(21 + 3 + 3 * _CELL_SIDE**2)
    white = np.full_like(image, 255)
    sizes = [len(cells), mask.mean(), cells.nucleus.mean()]
    window = _roomy(window_of(mask), mask.shape)
    alone = thumbnail(put_on(image, mask, white)[window], _CELL_SIDE)
    return np.concatenate([region_statistics(image, mask), sizes, alone])


def region_statistics(image: RGBImage, mask: Mask) -> Array:
    """Color and texture of the masked pixels: 21 numbers, in levels of 0 to 255.

    The 10th, 50th and 90th percentile and the standard deviation of R, G and B, then per channel
    the mean absolute difference of pixels 1, 2 and 4 apart, down and across, where both are in the
    mask. All 0 where the mask is empty.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    mask : ndarray of shape (H, W), bool
    """
    if not mask.any():
        return np.zeros(3 * (len(PERCENTILES) + 1 + len(LAGS)))
    levels = [_Levels.of(channel) for channel in _channels(image, mask)]
    window = window_of(mask)
    planes, inside = np.ascontiguousarray(image[window].transpose(2, 0, 1)), mask[window]
    return np.array(
        [
            *(channel.percentile(q) for q in PERCENTILES for channel in levels),
            *(channel.std() for channel in levels),
            *(value for lag in LAGS for value in _roughness(planes, inside, lag)),
        ]
    )


def _channels(image: RGBImage, mask: Mask | None) -> list[npt.NDArray[np.uint8]]:
    """Levels of each channel, of the masked pixels or of all."""
    return [image[..., c].ravel() if mask is None else image[..., c][mask] for c in range(3)]


@dataclass(frozen=True)
class _Levels:
    """How often each level of 0 to 255 occurs: all that order statistics of pixels need."""

    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[np.uint8]) -> _Levels:
        return cls(np.bincount(values, minlength=256))

    def percentile(self, q: float) -> float:
        """Interpolate linearly between the two nearest of the sorted values, as NumPy does."""
        below = np.cumsum(self.counts)
        place = q / 100 * (int(below[-1]) - 1)
        lower = int(place)
        first, second = np.searchsorted(below, [lower, lower + 1], side="right")
        return float(first + (min(second, 255) - first) * (place - lower))

    def std(self) -> float:
        levels = np.arange(256)
        mean = self.counts @ levels / self.counts.sum()
        return float(np.sqrt(self.counts @ (levels - mean) ** 2 / self.counts.sum()))


def _roughness(planes: npt.NDArray[np.uint8], mask: Mask, lag: int) -> Array:
    """Mean absolute difference of pixels `lag` apart, of planes of shape (3, H, W)."""
    total, count = np.zeros(3), 0
    for here, there in (
        ((slice(lag, None), slice(None)), (slice(None, -lag), slice(None))),
        ((slice(None), slice(lag, None)), (slice(None), slice(None, -lag))),
    ):
        both = mask[here] & mask[there]
        for channel, plane in enumerate(planes):
            first, second = plane[here], plane[there]
            gap = (np.maximum(first, second) - np.minimum(first, second)) * both
            total[channel] += int(gap.sum(dtype=np.int64))
        count += int(both.sum())
    return total / max(count, 1)


def _roomy(window: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    room = round(_ROOM * max(side.stop - side.start for side in window)) + 1
    rows, columns = (
        slice(max(0, side.start - room), min(length, side.stop + room))
        for side, length in zip(window, shape, strict=True)
    )
    return rows, columns


def _otsu(values: npt.NDArray[np.uint8]) -> float:
    """Threshold that best parts grey values in two, by variance between the parts."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    mass = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    inside = (below > 0) & (above > 0)
    if not inside.any():
        return 255.0
    gap = mass[inside] / below[inside] - (mass[-1] - mass[inside]) / above[inside]
    between = below[inside] * above[inside] * gap**2
    return float(np.flatnonzero(inside)[np.argmax(between)])
