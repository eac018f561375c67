"""Measurements that belong together: by what they describe, and by how they go up and down.

Single measurements are poor units of explanation. There are hundreds, and most have twins: the area
of a nucleus and its diameter say the same thing twice, so a classifier does not miss either one
while it has the other. What is asked about measurements is therefore asked about groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hybridleuk.morphology.catalogue import CATALOGUE, IMAGE_COLUMNS
from hybridleuk.morphology.feature import Feature

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GROUPS", "TWINS_FROM", "Twins", "describe", "feature_of", "find_twins", "group_of"]

TWINS_FROM = 0.7

GROUPS = (
    "nucleus size",
    "nucleus lobes",
    "nucleus outline",
    "nucleus color",
    "chromatin texture",
    "cell size",
    "cell outline",
    "amount of cytoplasm",
    "cytoplasm color",
    "cytoplasm granules and vacuoles",
    "cytoplasm texture",
    "nucleus against cytoplasm",
    "color against background",
    "number of cells",
    "other measurements",
)
_SIZES = (
    "area",
    "perimeter",
    "equivalent_diameter",
    "major_axis",
    "minor_axis",
    "feret_max",
    "feret_min",
)
_LOBES = (
    "solidity",
    "convexity",
    "inscribed_ratio",
    "thickness_mean",
    "indentation",
    "lobe_count",
    "waist",
    "parts",
)
_SPOTS = ("granul", "vacuol")
_REGION = {
    ("nucleus", "color"): "nucleus color",
    ("nucleus", "texture"): "chromatin texture",
    ("cytoplasm", "shape"): "amount of cytoplasm",
    ("cytoplasm", "color"): "cytoplasm color",
    ("cytoplasm", "texture"): "cytoplasm texture",
    ("both", "shape"): "amount of cytoplasm",
    ("both", "color"): "nucleus against cytoplasm",
}


@dataclass(frozen=True)
class Twins:
    """Measurements that rise and fall together.

    Attributes
    ----------
    name : str
        The member that is most like all the others.
    members : tuple of str
        Names of features, that one first.
    """

    name: str
    members: tuple[str, ...]


def feature_of(column: str) -> str:
    """Name the feature that a column of an image aggregates.

    Examples
    --------
    >>> from hybridleuk.morphology.groups import feature_of
    >>> feature_of("nucleus_area__mean"), feature_of("cell_count")
    ('nucleus_area', 'cell_count')
    """
    return column if column in IMAGE_COLUMNS else column.rpartition("__")[0] or column


def group_of(name: str) -> str:
    """Name what a feature is about, one of :data:`GROUPS`.

    Parameters
    ----------
    name : str
        Of a feature of the catalogue, of :data:`~hybridleuk.morphology.catalogue.IMAGE_COLUMNS`, or
        a feature of one's own.

    Examples
    --------
    >>> from hybridleuk.morphology.groups import group_of
    >>> group_of("nucleus_lobe_count"), group_of("cytoplasm_granule_count")
    ('nucleus lobes', 'cytoplasm granules and vacuoles')
    """
    if name in IMAGE_COLUMNS:
        return "number of cells"
    feature = CATALOGUE.get(name)
    if feature is None:
        return "other measurements"
    if feature.family == "background":
        return "color against background"
    if feature.family == "shape" and feature.region in ("nucleus", "cell"):
        return _shape_group(feature)
    if feature.region == "cytoplasm" and _measured(feature).startswith(_SPOTS):
        return "cytoplasm granules and vacuoles"
    return _REGION[feature.region, feature.family]


def describe(name: str) -> tuple[str, str]:
    """Return region and formula of a feature, as the catalogue has them."""
    if name in IMAGE_COLUMNS:
        return "image", IMAGE_COLUMNS[name][1]
    feature = CATALOGUE.get(name)
    return ("", "") if feature is None else (feature.region, feature.formula)


def find_twins(measured: pd.DataFrame, *, alike_from: float = TWINS_FROM) -> list[Twins]:
    """Gather the features that rise and fall together over many images.

    The features are clustered by average linkage of ``1 - |rho|``, with ``rho`` Spearman's rank
    correlation of the first column of each feature that varies, which is its mean over the cells.

    Parameters
    ----------
    measured : DataFrame of n_images rows
        Columns as of :class:`hybridleuk.MorphologyFeatures`. Labels are not needed.
    alike_from : float, default 0.7
        Clusters whose mean ``|rho|`` is at least this are joined.

    Returns
    -------
    list of Twins
        Every feature that varies, in one of them; in the order of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hybridleuk.morphology.groups import find_twins
    >>> area = np.array([3.0, 1.0, 4.0, 2.0, 5.0])
    >>> measured = pd.DataFrame({
    ...     "nucleus_area__mean": area,
    ...     "nucleus_hue_mean__mean": [4.0, 1.0, 3.0, 5.0, 2.0],
    ...     "nucleus_perimeter__mean": area**0.5,
    ... })
    >>> [twins.members for twins in find_twins(measured)]
    [('nucleus_area', 'nucleus_perimeter'), ('nucleus_hue_mean',)]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    columns = _leading_columns(measured)
    names = list(columns)
    if len(names) < 2:
        return [Twins(name, (name,)) for name in names]
    ranks = rankdata(measured[list(columns.values())].to_numpy(), axis=0)
    alike = np.abs(np.corrcoef(ranks.T))
    distances = np.clip(1 - alike, 0, 1)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    numbers = fcluster(tree, 1 - alike_from, "distance")
    clusters = [np.flatnonzero(numbers == number) for number in dict.fromkeys(numbers)]
    return [_twins(names, alike, members) for members in clusters]


def _twins(
    names: Sequence[str], alike: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]
) -> Twins:
    closeness = alike[np.ix_(rows, rows)].mean(axis=1)
    order = rows[np.argsort(-closeness.round(9), kind="stable")]
    return Twins(names[order[0]], tuple(names[row] for row in order))


def _leading_columns(measured: pd.DataFrame) -> dict[str, str]:
    """Map each feature to its first column that varies."""
    varies = np.ptp(measured.to_numpy(dtype=np.float64), axis=0) > 0
    found: dict[str, str] = {}
    for column, moves in zip(map(str, measured.columns), varies, strict=True):
        if moves:
            found.setdefault(feature_of(column), column)
    return found


def _shape_group(feature: Feature) -> str:
    measured = _measured(feature)
    if measured in _SIZES:
        return f"{feature.region} size"
    if feature.region == "nucleus" and measured in _LOBES:
        return "nucleus lobes"
    return f"{feature.region} outline"


def _measured(feature: Feature) -> str:
    return feature.name.removeprefix(f"{feature.region}_")
