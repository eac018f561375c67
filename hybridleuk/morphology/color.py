"""Color of a region's pixels: RGB, HSV, Lab, optical density and amounts of stain.

Channels that depend on one byte per pixel are summarised from its histogram, the others pixel by
pixel; pixels outside the region are never looked at. Undefined values are 0.

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
    "PIXEL_CHANNELS",
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
# Those that depend on all three bytes of a pixel, and have to be computed one by one.
PIXEL_CHANNELS = ("hue", "saturation", "lab_l", "lab_a", "lab_b", "azure", "eosin")
SKEWED = ("lab_a", "lab_b", "od_red", "od_green", "od_blue")
HUE_CUT = 90.0

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
# Mean, standard deviation and skewness, channel by channel.
Moments = list[tuple[float, float, float]]

# Absorbance of an 8-bit value in a camera that is linear between 0 and 255; 0 counts as 1.
OPTICAL_DENSITY: Floats = -np.log10(np.maximum(np.arange(256), 1) / 255.0)

# Absorbance of methylene blue (azure) and eosin in R, G, B: the Giemsa vectors of Landini's
# Color Deconvolution for ImageJ (method: Ruifrok and Johnston 2001).
_STAINS = np.array([[0.834750, 0.513556, 0.196330], [0.092789, 0.954111, 0.283111]])
_UNMIX: Floats = np.linalg.pinv(_STAINS)

_OF_BYTES: Floats = np.stack([np.arange(256.0), OPTICAL_DENSITY])
_LAB_AB = slice(PIXEL_CHANNELS.index("lab_a"), PIXEL_CHANNELS.index("lab_b") + 1)
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


def color_channels(bands: npt.NDArray[np.uint8]) -> Singles:
    """Convert pixels, RGB (3, n), to the channels named in :data:`PIXEL_CHANNELS`, (7, n)."""
    bytes_ = bands.astype(np.intp)
    channels = np.empty((len(PIXEL_CHANNELS), bands.shape[1]), dtype=np.float32)
    channels[:2] = _hue_and_saturation(bands)
    channels[2:5] = _lab(_LINEAR.take(bytes_))
    channels[5:] = np.maximum(_UNMIX.T @ OPTICAL_DENSITY.take(bytes_), 0.0)
    return channels


def color_mean(region: Region, channel: str) -> float:
    """Mean of a channel."""
    return region.shared(_summary)[channel][0]


def color_std(region: Region, channel: str) -> float:
    """Measure the standard deviation of a channel."""
    return region.shared(_summary)[channel][1]


def color_skew(region: Region, channel: str) -> float:
    """Skewness of one of :data:`SKEWED`: third central moment over the cubed deviation."""
    return region.shared(_summary)[channel][2]


def green_percentile(region: Region, percent: float) -> float:
    """Absorbance in green that `percent` of the region's pixels reach at most."""
    counts = region.green_histogram
    if region.empty:
        return 0.0
    from_bright_to_dark = np.cumsum(counts[::-1])
    rank = np.searchsorted(from_bright_to_dark, percent / 100.0 * region.area)
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


def _channels(region: Region) -> Singles:
    return color_channels(region.bands)


def _summary(region: Region) -> dict[str, tuple[float, float, float]]:
    """Mean, standard deviation and skewness of each channel."""
    if region.empty:
        return dict.fromkeys(CHANNELS, (0.0, 0.0, 0.0))
    red, green, blue = bands = region.bands
    brightest = np.maximum(np.maximum(red, green), blue)
    counts = np.stack([np.bincount(band, minlength=256) for band in (*bands, brightest)])
    grey, density = _moments_of_histograms(counts)
    summary = dict(zip(("red", "green", "blue"), grey, strict=False))
    summary |= dict(zip(("od_red", "od_green", "od_blue"), density, strict=False))
    summary["value"] = (grey[3][0] / 255, grey[3][1] / 255, grey[3][2])
    return summary | dict(zip(PIXEL_CHANNELS, _moments(region.shared(_channels)), strict=True))


def _moments_of_histograms(counts: npt.NDArray[np.int64]) -> tuple[Moments, Moments]:
    """Return the moments of grey value and of absorbance, given how often each byte occurs."""
    n = counts[0].sum()
    means = _OF_BYTES @ counts.T / n
    centered = _OF_BYTES[:, None] - means[:, :, None]
    weighted = centered * centered * counts
    variances, thirds = weighted.sum(axis=2) / n, (weighted * centered).sum(axis=2) / n
    grey, density = map(_standardized, means, variances, thirds)
    return grey, density


def _moments(values: Singles) -> Moments:
    """Return the moments of each row (k, n); skewness only of lab_a and lab_b, else 0."""
    centered = values.astype(np.float64)
    means = centered.mean(axis=1)
    centered -= means[:, None]
    thirds, skewed = np.zeros(len(values)), centered[_LAB_AB]
    thirds[_LAB_AB] = np.einsum("ij,ij->i", skewed * skewed, skewed)
    squares = np.einsum("ij,ij->i", centered, centered)
    return _standardized(means, squares / values.shape[1], thirds / values.shape[1])


def _standardized(means: Floats, variances: Floats, thirds: Floats) -> Moments:
    std = np.sqrt(variances)
    std[std <= 1e-9 * (1 + np.abs(means))] = 0.0
    skew = np.divide(thirds, std**3, out=np.zeros_like(std), where=std > 0)
    return list(zip(means.tolist(), std.tolist(), skew.tolist(), strict=True))


def _sorted_eosin_part(region: Region) -> Singles:
    azure, eosin = region.shared(_channels)[-2:]
    return np.sort(eosin / np.maximum(azure + eosin, np.float32(1e-6)))


def _hue_and_saturation(bands: npt.NDArray[np.uint8]) -> Singles:
    red, green, blue = bands.astype(np.float32)
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    is_red, is_green = value == red, value == green
    step = np.where(is_red, green - blue, np.where(is_green, blue - red, red - green))
    sixth = np.where(is_red, np.float32(0), np.where(is_green, np.float32(120), np.float32(240)))
    colored = spread > 0
    hue = sixth + 60 * step / np.where(colored, spread, np.float32(1))
    hue[hue < HUE_CUT] += 360
    hue[~colored] = 360
    return np.stack([hue, spread / np.maximum(value, np.float32(1))])


def _lab(linear: Floats) -> Singles:
    """CIE 1976 L*a*b* under D65 of linear sRGB (3, n)."""
    xyz = ((_RGB_TO_XYZ / _D65[:, None]) @ linear).astype(np.float32)
    f = np.cbrt(xyz)
    dark = xyz <= 0.008856
    f[dark] = 7.787 * xyz[dark] + 16 / 116
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
