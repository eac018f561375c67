"""Patients, their stain and their camera: from amounts of stain to an 8-bit picture.

Light passes the smear by the law of Beer and Lambert: the optical density of each color channel
is the sum over the stains of amount times the stain's density in that channel (Ruifrok and
Johnston, Anal. Quant. Cytol. Histol. 23 (2001) 291-299). What arrives is tinted by the lamp,
darker towards a corner, blurred by the optics, and then recorded by a camera with gains, a gamma,
noise, coarser color than brightness, and the quantised 8 x 8 cosine transform of a JPEG file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from hybridleuk.data.artificial_kinds import draw_offsets
from hybridleuk.data.images import RGBImage

__all__ = ["STAINS", "Patient", "develop", "draw_patient"]

Vector = tuple[float, float, float]

STAINS = ("azure", "blue", "eosin", "hemoglobin")
# Optical density of each stain at amount 1 in red, green and blue, natural logarithm, as measured
# from the nuclei, cytoplasm, granules and red cells of Romanowsky-stained smears.
_STAIN_VECTORS: tuple[Vector, ...] = (
    (1.26, 1.92, 0.52),
    (1.05, 0.92, 0.14),
    (0.30, 0.80, 0.50),
    (0.23, 0.34, 0.19),
)
_LUMA = np.array([0.299, 0.587, 0.114])
# One row of the luminance table of the JPEG standard's annex K, repeated with growing order.
_QUANTA = 10.0 + 3.2 * np.add.outer(np.arange(8), np.arange(8)) ** 1.2


@dataclass(frozen=True)
class Patient:
    """One patient's smear: its stain, the microscope and camera it was seen with, its red cells.

    Without arguments this is a plain, sharp, evenly lit smear. :func:`draw_patient` draws others.

    Attributes
    ----------
    stain_vectors : tuple of 4 (R, G, B)
        Optical density at amount 1 of the stains in :data:`STAINS`, natural logarithm.
    stain_strength : tuple of 4 float
        Factor on the amount of each stain.
    light : (R, G, B)
        What an empty place of the smear shows, in levels of 0 to 255.
    vignette : float
        Part of the light missing where the picture is darkest.
    bright_point : (y, x)
        Where the light is strongest, as fractions of height and width.
    gamma : float
        Exponent of the camera's response.
    blur : float
        Standard deviation of the point spread, in px.
    noise : float
        Standard deviation of the sensor's noise at full light, in levels.
    softness : float
        Coarseness of the JPEG-like quantisation; 0 for none, 1 for about quality 50.
    pallor, red_cell_blur, crenation, red_cell_density, platelet_density : float
        Red cells: depth of the pale centre, extra blur (um), part of cells that are crenated;
        red cells and platelets per 1000 square micrometres.
    offsets : tuple of (trait, float)
        What the patient's leukocytes have in common, in standard deviations of a trait.
    """

    stain_vectors: tuple[Vector, ...] = _STAIN_VECTORS
    stain_strength: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    light: Vector = (250.0, 230.0, 208.0)
    vignette: float = 0.04
    bright_point: tuple[float, float] = (0.5, 0.5)
    gamma: float = 1.0
    blur: float = 0.5
    noise: float = 1.5
    softness: float = 0.1
    pallor: float = 0.55
    red_cell_blur: float = 0.12
    crenation: float = 0.05
    red_cell_density: float = 9.0
    platelet_density: float = 1.2
    offsets: tuple[tuple[str, float], ...] = field(default=(), repr=False)

    def illumination(self, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Compute the light that reaches each pixel of a (height, width) picture, at most 1."""
        y = np.linspace(0, 1, shape[0])[:, None] - self.bright_point[0]
        x = np.linspace(0, 1, shape[1])[None, :] - self.bright_point[1]
        distance2 = y**2 + x**2
        darkest = max(float(distance2.max()), 1e-12)
        return 1 - self.vignette * distance2 / darkest


def draw_patient(random_state: int | np.random.Generator = 0) -> Patient:
    """Draw a patient with a stain, a microscope and a camera of their own.

    Parameters
    ----------
    random_state : int or numpy Generator, default 0

    Examples
    --------
    >>> from hybridleuk.data.artificial import draw_patient
    >>> draw_patient(1) == draw_patient(1), draw_patient(1) == draw_patient(2)
    (True, False)
    """
    rng = np.random.default_rng(random_state)
    hue = rng.normal(0, [[0.04], [0.07], [0.08], [0.09]], (len(STAINS), 3))
    vectors = np.array(_STAIN_VECTORS) * np.exp(hue)
    strength = np.exp(rng.normal(0, [0.07, 0.14, 0.16, 0.16]))
    light = (
        238
        * np.exp(rng.normal(0, 0.03))
        * np.exp(rng.normal([0.03, 0, -0.06], [0.025, 0.015, 0.055]))
    )
    return Patient(
        stain_vectors=tuple(_vector(row) for row in vectors),
        stain_strength=(
            float(strength[0]), float(strength[1]), float(strength[2]), float(strength[3]),
        ),
        light=_vector(np.minimum(light, 252)),
        vignette=float(rng.uniform(0.01, 0.14)),
        bright_point=(float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.8))),
        gamma=float(rng.uniform(0.9, 1.12)),
        blur=float(rng.uniform(0.4, 1.0)),
        noise=float(rng.uniform(0.8, 2.8)),
        softness=float(rng.uniform(0.0, 0.5)),
        pallor=float(rng.uniform(0.3, 0.75)),
        red_cell_blur=float(rng.uniform(0.05, 0.3)),
        crenation=float(rng.choice([0.0, 0.0, 0.05, 0.3])),
        red_cell_density=float(rng.uniform(7.0, 13.0)),
        platelet_density=float(rng.uniform(0.5, 2.0)),
        offsets=draw_offsets(rng),
    )  # fmt: skip


def develop(
    amounts: npt.NDArray[np.float64],
    patient: Patient,
    rng: np.random.Generator,
    *,
    background: npt.NDArray[np.float64] | None = None,
) -> RGBImage:
    """Turn amounts of stain into the picture that a patient's camera takes of them.

    Parameters
    ----------
    amounts : ndarray of shape (H, W, 4)
        Amount of each stain in :data:`STAINS`.
    patient : Patient
    rng : numpy Generator
        Draws the sensor's noise.
    background : ndarray of shape (H, W, 3), optional
        Optical density that is added to that of the stains.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    vectors = np.array(patient.stain_vectors) * np.array(patient.stain_strength)[:, None]
    density = amounts @ vectors
    if background is not None:
        density = density + background
    light = np.exp(-density) * patient.illumination(amounts.shape[:2])[:, :, None]
    # A little stray light keeps the darkest nuclei from black, as any lens does.
    levels = 255 * (0.02 + 0.98 * light) ** patient.gamma * (np.array(patient.light) / 255)
    levels = ndimage.gaussian_filter(levels, (patient.blur, patient.blur, 0), mode="nearest")
    levels = _with_noise(levels, patient.noise, rng)
    if patient.softness > 0:
        levels = _compressed(levels, patient.softness)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _with_noise(
    levels: npt.NDArray[np.float64], noise: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Add photon noise, mostly common to the channels, as a color filter's interpolation does."""
    grain = 0.8 * rng.standard_normal((*levels.shape[:2], 1)) + 0.6 * rng.standard_normal(
        levels.shape
    )
    spread = noise * np.sqrt(np.maximum(levels, 0) / 255)
    return levels + spread * ndimage.gaussian_filter(grain, (0.5, 0.5, 0), mode="nearest") * 1.6


def _compressed(levels: npt.NDArray[np.float64], softness: float) -> npt.NDArray[np.float64]:
    """Smooth the color, and quantise the brightness as JPEG does, block by block."""
    luma = levels @ _LUMA
    chroma = levels - luma[:, :, None]
    chroma = ndimage.gaussian_filter(chroma, (0.8, 0.8, 0), mode="nearest")
    return chroma + _quantised(luma, _QUANTA * softness)[:, :, None]


def _quantised(
    plane: npt.NDArray[np.float64], quanta: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")
    rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.reshape(rows, 8, columns, 8).swapaxes(1, 2)
    waves = fft.dctn(blocks, axes=(2, 3), norm="ortho")
    kept = np.rint(waves / quanta) * quanta
    restored = fft.idctn(kept, axes=(2, 3), norm="ortho")
    return restored.swapaxes(1, 2).reshape(padded.shape)[:height, :width]


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
