"""Every feature: name, function, region, unit, range, formula and source.

The rows stand in the modules ``catalogue_shape``, ``catalogue_color`` and ``catalogue_texture``, in
tables that are read once. A row names a function of :mod:`~hybridleuk.morphology.shape`,
:mod:`~hybridleuk.morphology.zones`, :mod:`~hybridleuk.morphology.color`,
:mod:`~hybridleuk.morphology.texture` or :mod:`~hybridleuk.morphology.spots`; the builder under each
table says for which regions and parameters it becomes a feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from hybridleuk.exceptions import InputError
from hybridleuk.morphology.catalogue_color import background_features, color_features
from hybridleuk.morphology.catalogue_shape import shape_features
from hybridleuk.morphology.catalogue_texture import texture_features
from hybridleuk.morphology.feature import PORTABLE, PROPERTIES, Feature

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CATALOGUE",
    "DEFAULT_FAMILIES",
    "FAMILIES",
    "IMAGE_COLUMNS",
    "MORPHOLOGY_VERSION",
    "PORTABLE",
    "PROPERTIES",
    "Feature",
    "catalogue_table",
    "portable_columns",
    "select_features",
]

# Part of every cache key: raise it whenever any feature's value changes.
MORPHOLOGY_VERSION = 3

DEFAULT_FAMILIES = ("shape", "color", "texture")
FAMILIES = (*DEFAULT_FAMILIES, "background")

# Columns of an image beside those aggregated from its cells: unit and formula.
IMAGE_COLUMNS = {
    "cell_count": ("1", "leukocytes found"),
    "cell_density": (
        "1/mm2",
        "cell_count/area of the image, per mm2 (without spacing per 10^6 px); 0 if the image is "
        "cut around one cell",
    ),
    "qc_no_cell": ("1", "1 if no leukocyte was found, all else being 0 then; else 0"),
    "qc_flagged": ("1", "part of the cells with a flag that makes them unusable"),
}

CATALOGUE: dict[str, Feature] = {
    feature.name: feature
    for feature in chain(
        shape_features(), color_features(), texture_features(), background_features()
    )
}


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


def portable_columns(columns: Iterable[str]) -> list[str]:
    """Pick the columns of an image whose features have all properties of :data:`PORTABLE`.

    Parameters
    ----------
    columns : iterable of str
        ``<feature>__<aggregate>`` and names of :data:`IMAGE_COLUMNS`, as
        :class:`~hybridleuk.MorphologyFeatures` names them. Features that are not in the catalogue
        are the user's own, and kept.

    Examples
    --------
    >>> from hybridleuk.morphology.catalogue import portable_columns
    >>> portable_columns(["cell_count", "nucleus_area__mean", "nc_ratio_cell__mean", "mine__max"])
    ['nc_ratio_cell__mean', 'mine__max']
    """
    return [column for column in columns if _is_portable(column)]


def _is_portable(column: str) -> bool:
    if column in IMAGE_COLUMNS:
        return column == "qc_no_cell"
    feature = CATALOGUE.get(column.rpartition("__")[0])
    return feature is None or all(getattr(feature, name) for name in PORTABLE)


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
