"""The rows of the catalogue about texture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from hybridleuk.morphology import spots, texture
from hybridleuk.morphology.feature import COMPARTMENTS, Feature, read_rows

__all__ = ["texture_features"]

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


def texture_features() -> Iterator[Feature]:
    """List the features of texture of each part, and the spots of the cytoplasm."""
    for region in COMPARTMENTS:
        yield from _texture(region)
    for kind, what in (("granule", "dark"), ("vacuole", "bright")):
        yield from _spots(kind, what)


def _spots(kind: str, what: str) -> Iterator[Feature]:
    widest, least = spots.SPOTS[kind]
    what = f"{what} spots ({least:g} OD or more, narrower than {widest:.0%} of the diameter)"
    row = partial(
        Feature,
        region="cytoplasm",
        family="texture",
        unit="1",
        source="Serra 1982",
        illumination_free=True,
    )
    yield row(
        f"cytoplasm_{kind}_count",
        getattr(spots, f"{kind}_count"),
        range=(0.0, float("inf")),
        formula=f"number of {what} of (2 % of it)^2 or more, 4 % or more from the border",
    )
    yield row(
        f"cytoplasm_{kind}_share",
        getattr(spots, f"{kind}_share"),
        range=(0.0, 1.0),
        formula=f"part of the area 4 % or more of the diameter from the border in {what}",
    )


def _texture(region: str) -> Iterator[Feature]:
    place: dict[str, Any] = {"region": region, "family": "texture"}
    for where, (reach, pairs) in _REACHES.items():
        for name, row in read_rows(_COOCCURRENCE):
            row |= place | {"formula": f"{row['formula']} of grey levels of {pairs}"}
            function = partial(texture.cooccurrence_statistic, statistic=name, reach=reach)
            yield Feature(f"{region}_glcm_{name}_{where}", function, **row)
    for name, row in read_rows(_GRAINS):
        for size in _SIZES:
            function = partial(getattr(texture, name), size=size)
            formula = f"{row['formula']}, squares of {size:.0%} of the diameter"
            grains = row | place | {"formula": formula, "illumination_free": True}
            yield Feature(f"{region}_{name}_{size * 100:.0f}", function, **grains)
    for name, row in read_rows(_OTHER_TEXTURE):
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
