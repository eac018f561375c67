"""Cells of a field as boxes with scores, seen by a small network at one scale for all microscopes.

A field is first brought to the scale at which a red cell has a radius of 13 px, and to optical
density, so that magnification, lamp and camera matter little; then
:mod:`~hybridleuk.segmentation.detector_network` looks at it. Its weights are part of the package
(``weights/field_detector.safetensors``, trained by ``benchmarks/train_detector.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.stain import estimate_background, optical_density

if TYPE_CHECKING:
    from hybridleuk.segmentation.detector_network import FieldNetwork

__all__ = [
    "DETECTOR_VERSION",
    "KINDS",
    "RADIUS",
    "Detections",
    "detect",
    "overlaps",
    "scaled_density",
]

DETECTOR_VERSION = 1
KINDS = ("WBC", "RBC", "Platelets")
RADIUS = 13.0
_WEIGHTS = "field_detector.safetensors"
_LEAST_SCORE = 0.1
_SAME_CELL = 0.55
_LARGEST_SIDE = 12_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detections:
    """What the network sees in one field.

    Attributes
    ----------
    boxes : dict of str to ndarray of shape (n, 4)
        For each of :data:`KINDS`, ``(y0, x0, y1, x1)`` in pixels of the image, the most certain
        first, cut at the border.
    scores : dict of str to ndarray of shape (n,)
        Probability that it is such a cell, 0.1 to 1.
    red_radius : float or None
        Median radius of the red cells seen, in pixels; None where fewer than three are.
    leukocyte_map : ndarray of shape (h, w)
        Probability that the center of a leukocyte lies at a place.
    """

    boxes: dict[str, Floats]
    scores: dict[str, Floats]
    red_radius: float | None
    leukocyte_map: Floats


def detect(image: RGBImage, red_radius: float) -> Detections:
    """Find the cells of a field.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    red_radius : float
        Radius of a red cell in pixels; right within a third.
    """
    import torch

    from hybridleuk.segmentation.detector_network import predict_maps

    density = scaled_density(image, red_radius)
    channels = torch.from_numpy(np.ascontiguousarray(density.transpose(2, 0, 1)))
    centers, sizes = (maps.numpy() for maps in predict_maps(_network(), channels))
    scale = np.array([n / m for n, m in zip(image.shape[:2], density.shape[:2], strict=True)])
    limits = np.tile(np.array(image.shape[:2], dtype=float), 2)
    boxes, scores = {}, {}
    for k, kind in enumerate(KINDS):
        found, certain = _peaks(centers[k], sizes[2 * k : 2 * k + 2])
        boxes[kind] = np.clip(found * np.tile(scale, 2), 0.0, limits)
        scores[kind] = certain
    return Detections(boxes, scores, _red_radius(boxes["RBC"], scores["RBC"], limits), centers[0])


def scaled_density(image: RGBImage, red_radius: float) -> npt.NDArray[np.float32]:
    """Optical density at the scale where a red cell of `red_radius` px has one of 13 px."""
    ratio = min(RADIUS / red_radius, _LARGEST_SIDE / max(image.shape[:2]))
    shape = tuple(max(16, round(side * ratio)) for side in image.shape[:2])
    small = np.rint(resample(image, (shape[0], shape[1]))).astype(np.uint8)
    return optical_density(small, estimate_background(small))


@lru_cache(maxsize=1)
def _network() -> FieldNetwork:
    from safetensors.torch import load

    from hybridleuk.segmentation.detector_network import FieldNetwork

    package = resources.files("hybridleuk.segmentation")
    weights = load((package / "weights" / _WEIGHTS).read_bytes())
    network = FieldNetwork()
    network.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return network.eval()


def _peaks(centers: npt.NDArray[Any], sizes: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Boxes, in pixels of the scaled image, at the peaks of a map of centers; one for each cell."""
    from hybridleuk.segmentation.detector_network import STRIDE

    peak = (centers == ndi.maximum_filter(centers, size=3)) & (centers >= _LEAST_SCORE)
    y, x = np.nonzero(peak)
    scores = centers[y, x].astype(np.float64)
    half = np.exp(np.clip(sizes[:, y, x].astype(np.float64), -3.0, 3.0)).T * RADIUS / 2
    middle = np.stack([y + 0.5, x + 0.5], axis=1) * STRIDE
    boxes = np.hstack([middle - half, middle + half])
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for k in order:
        if not kept or overlaps(boxes[k], boxes[kept]).max() < _SAME_CELL:
            kept.append(int(k))
    return boxes[kept].reshape(-1, 4), scores[kept]


def overlaps(box: npt.NDArray[Any], others: npt.NDArray[Any]) -> Floats:
    """Intersection over union of one box with others, all ``(y0, x0, y1, x1)``."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), dtype=np.float64)


def _red_radius(boxes: Floats, scores: Floats, limits: Floats) -> float | None:
    """Half the median of the root of height times width, over whole red cells seen well."""
    whole = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < limits[2:]).all(axis=1)
    sure = whole & (scores >= 0.3)
    if sure.sum() < 3:
        return None
    sides = boxes[sure, 2:] - boxes[sure, :2]
    return float(np.median(np.sqrt(sides.prod(axis=1))) / 2)
