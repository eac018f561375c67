"""The audit of a set of images, from a manifest to findings, verdict and a cleaned manifest."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.audit.acquisition import acquisition
from hybridleuk.audit.balance import balance
from hybridleuk.audit.baselines import score_baselines
from hybridleuk.audit.cleaning import clean
from hybridleuk.audit.duplicates import duplicate_clusters, find_near, sets_of_copies
from hybridleuk.audit.evidence import Evidence
from hybridleuk.audit.failing import fails
from hybridleuk.audit.files import file_problems
from hybridleuk.audit.labels import Doubts, doubt_labels
from hybridleuk.audit.quality import quality
from hybridleuk.audit.record import Record
from hybridleuk.audit.survey import BASELINES, survey
from hybridleuk.audit.verdict import verdict
from hybridleuk.data.cache import Cache, default_cache_directory
from hybridleuk.data.contents import is_folder
from hybridleuk.data.datasets.recognition import recognise
from hybridleuk.data.manifest import Manifest
from hybridleuk.data.near_duplicates import NearPair
from hybridleuk.data.skipped import listed
from hybridleuk.evaluation.document import package_versions
from hybridleuk.evaluation.pseudo_groups import pseudo_groups
from hybridleuk.evaluation.shortcuts import shortcut_features
from hybridleuk.exceptions import InputError, ManifestError, SplitError
from hybridleuk.morphology.extractor import MorphologyFeatures
from hybridleuk.report.audit import audit_report

__all__ = ["FORMAT", "Audit", "audit"]

Array = npt.NDArray[Any]

FORMAT = 1
_TESTED = ("background only", "background color", "file metadata", "burnt-in marks")
_JSON, _CLEANED, _LEFT_OUT = "audit.json", "cleaned.csv", "left_out.csv"
_PAGE = "audit.html"


@dataclass(frozen=True)
class Audit:
    """What was found in a set of images.

    Attributes
    ----------
    document : dict
        Plain data, what ``audit.json`` holds: ``dataset``, ``files``, ``duplicates``,
        ``shortcuts``, ``acquisition``, ``suspect_labels``, ``label_test`` (see
        :class:`~hybridleuk.audit.labels.Doubts`), ``quality``, ``balance``, ``verdict``,
        ``versions``, ``command``.
    cleaned : Manifest
        The images to train on; each file left out is in ``cleaned.skipped`` with the reason.
    pseudo_groups : ndarray of shape (n,) or None
        Suggested group of each image of `cleaned`; None where there are too few images.
    """

    document: dict[str, Any]
    cleaned: Manifest
    pseudo_groups: Array | None = None

    @property
    def verdict(self) -> list[str]:
        """Sentences, what is most serious first."""
        return list(self.document["verdict"])

    def fails(self, kinds: Sequence[str]) -> list[str]:
        """Name those of the kinds of findings (:data:`~hybridleuk.audit.failing.FAIL_ON`) found."""
        return fails(self.document, kinds)

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Write ``audit.json``, ``cleaned.csv``, ``left_out.csv`` and ``audit.html`` into a folder.

        ``cleaned.csv`` is a manifest with a column ``pseudo_group`` more, which
        ``--group-column pseudo_group`` takes for groups.

        Returns
        -------
        Path
            Of ``audit.json``.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.cleaned.write(folder / _CLEANED)
        if self.pseudo_groups is not None:
            table = pd.read_csv(folder / _CLEANED, dtype=str, keep_default_na=False)
            table["pseudo_group"] = self.pseudo_groups
            table.to_csv(folder / _CLEANED, index=False)
        left_out = pd.DataFrame(listed(self.cleaned.skipped), columns=["path", "reason"])
        left_out.to_csv(folder / _LEFT_OUT, index=False)
        _write_text(folder / _JSON, json.dumps(self.document, indent=1))
        self.report(folder / _PAGE)  # last: it shows that the others are complete
        return folder / _JSON

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the page: one HTML file that opens offline (:mod:`hybridleuk.report.audit`)."""
        _write_text(Path(path), audit_report(self.document, listed(self.cleaned.skipped)))


def audit(
    manifest: Manifest,
    *,
    cache: str | os.PathLike[str] | Literal["default"] | None = "default",
    workers: int | None = None,
    features: Array | pd.DataFrame | None = None,
    random_state: int = 0,
    command: str | None = None,
) -> Audit:
    """Look for what is wrong with a set of images before anyone trains on it.

    Parameters
    ----------
    manifest : Manifest
    cache : path, "default" or None
        Where what is measured of each image is kept; None keeps it for the length of the audit.
    workers : int, optional
        Processes; by default one per processor core.
    features : array or DataFrame of shape (len(manifest), d), optional
        By which labels are doubted, such as embeddings; by default the morphology of the cells.
    random_state : int, default 0
        Of folds, samples and permutations.
    command : str, optional
        What the user typed.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        `features` has another number of rows than the manifest.
    ManifestError
        None of the images can be read.

    Examples
    --------
    >>> import tempfile
    >>> from hybridleuk.audit.audit import audit
    >>> from hybridleuk.data.artificial import draw_study
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = draw_study(
    ...         folder, n_patients=4, images_per_patient_and_class=3, size=64, random_state=1
    ...     )
    ...     found = audit(study, cache=None, workers=1)
    >>> found.document["duplicates"], found.fails(["leakage", "files"])
    ([], [])
    """
    table = _checked(features, len(manifest))
    with ExitStack() as stack:
        if cache is None:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
        folder = default_cache_directory() if cache == "default" else Path(cache)
        evidence, kept = _look(manifest, folder, table is None, workers)
        table = table[kept] if table is not None else _morphology(evidence, folder, workers)
        shortcuts = shortcut_features(evidence.paths, list(BASELINES), cache=folder)
        pairs = find_near(evidence, cache=folder, workers=workers, random_state=random_state)
        sets = sets_of_copies(evidence, pairs)
        cleaned = clean(evidence, sets)
        suggested = _suggested(evidence, cleaned, sets, folder)
    document = _document(evidence, manifest, shortcuts, pairs, table, random_state)
    document["cleaned"] = {"n_images": len(cleaned), "n_left_out": len(cleaned.skipped)}
    document["verdict"] = verdict(document)
    return Audit(
        {**document, "versions": package_versions(), "command": command}, cleaned, suggested
    )


def _write_text(target: Path, text: str) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _look(
    manifest: Manifest, folder: Path, morphology: bool, workers: int | None
) -> tuple[Evidence, Array]:
    """Decode every image; return those that can be, and their rows."""
    with Cache(folder) as store:
        looked = survey(
            [str(path) for path in manifest.paths],
            list(manifest.frame["sha256"]),
            store,
            morphology=morphology,
            workers=workers,
        )
    failed = {row: reason for row, reason in enumerate(looked) if isinstance(reason, str)}
    records = [record for record in looked if isinstance(record, Record)]
    kept = np.array([row for row in range(len(looked)) if row not in failed], dtype=np.intp)
    return Evidence(manifest.without(failed), records), kept


def _document(
    evidence: Evidence,
    manifest: Manifest,
    shortcuts: Mapping[str, Array],
    pairs: Sequence[NearPair],
    table: Array,
    random_state: int,
) -> dict[str, Any]:
    labels, groups = evidence.labels, evidence.groups
    taken = acquisition(evidence, shortcuts, random_state=random_state)
    tested = {name: shortcuts[name] for name in _TESTED}
    doubts = Doubts([], None)
    if labels is not None:
        paths = evidence.paths
        doubts = doubt_labels(table, labels, groups, paths=paths, random_state=random_state)
    return {
        "format": FORMAT,
        "dataset": _dataset(evidence, manifest),
        "files": file_problems(evidence),
        "duplicates": duplicate_clusters(evidence, pairs),
        "shortcuts": []
        if labels is None
        else score_baselines(tested, labels, groups, random_state=random_state),
        "acquisition": taken,
        "suspect_labels": doubts.suspects,
        "label_test": doubts.test,
        "quality": quality(evidence, np.array(taken["clusters"])),
        "balance": balance(evidence),
    }


def _dataset(evidence: Evidence, manifest: Manifest) -> dict[str, Any]:
    groups = evidence.groups
    try:
        known = recognise(manifest.root) if is_folder(manifest.root) else None
    except ManifestError:
        known = None
    return {
        "name": manifest.root.resolve().name,
        "n_images": len(evidence),
        "n_groups": 0 if groups is None else len(np.unique(groups)),
        "group_kind": manifest.group_kind,
        "classes": evidence.manifest.classes,
        "n_found": manifest.n_found,
        "n_unreadable": len(evidence.manifest.skipped),
        "n_ignored": manifest.ignored,
        "recognised": None if known is None else known.card.name,
        "known_defects": [] if known is None else list(known.card.defects),
    }


def _checked(features: Array | pd.DataFrame | None, rows: int) -> Array | None:
    if features is None:
        return None
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or len(table) != rows or not np.isfinite(table).all():
        raise InputError(
            f"features has the shape {table.shape}; expected finite numbers in {rows} rows, one "
            "per image of the manifest."
        )
    return table


def _morphology(evidence: Evidence, folder: Path, workers: int | None) -> Array:
    """Mean and spread of each measurement over the cells of an image, as the survey stored them."""
    measured = MorphologyFeatures(aggregates=("mean", "std"), cache=folder, n_jobs=workers)
    return np.asarray(measured.fit_transform(evidence.paths))


def _suggested(evidence: Evidence, cleaned: Manifest, sets: Array, folder: Path) -> Array | None:
    """Pseudo-groups of the images that are kept, where there are enough of them."""
    if not len(cleaned):
        return None
    linked = [(int(first), row) for row, first in enumerate(sets) if first != row]
    try:
        grouped = pseudo_groups(evidence.manifest, cache=folder, pairs=linked)
    except SplitError:
        return None
    names = dict(zip(grouped.frame["path"], grouped.frame["group"], strict=True))
    return np.array([names[path] for path in cleaned.frame["path"]], dtype=object)
