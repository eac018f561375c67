"""One cell painted in a window: a leukocyte with its masks, a red cell, a platelet.

A cell is painted as amounts of the stains in :data:`hybridleuk.data.artificial_optics.STAINS`;
where its edge runs is known from signed distances before anything is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hybridleuk.data.artificial_kinds import Traits
from hybridleuk.data.artificial_optics import STAINS, Patient
from hybridleuk.data.artificial_shapes import (
    N_ANGLES,
    Field,
    Outline,
    Window,
    coverage,
    draw_outline,
    grain,
    noise,
    segment_distance,
    union,
)

__all__ = ["Leukocyte", "PaintedCell", "paint_leukocyte", "paint_platelet", "paint_red_cell"]

AZURE, BLUE, EOSIN, HEMOGLOBIN = range(len(STAINS))
_MEMBRANE = 0.25
_STRAND = (0.18, 0.4)


@dataclass(frozen=True)
class Leukocyte:
    """A leukocyte that is decided on but not yet painted: its traits and contour."""

    kind: str
    traits: Traits
    outline: Outline
    n_lobes: int

    @classmethod
    def draw(cls, kind: str, traits: Traits, rng: np.random.Generator) -> Leukocyte:
        """Draw the contour and the number of lobes."""
        outline = draw_outline(
            rng, traits.diameter / 2, elongation=traits.elongation, roughness=traits.roughness
        )
        chances = np.array(traits.lobes)
        n_lobes = 1 + int(rng.choice(len(chances), p=chances / chances.sum()))
        return cls(kind, traits, outline, n_lobes)


@dataclass(frozen=True)
class PaintedCell:
    """A painted window: amounts of stain, how far they cover what lies below, and the truth.

    Attributes
    ----------
    window : Window
    amounts : ndarray of shape (h, w, 4)
    cover : ndarray of shape (h, w)
        1 where the cell hides what lies below it, 0 outside.
    cell, nucleus : ndarray of shape (h, w), bool
    """

    window: Window
    amounts: npt.NDArray[np.float64]
    cover: Field
    cell: npt.NDArray[np.bool_]
    nucleus: npt.NDArray[np.bool_]


def paint_leukocyte(
    leukocyte: Leukocyte, center: tuple[float, float], spacing: float, rng: np.random.Generator
) -> PaintedCell:
    """Paint a leukocyte at `center` (row, column in px of the canvas)."""
    traits = leukocyte.traits
    window = Window.around(center, leukocyte.outline.reach + 1.0, spacing)
    fuzz = noise(rng, window.shape, [0.35 / spacing])
    to_cell = leukocyte.outline.distance(window.v, window.u) + 0.05 * fuzz
    to_nucleus = _nucleus_distance(leukocyte, window, rng)
    # The membrane keeps the nucleus inside, so that every nucleus has a rim of cytoplasm.
    to_nucleus = np.maximum(to_nucleus, to_cell + max(_MEMBRANE, 1.01 * spacing))
    soft = 0.7 * spacing + 0.06
    in_cell, in_nucleus = coverage(to_cell, soft), coverage(to_nucleus, soft)
    cytoplasm = _cytoplasm(traits, window, to_cell, to_nucleus, rng)
    chromatin = _chromatin(traits, window, to_nucleus, rng)
    part = in_nucleus[:, :, None]
    amounts = cytoplasm * (1 - part) + chromatin * part
    if traits.granules_cover_nucleus:
        amounts += 0.55 * part * _granules(traits, window, rng)
    return PaintedCell(window, amounts * in_cell[:, :, None], in_cell, to_cell < 0, to_nucleus < 0)


def _nucleus_distance(leukocyte: Leukocyte, window: Window, rng: np.random.Generator) -> Field:
    traits = leukocyte.traits
    if leukocyte.n_lobes > 1:
        return _lobed(leukocyte, window, rng)
    cell_radius = traits.diameter / 2
    radius = cell_radius * np.sqrt(traits.nucleus_fraction)
    outline = draw_outline(
        rng,
        radius,
        elongation=traits.nucleus_elongation,
        roughness=traits.nucleus_roughness,
        indentation=traits.indentation,
    )
    shift = traits.eccentricity * (cell_radius - radius)
    angle = rng.uniform(0, 2 * np.pi)
    fuzz = 0.05 * noise(rng, window.shape, [0.4 / window.spacing])
    return (
        outline.distance(window.v - shift * np.sin(angle), window.u - shift * np.cos(angle)) + fuzz
    )


def _lobed(leukocyte: Leukocyte, window: Window, rng: np.random.Generator) -> Field:
    """Put lobes along a bent line through the cell and join them by thin strands."""
    traits, n_lobes = leukocyte.traits, leukocyte.n_lobes
    radius = traits.diameter / 2 * np.sqrt(traits.nucleus_fraction / n_lobes)
    radii = radius * np.clip(1 + 0.14 * rng.normal(size=n_lobes), 0.75, 1.25)
    stretch = np.clip(rng.normal(1.25, 0.15, n_lobes), 1.0, 1.6)
    centers, directions = _lobe_places(radii, stretch, traits, rng)
    lobes: list[Field] = []
    for center, direction, size, axis_ratio in zip(
        centers, directions, radii, stretch, strict=True
    ):
        v, u = _turned(window, center, direction)
        table = _upright_outline(rng, size, axis_ratio, traits.nucleus_roughness)
        lobes.append(table.distance(v, u))
    strands = [
        segment_distance(window.v, window.u, centers[i], centers[i + 1], rng.uniform(*_STRAND))
        for i in range(n_lobes - 1)
    ]
    return union([union(lobes), *strands], softness=0.5)


def _lobe_places(
    radii: Field, stretch: Field, traits: Traits, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Choose centres (v, u) and long axes of lobes: a gap between neighbours, all in the cell."""
    n_lobes, cell_radius = len(radii), traits.diameter / 2
    # Two lobes face each other with their long sides, more of them lie end to end in a ring.
    half = radii * (np.sqrt(stretch) if n_lobes > 2 else 1.0)
    gaps = half + np.roll(half, -1) + rng.uniform(0.15, 0.55, n_lobes)
    orbit = 0.44 * cell_radius * rng.uniform(1.0, 1.2)
    while True:
        steps = 2 * np.arcsin(np.clip(gaps / (2 * orbit), 0, 1))
        if gaps.max() <= 2 * orbit and steps.sum() <= 2 * np.pi:
            break
        orbit *= 1.02
    steps = steps[: n_lobes - 1]
    angles = np.concatenate([[0.0], np.cumsum(steps)]) + rng.uniform(0, 2 * np.pi)
    centers = orbit * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    centers += rng.normal(0, 0.12, 2) * cell_radius * traits.eccentricity
    directions = angles + np.pi / 2 + rng.normal(0, 0.25, n_lobes)
    return centers, directions


def _turned(window: Window, center: Field, direction: float) -> tuple[Field, Field]:
    v, u = window.v - center[0], window.u - center[1]
    cosine, sine = np.cos(direction), np.sin(direction)
    return cosine * v - sine * u, sine * v + cosine * u


def _upright_outline(
    rng: np.random.Generator, radius: float, axis_ratio: float, roughness: float
) -> Outline:
    """Draw an outline whose long axis is the u axis."""
    angles = np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES)
    ellipse = 1 / np.hypot(
        np.cos(angles) / np.sqrt(axis_ratio), np.sin(angles) * np.sqrt(axis_ratio)
    )
    waves = draw_outline(rng, 1.0, roughness=roughness).radii
    return Outline(radius * ellipse * waves)


def _chromatin(
    traits: Traits, window: Window, to_nucleus: Field, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Paint clumped chromatin, denser at the nuclear membrane, with pale nucleoli."""
    size = traits.grain / window.spacing
    fine, coarse = grain(rng, window.shape, 0.65 * size), noise(rng, window.shape, [2.5 * size])
    clumps = np.tanh(fine + 0.5 * coarse + 0.3) + 0.15 * noise(rng, window.shape, [0.3 * size])
    rim = np.exp(-((to_nucleus + 0.12) ** 2) / 0.28**2)
    amount = traits.density * (1 + traits.clumping * clumps + 0.12 * rim)
    inner = to_nucleus < -1.1
    pale = _spots(int(rng.poisson(traits.nucleoli)), (0.6, 1.0), inner, window, rng)
    amount = amount * (1 - 0.4 * pale)
    painted = np.zeros((*window.shape, len(STAINS)))
    painted[:, :, AZURE] = np.maximum(amount, 0.2)
    painted[:, :, BLUE] = 0.3 * pale
    painted[:, :, EOSIN] = 0.12 * np.maximum(-clumps, 0)
    return painted


def _cytoplasm(
    traits: Traits, window: Window, to_cell: Field, to_nucleus: Field, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Paint cytoplasm: mottled, denser at the membrane, paler beside the nucleus, with granules."""
    mottle = noise(rng, window.shape, [0.25 / window.spacing, 0.9 / window.spacing])
    edge = np.exp(-((to_cell + 0.2) ** 2) / 0.5**2)
    halo = np.exp(-((to_nucleus / 0.7) ** 2))
    painted = np.zeros((*window.shape, len(STAINS)))
    painted[:, :, BLUE] = traits.basophilia * (1 + 0.2 * mottle + 0.35 * edge - 0.2 * halo)
    painted[:, :, EOSIN] = traits.eosinophilia * (1 + 0.15 * mottle + 0.15 * edge)
    painted[:, :, AZURE] = (0.03 + 0.12 * traits.basophilia) * (1 + 0.3 * mottle) + 0.04 * edge
    if traits.granules > 0:
        painted += _granules(traits, window, rng)
    holes = _spots(int(rng.poisson(traits.vacuoles)), (0.3, 0.6), to_cell < -0.9, window, rng)
    return np.maximum(painted, 0) * (1 - 0.85 * holes[:, :, None])


def _granules(traits: Traits, window: Window, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Scatter granules over the window and stain them."""
    height, width = window.shape
    n = rng.poisson(traits.granules * height * width * window.spacing**2)
    points = np.zeros(window.shape)
    rows, columns = rng.integers(0, height, n), rng.integers(0, width, n)
    np.add.at(points, (rows, columns), rng.uniform(0.5, 1.3, n))
    width_px = max(traits.granule_diameter / 2 / window.spacing, 0.45)
    blobs = ndimage.gaussian_filter(points, 0.8 * width_px, mode="wrap")
    peak = 1 / (2 * np.pi * (0.8 * width_px) ** 2)
    filled = 1 - np.exp(-1.3 * blobs / peak)
    return filled[:, :, None] * np.array([*traits.granule_stain, 0.0])


def _spots(
    n: int,
    radii: tuple[float, float],
    allowed: npt.NDArray[np.bool_],
    window: Window,
    rng: np.random.Generator,
) -> Field:
    """Place `n` soft discs with centres in `allowed`; 1 inside, 0 outside."""
    painted = np.zeros(window.shape)
    places = np.flatnonzero(allowed)
    if not len(places):
        return painted
    for place in rng.choice(places, n):
        row, column = np.unravel_index(place, window.shape)
        away = np.hypot(window.v - window.v[row, 0], window.u - window.u[0, column])
        painted = np.maximum(painted, coverage(away - rng.uniform(*radii), 0.2))
    return painted


def paint_red_cell(
    center: tuple[float, float], patient: Patient, spacing: float, rng: np.random.Generator
) -> tuple[Window, Field, Outline]:
    """Paint a red cell; return its window, its amount of haemoglobin, and its contour."""
    crenated = rng.random() < patient.crenation
    outline = draw_outline(
        rng,
        3.75 * float(np.exp(rng.normal(0, 0.06))),
        elongation=1 + float(np.abs(rng.normal(0.04, 0.09))),
        roughness=0.018,
        jaggedness=0.05 if crenated else 0.0,
    )
    window = Window.around(center, outline.reach + 0.8, spacing)
    distance = outline.distance(window.v, window.u)
    inside = coverage(distance, 0.7 * spacing + patient.red_cell_blur)
    pallor = patient.pallor * float(np.clip(rng.normal(1, 0.25), 0.1, 1.4))
    size = rng.uniform(0.34, 0.48) * outline.reach
    offset = rng.normal(0, 0.25, 2)
    radius = np.hypot(window.v - offset[0], window.u - offset[1])
    pale = 1 / (1 + np.exp((radius - size) / 0.35))
    rim = np.exp(-((distance + 0.9) ** 2) / 0.8**2)
    amount = float(np.exp(rng.normal(0, 0.08))) * (0.95 + 0.15 * rim - pallor * pale)
    return window, np.maximum(amount, 0.05) * inside, outline


def paint_platelet(
    center: tuple[float, float], spacing: float, rng: np.random.Generator
) -> tuple[Window, npt.NDArray[np.float64], Outline]:
    """Paint a platelet: pale blue, with purple granules in its middle."""
    outline = draw_outline(
        rng, rng.uniform(0.8, 1.5), elongation=rng.uniform(1.0, 1.35), roughness=0.05
    )
    window = Window.around(center, outline.reach + 0.8, spacing)
    distance = outline.distance(window.v, window.u)
    inside = coverage(distance, 0.7 * spacing + 0.1)
    core = coverage(distance + 0.4, 0.45)
    grains = np.clip(0.6 + 0.3 * grain(rng, window.shape, 0.18 / spacing), 0, 1.2)
    painted = np.zeros((*window.shape, len(STAINS)))
    painted[:, :, AZURE] = 0.12 * inside + 0.7 * core * grains
    painted[:, :, BLUE] = 0.14 * inside
    return window, painted, outline
