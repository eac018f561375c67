"""Color of a region's pixels: RGB, HSV, Lab, optical density and amounts of stain.

All channels are computed per pixel by tables or elementwise, then summarised; pixels outside the
region are never looked at. Undefined values are 0.

Channels and their units: ``red``, ``green``, ``blue`` (0 to 255); ``hue`` (degrees from 90 to 450:
cut at yellow green, so that the reds of eosin on both sides of 360 stay together; grey is 360),
``saturation`` and ``value`` (0 to 1); ``lab_l`` (0 to 100), ``lab_a``, ``lab_b``; ``od_red``,
``od_green``, ``od_blue`` (decadic absorbance, 0 to 2.4); ``azure`` and ``eosin``, amounts of the
two Romanowsky dyes that explain the absorbance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.region import CellRegions, Region

__all__ = [
    "CHANNELS",
    "OPTICAL_DENSITY",
    "SKEWED",
    "basophilia",
    "color_channels",
    "color_mean",
    "color_skew",
    "color_std",
    "contrast",
    "contrast_to_background",
    "difference_lab",
    "green_percentile",
    "od_part",
    "optical_density",
    "stain_percentile",
]

CHANNELS = (
    "red",
    "green",
    "blue",
    "hue",
    "saturation",
    "value",
    "lab_l",
    "lab_a",
    "lab_b",
    "od_red",
    "od_green",
    "od_blue",
    "azure",
    "eosin",
)
SKEWED = ("lab_a", "lab_b", "od_red", "od_green", "od_blue")
HUE_CUT = 90.0

Floats = npt.NDArray[np.float64]

# Absorbance of an 8-bit value in a camera that is linear between 0 and 255; 0 counts as 1.
OPTICAL_DENSITY: Floats = -np.log10(np.maximum(np.arange(256), 1) / 255.0)

# Absorbance of methylene blue (azure) and eosin in R, G, B: the Giemsa vectors of Landini's
# Colour Deconvolution for ImageJ (method: Ruifrok and Johnston 2001).
_STAINS = np.array([[0.834750, 0.513556, 0.196330], [0.092789, 0.954111, 0.283111]])
_UNMIX: Floats = np.linalg.pinv(_STAINS)

_SKEWED = slice(CHANNELS.index(SKEWED[0]), CHANNELS.index(SKEWED[-1]) + 1)
_V = np.arange(256) / 255.0
_LINEAR: Floats = np.where(_V <= 0.04045, _V / 12.92, ((_V + 0.055) / 1.055) ** 2.4)
_RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_D65 = np.array([0.95047, 1.0, 1.08883])


def optical_density(rgb: npt.NDArray[np.uint8]) -> Floats:
    """Decadic absorbance ``-log10(v / 255)`` of each value."""
    return OPTICAL_DENSITY[rgb]


def color_channels(rgb: npt.NDArray[np.uint8]) -> Floats:
    """Convert pixels (n, 3) to the channels named in :data:`CHANNELS`, (14, n)."""
    density = optical_density(rgb.T)
    stains = np.maximum(_UNMIX.T @ density, 0.0)
    return np.concatenate([rgb.T.astype(np.float64), _hsv(rgb), _lab(rgb), density, stains])


def color_mean(region: Region, channel: str) -> float:
    """Mean of a channel."""
    return float(region.shared(_summary)[0, CHANNELS.index(channel)])


def color_std(region: Region, channel: str) -> float:
    """Measure the standard deviation of a channel."""
    return float(region.shared(_summary)[1, CHANNELS.index(channel)])


def color_skew(region: Region, channel: str) -> float:
    """Skewness of one of :data:`SKEWED`: third central moment over the cubed deviation."""
    return float(region.shared(_summary)[2, CHANNELS.index(channel)])


def green_percentile(region: Region, percent: float) -> float:
    """Absorbance in green that `percent` of the region's pixels reach at most."""
    counts = region.green_histogram
    if region.empty:
        return 0.0
    from_bright_to_dark = np.cumsum(counts[::-1])
    rank = np.searchsorted(from_bright_to_dark, percent / 100.0 * counts.sum())
    return float(OPTICAL_DENSITY[255 - rank])


def stain_percentile(region: Region, percent: float) -> float:
    """Percentile of the eosin part of a pixel's stain, eosin / (azure + eosin)."""
    parts = region.shared(_sorted_eosin_part)
    if not parts.size:
        return 0.0
    below, weight = divmod(percent / 100.0 * (parts.size - 1), 1.0)
    above = min(int(below) + 1, parts.size - 1)
    return float((1 - weight) * parts[int(below)] + weight * parts[above])


def basophilia(region: Region) -> float:
    """Azure part of the region's stain, azure / (azure + eosin): 1 is wholly basophilic."""
    azure, eosin = color_mean(region, "azure"), color_mean(region, "eosin")
    return azure / (azure + eosin) if azure + eosin else 0.0


def od_part(region: Region, channel: str) -> float:
    """Part of the absorbance that falls in od_red, od_green or od_blue: the hue of the stain."""
    means = {name: color_mean(region, name) for name in ("od_red", "od_green", "od_blue")}
    total = sum(means.values())
    return means[channel] / total if total else 0.0


def contrast(cell: CellRegions, channel: str) -> float:
    """Mean of a channel in the nucleus minus its mean in the cytoplasm.

    In ``od_*`` channels the brightness and color of the illumination cancel.
    """
    if cell.nucleus.empty or cell.cytoplasm.empty:
        return 0.0
    return color_mean(cell.nucleus, channel) - color_mean(cell.cytoplasm, channel)


def difference_lab(cell: CellRegions) -> float:
    """CIE 1976 color difference of the mean nucleus and the mean cytoplasm."""
    return float(np.linalg.norm([contrast(cell, f"lab_{axis}") for axis in "lab"]))


def contrast_to_background(cell: CellRegions, channel: str, *, part: str) -> float:
    """Mean absorbance of `part` minus that of the empty smear, in one of red, green, blue.

    It depends on what lies outside of the cell, and so on slide and microscope.
    """
    region: Region = getattr(cell, part)
    if region.empty:
        return 0.0
    empty = cell.background[("red", "green", "blue").index(channel)]
    return color_mean(region, f"od_{channel}") + float(np.log10(max(empty, 1.0) / 255.0))


def _channels(region: Region) -> Floats:
    return color_channels(region.pixels)


def _summary(region: Region) -> Floats:
    """Mean, standard deviation and skewness of each channel, (3, 14)."""
    if region.empty:
        return np.zeros((3, len(CHANNELS)))
    values = region.shared(_channels)
    mean = values.mean(axis=1)
    values = values - mean[:, None]
    std = np.sqrt(np.einsum("ij,ij->i", values, values) / values.shape[1])
    std[std <= 1e-9 * (1 + np.abs(mean))] = 0.0
    skewed = values[_SKEWED]
    third = np.einsum("ij,ij->i", skewed * skewed, skewed) / values.shape[1]
    skew = np.zeros_like(std)
    np.divide(third, std[_SKEWED] ** 3, out=third, where=std[_SKEWED] > 0)
    skew[_SKEWED] = np.where(std[_SKEWED] > 0, third, 0.0)
    return np.stack([mean, std, skew])


def _sorted_eosin_part(region: Region) -> Floats:
    azure, eosin = region.shared(_channels)[-2:]
    return np.sort(eosin / np.maximum(azure + eosin, 1e-6))


def _hsv(rgb: npt.NDArray[np.uint8]) -> Floats:
    red, green, blue = rgb.T.astype(np.float64)
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    with np.errstate(divide="ignore", invalid="ignore"):
        sector = np.where(
            value == red,
            (green - blue) / spread,
            np.where(value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
        )
        saturation = np.where(value > 0, spread / value, 0.0)
    hue = np.where(spread > 0, (60.0 * sector - HUE_CUT) % 360.0 + HUE_CUT, 360.0)
    return np.stack([hue, saturation, value / 255.0])


def _lab(rgb: npt.NDArray[np.uint8]) -> Floats:
    """CIE 1976 L*a*b* under D65 of sRGB values."""
    xyz = (_RGB_TO_XYZ / _D65[:, None]) @ _LINEAR[rgb.T]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
