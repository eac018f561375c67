"""The rows of the catalogue about form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hybridleuk.morphology import shape, zones
from hybridleuk.morphology.feature import Feature, read_rows

__all__ = ["shape_features"]

# name | unit | range | scale-free | formula | source
_OUTLINE = """
area                | px2 | 0 inf | no  | number of pixels                           | regionprops
perimeter           | px  | 0 inf | no  | pi/8 (N0 + N90 + (N45 + N135)/sqrt 2)      | Crofton
equivalent_diameter | px  | 0 inf | no  | sqrt(4 area/pi)                            | regionprops
major_axis          | px  | 0 inf | no  | 4 sqrt(larger principal second moment)     | regionprops
minor_axis          | px  | 0 inf | no  | 4 sqrt(smaller principal second moment)    | regionprops
feret_max           | px  | 0 inf | no  | greatest distance of two corners of hull   | Feret 1930
feret_min           | px  | 0 inf | no  | least width of the hull across its edges   | Feret 1930
feret_ratio         | 1   | 0 1   | yes | feret_min/feret_max                        | Feret 1930
eccentricity        | 1   | 0 1   | yes | sqrt(1 - (minor_axis/major_axis)^2)        | regionprops
circularity         | 1   | 0 2   | yes | 4 pi area/perimeter^2                      | Cox 1927
solidity            | 1   | 0 1   | yes | area/hull area                             | regionprops
convexity           | 1   | 0 1   | yes | hull perimeter/perimeter, at most 1        | ISO 9276-6
elliptic_extent     | 1   | 0 1.1 | yes | 4 area/(pi major_axis minor_axis)          | Rosin 2003
inscribed_ratio     | 1   | 0 1   | yes | largest inscribed radius/sqrt(area/pi)     | ISO 9276-6
thickness_mean      | 1   | 0 3   | yes | 3 mean depth/sqrt(area/pi)                 | CellProfiler
indentation         | 1   | 0 inf | yes | deepest dent/equivalent diameter           | Rosenfeld
roughness           | 1   | 0 inf | yes | sqrt(Fourier power 9 to 24)/sqrt(area/pi)  | Kuhl 1982
"""
_NUCLEUS = """
lobe_count          | 1   | 0 inf | yes | maxima of depth that rise by 20 % or more  | Soille 2003
waist               | 1   | 0 1   | yes | depth of the narrowest neck/of its lobe    | haematology
parts               | 1   | 0 inf | yes | connected pieces                           | regionprops
"""
_CYTOPLASM = """
area                | px2 | 0 inf | no  | number of pixels                           | regionprops
"""
_RELATIONS = """
nc_ratio_cell       | 1   | 0 1   | yes | nucleus area/cell area                     | haematology
nc_ratio_cytoplasm  | 1   | 0 100 | yes | nucleus area/cytoplasm area, at most 100   | haematology
nucleus_offset      | 1   | 0 inf | yes | distance of centroids/cell radius          | CellProfiler
cytoplasm_thickness | 1   | 0 2   | yes | mean depth in the cell/cell radius         | CellProfiler
nucleus_exposed     | 1   | 0 1   | yes | outline without cytoplasm/nuclear outline  | haematology
"""


def shape_features() -> Iterator[Feature]:
    """List the features of form, of nucleus and cell and of their relation."""
    for region, tables in (
        ("nucleus", _OUTLINE + _NUCLEUS),
        ("cytoplasm", _CYTOPLASM),
        ("cell", _OUTLINE),
    ):
        for name, row in read_rows(tables):
            yield Feature(
                f"{region}_{name}",
                getattr(shape, name),
                region,
                "shape",
                illumination_free=True,
                focus_free=True,
                **row,
            )
        if region != "cytoplasm":
            yield from _invariants(region)
    for name, row in read_rows(_RELATIONS):
        function = getattr(shape if hasattr(shape, name) else zones, name)
        yield Feature(
            name, function, "both", "shape", illumination_free=True, focus_free=True, **row
        )


def _invariants(region: str) -> Iterator[Feature]:
    row = partial(
        Feature,
        region=region,
        family="shape",
        unit="1",
        scale_free=True,
        illumination_free=True,
        focus_free=True,
    )
    for order in range(2, 7):
        yield row(
            f"{region}_fourier_{order}",
            partial(shape.harmonic, order=order),
            range=(0.0, float("inf")),
            formula=f"sqrt(power of harmonic {order}/power of harmonic 1)",
            source="Kuhl and Giardina 1982",
        )
    for order in range(1, 8):
        yield row(
            f"{region}_hu_{order}",
            partial(shape.hu_moment, order=order),
            range=(-float("inf"), float("inf")),
            formula=f"sign(h) log10(1 + |h|/1e-5) of Hu's moment {order}",
            source="Hu 1962",
        )
