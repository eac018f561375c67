"""Images of poor quality: blurred, badly exposed, pale, without a cell or with several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.evidence import Evidence

__all__ = ["PROBLEMS", "leukocytes", "quality"]

Array = npt.NDArray[Any]

PROBLEMS = ("blur", "too dark", "too bright", "stain", "no cell", "many cells")
_BLUR, _LIGHT = -4.0, 6.0  # robust standard deviations from the others of the same acquisition
_LEVELS = 30.0  # of brightness that have to lie between as well
_BURNT_OUT = 0.25  # of the image, beyond what is usual
_COMPARABLE, _SHARE = 30, 0.1  # images, and part of all, that a standard is taken from
_SINGLE_CELL = 0.7
_SEVERAL = 3
_DENSE, _FULL = 0.5, 0.15  # of the density, and of the stain, of the usual nucleus


def quality(evidence: Evidence, clusters: Array) -> list[dict[str, Any]]:
    """List images of poor quality.

    Sharpness and brightness are compared with the other images of the same acquisition, as
    microscopes differ. Blurred is what lies 4 robust standard deviations below them in the
    logarithm of :func:`~hybridleuk.audit.record.sharpness`, or whose cell is flagged
    ``out_of_focus``. Where no leukocyte is, red cells and platelets may pass for one; a nucleus
    therefore counts if it is stained half as densely, and holds a seventh of the stain, of the
    usual image's largest. (Stain goes with DNA, so that nuclei of all classes hold about the same.)
    In a class of which over half the images show no leukocyte, such as platelets, that is no
    defect. Several cells are one where most images show a single cell in the middle.

    Parameters
    ----------
    evidence : Evidence
    clusters : ndarray of shape (n,), int
        Acquisition of each image.

    Returns
    -------
    list of dict
        ``path``, ``problem`` (one of :data:`PROBLEMS`), ``value`` (a number) and ``detail``.
    """
    found = [
        *_blurred(evidence, clusters),
        *_exposed(evidence, clusters),
        *(pale := list(_unstained(evidence))),
        *_crowded(evidence, clusters, {row for row, *_ in pale}),
    ]
    paths = evidence.paths
    entries = [
        {"path": paths[row], "problem": problem, "value": float(value), "detail": detail}
        for row, problem, value, detail in found
    ]
    return sorted(entries, key=lambda entry: PROBLEMS.index(entry["problem"]))


Entry = tuple[int, str, float, str]


def _blurred(evidence: Evidence, clusters: Array) -> Iterator[Entry]:
    steepness = evidence.column("sharpness")
    deviations = _deviations(np.log(np.maximum(steepness, 1e-3)), clusters)
    for row, record in enumerate(evidence.records):
        if deviations[row] <= _BLUR:
            usual = np.median(steepness[clusters == clusters[row]])
            detail = f"Its edges rise at {steepness[row]:.2f}, those of most at {usual:.2f}."
            yield row, "blur", steepness[row], detail
        elif "out_of_focus" in record.cell_flags:
            detail = "The edge of its nucleus is as wide as a quarter of the nucleus's radius."
            yield row, "blur", steepness[row], detail


def _exposed(evidence: Evidence, clusters: Array) -> Iterator[Entry]:
    bright, burnt_out = evidence.column("bright"), evidence.column("burnt_out")
    usual = _medians(bright, clusters)
    deviations, lost = _deviations(bright, clusters), burnt_out - np.median(burnt_out)
    far = (np.abs(deviations) >= _LIGHT) & (np.abs(bright - usual) >= _LEVELS)
    for row in np.flatnonzero(far | (lost >= _BURNT_OUT)):
        if lost[row] >= _BURNT_OUT:
            detail = f"{100 * burnt_out[row]:.0f} % of it is white throughout."
            yield int(row), "too bright", burnt_out[row], detail
            continue
        problem = "too dark" if bright[row] < usual[row] else "too bright"
        detail = f"Its middle level is {bright[row]:.0f} of 255, that of most {usual[row]:.0f}."
        yield int(row), problem, bright[row], detail


def _unstained(evidence: Evidence) -> Iterator[Entry]:
    grey = np.array(["no_color" in record.flags for record in evidence.records])
    for row, record in enumerate(evidence.records):
        if "low_contrast" in record.flags or "low_contrast" in record.cell_flags:
            yield row, "stain", 0.0, "Hardly anything in it differs from the background."
        elif grey[row] and grey.mean() < 0.5:
            yield row, "stain", 0.0, "It is grey while most images have color."


def _crowded(evidence: Evidence, clusters: Array, pale: set[int]) -> Iterator[Entry]:
    counts, density = leukocytes(evidence, clusters)
    usual = _without_cells(counts, evidence)
    for row in np.flatnonzero((counts == 0) & ~usual):
        if int(row) not in pale:
            yield int(row), "no cell", density[row], _no_cell(density[row])
    central = evidence.column("central") & (counts > 0)
    with_cells = counts > 0
    if not with_cells.any() or central[with_cells].mean() < _SINGLE_CELL:
        return
    for row in np.flatnonzero((counts >= _SEVERAL) | ((counts > 1) & ~central)):
        detail = f"It shows {counts[row]} leukocytes where most images show one."
        yield int(row), "many cells", counts[row], detail


def leukocytes(evidence: Evidence, clusters: Array) -> tuple[Array, Array]:
    """Count the cells of each image whose nucleus is stained as nuclei of the others are.

    Returns
    -------
    (counts, density)
        Numbers, and how densely the fullest nucleus is stained compared with the usual one; both 0
        where no cell was found at all.
    """
    nuclei = [np.array(record.nuclei).reshape(-1, 2) for record in evidence.records]
    fullest = np.array(
        [held[held.prod(axis=1).argmax()] if len(held) else [np.nan] * 2 for held in nuclei]
    )
    if np.isnan(fullest).all():
        return np.zeros(len(nuclei), dtype=np.int64), np.zeros(len(nuclei))
    density = _medians(fullest[:, 0], clusters)
    stain = _medians(fullest.prod(axis=1), clusters)
    counts = [
        int(
            (
                (held[:, 0] >= _DENSE * density[row]) & (held.prod(axis=1) >= _FULL * stain[row])
            ).sum()
        )
        for row, held in enumerate(nuclei)
    ]
    return np.array(counts), np.nan_to_num(fullest[:, 0] / density)


def _without_cells(counts: Array, evidence: Evidence) -> Array:
    """Whether an image is of a class most of whose images show no leukocyte."""
    labels = evidence.manifest.labels
    if labels is None:
        return np.zeros(len(counts), dtype=bool)
    classes = labels.astype(str)
    return pd.Series(counts == 0).groupby(classes).transform("mean").to_numpy() > 0.5


def _no_cell(density: float) -> str:
    if not density:
        return "No leukocyte was found in it."
    return (
        f"What looks most like a leukocyte in it is stained {density:.2f} times as densely as "
        "nuclei of most images, or is small beside them."
    )


def _comparable(clusters: Array) -> Array:
    """Acquisition of each image; small ones are compared with all the others together."""
    sizes = np.bincount(clusters)
    least = max(_COMPARABLE, _SHARE * len(clusters))  # blurred images may cluster together
    return np.where(sizes[clusters] >= least, clusters, -1)


def _medians(values: Array, clusters: Array) -> Array:
    together = _comparable(clusters)
    medians = pd.Series(values).groupby(together).transform("median").to_numpy(dtype=np.float64)
    return np.where((together < 0) | np.isnan(medians), np.nanmedian(values), medians)


def _deviations(values: Array, clusters: Array) -> Array:
    """Distance from the median in robust standard deviations; 0 where there is no spread."""
    apart = values - _medians(values, clusters)
    together = _comparable(clusters)
    own = pd.Series(np.abs(apart)).groupby(together).transform("median").to_numpy(np.float64)
    spread = 1.4826 * np.where(together < 0, np.median(np.abs(apart)), own)
    return np.divide(apart, spread, out=np.zeros(len(apart)), where=spread > 0)
