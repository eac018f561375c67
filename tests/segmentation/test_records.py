import numpy as np

from hybridleuk.segmentation.records import FLAGS, UNUSABLE, Cell, Cells


def cell(number, *flags, central=False):
    return Cell(number, (0, 0, 1, 1), (0.0, 0.0), flags, central)


def usable(*cells):
    nothing = np.zeros((4, 4))
    found = Cells(nothing.astype(np.uint16), nothing.astype(bool), cells).usable()
    return [cell.number for cell in found]


def test_the_central_cell_is_preferred_then_sound_ones_then_all():
    sound, doubtful = cell(1), cell(2, "clumped")
    assert usable(sound, cell(2, "clumped", central=True)) == [2]
    assert usable(sound, doubtful, cell(3, "no_cytoplasm")) == [1, 3]
    assert usable(doubtful, cell(4, "touches_border", "too_small")) == [2, 4]
    assert usable() == []


def test_flags_that_make_a_cell_unusable_exist():
    assert set(FLAGS) >= UNUSABLE
