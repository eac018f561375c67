"""One row per image: who it is, where it lies, what it shows, and whom it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.listing import (
    COLUMNS,
    DRAWN,
    completed_rows,
    folder_rows,
    paths_below,
    table_rows,
)
from hybridleuk.data.scan import decode_new, is_clutter
from hybridleuk.data.skipped import skipped_table
from hybridleuk.data.tables import check_paths, find_groups, match_groups
from hybridleuk.exceptions import ManifestError

if TYPE_CHECKING:
    from hybridleuk.data.annotations.records import ImageAnnotations

__all__ = ["COLUMNS", "GroupKind", "Manifest"]

GroupKind = Literal["patient", "pseudo", "none"]


@dataclass(frozen=True)
class Manifest:
    """The images of a study, validated.

    Make one with :meth:`from_folder`, :meth:`from_file`, :meth:`from_paths` or, whatever the user
    typed, :meth:`from_source`.

    Attributes
    ----------
    frame : DataFrame
        Columns ``image_id`` (unique, fit for a file name), ``path``, ``label``, ``group``,
        ``split`` (each text, or missing), ``sha256``; where cells are drawn on images also
        ``annotations`` and ``mask``, paths of files or missing.
    skipped : DataFrame
        Columns ``path`` (bytes that are no text as U+FFFD), ``reason``, ``group`` (or None): files
        that were found and cannot be used.
    ignored : int
        Hidden files and clutter of file managers, not counted as found.
    root : Path
        What relative paths are relative to.
    group_kind : {"patient", "pseudo", "none"}
        What a group stands for; a guessed group is never called a patient.
    group_rule : str
        How groups that are guessed came to be.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from hybridleuk import Manifest
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("blast", "lymphocyte"):
    ...         (Path(folder) / label).mkdir()
    ...         Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(f"{folder}/{label}/1.png")
    ...     manifest = Manifest.from_folder(folder)
    >>> manifest.image_ids.tolist(), manifest.labels.tolist(), manifest.groups
    (['blast__1', 'lymphocyte__1'], ['blast', 'lymphocyte'], None)
    """

    frame: pd.DataFrame
    skipped: pd.DataFrame = field(default_factory=lambda: skipped_table([]))
    ignored: int = 0
    root: Path = field(default_factory=Path)
    group_kind: GroupKind = "none"
    group_rule: str = ""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def paths(self) -> npt.NDArray[np.object_]:
        """Absolute paths, as text."""
        return self.frame["path"].to_numpy(dtype=object)

    @property
    def image_ids(self) -> npt.NDArray[np.object_]:
        """Unique names, each fit to be a file name."""
        return self.frame["image_id"].to_numpy(dtype=object)

    @property
    def labels(self) -> npt.NDArray[np.object_] | None:
        """Class of each image, or ``None`` when the images carry no labels."""
        return self._column("label")

    @property
    def groups(self) -> npt.NDArray[np.object_] | None:
        """Group of each image, or ``None`` when no groups are known."""
        return self._column("group")

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(self.frame["label"].dropna().unique())

    @property
    def n_found(self) -> int:
        """Number of files found: rows and skipped ones, nothing else."""
        return len(self.frame) + len(self.skipped)

    def _column(self, name: str) -> npt.NDArray[np.object_] | None:
        column = self.frame[name]
        return None if column.isna().all() else column.to_numpy(dtype=object)

    @classmethod
    def from_source(
        cls,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        group_column: str | None = None,
        group_regex: str | None = None,
        dataset: str | None = None,
    ) -> Manifest:
        """Read a folder, a CSV or Parquet manifest, a glob, one image, or a list of images.

        A folder that holds a known data set is recognised, and read with what its card knows.

        Parameters
        ----------
        source : path, pattern or iterable of paths
        group_column : str, optional
            Column of a table that names the groups.
        group_regex : str, optional
            As in :meth:`from_folder`; wins over the patients of a known data set.
        dataset : str, optional
            Name of the known data set that the folder is, or name and part, as in
            ``"all:Segmented"``; ``"none"`` reads a plain folder. By default it is recognised.

        Raises
        ------
        ManifestError
            Nothing is there, or what is there cannot be used; the message says which.
        """
        from hybridleuk.data.sources import read_source

        return read_source(
            source, group_column=group_column, group_regex=group_regex, dataset=dataset
        )

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike[str], *, group_regex: str | None = None
    ) -> Manifest:
        """Read a folder with one sub-folder per class, or a flat folder without labels.

        Files in deeper folders belong to the class of the top one. Files directly in `folder`
        beside class folders are skipped with that reason. Hidden files and file managers' clutter
        are ignored and counted.

        Parameters
        ----------
        folder : path
        group_regex : str, optional
            Applied to each path relative to `folder`; its group named ``group``, or its first
            group, is the image's group.
        """
        listed = folder_rows(folder)
        manifest = _assembled(
            cls, listed.rows, listed.root, skipped=listed.skipped, ignored=listed.ignored
        )
        return manifest if group_regex is None else manifest.with_groups(regex=group_regex)

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[str | os.PathLike[str]],
        labels: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        *,
        group_regex: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> Manifest:
        """List images one by one, with labels and groups where they are known.

        Image ids are made of the paths below `root`, by default the deepest folder with all.
        """
        listed = [os.path.abspath(path) for path in paths]
        if not listed:
            raise ManifestError("An empty list of images; expected at least one path.")
        visible = [not is_clutter(Path(path)) for path in listed]
        columns: dict[str, Any] = {"path": listed}
        for name, values in (("label", labels), ("group", groups)):
            if values is not None:
                columns[name] = list(values)
        if len({len(column) for column in columns.values()}) > 1:
            raise ManifestError("Paths, labels and groups differ in length; one each per image.")
        rows = pd.DataFrame(columns, dtype=object)[visible]
        check_paths(rows["path"], "the list")
        base = os.path.commonpath([os.path.dirname(path) for path in listed])
        kind: GroupKind = "none" if groups is None else "patient"
        manifest = _assembled(
            cls, rows, Path(root or base), ignored=visible.count(False), group_kind=kind
        )
        return manifest if group_regex is None else manifest.with_groups(regex=group_regex)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        group_column: str | None = None,
        group_regex: str | None = None,
    ) -> Manifest:
        """Read a CSV or Parquet manifest with a column ``path``, relative to the manifest.

        The columns ``label``, ``group``, ``split`` and ``image_id`` are used where present, and
        ``annotations`` and ``mask``: files in which cells of the image are drawn, for some rows or
        all (see :meth:`annotations`).

        Raises
        ------
        ManifestError
            A column is missing, a path is listed twice or does not exist, or only some images
            have a label or a group.
        """
        source = Path(path)
        rows = table_rows(source, group_column)
        kind: GroupKind = "patient" if "group" in rows and rows["group"].notna().all() else "none"
        manifest = _assembled(cls, rows, source.parent, group_kind=kind)
        return manifest if group_regex is None else manifest.with_groups(regex=group_regex)

    def with_groups(
        self,
        groups: Sequence[str] | None = None,
        *,
        regex: str | None = None,
        kind: GroupKind = "patient",
        rule: str = "",
    ) -> Manifest:
        """Return the same images with groups, given one by one or read from each path.

        Raises
        ------
        ManifestError
            The expression has no group, or does not match every path.
        """
        if regex is not None:
            groups = match_groups(self._relative(self.paths), regex)
        if groups is None or len(groups) != len(self):
            raise ManifestError(f"Expected {len(self)} groups, one per image.")
        column = pd.Series(list(groups), dtype=object)
        skipped = self.skipped
        if regex is not None:
            found = find_groups(self._relative(skipped["path"]), regex)
            skipped = skipped.assign(group=pd.Series(found, dtype=object))
        frame = self.frame.assign(group=column)
        return replace(self, frame=frame, skipped=skipped, group_kind=kind, group_rule=rule)

    @property
    def annotated(self) -> npt.NDArray[np.bool_]:
        """Whether a file tells what is drawn on each image."""
        known = self.frame.reindex(columns=list(DRAWN)).notna().any(axis=1)
        return known.to_numpy(dtype=bool)

    def annotations(self, row: int) -> ImageAnnotations:
        """Read what people drew on an image: cells with kind, box, center, and outlines.

        Raises
        ------
        AnnotationError
            Its file cannot be used; the message says why.
        """
        from hybridleuk.data.annotations.reading import annotations_of

        return annotations_of({str(k): v for k, v in self.frame.iloc[row].items()})

    def with_annotations(self, source: str | os.PathLike[str]) -> Manifest:
        """Return the same images with what is drawn on them.

        Parameters
        ----------
        source : path
            A COCO file, a CSV of centers (``image,x,y,kind``), or a folder or archive of VOC files,
            centers or masks that are called as the images are.

        Raises
        ------
        AnnotationError
            Nothing in it belongs to any image, or several files fit one.
        """
        from hybridleuk.data.annotations.attaching import find_annotations

        found = find_annotations(list(self.paths), list(self.image_ids), source)
        drawn = pd.DataFrame(found, columns=list(DRAWN), dtype=object)
        return replace(self, frame=self.frame.assign(**{n: drawn[n] for n in DRAWN}))

    def subset(self, index: Any) -> Manifest:
        """Return the rows that a boolean or integer `index` picks; skipped files stay listed."""
        picked = self.frame.iloc[
            np.flatnonzero(index) if np.asarray(index).dtype.kind == "b" else index
        ]
        return replace(self, frame=picked.reset_index(drop=True))

    def sample(self, per_class: int, *, random_state: int = 0) -> Manifest:
        """Draw at most `per_class` images of each class."""
        shuffled = self.frame.sample(frac=1.0, random_state=random_state)
        kept = shuffled.groupby("label", dropna=False).head(per_class).sort_index()
        return replace(self, frame=kept.reset_index(drop=True))

    def checked(
        self, *, cache: str | os.PathLike[str] | None = "default", n_jobs: int | None = None
    ) -> Manifest:
        """Decode every image once and move those that fail to :attr:`skipped`.

        What was decoded before is remembered in the cache by content and not decoded again.

        Parameters
        ----------
        cache : path, "default" or None
        n_jobs : int, optional
            Threads; by default one per processor core.
        """
        failed = decode_new(list(self.frame["path"]), list(self.frame["sha256"]), cache, n_jobs)
        return self.without(failed)

    def without(self, failed: dict[int, str], *, may_be_empty: bool = False) -> Manifest:
        """Move rows to :attr:`skipped`, each with its reason.

        Raises
        ------
        ManifestError
            No image is left, unless it `may_be_empty`.
        """
        if not failed:
            return self
        paths, groups = self.frame["path"], self.frame["group"]
        rows = [(paths.iloc[i], reason, groups.iloc[i]) for i, reason in failed.items()]
        kept = self.frame.drop(index=self.frame.index[list(failed)]).reset_index(drop=True)
        skipped = pd.concat([self.skipped, skipped_table(rows)], ignore_index=True)
        if kept.empty and not may_be_empty:
            raise ManifestError(
                f"None of the {len(skipped)} files found in {self.root} is a usable image; "
                f"the first: {rows[0][1]}"
            )
        return replace(self, frame=kept, skipped=skipped)

    def _relative(self, paths: Iterable[str]) -> list[str]:
        return [str(path) for path in paths_below(self.root, pd.Series(list(paths), dtype=object))]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV manifest whose paths are relative to it."""
        target = Path(path)
        folder = target.resolve().parent
        paths = [name for name in ("path", *DRAWN) if name in self.frame]
        table = self.frame.assign(**{n: paths_below(folder, self.frame[n]) for n in paths})
        table.to_csv(target, index=False)


def _assembled(
    cls: type[Manifest],
    rows: pd.DataFrame,
    root: Path,
    *,
    skipped: Sequence[tuple[str, str]] = (),
    ignored: int = 0,
    group_kind: GroupKind = "none",
) -> Manifest:
    frame, reasons = completed_rows(rows, root)
    left_out = skipped_table((path, reason, None) for path, reason in skipped)
    manifest = cls(frame, left_out, ignored, Path(root), group_kind)
    return manifest.without({i: r for i, r in enumerate(reasons) if r is not None})
