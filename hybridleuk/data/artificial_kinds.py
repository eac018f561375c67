"""What kinds of cells are drawn, as tables: their traits, and how much cells of a kind differ.

Sizes and shapes follow what haematology textbooks give for a Romanowsky stain (for example Bain,
*Blood Cells: A Practical Guide*): a neutrophil of 12 to 15 micrometres with three to five lobes,
an eosinophil with two lobes and orange granules, a basophil whose dark granules hide the nucleus,
a small lymphocyte, a large monocyte with an indented nucleus, and blasts with fine chromatin. The
four stages are named as in public data on acute lymphoblastic leukaemia; they differ by degree
only, so that no single measurement tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from hybridleuk.exceptions import InputError

__all__ = [
    "KINDS",
    "LEUKOCYTES",
    "STAGES",
    "Traits",
    "draw_offsets",
    "draw_traits",
    "kind_traits",
]


@dataclass(frozen=True)
class Traits:
    """How a cell looks. Lengths are in micrometres, amounts of stain relative to a nucleus's 1.

    Attributes
    ----------
    diameter : float
        Diameter of a disc of the cell's area.
    nucleus_fraction : float
        Area of the nucleus over area of the cell, before the cell's membrane clips the nucleus.
    elongation, roughness : float
        Axis ratio of the cell, and relative amplitude of the waves of its contour.
    nucleus_elongation, nucleus_roughness : float
        The same of the nucleus.
    indentation : float
        Depth of the nucleus's notch as a fraction of its radius.
    eccentricity : float
        How far the nucleus lies from the middle: 0 central, 1 against the membrane.
    density, clumping, grain : float
        Chromatin: amount of stain, relative contrast of its clumps, and their size.
    nucleoli : float
        Mean number of nucleoli.
    basophilia, eosinophilia : float
        Blue and pink stain of the cytoplasm.
    granules, granule_diameter : float
        Granules per square micrometre of cytoplasm, and their size.
    granule_stain : tuple of 3 float
        Amounts of azure, blue and eosin in a granule.
    granules_cover_nucleus : bool
        Whether granules lie over the nucleus, too.
    vacuoles : float
        Mean number of vacuoles.
    lobes : tuple of float
        Probabilities of 1, 2, 3, ... lobes of the nucleus.
    """

    diameter: float = 12.0
    nucleus_fraction: float = 0.6
    elongation: float = 1.08
    roughness: float = 0.02
    nucleus_elongation: float = 1.12
    nucleus_roughness: float = 0.025
    indentation: float = 0.05
    eccentricity: float = 0.4
    density: float = 1.0
    clumping: float = 0.3
    grain: float = 0.4
    nucleoli: float = 0.0
    basophilia: float = 0.2
    eosinophilia: float = 0.05
    granules: float = 0.0
    granule_diameter: float = 0.3
    granule_stain: tuple[float, float, float] = (0.3, 0.1, 0.1)
    granules_cover_nucleus: bool = False
    vacuoles: float = 0.0
    lobes: tuple[float, ...] = (1.0,)


LEUKOCYTES: Mapping[str, Traits] = {
    "neutrophil": Traits(
        diameter=13.0, nucleus_fraction=0.42, roughness=0.018, nucleus_roughness=0.05,
        clumping=0.28, grain=0.42, density=1.05, basophilia=0.03, eosinophilia=0.2,
        granules=3.0, granule_diameter=0.28, granule_stain=(0.28, 0.0, 0.1),
        eccentricity=0.15, lobes=(0.0, 0.1, 0.47, 0.32, 0.11),
    ),
    "eosinophil": Traits(
        diameter=13.5, nucleus_fraction=0.4, roughness=0.02, nucleus_roughness=0.035,
        clumping=0.26, grain=0.42, density=0.95, basophilia=0.04, eosinophilia=0.4,
        granules=5.0, granule_diameter=0.5, granule_stain=(0.02, 0.0, 0.7),
        eccentricity=0.35, vacuoles=0.6, lobes=(0.0, 0.85, 0.15),
    ),
    "basophil": Traits(
        diameter=11.5, nucleus_fraction=0.5, roughness=0.03, nucleus_roughness=0.04,
        clumping=0.2, grain=0.5, density=0.75, basophilia=0.05, eosinophilia=0.14,
        granules=2.6, granule_diameter=0.62, granule_stain=(1.0, 0.1, 0.0),
        granules_cover_nucleus=True, eccentricity=0.2, lobes=(0.3, 0.6, 0.1),
    ),
    "lymphocyte": Traits(
        diameter=10.2, nucleus_fraction=0.76, roughness=0.025, clumping=0.3, grain=0.48,
        density=1.1, basophilia=0.42, eosinophilia=0.02, indentation=0.06, eccentricity=0.6,
    ),
    "monocyte": Traits(
        diameter=15.0, nucleus_fraction=0.53, elongation=1.14, roughness=0.04,
        nucleus_elongation=1.3, nucleus_roughness=0.04, indentation=0.38, clumping=0.3,
        grain=0.38, density=0.8, basophilia=0.3, eosinophilia=0.08, granules=1.2,
        granule_diameter=0.26, granule_stain=(0.16, 0.0, 0.06), eccentricity=0.35, vacuoles=2.0,
    ),
    "lymphoblast": Traits(
        diameter=13.0, nucleus_fraction=0.77, roughness=0.025, nucleus_roughness=0.03,
        indentation=0.18, clumping=0.22, grain=0.32, density=0.87, nucleoli=1.4, basophilia=0.5,
        eosinophilia=0.03, eccentricity=0.5,
    ),
}  # fmt: skip

STAGES: Mapping[str, Traits] = {
    "Benign": Traits(
        diameter=9.4, nucleus_fraction=0.81, clumping=0.375, grain=0.56, density=1.14,
        nucleoli=0.05, basophilia=0.28, indentation=0.03, eccentricity=0.6,
    ),
    "Early": Traits(
        diameter=11.2, nucleus_fraction=0.87, clumping=0.285, grain=0.42, density=1.02,
        nucleoli=0.3, basophilia=0.37, indentation=0.07, nucleus_roughness=0.025,
        eccentricity=0.5,
    ),
    "Pre": Traits(
        diameter=12.9, nucleus_fraction=0.74, clumping=0.225, grain=0.34, density=0.93,
        nucleoli=0.9, basophilia=0.47, indentation=0.39, nucleus_roughness=0.045,
        nucleus_elongation=1.2, eccentricity=0.45,
    ),
    "Pro": Traits(
        diameter=15.0, nucleus_fraction=0.6, clumping=0.16, grain=0.265, density=0.84,
        nucleoli=1.8, basophilia=0.6, indentation=0.11, nucleus_roughness=0.035,
        nucleus_elongation=1.14, eccentricity=0.4, vacuoles=0.5,
    ),
}  # fmt: skip

KINDS: Mapping[str, Traits] = {**LEUKOCYTES, **STAGES}

# Relative standard deviation from cell to cell, and the range in which a value can be drawn.
_SPREAD: Mapping[str, tuple[float, float, float]] = {
    "diameter": (0.07, 6.0, 24.0),
    "nucleus_fraction": (0.05, 0.15, 0.9),
    "elongation": (0.04, 1.0, 1.6),
    "roughness": (0.3, 0.0, 0.09),
    "nucleus_elongation": (0.06, 1.0, 1.7),
    "nucleus_roughness": (0.3, 0.0, 0.08),
    "indentation": (0.4, 0.0, 0.62),
    "eccentricity": (0.4, 0.0, 1.0),
    "density": (0.08, 0.5, 1.4),
    "clumping": (0.15, 0.05, 0.6),
    "grain": (0.12, 0.2, 0.9),
    "basophilia": (0.2, 0.0, 1.0),
    "eosinophilia": (0.2, 0.0, 0.6),
    "granules": (0.2, 0.0, 8.0),
    "granule_diameter": (0.08, 0.15, 1.0),
}
# A patient's cells share this part of the spread, as cells of one person do.
_SHARED_BY_PATIENT = 0.25


def kind_traits(kind: str, separation: float = 1.0) -> Traits:
    """Return the mean traits of `kind`.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    separation : float, default 1
        Moves each number towards (below 1) or away from (above 1) the mean over the kind's family,
        :data:`LEUKOCYTES` or :data:`STAGES`. At 0 all kinds of a family have the same numbers;
        lobes and the stain of granules stay the kind's own.

    Raises
    ------
    InputError
        No such kind, or a negative `separation`.
    """
    if kind not in KINDS:
        raise InputError(f"Unknown kind of cell {kind!r}; expected one of {', '.join(KINDS)}.")
    if not separation >= 0:
        raise InputError(f"separation is {separation}; expected a number of at least 0.")
    family = LEUKOCYTES if kind in LEUKOCYTES else STAGES
    moved: dict[str, Any] = {}
    for name in _numbers():
        middle = float(np.mean([getattr(traits, name) for traits in family.values()]))
        moved[name] = max(0.0, middle + separation * (getattr(KINDS[kind], name) - middle))
    return replace(KINDS[kind], **moved)


def draw_traits(
    kind: str,
    rng: np.random.Generator,
    *,
    separation: float = 1.0,
    offsets: Mapping[str, float] | None = None,
) -> Traits:
    """Draw the traits of one cell of `kind`.

    Parameters
    ----------
    offsets : mapping of trait to float, optional
        What the cells of one patient have in common, in standard deviations.
    """
    mean = kind_traits(kind, separation)
    own = float(np.sqrt(1 - _SHARED_BY_PATIENT**2))
    drawn: dict[str, Any] = {}
    for name, (spread, low, high) in _SPREAD.items():
        common = (offsets or {}).get(name, 0.0)
        deviation = own * rng.normal() + _SHARED_BY_PATIENT * common
        drawn[name] = float(np.clip(getattr(mean, name) * np.exp(spread * deviation), low, high))
    return replace(mean, **drawn)


def draw_offsets(rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
    """Draw what the cells of one patient have in common, in standard deviations per trait."""
    return tuple((name, float(rng.normal())) for name in _SPREAD)


def _numbers() -> list[str]:
    return [item.name for item in fields(Traits) if item.type == "float"]
