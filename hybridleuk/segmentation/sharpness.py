"""How sharp a nucleus is seen: the width of its edge beside its own size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.segmentation.masks import grow, peel

__all__ = ["edge_width"]

_ALONG, _AROUND = 0.15, 0.5
_STEEPEST = 90
_FEWEST = 30


def edge_width(density: npt.NDArray[Any], nucleus: npt.NDArray[np.bool_]) -> float:
    """Width of a nucleus's edge as a share of the nucleus's radius.

    The contrast of the nucleus to what lies within half a radius around it, over the slope that
    only the steepest tenth of its edge exceeds: where the edge is a straight ramp, the ramp's
    length. Contrast cancels, so a pale cell is not taken for a blurred one.

    Parameters
    ----------
    density : ndarray of shape (H, W)
        Optical density, in one channel.
    nucleus : ndarray of shape (H, W), bool

    Returns
    -------
    float
        Above 0; 0 where the nucleus has under 30 pixels, no surroundings, or no more density than
        they have.
    """
    if np.count_nonzero(nucleus) < _FEWEST:
        return 0.0
    radius = float(np.sqrt(np.count_nonzero(nucleus) / np.pi))
    reach = max(2, round(_ALONG * radius))
    wider = grow(nucleus, reach)
    around = grow(nucleus, max(reach + 1, round(_AROUND * radius))) & ~wider
    if not around.any():
        return 0.0
    contrast = float(np.median(density[nucleus]) - np.median(density[around]))
    slope = np.hypot(ndi.sobel(density, 0), ndi.sobel(density, 1)) / 8.0
    steepest = float(np.percentile(slope[wider & ~peel(nucleus, reach)], _STEEPEST))
    return max(contrast, 0.0) / max(steepest, 1e-6) / radius
