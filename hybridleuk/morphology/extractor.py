"""Images to rows of morphology: per cell as a table, per image as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.images import ImageLike, check_images, read_image
from hybridleuk.exceptions import InputError
from hybridleuk.morphology.catalogue import DEFAULT_FAMILIES, IMAGE_COLUMNS, select_features
from hybridleuk.morphology.feature import Feature
from hybridleuk.morphology.measuring import (
    CELL_COLUMNS,
    MARKS,
    ExtraFeatures,
    check_extra,
    finite_extra,
    measure_extra,
    measure_images,
    measure_values,
)

if TYPE_CHECKING:
    import pandas as pd

    from hybridleuk.segmentation.records import Cells

__all__ = [
    "AGGREGATES",
    "CELL_COLUMNS",
    "MorphologyFeatures",
    "cell_table",
    "check_spacing",
    "measure_cells",
    "unit_scales",
]

Floats = npt.NDArray[np.float64]

AGGREGATES: dict[str, Callable[..., Floats]] = {
    "mean": np.mean,
    "std": np.std,
    "min": np.min,
    "max": np.max,
    "median": np.median,
}


def measure_cells(
    image: ImageLike,
    cells: Cells,
    *,
    spacing: float | None = None,
    families: Iterable[str] = DEFAULT_FAMILIES,
    require: Iterable[str] = (),
    extra: ExtraFeatures | None = None,
) -> pd.DataFrame:
    """Measure every cell of one image.

    Parameters
    ----------
    image : path or (H, W, 3) uint8
    cells : Cells
        From :func:`hybridleuk.find_cells`, or made of one's own masks.
    spacing : float, optional
        Micrometres per pixel; without it lengths are in pixels.
    families : sequence of {"shape", "color", "texture", "background"}
        By default all but ``"background"``, which looks outside of the cells.
    require : sequence of {"scale_free", "rotation_free", "illumination_free", "focus_free"}
        Measure only features that have all of these properties.
    extra : mapping of str to callable, optional
        The user's own features, functions of ``(mask, image)``; see :class:`MorphologyFeatures`.
        What is not finite becomes 0, with a note that names the feature.

    Returns
    -------
    DataFrame of n_cells rows
        Number, place and flags of the cell, then a column per feature; never NaN.

    Examples
    --------
    >>> from hybridleuk import find_cells
    >>> from hybridleuk.data.artificial import draw_cell
    >>> from hybridleuk.morphology.extractor import measure_cells
    >>> image = draw_cell("lymphocyte").image
    >>> cells = measure_cells(image, find_cells(image), spacing=0.1)
    >>> bool(0.5 < cells["nc_ratio_cell"].iloc[0] < 1)
    True
    """
    pixels = read_image(image)
    features = select_features(families, require)
    own = check_extra(extra)
    values = measure_values(pixels, cells, features) * unit_scales(features, check_spacing(spacing))
    if own:
        values = np.hstack([values, finite_extra([measure_extra(pixels, cells, own)], own)[0]])
    return cell_table(cells, values, [*(feature.name for feature in features), *own])


def cell_table(cells: Cells, values: Floats, names: Sequence[str]) -> pd.DataFrame:
    """Put number, place and flags of each cell beside its values, (n_cells, n_names)."""
    import pandas as pd

    places = [
        (cell.number, cell.central, *cell.box, *cell.centroid, ";".join(cell.flags))
        for cell in cells.cells
    ]
    described = pd.DataFrame(places, columns=list(CELL_COLUMNS))
    return pd.concat([described, pd.DataFrame(values, columns=list(names))], axis=1)


class MorphologyFeatures(TakesImages, TransformerMixin, BaseEstimator):
    """Images to morphology of their leukocytes: measured per cell, aggregated per image.

    In each image the leukocytes are found (:func:`hybridleuk.find_cells`) and measured
    (:data:`hybridleuk.morphology.catalogue.CATALOGUE`). An image's row aggregates its *usable*
    cells: the central one, if the image is a single-cell crop; else all that carry no flag of
    :data:`hybridleuk.segmentation.records.UNUSABLE`; if none is left, all. Nothing is learned by
    ``fit``, nothing depends on labels.

    Parameters
    ----------
    families : sequence of {"shape", "color", "texture", "background"}
        By default all but ``"background"``. Features of that family look at the smear outside of
        the cells, which often tells the slide rather than the cell.
    aggregates : sequence of {"mean", "std", "min", "max", "median"}
        What becomes of each feature over the usable cells of an image.
    spacing : float, optional
        Micrometres per pixel. Without it lengths are in pixels and areas in square pixels.
    require : sequence of {"scale_free", "rotation_free", "illumination_free", "focus_free"}
        Use only features with all of these properties, such as for images of another microscope.
    method : {"otsu", "hsv"}, default "otsu"
        How cells are found.
    extra : mapping of str to callable, optional
        The user's own features, functions of ``(mask, image)`` that return a number: `image` is
        the cell's box (h, w, 3) and `mask` (h, w) the nucleus for names beginning with
        ``nucleus``, the cytoplasm for ``cytoplasm``, else the whole cell. They are computed each
        time: what a function does cannot be told from its name, so nothing safe identifies its
        results in the cache. What is not finite becomes 0, with one note per feature that says in
        how many cells. Names of the catalogue or of columns of :func:`measure_cells` are refused.
    cache : path, "default" or None
        Where measurements are kept by content.
    n_jobs : int, optional
        Processes. By default all cores for more than 64 images, else one.

    Notes
    -----
    Columns are those of :data:`hybridleuk.morphology.catalogue.IMAGE_COLUMNS` (``cell_count``,
    ``cell_density``, ``qc_no_cell``, ``qc_flagged``), then ``<feature>__<aggregate>``. If no
    leukocyte is found, ``qc_no_cell`` is 1 and all else is 0.

    Examples
    --------
    >>> from hybridleuk import MorphologyFeatures
    >>> from hybridleuk.data.artificial import draw_cell
    >>> images = [draw_cell(kind).image for kind in ("lymphocyte", "neutrophil")]
    >>> morphology = MorphologyFeatures(["shape"], ["mean"], cache=None).set_output(
    ...     transform="pandas"
    ... )
    >>> table = morphology.fit_transform(images)
    >>> table["cell_count"].tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        families: Iterable[str] = DEFAULT_FAMILIES,
        aggregates: Iterable[str] = ("mean", "std", "min", "max"),
        *,
        spacing: float | None = None,
        require: Iterable[str] = (),
        method: str = "otsu",
        extra: ExtraFeatures | None = None,
        cache: Any = "default",
        n_jobs: int | None = None,
    ) -> None:
        self.families = families
        self.aggregates = aggregates
        self.spacing = spacing
        self.require = require
        self.method = method
        self.extra = extra
        self.cache = cache
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check parameters and images; nothing is learned."""
        check_images(X)
        self._validated()
        return self

    def transform(self, X: Any) -> Floats:
        """Measure images.

        Parameters
        ----------
        X : sequence of paths or (H, W, 3) uint8 arrays

        Returns
        -------
        ndarray of shape (n_images, n_features), float64
            Never NaN.
        """
        images = check_images(X)
        features, extra, aggregates = self._validated()
        scales = unit_scales(features, self.spacing, len(extra))
        tables = measure_images(
            images,
            features,
            extra=extra,
            method=self.method,
            cache=self.cache,
            n_jobs=self.n_jobs,
        )
        return np.array([_aggregated(table, scales, aggregates, self.spacing) for table in tables])

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the name of every column."""
        features, extra, aggregates = self._validated()
        names = [*(feature.name for feature in features), *extra]
        columns = [f"{name}__{aggregate}" for name in names for aggregate in aggregates]
        return np.asarray([*IMAGE_COLUMNS, *columns], dtype=object)

    def _validated(self) -> tuple[list[Feature], dict[str, Callable[..., float]], list[str]]:
        from hybridleuk.segmentation.cells import METHODS

        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}; expected one of {', '.join(METHODS)}.")
        check_spacing(self.spacing)
        aggregates = list(self.aggregates)
        unknown = [name for name in aggregates if name not in AGGREGATES]
        if unknown or not aggregates:
            raise InputError(
                f"aggregates are {aggregates}; expected some of {', '.join(AGGREGATES)}."
            )
        features = select_features(self.families, self.require)
        return features, check_extra(self.extra), aggregates

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _aggregated(
    table: Floats, scales: Floats, aggregates: Sequence[str], spacing: float | None = None
) -> Floats:
    """Make one row of the cells' marks and values, (n_cells, 3 + n_features)."""
    count, width = len(table), table.shape[1] - len(MARKS)
    if not count:
        no_cell = [float(name == "qc_no_cell") for name in IMAGE_COLUMNS]
        return np.concatenate([no_cell, np.zeros(width * len(aggregates))])
    usable, flagged, area = table[:, 0] > 0, table[:, 1], table[0, 2] * (spacing or 1.0) ** 2
    values = table[usable, len(MARKS) :] * scales
    summaries = np.stack([AGGREGATES[name](values, axis=0) for name in aggregates], axis=1)
    density = 1e6 * count / area if area else 0.0
    return np.concatenate([[count, density, 0.0, flagged.mean()], summaries.ravel()])


def unit_scales(features: Sequence[Feature], spacing: float | None, n_extra: int = 0) -> Floats:
    """Return what each column is multiplied with to come from pixels to physical units."""
    powers = {"px": 1, "px2": 2}
    exponents = [powers.get(feature.unit, 0) for feature in features] + [0] * n_extra
    return np.power(1.0 if spacing is None else float(spacing), exponents)


def check_spacing(spacing: float | None) -> float | None:
    """Return `spacing`, or raise :class:`~hybridleuk.exceptions.InputError` if it is no length."""
    if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"spacing is {spacing}; expected micrometres per pixel, above 0.")
    return spacing
