"""Cells found held against cells drawn, on numbers that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest

from hybridleuk.data.annotations.records import CellAnnotation, ImageAnnotations, Mask
from hybridleuk.segmentation.agreement import (
    agreement_of_cells,
    agreement_of_counts,
    dice,
    match_cells,
    summary_of_cells,
    summary_of_counts,
)
from hybridleuk.segmentation.fields import FieldCell, FieldCount
from hybridleuk.segmentation.records import Cell, Cells


def box(y, x, side=10):
    return (float(y), float(x), float(y + side), float(x + side))


def drawn(kind, *places):
    return tuple(CellAnnotation(kind, box(*place)) for place in places)


def test_each_drawn_cell_is_met_once_and_the_certain_one_chooses_first():
    truth = drawn("WBC", (0, 0), (0, 20))
    assert match_cells([box(0, 1), box(0, 0), box(0, 21), box(50, 50)], truth) == [0, None, 1, None]


def test_half_an_overlap_is_enough_and_less_is_not():
    truth = drawn("WBC", (0, 0))
    assert match_cells([box(0, 3)], truth) == [0]  # 70 of 130 px
    assert match_cells([box(0, 4)], truth) == [None]  # 60 of 140 px


def test_a_center_is_met_by_the_box_it_lies_in():
    truth = (
        CellAnnotation("WBC", None, (9.0, 9.0)),
        CellAnnotation("WBC", None, (5.0, 5.0)),
        CellAnnotation("WBC", None, (40.0, 5.0)),
    )
    assert match_cells([box(0, 0)], truth) == [1]
    assert match_cells([box(0, 0), box(1, 1), box(20, 20)], truth) == [1, 0, None]


def test_dice():
    one, other = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    assert dice(one, other) == 1.0
    one[0], other[:, :2] = True, True
    assert dice(one, other) == pytest.approx(2 * 2 / (4 + 4))


def found_cells(*corners, central=None):
    """Draw found cells of 10 x 10 px with nuclei of 4 x 4."""
    instances, nucleus = np.zeros((40, 60), np.uint16), np.zeros((40, 60), bool)
    cells = []
    for number, (y, x) in enumerate(corners, start=1):
        instances[y : y + 10, x : x + 10] = number
        nucleus[y + 3 : y + 7, x + 3 : x + 7] = True
        places = (y, x, y + 10, x + 10), (y + 4.5, x + 4.5)
        cells.append(Cell(number, *places, central=number == central))
    return Cells(instances, nucleus, tuple(cells))


def outlined(*corners, nuclei=True):
    cells = found_cells(*corners)
    mask = Mask(
        cells.instances > 0, cells.nucleus if nuclei else None, cells.instances.astype(np.int32)
    )
    return ImageAnnotations(drawn("leukocyte", *corners), mask)


def test_one_drawn_cell_is_compared_with_the_central_one():
    cells = found_cells((0, 0), (20, 20), central=2)
    row = agreement_of_cells(cells, outlined((20, 20)))
    assert row == {"drawn": 1, "found": 2, "matched": 1, "dice_nucleus": 1.0, "dice_cell": 1.0}


def test_several_drawn_cells_are_compared_with_all():
    cells = found_cells((0, 0), (20, 20), central=2)
    row = agreement_of_cells(cells, outlined((0, 0), (20, 40), nuclei=False))
    assert (row["drawn"], row["matched"], row["dice_nucleus"]) == (2, 1, None)
    assert row["dice_cell"] == pytest.approx(2 * 100 / 400)


def test_without_outlines_there_is_no_dice():
    row = agreement_of_cells(found_cells((0, 0)), ImageAnnotations(drawn("NEU", (0, 0), (20, 20))))
    assert (row["drawn"], row["found"], row["matched"], row["dice_cell"]) == (2, 1, 1, None)


def test_counts_of_each_kind_that_is_drawn_anywhere():
    field = FieldCount(
        (
            FieldCell("WBC", (0, 0, 10, 10), 0.9),
            FieldCell("RBC", (20, 20, 30, 30), 0.5),
            FieldCell("RBC", (20, 21, 30, 31), 0.9),
            FieldCell("Platelets", (30, 50, 34, 54), 0.9),
        ),
        (),
        None,
    )
    truth = ImageAnnotations(drawn("WBC", (0, 0)) + drawn("RBC", (20, 20), (0, 40)))
    table = pd.DataFrame(agreement_of_counts(field, truth))
    summed = summary_of_counts(table)
    assert list(summed) == ["WBC", "RBC"]
    assert summed["WBC"]["precision"] == summed["WBC"]["recall"] == 1.0
    red = summed["RBC"]
    assert (red["precision"], red["recall"], red["count_exact"]) == (0.5, 0.5, 1.0)


def test_summary_leaves_out_images_whose_annotations_cannot_be_used():
    rows = [
        {"drawn": 2, "found": 3, "matched": 2, "dice_nucleus": 0.9, "dice_cell": None},
        {"drawn": 4, "found": 4, "matched": 2, "dice_nucleus": 0.7, "dice_cell": None},
        {"problem": "of another size"},
    ]
    summed = summary_of_cells(pd.DataFrame(rows))
    assert (summed["n_images"], summed["precision"]) == (2, pytest.approx(4 / 7))
    assert summed["recall"] == pytest.approx(4 / 6)
    assert summed["dice_nucleus"] == pytest.approx(0.8)
    assert summed["dice_cell"] is None
    assert (summed["count_exact"], summed["count_bias"]) == (0.5, 0.5)
    assert summed["count_relative_error"] == 0.25
