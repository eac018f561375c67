from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hybridleuk.embeddings.backbones import BACKBONES, backbone
from hybridleuk.embeddings.preprocessing import (
    check_view,
    paint_segmented,
    resize,
    view_pictures,
)
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.cells import Cell, Cells

RECORD = backbone("squeezenet1_0")


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


def test_each_cell_gets_a_picture_of_its_own():
    image, cells = smear(((60, 70), 20), ((30, 130), 12))
    pictures = view_pictures("cells", image, cells, RECORD, 96)
    assert pictures.shape == (2, 96, 96, 3)
    for picture in pictures:
        assert (picture[:8] > 245).all()  # nothing but the cell, on white
        dark = (picture.min(axis=-1) < 128).mean()
        assert dark == pytest.approx(np.pi / 3.2**2, rel=0.1)  # a disc of a 3.2th of the side


def test_the_central_cell_stands_for_its_image():
    image, cells = smear(((60, 70), 20), ((30, 130), 12))
    central = replace(cells.cells[1], central=True)
    alone = replace(cells, cells=(cells.cells[0], central))
    pictures = view_pictures("cells", image, alone, RECORD, 64)
    assert len(pictures) == 1
    both = view_pictures("cells", image, cells, RECORD, 64)
    np.testing.assert_array_equal(pictures[0], both[1])


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
