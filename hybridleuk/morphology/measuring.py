"""Cells to rows of numbers: one image, or many in parallel, each measured only once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, image_sha256, read_image
from hybridleuk.exceptions import InputError
from hybridleuk.morphology.catalogue import CATALOGUE, MORPHOLOGY_VERSION
from hybridleuk.morphology.feature import Feature
from hybridleuk.morphology.region import CellRegions
from hybridleuk.segmentation.records import UNUSABLE, Cell, Cells

__all__ = [
    "CELL_COLUMNS",
    "MARKS",
    "ExtraFeatures",
    "cell_regions",
    "check_extra",
    "finite_extra",
    "in_parallel",
    "measure_images",
    "measure_marked",
    "measure_values",
    "measurement_key",
]

Floats = npt.NDArray[np.float64]
ExtraFeatures: TypeAlias = Mapping[
    str, Callable[[npt.NDArray[np.bool_], npt.NDArray[np.uint8]], float]
]

# What stands before the values of a cell: see :func:`measure_images`.
MARKS = ("usable", "flagged", "field_area")
IMAGES_PER_BATCH = 16
WORTH_WORKERS = 64
CELL_COLUMNS = (
    "number",
    "central",
    "y0",
    "x0",
    "y1",
    "x1",
    "centroid_y",
    "centroid_x",
    "flags",
)
_PARTS = ("nucleus", "cytoplasm")


def cell_regions(
    image: RGBImage, cells: Cells, cell: Cell, background: Floats | None = None
) -> CellRegions:
    """Cut one cell out: nucleus and cytoplasm within its box, with the image there."""
    y0, x0, y1, x1 = cell.box
    whole = cells.instances[y0:y1, x0:x1] == cell.number
    nucleus = whole & cells.nucleus[y0:y1, x0:x1]
    return CellRegions(nucleus, whole & ~nucleus, image[y0:y1, x0:x1], background)


def measure_values(image: RGBImage, cells: Cells, features: Sequence[Feature]) -> Floats:
    """Measure each cell: (n_cells, n_features), always finite, lengths in pixels."""
    background = _background(image, features)
    values = np.zeros((len(cells), len(features)))
    for row, cell in zip(values, cells.cells, strict=True):
        regions = cell_regions(image, cells, cell, background)
        row[:] = [feature.measure(regions) for feature in features]
    return values


def measure_marked(image: RGBImage, cells: Cells, features: Sequence[Feature]) -> Floats:
    """Measure each cell with the :data:`MARKS` before its values, as the cache keeps it."""
    marks = np.zeros((len(cells), len(MARKS)))
    usable = {cell.number for cell in cells.usable()}
    marks[:, 0] = [cell.number in usable for cell in cells.cells]
    marks[:, 1] = [bool(UNUSABLE.intersection(cell.flags)) for cell in cells.cells]
    is_crop = any(cell.central for cell in cells.cells)
    marks[:, 2] = 0 if is_crop else image.shape[0] * image.shape[1]
    return np.hstack([marks, measure_values(image, cells, features)])


def measure_extra(image: RGBImage, cells: Cells, extra: ExtraFeatures) -> Floats:
    """Call the user's functions for each cell: (n_cells, n_extra), as returned."""
    values = np.zeros((len(cells), len(extra)))
    for row, cell in zip(values, cells.cells, strict=True):
        regions = cell_regions(image, cells, cell)
        y0, x0, y1, x1 = cell.box
        for column, (name, function) in enumerate(extra.items()):
            mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
            part = getattr(regions, next((p for p in _PARTS if name.startswith(p)), "cell"))
            top, left, bottom, right = part.box
            mask[top:bottom, left:right] = part.mask
            row[column] = _called(name, function, mask, image[y0:y1, x0:x1], cell)
    return values


def finite_extra(tables: Iterable[Floats], names: Iterable[str]) -> list[Floats]:
    """Put 0 where the user's functions returned NaN or infinity, and say where they did."""
    return list(iter_finite(tables, list(names)))


def iter_finite(tables: Iterable[Floats], names: Sequence[str]) -> Generator[Floats]:
    """Do so one image at a time; the notes follow the last one."""
    wrong = np.zeros(len(names), dtype=int)
    for values in tables:
        finite = np.isfinite(values)
        wrong += (~finite).sum(axis=0)
        yield np.where(finite, values, 0.0)
    for name, number in zip(names, wrong, strict=True):
        if number:
            progress.note(f"Your feature {name!r} was not finite in {number} cells; it is 0 there.")


def _called(
    name: str, function: Callable[..., float], mask: Any, image: RGBImage, cell: Cell
) -> float:
    try:
        return float(function(mask, image))
    except Exception as error:
        raise InputError(
            f"Your feature {name!r} failed on cell {cell.number}, a mask of shape {mask.shape} "
            f"({type(error).__name__}: {error}); it has to return a number for any mask."
        ) from error


def check_extra(extra: ExtraFeatures | None) -> dict[str, Callable[..., float]]:
    """Return the user's features as a dict; their names must be new and their values callable."""
    checked = dict(extra or {})
    for name, function in checked.items():
        if not isinstance(name, str) or not callable(function):
            raise InputError(
                f"extra holds {name!r}: {function!r}; expected names with functions of "
                "(mask, image)."
            )
        if name in CATALOGUE or name in CELL_COLUMNS:
            raise InputError(f"extra redefines {name!r}; choose a name outside the catalogue.")
    return checked


def measure_images(
    images: Sequence[ImageLike],
    features: Sequence[Feature],
    *,
    extra: ExtraFeatures | None = None,
    method: str = "otsu",
    cache: Any = "default",
    n_jobs: int | None = None,
) -> Iterator[Floats]:
    """Measure the cells of many images, in order; what the cache knows is not computed.

    Yields
    ------
    ndarray of shape (n_cells, 3 + n_features + n_extra)
        The :data:`MARKS`: whether the cell is to be aggregated, whether it has a flag of
        :data:`~hybridleuk.segmentation.records.UNUSABLE`, how many pixels the image has (0 if it
        is cut around one cell, whose surroundings then tell nothing of the smear); then the values.
    """
    with ExitStack() as open_until_done:
        store = open_cache(cache)
        if store:
            open_until_done.enter_context(store)
        columns = [_known_or_measured(images, features, method, cache, store, n_jobs)]
        if extra:
            compute = (_extra_batch, dict(extra), method, cache)
            columns.append(iter_finite(in_parallel(compute, images, n_jobs), list(extra)))
        for column in columns:  # closed before the cache is, so that what was measured is stored
            open_until_done.enter_context(closing(column))
        task = open_until_done.enter_context(progress.task("Measuring cells", len(images)))
        for parts in zip(*columns, strict=True):  # strict: each runs to its end
            task.advance()
            yield np.hstack(parts)


def _known_or_measured(
    images: Sequence[ImageLike],
    features: Sequence[Feature],
    method: str,
    cache: Any,
    store: Cache | None,
    n_jobs: int | None,
) -> Generator[Floats]:
    keys = measurement_keys(images, features, method) if store else [""] * len(images)
    known = store.get_many(keys) if store else {}
    todo = [index for index, key in enumerate(keys) if key not in known]
    names = [feature.name for feature in features]
    compute = (_measured_batch, names, method, cache)
    measured = in_parallel(compute, [images[index] for index in todo], n_jobs)
    unsaved: dict[str, Floats] = {}
    try:
        for key in keys:
            if key not in known:
                unsaved[key] = next(measured)
            yield unsaved[key] if key in unsaved else known[key]
            if store and len(unsaved) >= IMAGES_PER_BATCH:
                store.put_many(unsaved)
                known |= unsaved
                unsaved = {}
    finally:
        if store and unsaved:
            store.put_many(unsaved)


def measurement_keys(
    images: Iterable[ImageLike], features: Sequence[Feature], method: str
) -> list[str]:
    """Return the key in the cache of each image's measurements."""
    return [measurement_key(image_sha256(image), features, method) for image in images]


def measurement_key(sha256: str, features: Sequence[Feature], method: str) -> str:
    """Return the key in the cache of the measurements of an image with that hash."""
    from hybridleuk.segmentation.cells import SEGMENTATION_VERSION

    recipe = {
        "segmentation": SEGMENTATION_VERSION,
        "method": method,
        "morphology": MORPHOLOGY_VERSION,
        "features": [feature.name for feature in features],
    }
    return cache_key("morphology", sha256, recipe)


def in_parallel(
    compute: tuple[Any, ...], images: Sequence[Any], n_jobs: int | None
) -> Generator[Any]:
    """Yield what ``function(batch, *arguments)`` returns for each image, in order.

    By default (`n_jobs` None) all cores work on more than 64 images, and one core on fewer, where
    starting the workers would take longer than the work.
    """
    from joblib import Parallel, delayed

    function, *arguments = compute
    if n_jobs is None:
        n_jobs = -1 if len(images) > WORTH_WORKERS else 1
    starts = range(0, len(images), IMAGES_PER_BATCH)
    batches = (images[start : start + IMAGES_PER_BATCH] for start in starts)
    jobs = (delayed(function)(batch, *arguments) for batch in batches)
    for results in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        yield from results


def _measured_batch(
    images: Sequence[ImageLike], names: Sequence[str], method: str, cache: Any
) -> list[Floats]:
    features = [CATALOGUE[name] for name in names]
    return _for_each(
        images, lambda image, cells: measure_marked(image, cells, features), method, cache
    )


def _extra_batch(
    images: Sequence[ImageLike], extra: ExtraFeatures, method: str, cache: Any
) -> list[Floats]:
    return _for_each(images, lambda image, cells: measure_extra(image, cells, extra), method, cache)


def _for_each(
    images: Sequence[ImageLike],
    measure: Callable[[RGBImage, Cells], Floats],
    method: str,
    cache: Any,
) -> list[Floats]:
    from hybridleuk.segmentation.cells import iter_cells

    with progress.report_to(progress.Listener()):
        found = iter_cells(images, method=method, cache=cache, n_jobs=1)
        return [
            measure(read_image(image), cells) for image, cells in zip(images, found, strict=True)
        ]


def _background(image: RGBImage, features: Sequence[Feature]) -> Floats | None:
    if all(feature.family != "background" for feature in features):
        return None
    from hybridleuk.segmentation.stain import estimate_background

    return estimate_background(image)
