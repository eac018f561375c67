"""Images of poor quality: blurred, badly exposed, pale, without a cell or with several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.evidence import Evidence

__all__ = ["PROBLEMS", "quality"]

Array = npt.NDArray[Any]

PROBLEMS = ("blur", "too dark", "too bright", "stain", "no cell", "many cells")
_BLUR, _LIGHT = -4.0, 6.0  # robust standard deviations from the others of the same acquisition
_LEVELS = 30.0  # of brightness that have to lie between as well
_BURNT_OUT = 0.25  # of the image, beyond what is usual
_COMPARABLE, _SHARE = 30, 0.1  # images, and part of all, that a standard is taken from
_SINGLE_CELL = 0.7
_SEVERAL = 3


def quality(evidence: Evidence, clusters: Array) -> list[dict[str, Any]]:
    """List images of poor quality.

    Sharpness and brightness are compared with the other images of the same acquisition, as
    microscopes differ. Blurred is what lies 4 robust standard deviations below them in the
    logarithm of :func:`~hybridleuk.audit.record.sharpness`, or whose cell is flagged
    ``out_of_focus``. In a class of which over half the images show no leukocyte, such as platelets,
    that is no defect. Several cells are one where most images show a single cell in the middle.

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
        *_unstained(evidence),
        *_crowded(evidence),
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


def _crowded(evidence: Evidence) -> Iterator[Entry]:
    counts, central = evidence.column("n_cells"), evidence.column("central")
    labels = evidence.manifest.labels
    classes = np.full(len(counts), "") if labels is None else labels.astype(str)
    usual = pd.Series(counts == 0).groupby(classes).transform("mean").to_numpy() > 0.5
    if labels is None:
        usual = np.zeros(len(counts), dtype=bool)
    for row in np.flatnonzero((counts == 0) & ~usual):
        yield int(row), "no cell", 0.0, "No leukocyte was found in it."
    with_cells = counts > 0
    if not with_cells.any() or central[with_cells].mean() < _SINGLE_CELL:
        return
    for row in np.flatnonzero((counts >= _SEVERAL) | ((counts > 1) & ~central)):
        detail = f"It shows {counts[row]} leukocytes where most images show one."
        yield int(row), "many cells", counts[row], detail


def _comparable(clusters: Array) -> Array:
    """Acquisition of each image; small ones are compared with all the others together."""
    sizes = np.bincount(clusters)
    least = max(_COMPARABLE, _SHARE * len(clusters))  # blurred images may cluster together
    return np.where(sizes[clusters] >= least, clusters, -1)


def _medians(values: Array, clusters: Array) -> Array:
    together = _comparable(clusters)
    medians = pd.Series(values).groupby(together).transform("median").to_numpy(dtype=np.float64)
    return np.where(together < 0, np.median(values), medians)


def _deviations(values: Array, clusters: Array) -> Array:
    """Distance from the median in robust standard deviations; 0 where there is no spread."""
    apart = values - _medians(values, clusters)
    together = _comparable(clusters)
    own = pd.Series(np.abs(apart)).groupby(together).transform("median").to_numpy(np.float64)
    spread = 1.4826 * np.where(together < 0, np.median(np.abs(apart)), own)
    return np.divide(apart, spread, out=np.zeros(len(apart)), where=spread > 0)
