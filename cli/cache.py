"""``hybridleuk cache``: what lies in the cache, what may go, and whether it is still right."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from .console import Outcome

if TYPE_CHECKING:
    from hybridleuk.data.cache_care import CacheInfo, Freed

__all__ = ["INFO_EXAMPLE", "PRUNE_EXAMPLE", "VERIFY_EXAMPLE", "info", "prune", "verify"]

INFO_EXAMPLE = "hybridleuk cache info"
PRUNE_EXAMPLE = "hybridleuk cache prune --older-than 90 --dry-run"
VERIFY_EXAMPLE = "hybridleuk cache verify"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
Place = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Folder of the cache; by default the user's."),
]


def info(cache: Place = None) -> Outcome:
    """Show where the cache lies, how large it is, and what is in it."""
    from hybridleuk.data.cache_care import describe

    found = describe(_place(cache))
    document = asdict(found)
    document["kinds"] = {
        name: asdict(kind) | {"created": _date(kind.created), "used": _date(kind.used)}
        for name, kind in found.kinds.items()
    }
    return Outcome(document, _info_shown(found), essential=True)


def prune(
    cache: Place = None,
    older_than: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="DAYS", help="Remove what was not used for so long."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Remove what was not used for longest, until the rest is no larger: 500MB, 2GB.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="Only results of this kind, as 'cache info' names it; repeatable."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove the whole cache.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed.")
    ] = False,
) -> Outcome:
    """Remove results; without options only what cannot be used any more.

    The latter are caches of older versions, and what is remembered of image files that are gone.
    Nothing is asked, since all that is removed can be computed again.
    """
    chosen = kind or older_than is not None or max_size is not None
    if everything and chosen:
        raise typer.BadParameter("--all leaves nothing to choose; give it without other conditions")
    from hybridleuk.data import cache_care

    place = _place(cache)
    freed = cache_care.prune(
        place,
        kinds=kind or [],
        older_than=older_than,
        max_bytes=None if max_size is None else _bytes_of(max_size),
        everything=everything,
        dry_run=dry_run,
    )
    document = {"path": place, "dry_run": dry_run} | vars(freed)
    return Outcome(document, _prune_shown(place, freed, dry_run), essential=dry_run)


def verify(cache: Place = None) -> Outcome:
    """Read every result against its checksum and drop the damaged; status 1 if there were any."""
    from hybridleuk.data import cache_care

    place = _place(cache)
    found = cache_care.verify(place)
    document = {"path": place, "sound": found.sound} | vars(found)
    summary: list[Any] = [f"{found.rows:,} rows of the cache in {place} read"]
    if found.repaired:
        summary.append(
            Text("The file itself was damaged; what could be read was saved.", style="red")
        )
    for name, count in found.damaged.items():
        dropped = "" if found.read_only else " and dropped"
        summary.append(Text(f"{count:,} of {name} damaged{dropped}", style="red"))
    if found.sound:
        summary.append(Text("All are sound.", style="green"))
    else:
        summary.append("What was lost is computed again when it is needed; check the disk.")
    if found.read_only:
        summary.append(f"Nothing was changed: {found.read_only}.")
    return Outcome(document, summary, essential=True, status=int(not found.sound))


def _place(cache: Path | None) -> Path:
    from hybridleuk.data.cache import default_cache_directory

    return default_cache_directory() if cache is None else cache


def _bytes_of(size: str) -> int:
    match = _SIZE.fullmatch(size.strip())
    if not match:
        raise typer.BadParameter(f"{size!r} is no size; expected one such as 500MB or 2GB")
    return round(float(match[1]) * _FACTORS[match[2].upper()])


def _info_shown(found: CacheInfo) -> list[Any]:
    head = Table(box=None, pad_edge=False, show_header=False)
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("cache", str(found.path))
    free = "" if found.free_bytes is None else f"; {_size(found.free_bytes)} free beside it"
    head.add_row("on disk", f"{_size(found.bytes)}{free}" if found.exists else "not there yet")
    if found.read_only:
        head.add_row("read only", f"{found.read_only}; commands that compute need another --cache")
    head.add_row("image files", f"{found.files:,} whose hash is remembered")
    if found.damage:
        head.add_row("damage", f"{found.damage:,} rows found damaged and dropped so far")
    if found.leftovers:
        names = ", ".join(path.name for path in found.leftovers)
        head.add_row(
            "not used", f"{names} ({_size(found.leftover_bytes)}); 'cache prune' removes it"
        )
    return [head, "", _kinds_table(found)] if found.kinds else [head]


def _kinds_table(found: CacheInfo) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kind", no_wrap=True)
    for heading in ("results", "size", "first stored", "last used"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, kind in found.kinds.items():
        dates = (_date(kind.created)[:10], _date(kind.used)[:10])
        table.add_row(name, f"{kind.rows:,}", _size(kind.bytes), *dates)
    return table


def _prune_shown(place: Path, freed: Freed, dry_run: bool) -> list[Any]:
    verb = "Would remove" if dry_run else "Removed"
    lines: list[Any] = [
        f"{verb} {count:,} of {name} ({_size(freed.bytes[name])})"
        for name, count in sorted(freed.rows.items())
    ]
    if freed.files:
        lines.append(f"{verb} the hashes of {freed.files:,} image files")
    lines += [f"{verb} {path}" for path in freed.leftovers]
    if not lines:
        return [f"Nothing to remove from the cache in {place}."]
    verb = "would be freed" if dry_run else "freed"
    return [*lines, f"{_size(freed.disk_bytes)} {verb} in {place}"]


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
