"""Every feature: name, function, region, unit, range, formula and source.

The tables below are read once. A row names a function of :mod:`~hybridleuk.morphology.shape`,
:mod:`~hybridleuk.morphology.color` or :mod:`~hybridleuk.morphology.texture`; the builder under each
table says for which regions and parameters it becomes a feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridleuk.exceptions import InputError
from hybridleuk.morphology import color, shape, texture
from hybridleuk.morphology.feature import PROPERTIES, Feature

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CATALOGUE",
    "DEFAULT_FAMILIES",
    "FAMILIES",
    "MORPHOLOGY_VERSION",
    "PROPERTIES",
    "Feature",
    "catalogue_table",
    "select_features",
]

# Part of every cache key: raise it whenever any feature's value changes.
MORPHOLOGY_VERSION = 2

DEFAULT_FAMILIES = ("shape", "color", "texture")
FAMILIES = (*DEFAULT_FAMILIES, "background")
# Color and texture of the whole cell add nothing to those of its two parts.
COMPARTMENTS = ("nucleus", "cytoplasm")

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
"""


def _shape() -> Iterator[Feature]:
    for region, tables in (
        ("nucleus", _OUTLINE + _NUCLEUS),
        ("cytoplasm", _CYTOPLASM),
        ("cell", _OUTLINE),
    ):
        for name, row in _rows(tables):
            yield Feature(
                f"{region}_{name}",
                getattr(shape, name),
                region,
                "shape",
                illumination_free=True,
                **row,
            )
        if region != "cytoplasm":
            yield from _invariants(region)
    for name, row in _rows(_RELATIONS):
        yield Feature(name, getattr(shape, name), "both", "shape", illumination_free=True, **row)


def _invariants(region: str) -> Iterator[Feature]:
    row = partial(
        Feature,
        region=region,
        family="shape",
        unit="1",
        scale_free=True,
        illumination_free=True,
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


# channel | unit | range | illumination-free (its spread and contrast) | what | source
_CHANNELS = """
red        | grey | 0 255     | no  | camera value, 0 to 255          | sRGB
green      | grey | 0 255     | no  | camera value, 0 to 255          | sRGB
blue       | grey | 0 255     | no  | camera value, 0 to 255          | sRGB
hue        | deg  | 0 450     | no  | HSV hue from 90 up              | Smith 1978
saturation | 1    | 0 1       | no  | HSV saturation                  | Smith 1978
value      | 1    | 0 1       | no  | HSV value                       | Smith 1978
lab_l      | Lab  | 0 100     | no  | CIE L*, D65                     | CIE 1976
lab_a      | Lab  | -128 128  | no  | CIE a*, D65                     | CIE 1976
lab_b      | Lab  | -128 128  | no  | CIE b*, D65                     | CIE 1976
od_red     | OD   | 0 2.41    | yes | -log10(red/255)                 | Ruifrok 2001
od_green   | OD   | 0 2.41    | yes | -log10(green/255)               | Ruifrok 2001
od_blue    | OD   | 0 2.41    | yes | -log10(blue/255)                | Ruifrok 2001
azure      | OD   | 0 10      | no  | azure after unmixing, at least 0 | Ruifrok 2001; Landini
eosin      | OD   | 0 10      | no  | eosin after unmixing, at least 0 | Ruifrok 2001; Landini
"""
_CONTRASTED = ("saturation", "lab_l", "lab_a", "lab_b", "od_red", "od_green", "od_blue")
_PERCENTS = (5, 25, 50, 75, 95)


def _color(region: str) -> Iterator[Feature]:
    for channel, row in _rows(_CHANNELS):
        low, high = row.pop("range")
        what, free = row.pop("formula"), row.pop("scale_free")
        row = {**row, "region": region, "family": "color", "scale_free": True}
        name = f"{region}_{channel}"
        mean = partial(color.color_mean, channel=channel)
        std = partial(color.color_std, channel=channel)
        skew = partial(color.color_skew, channel=channel)
        row["illumination_free"] = False
        yield Feature(f"{name}_mean", mean, range=(low, high), formula=f"mean of {what}", **row)
        row["illumination_free"] = free
        limits = (0.0, high - low)
        yield Feature(f"{name}_std", std, range=limits, formula=f"std of {what}", **row)
        if channel in color.SKEWED:
            row |= {"unit": "1", "range": (-float("inf"), float("inf")), "scale_free": False}
            yield Feature(f"{name}_skew", skew, formula=f"skewness of {what}", **row)
    yield from _stain(region)


def _stain(region: str) -> Iterator[Feature]:
    row = partial(
        Feature, region=region, family="color", source="Ruifrok 2001; Landini", scale_free=True
    )
    for percent in _PERCENTS:
        yield row(
            f"{region}_od_green_p{percent}",
            partial(color.green_percentile, percent=percent),
            unit="OD",
            range=(0.0, 2.41),
            formula=f"{percent} % of the pixels reach this od_green at most",
        )
        yield row(
            f"{region}_eosin_part_p{percent}",
            partial(color.stain_percentile, percent=percent),
            unit="1",
            range=(0.0, 1.0),
            formula=f"{percent}th percentile of eosin/(azure + eosin)",
        )
    for channel in ("od_red", "od_green", "od_blue"):
        yield row(
            f"{region}_{channel}_part",
            partial(color.od_part, channel=channel),
            unit="1",
            range=(0.0, 1.0),
            formula=f"{channel}_mean/sum of od_red_mean, od_green_mean, od_blue_mean",
        )
    yield row(
        f"{region}_basophilia",
        color.basophilia,
        unit="1",
        range=(0.0, 1.0),
        formula="azure_mean/(azure_mean + eosin_mean)",
    )


def _contrast() -> Iterator[Feature]:
    for channel, row in _rows(_CHANNELS):
        if channel not in _CONTRASTED:
            continue
        low, high = row["range"]
        row |= {
            "formula": f"nucleus_{channel}_mean - cytoplasm_{channel}_mean",
            "range": (low - high, high - low),
            "illumination_free": row["scale_free"],
            "scale_free": True,
        }
        function = partial(color.contrast, channel=channel)
        yield Feature(f"contrast_{channel}", function, "both", "color", **row)
    yield Feature(
        "contrast_lab",
        color.difference_lab,
        "both",
        "color",
        unit="Lab",
        range=(0.0, 400.0),
        formula="CIE 1976 difference of mean nucleus and mean cytoplasm",
        source="CIE 1976",
        scale_free=True,
    )


# statistic | unit | range | scale-free | formula | source
_COOCCURRENCE = """
contrast      | 1 | 0 225    | no | sum p (i - j)^2                         | Haralick 1973
homogeneity   | 1 | 0 1      | no | sum p/(1 + (i - j)^2)                   | Haralick 1973
energy        | 1 | 0 1      | no | sqrt(sum p^2)                           | Haralick 1973
correlation   | 1 | -1 1     | no | sum p (i - m)(j - m)/variance           | Haralick 1973
entropy       | 1 | 0 8      | no | -sum p log2 p                           | Haralick 1973
cluster_shade | 1 | -inf inf | no | sum p (i + j - 2m)^3/(sum p (i + j - 2m)^2)^1.5 | Conners 1984
"""
_REACHES = {"near": (0.0, "neighbours"), "far": (0.08, "pixels 8 % of the diameter apart")}
_GRAINS = """
granularity   | OD | 0 2.41  | no | mean closing - image, in absorbance     | Serra 1982
vacuolation   | OD | 0 2.41  | no | mean image - opening, in absorbance     | Serra 1982
"""
_SIZES = (0.05, 0.1, 0.2)
_OTHER_TEXTURE = """
local_entropy_mean | 1  | 0 3   | no | mean entropy of 8 levels, 6 % of diameter | Shannon 1948
local_entropy_std  | 1  | 0 3   | no | std of entropy of 8 levels, 6 % of diameter | Shannon 1948
edge_strength      | OD | 0 inf | yes | mean abs(step of od_green) x radius     | gradient
"""
_RADII = (1, 3)


def _texture(region: str) -> Iterator[Feature]:
    place: dict[str, Any] = {"region": region, "family": "texture"}
    for where, (reach, pairs) in _REACHES.items():
        for name, row in _rows(_COOCCURRENCE):
            row |= place | {"formula": f"{row['formula']} of grey levels of {pairs}"}
            function = partial(texture.cooccurrence_statistic, statistic=name, reach=reach)
            yield Feature(f"{region}_glcm_{name}_{where}", function, **row)
    for name, row in _rows(_GRAINS):
        for size in _SIZES:
            function = partial(getattr(texture, name), size=size)
            formula = f"{row['formula']}, squares of {size:.0%} of the diameter"
            grains = row | place | {"formula": formula, "illumination_free": True}
            yield Feature(f"{region}_{name}_{size * 100:.0f}", function, **grains)
    for name, row in _rows(_OTHER_TEXTURE):
        row |= place | {"illumination_free": name == "edge_strength"}
        yield Feature(f"{region}_{name}", getattr(texture, name), **row)
    yield from _binary_patterns(region)


def _binary_patterns(region: str) -> Iterator[Feature]:
    for radius in _RADII:
        for pattern in range(texture.LBP_PATTERNS):
            yield Feature(
                f"{region}_lbp_r{radius}_{pattern}",
                partial(texture.local_binary_pattern, pattern=pattern, radius=radius),
                region,
                "texture",
                unit="1",
                range=(0.0, 1.0),
                formula=f"share of riu2 pattern {pattern} of 8 neighbours at {radius} px",
                source="Ojala 2002",
                illumination_free=True,
            )


def _background() -> Iterator[Feature]:
    for part in COMPARTMENTS:
        for channel in ("red", "green", "blue"):
            yield Feature(
                f"{part}_od_{channel}_over_background",
                partial(color.contrast_to_background, channel=channel, part=part),
                "both",
                "background",
                unit="OD",
                range=(-2.41, 2.41),
                formula=f"{part}_od_{channel}_mean - od_{channel} of the empty smear",
                source="Ruifrok 2001",
                scale_free=True,
                illumination_free=True,
            )


def _rows(table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the lines of a table above into what :class:`Feature` takes."""
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


def _all_features() -> Iterator[Feature]:
    yield from _shape()
    for region in COMPARTMENTS:
        yield from _color(region)
    yield from _contrast()
    for region in COMPARTMENTS:
        yield from _texture(region)
    yield from _background()


CATALOGUE: dict[str, Feature] = {feature.name: feature for feature in _all_features()}


def select_features(
    families: Iterable[str] = DEFAULT_FAMILIES, require: Iterable[str] = ()
) -> list[Feature]:
    """List the features of some families that have all the properties required.

    Raises
    ------
    InputError
        A family or property is unknown, or nothing is left.

    Examples
    --------
    >>> from hybridleuk.morphology.catalogue import select_features
    >>> robust = select_features(["shape"], require=["scale_free"])
    >>> "nucleus_area" in {feature.name for feature in robust}
    False
    """
    wanted = [families] if isinstance(families, str) else list(families)
    needed = [require] if isinstance(require, str) else list(require)
    _check_known("families", wanted, FAMILIES)
    _check_known("require", needed, PROPERTIES)
    selected = [
        feature
        for feature in CATALOGUE.values()
        if feature.family in wanted and all(getattr(feature, name) for name in needed)
    ]
    if not selected:
        raise InputError(
            f"No feature of the families {wanted} has the properties {needed}; name more "
            f"families of {', '.join(FAMILIES)}, or require less."
        )
    return selected


def catalogue_table() -> pd.DataFrame:
    """Tabulate the catalogue, one row per feature, for reading and for the documentation."""
    import pandas as pd

    rows = [
        {
            "name": feature.name,
            "region": feature.region,
            "family": feature.family,
            "unit": feature.unit,
            "range": f"{feature.range[0]:g} to {feature.range[1]:g}",
            "formula": feature.formula,
            "source": feature.source,
            **{name: getattr(feature, name) for name in PROPERTIES},
        }
        for feature in CATALOGUE.values()
    ]
    return pd.DataFrame(rows)


def _check_known(parameter: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"{parameter} holds {', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(known)}."
        )
