"""Spots of a region, counted: granules and vacuoles of a cytoplasm.

A spot is narrower than a part of the region's equivalent diameter, and its absorbance in green
differs from what surrounds it; that is compared within the region, so that brightness and color of
the illumination cancel. Only the core counts, 4 % of the diameter or more away from the border,
where nucleus and background shine through. Undefined values are 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.color import OPTICAL_DENSITY
from hybridleuk.morphology.region import Region
from hybridleuk.morphology.texture import closed_and_opened, dilated

__all__ = ["SPOTS", "granule_count", "granule_share", "vacuole_count", "vacuole_share"]

# Widest width as a part of the equivalent diameter, least difference of absorbance.
SPOTS = {"granule": (0.05, 0.15), "vacuole": (0.1, 0.2)}
_LEAST_WIDTH = 0.02
_BORDER = 0.04


def granule_count(region: Region) -> float:
    """Count dark spots of at least (2 % of the diameter) squared."""
    return _count(region, "granule")


def granule_share(region: Region) -> float:
    """Part of the core that lies in dark spots, however small."""
    return _share(region, "granule")


def vacuole_count(region: Region) -> float:
    """Count bright spots of at least (2 % of the diameter) squared."""
    return _count(region, "vacuole")


def vacuole_share(region: Region) -> float:
    """Part of the core that lies in bright spots, however small."""
    return _share(region, "vacuole")


def _count(region: Region, kind: str) -> float:
    from scipy import ndimage

    spots = region.shared(_spots, kind)
    if not spots.any():
        return 0.0
    mask = np.zeros(region.mask.shape, dtype=bool)
    mask.ravel()[region.places[spots]] = True
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    smallest = (_LEAST_WIDTH * 2 * region.radius) ** 2
    return float(np.count_nonzero(np.bincount(labels.ravel())[1:] >= smallest))


def _share(region: Region, kind: str) -> float:
    core = np.count_nonzero(region.shared(_core))
    return float(np.count_nonzero(region.shared(_spots, kind)) / core) if core else 0.0


def _spots(region: Region, kind: str) -> npt.NDArray[np.bool_]:
    """Mark the pixels of the region (n,) that lie in spots of the core."""
    core = region.shared(_core)
    if not core.any():
        return core
    size, least_contrast = SPOTS[kind]
    closed, opened = region.shared(closed_and_opened, size)
    green = region.green.take(region.places)
    darker, brighter = (green, closed) if kind == "granule" else (opened, green)
    contrast = OPTICAL_DENSITY.take(darker) - OPTICAL_DENSITY.take(brighter)
    # Rounding must not decide where the contrast is the least one but for its last digit.
    return core & (contrast >= least_contrast - 1e-9)


def _core(region: Region) -> npt.NDArray[np.bool_]:
    """Mark the pixels of the region (n,) that are not close to its border."""
    if region.empty:
        return np.zeros(0, dtype=bool)
    reach = max(1, round(_BORDER * 2 * region.radius))
    near_outside = dilated((~region.padded)[None].view(np.uint8), reach)[0, 1:-1, 1:-1]
    return near_outside.take(region.places) == 0
