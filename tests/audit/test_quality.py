from types import SimpleNamespace

import numpy as np

from hybridleuk.audit.quality import quality
from hybridleuk.audit.record import Record

NUCLEUS = (0.75, 0.06)  # density, share of the image
RED_CELL, PLATELET = (0.2, 0.05), (0.7, 0.004)


def record(**changed):
    usual = {
        "pixels": "",
        "format": "PNG",
        "mode": "RGB",
        "height": 80,
        "width": 80,
        "orientation": 1,
        "bars": 0,
        "lines": 0,
        "sharpness": 1.3,
        "bright": 230.0,
        "burnt_out": 0.0,
        "black": 0.0,
        "nuclei": (NUCLEUS,),
        "central": True,
        "flags": (),
        "cell_flags": (),
    }
    merged = {**usual, **changed}
    return Record(**{"n_cells": len(merged["nuclei"]), **merged})


def problems(*odd, labels=None, clusters=None, usual=None):
    """Judge odd records among 60 usual ones: the problems of the odd ones, and of the others."""
    rng = np.random.default_rng(0)
    records = list(odd) + [
        record(
            sharpness=1.3 * np.exp(0.03 * rng.normal()),
            bright=float(round(230 + 4 * rng.normal())),
            **(usual or {}),
        )
        for _ in range(60)
    ]
    evidence = SimpleNamespace(
        records=records,
        paths=[str(k) for k in range(len(records))],
        manifest=SimpleNamespace(labels=labels),
        column=lambda name: np.array([getattr(r, name) for r in records]),
    )
    if clusters is None:
        clusters = np.zeros(len(records), dtype=int)
    found = [(int(e["path"]), e["problem"]) for e in quality(evidence, clusters)]
    return [p for row, p in found if row < len(odd)], [p for row, p in found if row >= len(odd)]


def test_usual_images_have_no_problem():
    assert problems() == ([], [])


def test_each_problem():
    assert problems(record(sharpness=1.05)) == (["blur"], [])
    assert problems(record(cell_flags=("out_of_focus",))) == (["blur"], [])
    assert problems(record(bright=140.0)) == (["too dark"], [])
    assert problems(record(burnt_out=0.7, bright=255.0)) == (["too bright"], [])
    assert problems(record(flags=("low_contrast",))) == (["stain"], [])
    assert problems(record(flags=("no_color",))) == (["stain"], [])
    assert problems(record(nuclei=(), central=False)) == (["no cell"], [])
    assert problems(record(nuclei=(NUCLEUS,) * 4)) == (["many cells"], [])


def test_a_grey_set_is_no_stain_failure():
    assert problems(usual={"flags": ("no_color",)}) == ([], [])


def test_many_cells_are_no_defect_of_fields():
    assert problems(
        record(nuclei=(NUCLEUS,) * 9), usual={"nuclei": (NUCLEUS,) * 6, "central": False}
    ) == ([], [])


def test_a_class_without_leukocytes_is_none():
    empty = [record(nuclei=(), central=False)] * 5
    labels = np.array(["platelet"] * 5 + ["neutrophil"] * 60, dtype=object)
    assert problems(*empty, labels=labels) == ([], [])
    labels[0] = "neutrophil"
    assert problems(*empty, labels=labels) == (["no cell"], [])


def test_images_are_compared_within_their_acquisition():
    """A second, darker microscope is no defect; a dark image of the brighter one is."""
    darker = [record(bright=150.0 + k % 5) for k in range(40)]
    clusters = np.array([1] * 40 + [0] * 60)
    assert problems(*darker, clusters=clusters) == ([], [])
    assert problems(record(bright=150.0), clusters=np.zeros(61, dtype=int))[0] == ["too dark"]


def test_red_cells_and_platelets_are_no_leukocytes():
    assert problems(record(nuclei=(RED_CELL,))) == (["no cell"], [])
    assert problems(record(nuclei=(RED_CELL,) * 7, central=False)) == (["no cell"], [])
    assert problems(record(nuclei=(PLATELET, PLATELET), central=False)) == (["no cell"], [])
    assert problems(record(nuclei=(NUCLEUS, RED_CELL, PLATELET, RED_CELL))) == ([], [])
    small = (0.8, 0.016)  # a pyknotic erythroblast
    assert problems(record(nuclei=(small,))) == ([], [])


def test_an_image_without_stain_is_not_told_twice():
    assert problems(record(nuclei=((0.05, 0.05),), flags=("low_contrast",))) == (["stain"], [])


def test_no_cell_in_any_image():
    assert problems(record(nuclei=(), central=False), usual={"nuclei": (), "central": False})[
        0
    ] == ["no cell"]
