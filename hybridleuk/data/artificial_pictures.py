"""Single crops and fields, drawn on call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridleuk.data.artificial_optics import Patient
from hybridleuk.data.artificial_scene import Scene, Tint
from hybridleuk.data.artificial_truth import DrawnImage
from hybridleuk.exceptions import InputError

__all__ = ["draw_cell", "draw_field"]

CELL_VIEW_UM = 28.0
FIELD_SPACING_UM = 0.16


def draw_cell(
    kind: str = "lymphoblast",
    *,
    size: int | tuple[int, int] = 128,
    patient: Patient | None = None,
    random_state: int | np.random.Generator = 0,
    background_shortcut: Tint | None = None,
    separation: float = 1.0,
    spacing: float | None = None,
) -> DrawnImage:
    """Draw one leukocyte in the middle of a crop, among red cells.

    Parameters
    ----------
    kind : str, default "lymphoblast"
        One of :data:`hybridleuk.data.artificial.KINDS`.
    size : int or (height, width), default 128
        In px, at least 32.
    patient : Patient, optional
        Stain, light and camera; by default plain ones.
    random_state : int or numpy Generator, default 0
    background_shortcut : (R, G, B), optional
        Levels added to the color of everything but the leukocytes.
    separation : float, default 1
        How far the kinds lie apart, see :func:`hybridleuk.data.artificial.kind_traits`.
    spacing : float, optional
        Micrometres per pixel; by default the crop is 28 um wide.

    Raises
    ------
    InputError
        Unknown `kind`, or a size or number that cannot be drawn.

    Examples
    --------
    >>> from hybridleuk.data.artificial import draw_cell
    >>> drawn = draw_cell("neutrophil", random_state=3)
    >>> drawn.image.shape, len(drawn.cells)
    ((128, 128, 3), 1)
    >>> bool(drawn.cells[0].nucleus.sum() == drawn.nucleus.sum())
    True
    """
    shape = _checked_shape(size)
    spacing = _checked_spacing(CELL_VIEW_UM / min(shape) if spacing is None else spacing)
    patient = Patient() if patient is None else patient
    scene = Scene(shape, spacing, patient, random_state)
    [leukocyte], [rng] = scene.decide([kind], separation)
    jitter = scene.place.normal(0, 0.02, 2) * min(shape)
    center = (shape[0] / 2 + jitter[0], shape[1] / 2 + jitter[1])
    scene.add(leukocyte, center, rng)
    return scene.picture(background_shortcut)


def draw_field(
    kinds: Sequence[str] = ("neutrophil", "neutrophil", "neutrophil", "lymphocyte", "monocyte"),
    *,
    size: int | tuple[int, int] = (480, 640),
    patient: Patient | None = None,
    random_state: int | np.random.Generator = 0,
    background_shortcut: Tint | None = None,
    separation: float = 1.0,
    spacing: float = FIELD_SPACING_UM,
    at_border: bool = False,
    touching: bool = False,
) -> DrawnImage:
    """Draw a field with one leukocyte for each name in `kinds`, which may be empty.

    Parameters
    ----------
    kinds : sequence of str
    size : int or (height, width), default (480, 640)
        In px, at least 32.
    patient, random_state, background_shortcut, separation
        As in :func:`draw_cell`.
    spacing : float, default 0.16
        Micrometres per pixel.
    at_border : bool, default False
        Let the edge of the picture cut leukocytes.
    touching : bool, default False
        Put each leukocyte against one drawn before, as in a clump. No pixel belongs to two.

    Raises
    ------
    InputError
        The leukocytes do not fit into the field, or as in :func:`draw_cell`.

    Examples
    --------
    >>> from hybridleuk.data.artificial import draw_field
    >>> drawn = draw_field(["lymphocyte", "monocyte"], size=(200, 260), random_state=1)
    >>> [cell.kind for cell in drawn.cells], int(drawn.instances.max())
    (['lymphocyte', 'monocyte'], 2)
    """
    if isinstance(kinds, str):
        raise InputError(f"kinds is the text {kinds!r}; expected a list such as [{kinds!r}].")
    shape, spacing = _checked_shape(size), _checked_spacing(spacing)
    patient = Patient() if patient is None else patient
    scene = Scene(shape, spacing, patient, random_state)
    leukocytes, streams = scene.decide(kinds, separation)
    scene.add_all(leukocytes, streams, at_border=at_border, touching=touching)
    return scene.picture(background_shortcut)


def _checked_shape(size: int | tuple[int, int]) -> tuple[int, int]:
    shape = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(shape) != 2 or min(shape) < 32:
        raise InputError(f"size is {size}; expected px, or (height, width), of at least 32.")
    return int(shape[0]), int(shape[1])


def _checked_spacing(spacing: float) -> float:
    if not 0.02 <= spacing <= 2.0:
        raise InputError(f"spacing is {spacing}; expected 0.02 to 2 micrometres per pixel.")
    return float(spacing)
