"""A smear on a canvas: leukocytes placed first, then everything painted from the bottom up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hybridleuk.data.artificial_cells import (
    Leukocyte,
    PaintedCell,
    paint_leukocyte,
    paint_platelet,
    paint_red_cell,
)
from hybridleuk.data.artificial_kinds import draw_traits
from hybridleuk.data.artificial_optics import STAINS, Patient, develop
from hybridleuk.data.artificial_shapes import Window, noise
from hybridleuk.data.artificial_truth import Box, DrawnCell, DrawnImage, Mask, mask_box
from hybridleuk.data.images import RGBImage
from hybridleuk.exceptions import InputError

__all__ = ["Scene", "Tint"]

Tint = tuple[float, float, float]

_MARGIN_UM = 4.5
_RED_CELL_DIAMETER_UM = 7.5
_TRIES = 100
_ARRANGEMENTS = 25


class Scene:
    """A canvas with a margin on which cells are placed, then painted from the bottom up."""

    def __init__(
        self,
        shape: tuple[int, int],
        spacing: float,
        patient: Patient,
        random_state: int | np.random.Generator,
    ) -> None:
        self.shape, self.spacing, self.patient = shape, spacing, patient
        # Separate streams: the same cells whatever lies behind them, and whatever the sensor.
        rng = np.random.default_rng(random_state)
        self.place, self.cells, self.behind, self.sensor = rng.spawn(4)
        self.placed: list[tuple[Leukocyte, tuple[float, float], np.random.Generator]] = []

    def decide(
        self, kinds: Sequence[str], separation: float
    ) -> tuple[list[Leukocyte], list[np.random.Generator]]:
        """Draw what each leukocyte is like, each from a stream of its own."""
        streams = self.cells.spawn(len(kinds))
        offsets = dict(self.patient.offsets)
        return [
            Leukocyte.draw(
                kind, draw_traits(kind, rng, separation=separation, offsets=offsets), rng
            )
            for kind, rng in zip(kinds, streams, strict=True)
        ], streams

    def add(
        self, leukocyte: Leukocyte, center: tuple[float, float], rng: np.random.Generator
    ) -> None:
        """Put a leukocyte at `center`, (row, column) in px of the picture."""
        self.placed.append((leukocyte, center, rng))

    def add_all(
        self,
        leukocytes: Sequence[Leukocyte],
        streams: Sequence[np.random.Generator],
        *,
        at_border: bool,
        touching: bool,
    ) -> None:
        """Put leukocytes where they are clear of each other, or against each other."""
        for _ in range(_ARRANGEMENTS):
            self.placed = []
            for leukocyte, rng in zip(leukocytes, streams, strict=True):
                center = self._find_place(leukocyte, at_border, touching)
                if center is None:
                    break
                self.add(leukocyte, center, rng)
            if len(self.placed) == len(leukocytes):
                return
        across = max(2 * cell.outline.reach for cell in leukocytes) / self.spacing
        raise InputError(
            f"No place for {len(leukocytes)} leukocytes of up to {across:.0f} px in a field of "
            f"{self.shape[0]} x {self.shape[1]} px; draw fewer cells, a larger field or a coarser "
            "spacing."
        )

    def _find_place(
        self, leukocyte: Leukocyte, at_border: bool, touching: bool
    ) -> tuple[float, float] | None:
        margin = 0.0 if at_border else leukocyte.outline.reach / self.spacing + 2
        low, high = np.full(2, margin), np.array(self.shape) - margin
        closeness = 0.82 if touching else 1.03
        for _ in range(_TRIES):
            if touching and self.placed:
                center = self._against_another(leukocyte)
            else:
                center = low + (high - low) * self.place.random(2)
            inside = bool(np.all((center >= low) & (center <= high)))
            if inside and self._is_free(center, leukocyte, closeness):
                return float(center[0]), float(center[1])
        return None

    def _against_another(self, leukocyte: Leukocyte) -> npt.NDArray[np.float64]:
        other, center, _ = self.placed[int(self.place.integers(len(self.placed)))]
        angle = self.place.uniform(0, 2 * np.pi)
        gap = float(other.outline.radius_at(angle) + leukocyte.outline.radius_at(angle + np.pi))
        step = np.array([np.sin(angle), np.cos(angle)])
        return np.array(center) + step * (gap - 0.3) / self.spacing

    def _is_free(
        self, center: npt.NDArray[np.float64], leukocyte: Leukocyte, closeness: float
    ) -> bool:
        for other, place, _ in self.placed:
            apart = float(np.hypot(*(center - np.array(place)))) * self.spacing
            if apart < closeness * (leukocyte.outline.reach + other.outline.reach):
                return False
        return True

    def picture(self, background_shortcut: Tint | None) -> DrawnImage:
        """Paint plasma, red cells, platelets and leukocytes, and take the picture."""
        margin = int(np.ceil((_MARGIN_UM + self._largest_reach()) / self.spacing)) + 4
        tall, wide = (side + 2 * margin for side in self.shape)
        amounts = np.zeros((tall, wide, len(STAINS)))
        self._add_plasma(amounts)
        red_cells = self._add_red_cells(amounts, margin)
        platelets = self._add_platelets(amounts, margin)
        cover = np.zeros((tall, wide))
        instances = np.zeros((tall, wide), dtype=np.uint16)
        nuclei = np.zeros((tall, wide), dtype=bool)
        for number, (leukocyte, center, rng) in enumerate(self.placed, start=1):
            shifted = (center[0] + margin, center[1] + margin)
            painted = paint_leukocyte(leukocyte, shifted, self.spacing, rng)
            _lay_over(painted, number, amounts, cover, instances, nuclei)
        crop = (slice(margin, margin + self.shape[0]), slice(margin, margin + self.shape[1]))
        background = _background(background_shortcut, self.patient, cover[crop])
        image = develop(amounts[crop], self.patient, self.sensor, background=background)
        return self._with_truth(
            image, nuclei[crop].copy(), instances[crop].copy(), red_cells, platelets
        )

    def _with_truth(
        self,
        image: RGBImage,
        nucleus: Mask,
        instances: npt.NDArray[np.uint16],
        red_cells: list[Box],
        platelets: list[Box],
    ) -> DrawnImage:
        cells = tuple(
            DrawnCell(
                number,
                leukocyte.kind,
                (instances == number) & nucleus,
                (instances == number) & ~nucleus,
                leukocyte.n_lobes,
                leukocyte.traits,
                self.spacing,
            )
            for number, (leukocyte, _, _) in enumerate(self.placed, start=1)
        )
        return DrawnImage(
            image,
            nucleus,
            instances,
            cells,
            np.array(red_cells, dtype=int).reshape(-1, 4),
            np.array(platelets, dtype=int).reshape(-1, 4),
            self.patient,
            self.spacing,
        )

    def _largest_reach(self) -> float:
        red_cell = 0.8 * _RED_CELL_DIAMETER_UM
        return 1.0 + max([red_cell, *(cell.outline.reach for cell, _, _ in self.placed)])

    def _add_plasma(self, amounts: npt.NDArray[np.float64]) -> None:
        coarse = noise(self.behind, (amounts.shape[0] // 8 + 1, amounts.shape[1] // 8 + 1), [4.0])
        film = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)[
            : amounts.shape[0], : amounts.shape[1]
        ]
        amounts[:, :, 2] += 0.012 * np.clip(film + 1, 0, None)

    def _add_red_cells(self, amounts: npt.NDArray[np.float64], margin: int) -> list[Box]:
        boxes: list[Box] = []
        for center in self._scattered(
            self.patient.red_cell_density, 0.5 * _RED_CELL_DIAMETER_UM, 0.75 * _RED_CELL_DIAMETER_UM
        ):
            place = (center[0] + margin, center[1] + margin)
            window, amount, outline = paint_red_cell(place, self.patient, self.spacing, self.behind)
            below = amounts[(*window.slices, 3)]
            # Where two red cells overlap, the picture darkens by less than their sum.
            amounts[(*window.slices, 3)] = below + amount - 0.25 * np.minimum(below, amount)
            self._note(boxes, center, window, outline.distance(window.v, window.u) < 0, margin)
        return boxes

    def _add_platelets(self, amounts: npt.NDArray[np.float64], margin: int) -> list[Box]:
        boxes: list[Box] = []
        for center in self._scattered(self.patient.platelet_density, 2.0, 3.0):
            place = (center[0] + margin, center[1] + margin)
            window, painted, outline = paint_platelet(place, self.spacing, self.behind)
            amounts[window.slices] += painted
            self._note(boxes, center, window, outline.distance(window.v, window.u) < 0, margin)
        return boxes

    def _scattered(
        self, density: float, clear_of_cells: float, apart: float
    ) -> list[tuple[float, float]]:
        """Scatter points around and in the picture, `density` per 1000 um2, clear of leukocytes.

        Points nearer to each other than `apart` um are drawn again, three times in four.
        """
        low = -_MARGIN_UM / self.spacing
        high = np.array(self.shape) - low
        area = float(np.prod(high - low)) * self.spacing**2
        kept: list[npt.NDArray[np.float64]] = []
        for _ in range(int(self.behind.poisson(density * area / 1000))):
            for _ in range(8):
                point = low + (high - low) * self.behind.random(2)
                crowded = (
                    bool(kept)
                    and float(np.min(np.hypot(*(np.array(kept) - point).T))) < apart / self.spacing
                )
                if self._clear(point, clear_of_cells) and (
                    not crowded or self.behind.random() < 0.1
                ):
                    kept.append(point)
                    break
        return [(float(point[0]), float(point[1])) for point in kept]

    def _clear(self, point: npt.NDArray[np.float64], gap: float) -> bool:
        return all(
            np.hypot(*(point - np.array(place))) * self.spacing
            > cell.traits.diameter / 2 + 0.85 * gap
            for cell, place, _ in self.placed
        )

    def _note(
        self, boxes: list[Box], center: tuple[float, float], window: Window, mask: Mask, margin: int
    ) -> None:
        if not (0 <= center[0] < self.shape[0] and 0 <= center[1] < self.shape[1]):
            return
        y0, x0, y1, x1 = mask_box(mask)
        top, left = window.slices[0].start - margin, window.slices[1].start - margin
        boxes.append(
            (
                max(y0 + top, 0),
                max(x0 + left, 0),
                min(y1 + top, self.shape[0]),
                min(x1 + left, self.shape[1]),
            )
        )


def _lay_over(
    painted: PaintedCell,
    number: int,
    amounts: npt.NDArray[np.float64],
    cover: npt.NDArray[np.float64],
    instances: npt.NDArray[np.uint16],
    nuclei: Mask,
) -> None:
    """Lay a cell over what is there, but under the leukocytes laid down before."""
    where = painted.window.slices
    free = instances[where] == 0
    visible = painted.cover * free
    amounts[where] = amounts[where] * (1 - visible)[:, :, None] + painted.amounts * free[:, :, None]
    cover[where] = np.maximum(cover[where], visible)
    nuclei[where] |= painted.nucleus & free
    instances[where] = np.where(painted.cell & free, np.uint16(number), instances[where])


def _background(
    tint: Tint | None, patient: Patient, cover: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    if tint is None:
        return None
    light = np.array(patient.light)
    density = -np.log(np.clip(light + np.asarray(tint, dtype=float), 20, 255) / light)
    return (1 - cover)[:, :, None] * (density / patient.gamma)
