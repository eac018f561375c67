"""From what a user typed to a manifest of usable images, with an account of the files left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridleuk.exceptions import HybridLeukError, ImageError, InputError, ManifestError

from .console import current_screen
from .options import ImageOptions, ResourceOptions
from .outputs import refuse_to_replace

if TYPE_CHECKING:
    from hybridleuk.data.manifest import Manifest

__all__ = ["Account", "read_images"]

_RESULTS = (".csv", ".parquet", ".hleuk")


@dataclass(frozen=True)
class Account:
    """Where every file that was found went.

    Attributes
    ----------
    found, rows, left_aside, ignored : int
        Files found; images used; images not drawn into a sample, or of classes that are left out;
        hidden files, not counted as found.
    skipped : list of (path, reason)
    """

    found: int
    rows: int
    skipped: list[tuple[str, str]]
    left_aside: int = 0
    ignored: int = 0

    def __add__(self, other: Account) -> Account:
        """Add up two sources."""
        return Account(
            self.found + other.found,
            self.rows + other.rows,
            self.skipped + other.skipped,
            self.left_aside + other.left_aside,
            self.ignored + other.ignored,
        )

    def check(self, rows: int | None = None) -> None:
        """Fail if a file got lost on the way, or an output has not one row for each image."""
        lost = self.found - self.rows - len(self.skipped) - self.left_aside
        if lost or (rows is not None and rows != self.rows):
            raise HybridLeukError(
                f"{self.found} files were found, but {self.rows if rows is None else rows} rows "
                f"and {len(self.skipped)} skipped files came out; this is a mistake in hybridleuk, "
                "so nothing was written. Report it."
            )

    def document(self) -> dict[str, Any]:
        """Return the counts for ``--json``."""
        return {
            "n_found": self.found,
            "n_images": self.rows,
            "n_skipped": len(self.skipped),
            "n_left_aside": self.left_aside,
            "n_ignored": self.ignored,
        }

    def write(self, output: Path) -> Path | None:
        """List what was left out in ``skipped.csv``, inside a folder or beside a file; say so."""
        from hybridleuk.data.skipped import write_skipped

        target = write_skipped(output, self.skipped)
        if target is not None:
            current_screen().noted(
                f"{len(self.skipped)} of {self.found:,} files left out, listed with reasons in "
                f"{target}"
            )
        return target


def read_images(
    sources: str | Sequence[str],
    options: ImageOptions,
    resources: ResourceOptions,
    *,
    outputs: Iterable[Path | None] = (),
    inputs: Iterable[str] = (),
    labels: bool = False,
    annotations: Path | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> tuple[Manifest, Account]:
    """List the images of `sources` and decode each once.

    Parameters
    ----------
    sources : str or sequence of str
        What was typed for IMAGES; more than one has to be files.
    options, resources : groups of options
    outputs : iterable of Path or None
        Files and folders that will be written; nothing that is read may be among them, nor
        among the lists of skipped files beside the outputs.
    inputs : iterable of str
        What is read besides the images.
    labels : bool, default False
        Whether the command needs a class for each image.
    annotations : Path, optional
        What people drew on the images, where the sources do not tell.
    per_class : int, optional
        Draw so many images of each class.
    seed : int, default 0

    Raises
    ------
    ManifestError, ImageError, InputError
        The sources cannot be used, or with ``--strict`` one of their files cannot.
    """
    from hybridleuk.data.file_hashes import remembering_files
    from hybridleuk.data.manifest import Manifest
    from hybridleuk.data.skipped import listed as listed_as_skipped

    with remembering_files(resources.cache_place):
        listed = Manifest.from_source(
            _source(sources),
            group_column=options.group_column,
            group_regex=options.group_regex,
            dataset=options.dataset,
        )
    drawn_on = [] if annotations is None else [str(annotations)]
    if annotations is not None:
        listed = listed.with_annotations(annotations)
    _guard(sources, listed, [*inputs, *options.files, *drawn_on], outputs)
    found = listed.n_found
    if not found:
        raise ManifestError(
            f"{listed.root}: no images, but {listed.ignored} hidden files; expected images, a "
            "folder or a manifest."
        )
    if labels and listed.labels is None:
        raise ManifestError(
            f"{listed.root}: the images have no labels; expected one sub-folder per class, or a "
            "manifest with the columns path and label."
        )
    named = listed if options.classes is None else _renamed(listed, options.classes)
    drawn = named if per_class is None else named.sample(per_class, random_state=seed)
    left_aside = len(listed) - len(drawn)
    manifest = drawn.checked(cache=resources.cache_place, n_jobs=resources.workers)
    skipped = listed_as_skipped(manifest.skipped)
    account = Account(found, len(manifest), skipped, left_aside, manifest.ignored)
    account.check()
    _report(account, options, manifest)
    return manifest, account


def _guard(
    sources: str | Sequence[str],
    listed: Manifest,
    inputs: Iterable[str],
    outputs: Iterable[Path | None],
) -> None:
    """Make sure that nothing which is read, or was found and cannot be, is replaced."""
    from hybridleuk.data.listing import DRAWN
    from hybridleuk.data.skipped import SKIPPED

    typed = [sources] if isinstance(sources, str) else sources
    # Results of earlier commands may lie among the images; only --overwrite replaces them.
    damaged = [path for path in listed.skipped["path"] if not path.lower().endswith(_RESULTS)]
    given = [path for path in outputs if path is not None]
    lists = [path.parent / SKIPPED for path in given if not path.is_dir()]
    refuse_to_replace([*typed, *inputs], [*given, *lists])
    drawn = [path for name in DRAWN if name in listed.frame for path in listed.frame[name].dropna()]
    refuse_to_replace([*listed.paths, *damaged, *drawn], given)


def _source(sources: str | Sequence[str]) -> str | list[str]:
    if isinstance(sources, str):
        return sources
    if len(sources) == 1:
        return sources[0]
    from hybridleuk.data.contents import is_folder

    for name in sources:
        if is_folder(name) or name.lower().endswith((".csv", ".parquet")):
            raise InputError(
                f"{name} stands among {len(sources)} IMAGES; give one folder, archive or manifest "
                "alone, or image files only."
            )
    return list(sources)


def _renamed(listed: Manifest, table: Path) -> Manifest:
    """Rename classes; images of those that are left out are left aside, and no mistake."""
    from hybridleuk.data.datasets.mapping import map_labels, read_mapping

    mapping = read_mapping(table)
    named = map_labels(listed, mapping)
    if len(named) < len(listed):
        gone = ", ".join(name for name in listed.classes if mapping[name] is None)
        current_screen().noted(
            f"{len(listed) - len(named):,} images of the classes {gone} are left out by {table}."
        )
    return replace(named, skipped=listed.skipped)


def _report(account: Account, options: ImageOptions, manifest: Manifest) -> None:
    if options.strict and account.skipped:
        path, reason = account.skipped[0]
        raise ImageError(
            f"{len(account.skipped)} of {account.found:,} files cannot be used, first "
            f"{path}: {reason.rstrip('.')}; leave out --strict to go on without them."
        )
    parts = [f"{account.rows:,} images"]
    parts += [f"{len(manifest.classes)} classes"] if manifest.classes else []
    parts += [] if manifest.groups is None else [f"{len(set(manifest.groups)):,} groups"]
    parts += [f"cells drawn on {n:,}"] if (n := int(manifest.annotated.sum())) else []
    parts += (
        [f"{len(account.skipped):,} of {account.found:,} files skipped"] if account.skipped else []
    )
    parts += [f"{account.left_aside:,} left aside"] if account.left_aside else []
    parts += [f"{account.ignored:,} hidden ignored"] if account.ignored else []
    current_screen().line(", ".join(parts))
