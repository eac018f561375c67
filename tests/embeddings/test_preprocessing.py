import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hybridleuk.embeddings.backbones import BACKBONES, backbone
from hybridleuk.embeddings.preprocessing import (
    check_view,
    cut_cells,
    paint_segmented,
    resize,
    usable_cells,
    view_pictures,
)
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.cells import Cell, Cells

RECORD = backbone("squeezenet1_0")
FLAT = (124, 116, 104)  # ImageNet's mean color


def disc(shape, center, radius):
    y, x = np.indices(shape)
    return np.hypot(y - center[0], x - center[1]) < radius


def smear(*discs, shape=(120, 160), flags=()):
    """Paint discs as cells of their own color on a light ground."""
    image = np.full((*shape, 3), 230, dtype=np.uint8)
    instances = np.zeros(shape, dtype=np.uint16)
    cells = []
    for number, (center, radius) in enumerate(discs, start=1):
        mask = disc(shape, center, radius)
        image[mask] = (60 * number, 20, 140)
        instances[mask] = number
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        cells.append(Cell(number, box, center, flags[number - 1] if flags else ()))
    return image, Cells(instances, instances > 0, tuple(cells))


@pytest.mark.parametrize("name", ["squeezenet1_0", "efficientnet_b0", "inception_v3"])
def test_resized_as_torchvision_does(name):
    record = BACKBONES[name]
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    side = record.input_size
    mode = InterpolationMode(record.interpolation)
    expected = F.pil_to_tensor(
        F.resize(Image.fromarray(image), [side, side], interpolation=mode, antialias=True)
    )
    pictures = view_pictures("image", image, None, record)
    assert pictures.shape == (1, side, side, 3)
    np.testing.assert_array_equal(pictures[0], expected.permute(1, 2, 0).numpy())


def test_nothing_is_cropped():
    image = np.full((60, 90, 3), 255, dtype=np.uint8)
    image[:3, :3] = image[-3:, -3:] = 0
    picture = resize(image, 60, RECORD)
    assert picture[0, 0].max() == 0 == picture[-1, -1].max()


def test_segmented_is_black_outside_and_untouched_inside():
    image, cells = smear(((60, 70), 20), ((30, 130), 12))
    painted = paint_segmented(image, cells)
    inside = cells.instances > 0
    assert (painted[~inside] == 0).all()
    np.testing.assert_array_equal(painted[inside], image[inside])
    assert view_pictures("segmented", image, cells, RECORD).shape == (1, 224, 224, 3)


def test_each_cell_gets_a_square_of_its_own():
    image, cells = smear(((60, 70), 20), ((30, 130), 12))
    pictures = cut_cells(image, cells, RECORD, 100)
    assert pictures.shape == (2, 100, 100, 3)
    for number, picture in enumerate(pictures, start=1):
        assert tuple(picture[50, 50]) == (60 * number, 20, 140)
        assert tuple(picture[0, 0]) == FLAT
        share = (np.abs(picture.astype(int) - picture[50, 50]).sum(-1) < 30).mean()
        assert share == pytest.approx(np.pi / 4 / 1.3**2, rel=0.05)


def test_neighbours_and_ground_beyond_the_rim_are_painted():
    image, cells = smear(((60, 60), 20), ((60, 86), 6))
    picture = cut_cells(image, cells, RECORD, 104)[0]
    # The neighbour's edge lies 20 px from the first cell's center, inside the square's margin.
    assert tuple(picture[52, 103]) == FLAT
    outside = ~disc((104, 104), (51.5, 51.5), 40 + 0.04 * 104 + 2)
    assert (picture[outside] == FLAT).all()


def test_position_and_surroundings_do_not_matter():
    image, cells = smear(((60, 70), 20))
    shifted, shifted_cells = smear(((50, 40), 20))
    image[cells.instances == 0] = (250, 240, 200)
    image[0:30] = 0
    one, two = (
        cut_cells(i, c, RECORD, 80)[0] for i, c in ((image, cells), (shifted, shifted_cells))
    )
    inner = disc((80, 80), (39.5, 39.5), 28)
    np.testing.assert_array_equal(one[inner], two[inner])


def test_a_square_may_reach_beyond_the_image():
    image, cells = smear(((4, 5), 20), ((116, 158), 15))
    pictures = cut_cells(image, cells, RECORD, 64)
    assert len(pictures) == 2
    assert (pictures[0][0] == FLAT).all()
    assert (pictures[1][-1] == FLAT).all()


def test_complete_cells_are_preferred():
    discs = ((60, 70), 20), ((0, 130), 12)
    _, cells = smear(*discs, flags=((), ("touches_border",)))
    assert [cell.number for cell in usable_cells(cells)] == [1]
    _, cells = smear(*discs, flags=(("clumped",), ("touches_border", "too_small")))
    assert [cell.number for cell in usable_cells(cells)] == [1]
    _, cells = smear(*discs, flags=(("touches_border",), ("low_contrast",)))
    assert [cell.number for cell in usable_cells(cells)] == [1, 2]


def test_no_cell_no_picture():
    image, cells = smear()
    assert view_pictures("cells", image, cells, RECORD).shape == (0, 224, 224, 3)
    assert (view_pictures("segmented", image, cells, RECORD) == 0).all()


def test_wrong_views():
    with pytest.raises(InputError, match="view is 'cell'; expected one of image, cells, segmented"):
        check_view("cell")
    with pytest.raises(InputError, match="'cells' needs the cells of the image"):
        view_pictures("cells", smear()[0], None, RECORD)


def test_pictures_are_what_torch_calls_channels_last():
    picture = view_pictures("image", smear()[0], None, RECORD)
    batch = torch.from_numpy(picture.copy()).permute(0, 3, 1, 2)
    assert batch.is_contiguous(memory_format=torch.channels_last)
