"""The rows of the catalogue about color."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hybridleuk.morphology import color, zones
from hybridleuk.morphology.feature import COMPARTMENTS, Feature, read_rows

__all__ = ["background_features", "color_features"]

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


def color_features() -> Iterator[Feature]:
    """List the features of color, of each part, of their contrast and of zones within them."""
    for region in COMPARTMENTS:
        yield from _color(region)
    yield from _contrast()
    yield from _zones()


def _color(region: str) -> Iterator[Feature]:
    for channel, row in read_rows(_CHANNELS):
        low, high = row.pop("range")
        what, free = row.pop("formula"), row.pop("scale_free")
        row |= {"region": region, "family": "color", "scale_free": True, "focus_free": True}
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
            row |= {"unit": "1", "range": (-float("inf"), float("inf"))}
            row |= {"scale_free": False, "focus_free": False}
            yield Feature(f"{name}_skew", skew, formula=f"skewness of {what}", **row)
    yield from _stain(region)


def _stain(region: str) -> Iterator[Feature]:
    row = partial(
        Feature,
        region=region,
        family="color",
        source="Ruifrok 2001; Landini",
        scale_free=True,
        focus_free=True,
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
    for channel, row in read_rows(_CHANNELS):
        if channel not in _CONTRASTED:
            continue
        low, high = row["range"]
        row |= {
            "formula": f"nucleus_{channel}_mean - cytoplasm_{channel}_mean",
            "range": (low - high, high - low),
            "illumination_free": row["scale_free"],
            "scale_free": True,
            "focus_free": True,
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
        focus_free=True,
    )


def _zones() -> Iterator[Feature]:
    row = partial(
        Feature,
        family="color",
        unit="OD",
        range=(-2.41, 2.41),
        source="haematology",
        scale_free=True,
        illumination_free=True,
        focus_free=True,
    )
    yield row(
        "nucleus_rim_contrast",
        zones.rim_contrast,
        "nucleus",
        formula="mean od_green of the outer half of the nucleus - of its inner half",
    )
    yield row(
        "perinuclear_pallor",
        zones.perinuclear_pallor,
        "both",
        formula="mean od_green of cytoplasm over 10 % of cell diameter from the nucleus - nearer",
    )


def background_features() -> Iterator[Feature]:
    """List the features that compare a part with the empty smear."""
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
                focus_free=True,
            )
