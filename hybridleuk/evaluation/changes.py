"""Changes to an image that leave its diagnosis as it is.

Nothing here changes what a hematologist would call the cell. What a classifier loses on changed
images is what it drew from something else.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.painting import empty_ground, put_on
from hybridleuk.segmentation.stain import (
    estimate_background,
    optical_density,
    separate_stains,
    stain_vectors,
)

__all__ = ["CHANGES", "OTHER_CLASS", "SAME_CLASS", "Change", "change"]

Mask = npt.NDArray[np.bool_]

OTHER_CLASS = "background_of_other_class"
SAME_CLASS = "background_of_same_class"

STAIN_FACTORS = (0.8, 1.25)
WARMTH = (1.04, 1.0, 0.9)
BRIGHTNESS = 0.85
BLUR = 0.006  # of the shorter side
LEAST_BLUR = 0.7  # px
QUALITY = 30
SCALE = 0.8
_EVERY = 3  # pixel that the stains are learned from


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Attributes
    ----------
    name, label, description : str
        For the document, for a figure, and in a sentence.
    """

    name: str
    label: str
    description: str


CHANGES = (
    Change(
        OTHER_CLASS,
        "background of another class",
        "The leukocytes of the image on the background of an unseen image of another class, from "
        "which the leukocytes were painted out.",
    ),
    Change(
        SAME_CLASS,
        "background of the same class",
        "The same with an image of the same class, as a control: any exchange disturbs, but only "
        "what reads the background loses more by another class.",
    ),
    Change(
        "background_flat",
        "background flattened",
        "Everything but the leukocytes in the color of the image's empty smear: no red cells, no "
        "platelets, no texture.",
    ),
    Change(
        "stain",
        "stain shifted",
        f"The azure, nuclear stain at {STAIN_FACTORS[0]:g} and eosin at {STAIN_FACTORS[1]:g} times "
        "their amount, by color deconvolution.",
    ),
    Change(
        "warmth",
        "warmer light",
        f"Red times {WARMTH[0]:g} and blue times {WARMTH[2]:g}, as from a warmer lamp.",
    ),
    Change("brightness", "darker", f"Every level times {BRIGHTNESS:g}."),
    Change(
        "blur",
        "blurred",
        f"Gaussian blur with a standard deviation of {100 * BLUR:g} % of the shorter side, at "
        f"least {LEAST_BLUR:g} px.",
    ),
    Change("jpeg", f"JPEG quality {QUALITY}", f"Saved as JPEG of quality {QUALITY} and read."),
    Change(
        "scale",
        f"scale {SCALE:g}",
        f"Shrunk to {SCALE:g} of the size in a frame of the same size, as under less "
        "magnification; the margin is the image mirrored.",
    ),
)


def change(name: str, image: RGBImage, mask: Mask, ground: RGBImage | None = None) -> RGBImage:
    """Return a changed copy of an image.

    Parameters
    ----------
    name : str
        Of a change in :data:`CHANGES`.
    image : ndarray of shape (H, W, 3), uint8
    mask : ndarray of shape (H, W), bool
        Its leukocytes; needed where the background is changed.
    ground : ndarray of shape (h, w, 3), uint8, optional
        The new background where it is exchanged.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.changes import change
    >>> image = np.full((16, 16, 3), 200, np.uint8)
    >>> int(change("brightness", image, image[..., 0] > 0)[0, 0, 0])
    170
    """
    if name in (OTHER_CLASS, SAME_CLASS):
        assert ground is not None
        return put_on(image, mask, ground)
    if name == "background_flat":
        return put_on(image, mask, empty_ground(image))
    return _PLAIN[name](image)


def _restained(image: RGBImage) -> RGBImage:
    vectors = stain_vectors(image[::_EVERY, ::_EVERY])
    amounts = separate_stains(image, vectors)
    more = (amounts * (np.array(STAIN_FACTORS, np.float32) - 1)) @ vectors.astype(np.float32)
    # Only the difference is drawn, so that what the two stains do not explain stays as it is.
    density = optical_density(image, estimate_background(image))
    factor = 10.0 ** -np.maximum(more, -np.maximum(density, 0.0))
    return _levels(image * factor)


def _warmed(image: RGBImage) -> RGBImage:
    return _levels(image * np.array(WARMTH, np.float32))


def _darkened(image: RGBImage) -> RGBImage:
    return _levels(image * np.float32(BRIGHTNESS))


def _blurred(image: RGBImage) -> RGBImage:
    sigma = max(LEAST_BLUR, BLUR * min(image.shape[:2]))
    smooth = ndi.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest")
    return _levels(smooth)


def _recompressed(image: RGBImage) -> RGBImage:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=QUALITY)
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"))


def _shrunk(image: RGBImage) -> RGBImage:
    height, width = image.shape[:2]
    rows, columns = max(1, round(SCALE * height)), max(1, round(SCALE * width))
    small = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BICUBIC))
    top, left = (height - rows) // 2, (width - columns) // 2
    margins = ((top, height - rows - top), (left, width - columns - left), (0, 0))
    return np.pad(small, margins, mode="symmetric")


def _levels(values: npt.NDArray[Any]) -> RGBImage:
    levels: RGBImage = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


_PLAIN: dict[str, Callable[[RGBImage], RGBImage]] = {
    "stain": _restained,
    "warmth": _warmed,
    "brightness": _darkened,
    "blur": _blurred,
    "jpeg": _recompressed,
    "scale": _shrunk,
}
