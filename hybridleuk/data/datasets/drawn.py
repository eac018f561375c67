"""Masks, boxes and centers of a known data set: which belongs to which of its images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from hybridleuk.data.datasets.card import Role
from hybridleuk.data.datasets.recognition import Found, Recognition

__all__ = ["drawn_columns"]

_ROLES: dict[str, tuple[Role, ...]] = {"annotations": ("boxes", "points"), "mask": ("masks",)}


def drawn_columns(found: Recognition, images: Sequence[Found]) -> dict[str, dict[str, str]]:
    """Find what is drawn on each image.

    Files belong together by their number. Of several with one number, that counts which lies in
    the image's folder, else the one of the image's class, else of its file name; of what several
    experts drew, the first.

    Returns
    -------
    dict of dict
        By the name of the manifest's column, and the absolute path of the image; columns without
        any are left out.
    """
    columns = {}
    for column, roles in _ROLES.items():
        drawn: dict[str, list[Found]] = {}
        for f in sorted(found.files, key=lambda f: f.path):
            if f.part.role in roles and f.number is not None:
                drawn.setdefault(f.number.lstrip("0"), []).append(f)
        own = {f.path: _own(f, drawn.get((f.number or "").lstrip("0"), [])) for f in images}
        columns[column] = {os.path.abspath(i): os.path.abspath(d) for i, d in own.items() if d}
    return {column: paths for column, paths in columns.items() if paths}


def _own(image: Found, drawn: Sequence[Found]) -> str | None:
    """Choose among files of an image's number; none where nothing tells which one is meant."""
    # The label in a path, not that of a table: masks stand in no table.
    label = (image.part.match(image.path.as_posix()) or {}).get("label")
    tests: tuple[Callable[[Found], bool], ...] = (
        lambda f: f.path.parent == image.path.parent,
        lambda f: f.label is not None and f.label == label,
        lambda f: f.path.stem == image.path.stem,
    )
    for test in tests:
        fitting = [f for f in drawn if test(f)]
        if fitting:
            return str(fitting[0].path)
    return None
