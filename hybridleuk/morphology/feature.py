"""What the catalogue says about one feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.exceptions import InputError
from hybridleuk.morphology.region import CellRegions, Region

__all__ = ["COMPARTMENTS", "PORTABLE", "PROPERTIES", "Feature", "read_rows"]

PROPERTIES = ("scale_free", "rotation_free", "illumination_free", "focus_free")
# What still means the same under another microscope, lamp and camera.
PORTABLE = ("scale_free", "illumination_free", "focus_free")
# Color and texture of the whole cell add nothing to those of its two parts.
COMPARTMENTS = ("nucleus", "cytoplasm")
_AT_STANDARD = frozenset({"color", "background"})


@dataclass(frozen=True)
class Feature:
    """One row of the catalogue.

    Attributes
    ----------
    name : str
        Region first, then what is measured.
    function : callable
        Pure function of a :class:`~hybridleuk.morphology.region.Region`, or of
        :class:`~hybridleuk.morphology.region.CellRegions` when `region` is ``"both"``.
    region : {"nucleus", "cytoplasm", "cell", "both"}
        What is looked at; ``"cell"`` is nucleus and cytoplasm as one, ``"both"`` their relation.
    family : {"shape", "color", "texture", "background"}
        ``"background"`` looks outside of the cell, where shortcuts live, and is never measured
        unless asked for.
    unit : {"px", "px2", "1", "grey", "deg", "Lab", "OD"}
        ``px`` and ``px2`` become micrometres and square micrometres when `spacing` is given.
    range : (float, float)
        Values lie in it, ends included; in pixels, where the unit is.
    formula, source : str
    scale_free : bool
        The value stays within 3 % when a cell of smooth outline is enlarged twice.
    rotation_free : bool
        The value stays when the image is turned by quarters or flipped.
    illumination_free : bool
        The value stays when each color channel is brighter or darker by a factor.
    focus_free : bool
        The value hardly changes when the image is out of focus by 1 % of the cell's diameter.

    Notes
    -----
    Shape and texture are measured in the image as it is. Color, and what is relative to the
    background, is measured in the cell at standard magnification and sharpness
    (:attr:`~hybridleuk.morphology.region.CellRegions.standard`).
    """

    name: str
    function: Callable[[Any], float]
    region: str
    family: str
    unit: str
    range: tuple[float, float]
    formula: str
    source: str
    scale_free: bool = False
    rotation_free: bool = True
    illumination_free: bool = False
    focus_free: bool = False

    def measure(self, cell: CellRegions) -> float:
        """Measure one cell; 0 where the feature is undefined."""
        seen = cell.standard if self.family in _AT_STANDARD else cell
        value = self.function(seen if self.region == "both" else getattr(seen, self.region))
        return value if isfinite(value) else 0.0

    def __call__(self, mask: npt.NDArray[Any], image: npt.NDArray[np.uint8] | None = None) -> float:
        """Measure one mask (H, W) in an image (H, W, 3); not for the features of both regions."""
        if self.region == "both":
            raise InputError(
                f"{self.name} relates nucleus and cytoplasm; use measure(CellRegions(...))."
            )
        return self.function(Region(mask, image))


def read_rows(table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the lines of a table into what :class:`Feature` takes.

    A line is ``name | unit | low high | scale-free: yes or no | formula | source``.
    """
    for line in filter(None, table.splitlines()):
        name, unit, limits, free, formula, source = (part.strip() for part in line.split("|"))
        low, high = map(float, limits.split())
        yield (
            name,
            {
                "unit": unit,
                "range": (low, high),
                "scale_free": free == "yes",
                "formula": formula,
                "source": source,
            },
        )
