"""Everything an audit needs to know of each image, measured while it is decoded once.

Cells, fingerprints, shortcut features and morphology go into the cache under the names by which the
rest of the package looks for them, so that nothing is measured twice, now or later. What only the
audit asks for is one short record per image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.audit.record import VERSION, Record, make_record
from hybridleuk.data.cache import Cache, cache_key
from hybridleuk.data.fingerprints import fingerprint, fingerprint_key, pack_fingerprint
from hybridleuk.data.images import decode_bytes, image_content
from hybridleuk.evaluation.shortcuts import shortcut_key, shortcut_named
from hybridleuk.exceptions import ImageError
from hybridleuk.morphology.catalogue import DEFAULT_FAMILIES, select_features
from hybridleuk.morphology.feature import Feature
from hybridleuk.morphology.measuring import measure_marked, measurement_key
from hybridleuk.segmentation.cells import SEGMENTATION_VERSION, cells_key, find_cells
from hybridleuk.segmentation.records import Cells

__all__ = ["BASELINES", "survey"]

Array = npt.NDArray[Any]

BASELINES = ("background only", "background color", "mean color", "file metadata", "burnt-in marks")
_RECORD, _CELLS, _FINGERPRINT, _MORPHOLOGY = "record", "cells", "fingerprint", "morphology"
_METHOD = "otsu"
_CHUNK, _BATCH, _WORTH_WORKERS = 512, 8, 32


def survey(
    paths: Sequence[str],
    hashes: Sequence[str],
    store: Cache,
    *,
    morphology: bool = True,
    workers: int | None = None,
) -> list[Record | str]:
    """Measure every image, or remember what was measured.

    Parameters
    ----------
    paths, hashes : sequences of n str
        Files and the SHA-256 of each; a content that lies there twice is measured once.
    store : Cache
        Receives all that is measured.
    morphology : bool, default True
        Measure the morphology of the cells as well.
    workers : int, optional
        Processes; by default one per processor core.

    Returns
    -------
    list of n Record or str
        Why an image could not be decoded stands in the place of its record.
    """
    first = dict(zip(reversed(hashes), reversed(paths), strict=True))
    items = [(sha256, first[sha256]) for sha256 in dict.fromkeys(hashes)]
    found: dict[str, Record | str] = {}
    with progress.task("Looking at images", len(items)) as looking:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            for sha256, measured in _measured(chunk, store, morphology=morphology, workers=workers):
                found[sha256] = measured
                looking.advance()
    return [
        _named(found[sha256], path, first[sha256])
        for path, sha256 in zip(paths, hashes, strict=True)
    ]


def _measured(
    chunk: Sequence[tuple[str, str]], store: Cache, *, morphology: bool, workers: int | None
) -> Iterator[tuple[str, Record | str]]:
    """Yield what is known of a chunk, then what is measured of the rest; store that."""
    from joblib import Parallel, delayed

    names = {sha256: _names(sha256, morphology=morphology) for sha256, _ in chunk}
    known = store.get_many([key for keys in names.values() for key in keys.values()])
    jobs = []
    for sha256, path in chunk:
        there = {name: known[key] for name, key in names[sha256].items() if key in known}
        missing = [name for name in names[sha256] if name not in there]
        if missing:
            jobs.append(_Job(sha256, path, tuple(missing), there.get(_CELLS)))
        else:
            yield sha256, Record.unpack(there[_RECORD])
    known.clear()
    batches = [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]
    n_jobs = (workers or -1) if len(jobs) >= _WORTH_WORKERS else 1
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    for results in run(delayed(_work)(batch) for batch in batches):
        fresh: dict[str, Array] = {}
        for job, made in zip(*results, strict=True):
            if not isinstance(made, str):
                fresh |= {names[job.sha256][name]: value for name, value in made.items()}
                made = Record.unpack(made[_RECORD])
            yield job.sha256, made
        store.put_many(fresh)


@dataclass(frozen=True)
class _Job:
    """One image, what to measure of it, and its cells if they are known (packed)."""

    sha256: str
    path: str
    missing: tuple[str, ...]
    cells: Array | None


def _names(sha256: str, *, morphology: bool) -> dict[str, str]:
    """Name in the cache of each thing to measure of an image."""
    recipe = {"version": VERSION, "segmentation": SEGMENTATION_VERSION}
    keys = {
        _RECORD: cache_key("audit", sha256, recipe),
        _CELLS: cells_key(sha256, _METHOD),
        _FINGERPRINT: fingerprint_key(sha256),
        **{name: shortcut_key(shortcut_named(name), sha256) for name in BASELINES},
    }
    if morphology:
        keys[_MORPHOLOGY] = measurement_key(sha256, _features(), _METHOD)
    return keys


def _features() -> list[Feature]:
    return select_features(DEFAULT_FAMILIES, ())


def _work(batch: Sequence[_Job]) -> tuple[Sequence[_Job], list[dict[str, Array] | str]]:
    made: list[dict[str, Array] | str] = []
    for job in batch:
        try:
            made.append(_look(job))
        except ImageError as error:
            made.append(str(error))
    return batch, made


def _look(job: _Job) -> dict[str, Array]:
    """Decode one image and measure what is missing of it, the record always."""
    content = image_content(job.path)
    pixels = decode_bytes(content, name=job.path)
    cells = find_cells(pixels, method=_METHOD) if job.cells is None else Cells.unpack(job.cells)
    made: dict[str, Array] = {_RECORD: make_record(content, pixels, cells).pack()}
    for name in job.missing:
        if name == _CELLS:
            made[name] = cells.pack()
        elif name == _FINGERPRINT:
            made[name] = pack_fingerprint(fingerprint(pixels))
        elif name == _MORPHOLOGY:
            made[name] = measure_marked(pixels, cells, _features())
        elif name != _RECORD:
            made[name] = shortcut_named(name).of(job.path, pixels, cells)
    return made


def _named(measured: Record | str, path: str, first: str) -> Record | str:
    """Let a reason name the file that it is about, where several have the same content."""
    return measured.replace(first, path) if isinstance(measured, str) else measured
