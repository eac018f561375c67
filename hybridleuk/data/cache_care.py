"""Looking after a cache: what lies in it, what may go, and whether all of it is still right."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridleuk import progress
from hybridleuk.data.archives.spool import stale_spools
from hybridleuk.data.cache import Cache
from hybridleuk.data.cache_file import FORMAT, cache_path, unwritable
from hybridleuk.data.cache_rows import checksum
from hybridleuk.data.contents import content_exists
from hybridleuk.data.file_hashes import is_sound_row
from hybridleuk.exceptions import CacheError, HybridLeukError, InputError

__all__ = ["CacheInfo", "Freed", "KindInfo", "Verified", "describe", "prune", "verify"]

_DAY = 86_400
_ROWS_AT_ONCE = 200
_CACHE_FILE = re.compile(r"cache-(\d+)\.sqlite(.*)")
_LIVING = ("", "-wal", "-shm")


@dataclass(frozen=True)
class KindInfo:
    """Results of one kind: how many, their bytes, and seconds since 1970 of first and last."""

    rows: int
    bytes: int
    created: int
    used: int


@dataclass(frozen=True)
class CacheInfo:
    """What lies in a cache.

    Attributes
    ----------
    path : Path
        The file.
    exists : bool
    bytes, free_bytes : int
        On disk, and free beside it.
    kinds : dict of str to KindInfo
    files : int
        Image files whose hash is remembered.
    damage : int
        Rows that were found damaged and dropped, ever.
    leftovers : list of Path
        Files of older formats, which are not read any more, and of broken caches set aside.
    leftover_bytes : int
    read_only : str or None
        Why nothing can be written there, where that is so; nothing new can be kept then.
    """

    path: Path
    exists: bool
    bytes: int
    free_bytes: int | None
    kinds: dict[str, KindInfo]
    files: int
    damage: int
    leftovers: list[Path]
    leftover_bytes: int
    read_only: str | None = None


@dataclass
class Freed:
    """What was removed: results and their bytes by kind, remembered files, and leftover files."""

    rows: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    files: int = 0
    leftovers: list[Path] = field(default_factory=list)
    disk_bytes: int = 0


@dataclass
class Verified:
    """What was read, and what of it was damaged, by kind.

    `repaired` tells of the file itself; `read_only` why nothing could be dropped, where so.
    """

    rows: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
    repaired: bool = False
    read_only: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was damaged."""
        return not self.repaired and not self.damaged


def describe(directory: str | os.PathLike[str]) -> CacheInfo:
    """Tell what lies in a cache; nothing is made where there is none."""
    folder = Path(directory)
    path = cache_path(folder)
    leftovers = _leftovers(folder)
    kinds: dict[str, KindInfo] = {}
    files = damage = 0
    read_only = unwritable(path) if path.exists() else None
    if path.exists():
        with Cache(folder, read_only=read_only is not None) as cache:
            query = (
                "SELECT kind, COUNT(*), SUM(size), MIN(created), MAX(used) FROM entries "
                "GROUP BY kind ORDER BY kind"
            )
            kinds = {kind: KindInfo(*numbers) for kind, *numbers in cache.fetch(query)}
            files = cache.fetch("SELECT COUNT(*) FROM files")[0][0]
            damage = cache.fetch("SELECT COUNT(*) FROM damage")[0][0]
    return CacheInfo(
        path=path,
        exists=path.exists(),
        bytes=_bytes([*_living(path), *stale_spools(folder, everything=True)]),
        free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else None,
        kinds=kinds,
        files=files,
        damage=damage,
        leftovers=leftovers,
        leftover_bytes=_bytes(leftovers),
        read_only=read_only,
    )


def prune(
    directory: str | os.PathLike[str],
    *,
    kinds: Sequence[str] = (),
    older_than: float | None = None,
    max_bytes: int | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Freed:
    """Remove what is not wanted any more, and always what cannot be used any more.

    The latter are files of older formats, broken files set aside, what was decompressed of archives
    that are gone, and what is remembered of image files that are gone. Conditions add up: with
    `kinds` and `older_than`, only old results of those kinds are removed.

    Parameters
    ----------
    directory : path
    kinds : sequence of str, optional
        Remove only results of these kinds; with no other condition, all of them.
    older_than : float, optional
        Remove results that were not used for so many days.
    max_bytes : int, optional
        Remove the results that were not used for longest, until what is left is no more than this.
    everything : bool, default False
        Remove the whole cache.
    dry_run : bool, default False
        Only tell what would be removed.

    Raises
    ------
    InputError
        A kind is not in the cache.
    CacheError
        The cache cannot be used.
    """
    folder = Path(directory)
    path = cache_path(folder)
    freed = Freed(leftovers=_leftovers(folder, everything=everything))
    before = _bytes([*freed.leftovers, *_living(path)])
    if path.exists():
        with Cache(folder) as cache:
            doomed = _doomed(cache, kinds, older_than, max_bytes, everything)
            for _, kind, size in doomed:
                freed.rows[kind] += 1
                freed.bytes[kind] += size
            gone = _gone_files(cache, everything)
            freed.files = len(gone)
            if not dry_run and not everything:
                _remove_rows(cache, [row for row, _, _ in doomed], gone)
    if dry_run:
        freed.disk_bytes = before if everything else _bytes(freed.leftovers)
        freed.disk_bytes += 0 if everything else freed.bytes.total()
        return freed
    # The log first: a new file must never meet the log of an old one.
    _unlink([*freed.leftovers, *(reversed(_living(path)) if everything else ())])
    freed.disk_bytes = max(before - _bytes([*freed.leftovers, *_living(path)]), 0)
    return freed


def verify(directory: str | os.PathLike[str]) -> Verified:
    """Read every row against its checksum, drop the damaged, and check the file's structure.

    Where nothing can be written, damaged rows are counted and stay.

    Raises
    ------
    CacheError
        The cache cannot be used.
    """
    found = Verified()
    if not cache_path(Path(directory)).exists():
        return found
    found.read_only = unwritable(cache_path(Path(directory)))
    cache = Cache(directory, read_only=found.read_only is not None)
    try:
        problems = [row[0] for row in cache.fetch("PRAGMA integrity_check(5)")]
        if problems != ["ok"]:
            cache.repair(" ".join(str(problems[0]).split()))
        _verify_entries(cache, found)
        _verify_files(cache, found)
        found.repaired = cache.repaired
    finally:
        cache.close(report=False)
    return found


def _verify_entries(cache: Cache, found: Verified) -> None:
    with progress.task("Reading results", len(cache), "results") as reading:
        for rows in _all_rows(cache):
            damaged = []
            for row, kind, key, stored, value in rows:
                found.rows += 1
                if not isinstance(value, bytes) or checksum(key, value) != stored:
                    damaged.append((row, key))
                    found.damaged[kind] += 1
            if damaged and not cache.read_only:
                cache.drop_damaged(damaged)
            reading.advance(len(rows))
    if not cache.read_only:
        cache.store(("DELETE FROM contents WHERE id NOT IN (SELECT id FROM entries)", [()]))


def _verify_files(cache: Cache, found: Verified) -> None:
    rows = cache.fetch("SELECT path, identity, sha256, checksum FROM files")
    found.rows += len(rows)
    damaged = [row[0] for row in rows if not is_sound_row(*row)]
    if damaged:
        found.damaged["file"] += len(damaged)
        if not cache.read_only:
            cache.drop_files(damaged, damaged=True)


def _all_rows(cache: Cache) -> Iterator[list[Any]]:
    last = -1
    query = (
        "SELECT entries.id, kind, key, checksum, value FROM entries LEFT JOIN contents USING (id) "
        "WHERE entries.id > ? ORDER BY entries.id LIMIT ?"
    )
    while rows := cache.fetch(query, (last, _ROWS_AT_ONCE)):
        yield rows
        last = rows[-1][0]


def _doomed(
    cache: Cache,
    kinds: Sequence[str],
    older_than: float | None,
    max_bytes: int | None,
    everything: bool,
) -> list[tuple[int, str, int]]:
    """Return number, kind and size of the results to remove."""
    rows = cache.fetch(
        "SELECT id, kind, CAST(size AS INTEGER), CAST(used AS INTEGER) AS last FROM entries "
        "ORDER BY last DESC, id DESC"
    )
    there = sorted({kind for _, kind, _, _ in rows})
    unknown = [kind for kind in kinds if kind not in there]
    if unknown:
        raise InputError(
            f"The cache {cache.path} holds no results of the kind {unknown[0]!r}; it holds "
            f"{', '.join(there) or 'none at all'}."
        )
    if everything:
        return [(row, kind, size) for row, kind, size, _ in rows]
    if not kinds and older_than is None and max_bytes is None:
        return []
    before = time.time() - (older_than or 0) * _DAY
    doomed: list[tuple[int, str, int]] = []
    kept, full = 0, max_bytes is None
    for row, kind, size, used in rows:
        full = full or kept + size > (max_bytes or 0)
        if full and (not kinds or kind in kinds) and (older_than is None or used < before):
            doomed.append((row, kind, size))
        else:
            kept += size
    return doomed


def _gone_files(cache: Cache, everything: bool) -> list[str]:
    paths = [row[0] for row in cache.fetch("SELECT path FROM files")]
    return [path for path in paths if everything or not _is_there(path)]


def _is_there(path: str) -> bool:
    try:
        return content_exists(path)
    except HybridLeukError:  # the archive that it is in is damaged
        return False


def _remove_rows(cache: Cache, rows: list[int], files: list[str]) -> None:
    numbers = [(row,) for row in rows]
    if rows:
        cache.store(
            ("DELETE FROM entries WHERE id = ?", numbers),
            ("DELETE FROM contents WHERE id = ?", numbers),
        )
    cache.drop_files(files)
    cache.compact()


def _living(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _LIVING]


def _leftovers(folder: Path, *, everything: bool = False) -> list[Path]:
    found = stale_spools(folder, everything=everything)
    for path in sorted(folder.glob("cache-*")):
        match = _CACHE_FILE.fullmatch(path.name)
        if not match or not path.is_file() or int(match[1]) > FORMAT:
            continue
        under_way = match[2].startswith(".repair-")
        if int(match[1]) < FORMAT or (match[2] not in _LIVING and not under_way):
            found.append(path)
    return found


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(
                f"{path} cannot be removed ({error.strerror}); end the programs that use it, or "
                "change its permissions."
            ) from error
