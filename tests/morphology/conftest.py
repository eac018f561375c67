"""A cell drawn by formula at any scale, so that its features are known to stay the same."""

import numpy as np
import pytest

from hybridleuk.morphology.region import CellRegions
from hybridleuk.segmentation.records import Cell, Cells


def drawn_masks(scale=1.0, size=160):
    """Kidney-shaped nucleus beside the centre of an oval cell: (nucleus, cytoplasm)."""
    n = round(size * scale)
    y, x = (np.indices((n, n)) + 0.5) / scale
    cell = ((y - 78) / 62) ** 2 + ((x - 82) / 50) ** 2 < 1
    body = ((y - 70) / 38) ** 2 + ((x - 86) / 30) ** 2 < 1
    dent = ((y - 62) / 16) ** 2 + ((x - 62) / 18) ** 2 < 1
    return body & ~dent, cell & ~(body & ~dent)


def drawn_image(nucleus, cytoplasm, scale=1.0):
    """Even values in smooth waves, so that halving them is exact."""
    y, x = (np.indices(nucleus.shape) + 0.5) / scale
    waves = np.sin(y / 7) * np.cos(x / 9) + np.sin((x + 2 * y) / 13)
    image = np.full((*nucleus.shape, 3), 236.0)
    for mask, color, depth in (
        (nucleus, (96, 62, 140), (14, 12, 9)),
        (cytoplasm, (180, 150, 204), (9, 12, 6)),
    ):
        image[mask] = (np.array(color) + waves[..., None] * np.array(depth))[mask]
    return (2 * np.round(image / 2)).astype(np.uint8)


@pytest.fixture(scope="session")
def drawn():
    """Return nucleus, cytoplasm and image of the drawn cell."""
    nucleus, cytoplasm = drawn_masks()
    return nucleus, cytoplasm, drawn_image(nucleus, cytoplasm)


@pytest.fixture(scope="session")
def drawn_twice_as_large():
    nucleus, cytoplasm = drawn_masks(scale=2.0)
    return nucleus, cytoplasm, drawn_image(nucleus, cytoplasm, scale=2.0)


@pytest.fixture(scope="session")
def disk():
    y, x = np.indices((121, 121)) - 60
    return np.hypot(y, x) < 50.2


@pytest.fixture
def measured():
    """Measure a list of features of one cell into a dict."""

    def measure(features, nucleus, cytoplasm, image):
        regions = CellRegions(nucleus, cytoplasm, image, background=np.array([236.0] * 3))
        return {feature.name: feature.measure(regions) for feature in features}

    return measure


@pytest.fixture
def as_cells():
    """Make :class:`Cells` of (nucleus, cytoplasm, flags, central) for each cell."""

    def make(*drawn, shape=None):
        shape = drawn[0][0].shape if drawn else shape
        instances = np.zeros(shape, dtype=np.uint16)
        nuclei = np.zeros(shape, dtype=bool)
        cells = []
        for number, (nucleus, cytoplasm, flags, central) in enumerate(drawn, 1):
            whole = nucleus | cytoplasm
            instances[whole] = number
            nuclei |= nucleus
            ys, xs = np.nonzero(whole)
            box = (int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1)
            centroid = (float(ys.mean()), float(xs.mean()))
            cells.append(Cell(number, box, centroid, tuple(flags), central))
        return Cells(instances, nuclei, tuple(cells), () if cells else ("no_cell",))

    return make
