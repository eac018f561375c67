"""The page of an audit: one HTML file that opens offline, made of nothing but plain data."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hybridleuk import progress
from hybridleuk.report.contents import Part, Section, contents_of
from hybridleuk.report.findings import (
    cluster_table,
    findings,
    is_alarming,
    shortcut_figure,
)
from hybridleuk.report.gallery import thumbnail
from hybridleuk.report.page import environment, headings_of, style

__all__ = ["CONTENTS", "audit_report"]

Document = Mapping[str, Any]
CONTENTS = (
    Part(
        "part-glance",
        "What was found?",
        (Section("glance", "At a glance", "At a glance"),),
    ),
    Part(
        "part-twice",
        "Is anything there twice?",
        (Section("duplicates", "Duplicates", "Duplicates"),),
    ),
    Part(
        "part-taken",
        "How were the images taken?",
        (
            Section("shortcuts", "Classes told without a cell", "Shortcuts"),
            Section("acquisition", "Stain, light and camera", "Acquisition"),
        ),
    ),
    Part(
        "part-right",
        "Are labels and pictures right?",
        (
            Section("labels", "Suspect labels", "Labels"),
            Section("files", "Files", "Files"),
            Section("quality", "Quality", "Quality"),
        ),
    ),
    Part(
        "part-use",
        "What is there to train on?",
        (
            Section("balance", "Balance", "Balance"),
            Section("cleaned", "The cleaned manifest", "Left out"),
        ),
    ),
    Part("part-protocol", "How was it done?", (Section("repeat", "To repeat it", "Repeat"),)),
)
SETS, IN_SET = 18, 4
SUSPECTS, PER_PROBLEM, OF_FILES = 30, 6, 12
ROWS = 60
_WITHOUT_PICTURE = ("unreadable", "truncated")


def audit_report(document: Document, left_out: Sequence[tuple[str, str]] = ()) -> str:
    """Write the page of an audit.

    At most some 230 small pictures are shown, so that the file stays small however many images
    there are; ``audit.json`` lists all.

    Parameters
    ----------
    document : mapping
        What ``audit.json`` holds. Pictures are read from its paths; one that is gone is named
        without a picture.
    left_out : sequence of (path, reason)
        What the cleaned manifest leaves out: the rows of ``left_out.csv``.

    Returns
    -------
    str
        HTML that makes no request to anywhere.
    """
    contents = contents_of({s.id for part in CONTENTS for s in part.sections}, CONTENTS)
    names = _Names(document, left_out)
    warnings = set(document["balance"]["warnings"])
    return (
        environment()
        .get_template("audit.html")
        .render(
            style=style(),
            document=document,
            contents=contents,
            headings=headings_of(contents),
            said=[names.in_text(text) for text in document["verdict"] if text not in warnings],
            cautions=[text for text in document["verdict"] if text in warnings],
            alarming=is_alarming(document),
            findings=findings(document),
            shortcuts=shortcut_figure(document["shortcuts"]),
            clusters=cluster_table(document["acquisition"], document["dataset"]["classes"]),
            classes=_classes(document),
            problems={key: _counts(document[key]) for key in ("files", "quality")},
            left_out=[(names.short(path), names.in_text(why)) for path, why in left_out[:ROWS]],
            remarks=[{**entry, "name": names.short(entry["path"])} for entry in _first(document)],
            root=names.root,
            **_pictures(document, names),
        )
    )


@dataclass(frozen=True)
class _Names:
    """Short names of files: what is left of a path below the folder that holds them all."""

    document: Document
    left_out: Sequence[tuple[str, str]]

    @cached_property
    def root(self) -> str:
        """The innermost folder that holds every file named on the page; empty for none."""
        folders = {os.path.dirname(path) for path in self._paths()}
        try:
            return os.path.commonpath(folders) if folders else ""
        except ValueError:  # some are on another drive, or relative
            return ""

    def short(self, path: str) -> str:
        """Name a file below the root."""
        return path.removeprefix(self._head)

    def in_text(self, text: str) -> str:
        """Shorten paths within a sentence."""
        return text.replace(self._head, "") if self._head else text

    @cached_property
    def _head(self) -> str:
        return self.root.rstrip(os.sep) + os.sep if len(self.root) > 1 else ""

    def _paths(self) -> Iterator[str]:
        for key in ("files", "suspect_labels", "quality"):
            yield from (entry["path"] for entry in self.document[key])
        for cluster in self.document["duplicates"]:
            yield from cluster["images"]
        for examples in self.document["acquisition"]["examples"]:
            yield from examples
        yield from (path for path, _ in self.left_out)


def _pictures(document: Document, names: _Names) -> dict[str, Any]:
    """Choose the images that are shown, and read them."""
    sets = sorted(document["duplicates"], key=lambda cluster: not cluster["conflict"])[:SETS]
    suspects = document["suspect_labels"][:SUSPECTS]
    marked = [e for e in document["files"] if e["problem"] not in _WITHOUT_PICTURE]
    marked = _few_of_each(marked, PER_PROBLEM)[:OF_FILES]
    poor = _few_of_each(document["quality"], PER_PROBLEM)
    examples = document["acquisition"]["examples"]
    wanted = [path for cluster in sets for path in cluster["images"][:IN_SET]]
    wanted += [entry["path"] for entry in (*suspects, *marked, *poor)]
    wanted += [path for paths in examples for path in paths]
    known = _read(wanted)

    def shown(path: str) -> dict[str, Any]:
        return {"path": path, "name": names.short(path), "picture": known[path]}

    return {
        "sets": [
            {**cluster, "shown": [shown(path) for path in cluster["images"][:IN_SET]]}
            for cluster in sets
        ],
        "suspects": [{**entry, **shown(entry["path"])} for entry in suspects],
        "marked": [{**entry, **shown(entry["path"])} for entry in marked],
        "poor": [{**entry, **shown(entry["path"])} for entry in poor],
        "examples": [[shown(path) for path in paths] for paths in examples],
    }


def _read(paths: Sequence[str]) -> dict[str, str | None]:
    """Make a small picture of each file, once."""
    distinct = list(dict.fromkeys(paths))
    made = {}
    with progress.task("Drawing the page", len(distinct), "pictures") as drawing:
        for path in distinct:
            made[path] = thumbnail(path)
            drawing.advance()
    return made


def _few_of_each(entries: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    seen: defaultdict[str, int] = defaultdict(int)
    few = []
    for entry in entries:
        seen[entry["problem"]] += 1
        if seen[entry["problem"]] <= most:
            few.append(entry)
    return few


def _first(document: Document) -> list[Mapping[str, Any]]:
    """Pick the remarks on files that the table lists: some of each problem."""
    few = _few_of_each(document["files"], ROWS // 4)
    return few[:ROWS]


def _counts(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return Counter(entry["problem"] for entry in entries).most_common()


def _classes(document: Document) -> list[dict[str, Any]]:
    """One row for each class: images, groups, and images in each part of the split."""
    counts = document["balance"]
    most = max(counts["images_per_class"].values(), default=1)
    return [
        {
            "name": name,
            "images": images,
            "share": images / most,
            "groups": counts["groups_per_class"].get(name),
            "parts": [part.get(name, 0) for part in counts["images_per_split"].values()],
        }
        for name, images in counts["images_per_class"].items()
    ]
