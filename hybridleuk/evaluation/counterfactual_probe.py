"""What a fitted candidate calls when the cell stays and something else of the image changes.

Shortcut baselines tell what could have been read beside the cells; this tells what was. Unseen
images of each fold are changed (:mod:`hybridleuk.evaluation.changes`), and the candidate fitted in
that fold is asked again: a loss of balanced accuracy is what the change took from it. The sample
and the changes are the same for every candidate, so that features of changed images are computed
once and then found in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.data.splits import Fold
from hybridleuk.evaluation.changes import CHANGES, OTHER_CLASS, SAME_CLASS, change
from hybridleuk.evaluation.crossval import Study
from hybridleuk.segmentation.cells import SEGMENTATION_VERSION, Cells, iter_cells
from hybridleuk.segmentation.painting import cells_mask, paint_out

__all__ = ["PROBE", "Counterfactuals"]

Array = npt.NDArray[Any]

PROBE = "counterfactuals"
VERSION = 1
_FEWEST_IMAGES = 40
_PIXELS = 200 * 640 * 480  # of all sampled images together: fewer of large ones
_BYTES_AT_ONCE = 150_000_000
_NOBODY = -1


@dataclass(frozen=True)
class Counterfactuals:
    """Change unseen images and ask a fitted candidate again.

    Parameters
    ----------
    n_images : int, default 200
        Images of all folds together, at most, with as many of each class; fewer, but at least 40,
        where images are so large that 200 have more pixels than 200 of 640 x 480.
    cache : "default", path or None
        Where leukocytes that were found lie.
    version : int
        Of the changes.
    """

    n_images: int = 200
    cache: Any = "default"
    version: tuple[int, int] = (VERSION, SEGMENTATION_VERSION)
    name: str = field(default=PROBE, init=False)

    def applies_to(self, estimator: Any) -> bool:
        """Tell whether a candidate can be asked: any that may take images as arrays."""
        return hasattr(estimator, "predict_proba")

    def ask(self, fitted: Any, study: Study, fold: Fold) -> dict[str, Array]:
        """Change a sample of the fold's unseen images and collect what they are called.

        Returns
        -------
        dict
            ``rows`` (m,), ``as_is`` (m,) and ``calls`` (n_changes, m), codes of classes;
            ``donor_of_other`` and ``donor_of_same`` (m,), rows whose background was taken, -1
            where there is none; ``n_without_cell`` (1,), images left out. Empty where the
            candidate takes no arrays.
        """
        sample = _sampled(study, fold, self._wanted(study, fold), self.cache)
        rows = sample.rows
        takes_images = isinstance(fitted, TakesImages)
        try:
            as_is = _called(fitted, study, list(study.images[rows])) if len(rows) else rows
            calls = _asked(fitted, study, sample)
        except (TypeError, ValueError, AttributeError, OSError):
            if takes_images:  # then it is no matter of what it takes
                raise
            return {}
        return {
            "rows": rows,
            "as_is": as_is,
            "calls": calls,
            "donor_of_other": sample.other,
            "donor_of_same": sample.same,
            "n_without_cell": np.array([sample.n_without_cell]),
        }

    def _wanted(self, study: Study, fold: Fold) -> int:
        pixels = read_image(study.images[0]).shape
        most = int(np.clip(_PIXELS // (pixels[0] * pixels[1]), _FEWEST_IMAGES, self.n_images))
        return max(1, round(min(most, self.n_images) * len(fold[1]) / len(study.labels)))


@dataclass(frozen=True)
class _Sample:
    """Unseen images with the leukocytes found in them, and whose background each is given.

    `other` and `same` hold rows of the study, -1 where no image fits.
    """

    rows: Array
    cells: list[Cells]
    other: Array
    same: Array
    n_without_cell: int


def _sampled(study: Study, fold: Fold, wanted: int, cache: Any) -> _Sample:
    """Draw as many images of each class, spread over the groups, by the hash of their content."""
    classes = sorted(set(study.labels[fold[1]]))
    each = max(1, wanted // len(classes))
    rows: list[int] = []
    found: list[Cells] = []
    without = 0
    for label in classes:
        members = _in_turn(study, fold[1][study.labels[fold[1]] == label])[: 2 * each]
        kept = 0
        for row, cells in zip(
            members, iter_cells(list(study.images[members]), cache=cache), strict=True
        ):
            if kept == each:
                break
            if not len(cells):
                without += 1
                continue
            rows.append(row)
            found.append(cells)
            kept += 1
    picked = np.array(rows, dtype=np.intp)
    other, same = _donors(study, picked, different=True), _donors(study, picked, different=False)
    return _Sample(picked, found, other, same, without)


def _in_turn(study: Study, rows: Array) -> list[int]:
    """Order images so that each group's first comes before any group's second."""
    ordered = sorted((int(row) for row in rows), key=lambda row: study.hashes[row])
    if study.groups is None:
        return ordered
    seen: dict[Any, int] = {}
    turns = []
    for row in ordered:
        turns.append(seen.get(study.groups[row], 0))
        seen[study.groups[row]] = turns[-1] + 1
    return [ordered[place] for place in np.argsort(turns, kind="stable")]


def _donors(study: Study, rows: Array, *, different: bool) -> Array:
    """Find for each image one of another, or of its own, class, and of another group.

    With groups known an image of the same group is never taken: it would bring the same slide.
    """
    labels = study.labels[rows]
    groups = study.groups[rows] if study.groups is not None else np.arange(len(rows))
    donors = np.full(len(rows), _NOBODY, dtype=np.intp)
    for place in range(len(rows)):
        fits = ((labels != labels[place]) == different) & (groups != groups[place])
        able = np.flatnonzero(fits)
        if len(able):
            # A stride that is no multiple of what there is takes donors of every class in turn.
            donors[place] = rows[able[(7 * place + 3) % len(able)]]
    return donors


def _asked(fitted: Any, study: Study, sample: _Sample) -> Array:
    calls = np.full((len(CHANGES), len(sample.rows)), _NOBODY, dtype=np.intp)
    for places, images in _batches(_changed(study, sample)):
        calls[tuple(np.transpose(places))] = _called(fitted, study, images)
    return calls


def _changed(study: Study, sample: _Sample) -> Iterator[tuple[tuple[int, int], RGBImage]]:
    """Yield every changed image with the number of the change and the image's place."""
    pixels = [read_image(study.images[row]) for row in sample.rows]
    grounds: dict[int, RGBImage] = {}
    place_of = {int(row): place for place, row in enumerate(sample.rows)}

    def ground(row: int) -> RGBImage:
        if row not in grounds:
            image, cells = pixels[place_of[row]], sample.cells[place_of[row]]
            grounds[row] = paint_out(image, cells_mask(image, cells))
        return grounds[row]

    for number, kind in enumerate(CHANGES):
        donors = {OTHER_CLASS: sample.other, SAME_CLASS: sample.same}.get(kind.name)
        for place, image in enumerate(pixels):
            new = None
            if donors is not None:
                if donors[place] == _NOBODY:
                    continue
                new = ground(int(donors[place]))
            mask = sample.cells[place].instances > 0
            yield (number, place), change(kind.name, image, mask, new)


def _batches(
    changed: Iterator[tuple[tuple[int, int], RGBImage]],
) -> Iterator[tuple[list[tuple[int, int]], list[RGBImage]]]:
    places: list[tuple[int, int]] = []
    images: list[RGBImage] = []
    size = 0
    for place, image in changed:
        if images and size + image.nbytes > _BYTES_AT_ONCE:
            yield places, images
            places, images, size = [], [], 0
        places.append(place)
        images.append(image)
        size += image.nbytes
    if images:
        yield places, images


def _called(fitted: Any, study: Study, images: Sequence[Any]) -> Array:
    """Codes of the classes called."""
    known = np.searchsorted(study.classes, [str(label) for label in fitted.classes_])
    called: Array = known[np.asarray(fitted.predict_proba(images)).argmax(axis=1)]
    return called
