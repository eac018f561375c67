"""What is wrong with files, whatever they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hybridleuk.audit.evidence import Evidence
from hybridleuk.audit.record import Record
from hybridleuk.data.skipped import listed

__all__ = ["PROBLEMS", "UNREADABLE", "file_problems"]

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
UNREADABLE = ("unreadable", "truncated")
PROBLEMS = (
    *UNREADABLE,
    "wrong extension",
    "odd size",
    "odd mode",
    "EXIF rotation",
    "scale bar",
    "text",
)
_MAJORITY, _RARE = 0.5, 0.05
_ABOUT_THE_SAME = 1.05  # the larger side over the smaller
_CUT_OFF = "damaged or cut off"
_UPRIGHT = 1


def file_problems(evidence: Evidence) -> list[dict[str, Any]]:
    """List what is wrong with files, those that cannot be read first.

    A color mode is odd where it is that of under a twentieth of the images while another one is
    that of over half of them; so is a size, where height or width also differ by over a twentieth.

    Returns
    -------
    list of dict
        ``path``, ``problem`` (one of :data:`PROBLEMS`) and ``detail``, a sentence.
    """
    found = list(_skipped(listed(evidence.manifest.skipped)))
    sizes = _majority((record.height, record.width) for record in evidence.records)
    modes = _majority(record.mode for record in evidence.records)
    for path, record in zip(evidence.paths, evidence.records, strict=True):
        found += [
            {"path": path, "problem": problem, "detail": detail}
            for problem, detail in _problems(Path(path), record, sizes, modes)
        ]
    return sorted(found, key=lambda entry: PROBLEMS.index(entry["problem"]))


def _skipped(rows: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for path, reason in rows:
        problem = "truncated" if _CUT_OFF in reason else "unreadable"
        yield {"path": path, "problem": problem, "detail": reason}


def _problems(path: Path, record: Record, sizes: Any, modes: Any) -> Iterator[tuple[str, str]]:
    if path.suffix.lower() not in SUFFIXES.get(record.format, ()):
        named = f"is named {path.suffix}" if path.suffix else "has no suffix"
        yield "wrong extension", f"It {named} and holds {record.format} data."
    size = record.height, record.width
    if _is_odd(size, sizes) and _is_far(size, sizes[0]):
        usual_height, usual_width = sizes[0]
        yield (
            "odd size",
            f"It is {record.width} x {record.height} px, most are {usual_width} x {usual_height}.",
        )
    if _is_odd(record.mode, modes):
        yield "odd mode", f"Its mode is {record.mode}, that of most is {modes[0]}."
    if record.orientation != _UPRIGHT:
        yield (
            "EXIF rotation",
            f"It is stored turned (EXIF orientation {record.orientation}); programs that do not "
            "heed this show it otherwise.",
        )
    if record.bars:
        yield "scale bar", f"{record.bars} straight mark(s) are drawn into it."
    if record.lines:
        yield "text", f"{record.lines} line(s) of writing are burnt into it."


def _majority(values: Iterable[Any]) -> tuple[Any, Counter]:
    counts = Counter(values)
    return (counts.most_common(1)[0][0] if counts else None), counts


def _is_odd(value: Any, majority: tuple[Any, Counter]) -> bool:
    usual, counts = majority
    total = counts.total()
    return (
        value != usual
        and counts[usual] > _MAJORITY * total
        and counts[value] < max(_RARE * total, 2)
    )


def _is_far(size: tuple[int, int], usual: tuple[int, int]) -> bool:
    return any(max(a, b) > _ABOUT_THE_SAME * min(a, b) for a, b in zip(size, usual, strict=True))
