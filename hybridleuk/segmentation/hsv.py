"""The published baseline: leukocytes as what is purple in HSV.

Ghaderzadeh et al. (Int. J. Intell. Syst. 37 (2022) 5113-5133) cut blasts out of smear fields by
thresholds in HSV color space before a network sees them. The road is kept here by name, so that it
can be compared against. The thresholds are fixed, as there; their values are this library's own.
It does not part nucleus from cytoplasm: what is purple counts as nucleus.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import fill_holes
from hybridleuk.segmentation.quality import CellMasks, assemble
from hybridleuk.segmentation.records import Cells

__all__ = ["HUE", "MAXIMUM_VALUE", "MINIMUM_SATURATION", "find_by_hsv", "purple"]

HUE = (0.61, 0.93)
MINIMUM_SATURATION = 0.25
MAXIMUM_VALUE = 0.90
_SMALLEST = 0.003


def purple(image: RGBImage) -> npt.NDArray[np.bool_]:
    """Mark pixels of a hue from blue to magenta that are saturated and not too bright."""
    from skimage.color import rgb2hsv

    hsv = rgb2hsv(image)
    inside: npt.NDArray[np.bool_] = (hsv[..., 0] >= HUE[0]) & (hsv[..., 0] <= HUE[1])
    return inside & (hsv[..., 1] >= MINIMUM_SATURATION) & (hsv[..., 2] <= MAXIMUM_VALUE)


def find_by_hsv(image: RGBImage) -> Cells:
    """Find leukocytes as purple things of at least 0.3 % of the image, opened and filled."""
    mask = fill_holes(ndi.binary_opening(purple(image), iterations=2))
    labels, n = ndi.label(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)
    boxes = ndi.find_objects(labels)
    found = [
        CellMasks(box, labels[box] == k, labels[box] == k)
        for k, box in enumerate(boxes, start=1)
        if areas[k] >= max(_SMALLEST * labels.size, 9)
    ]
    return assemble(found, labels.shape)
