import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from hybridleuk.audit.record import Record, make_record, sharpness
from hybridleuk.data.artificial import draw_cell
from hybridleuk.segmentation.cells import find_cells


def test_record_survives_the_cache():
    image = draw_cell("lymphocyte", size=80).image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    record = make_record(buffer.getvalue(), image, find_cells(image))
    assert Record.unpack(record.pack()) == record
    assert (record.format, record.mode, record.height, record.width) == ("PNG", "RGB", 80, 80)
    (nucleus,) = record.nuclei
    assert 0.3 < nucleus[0] < 1.5
    assert abs(nucleus[1] - find_cells(image).nucleus.mean()) < 1e-9
    assert (record.orientation, record.n_cells, record.central) == (1, 1, True)


def test_sharpness_falls_with_blur_and_not_with_contrast():
    image = draw_cell("neutrophil", size=160, random_state=2).image
    values = [sharpness(gaussian_filter(image, (s, s, 0)) if s else image) for s in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.1 * values[2]
    pale = (200 + 0.5 * (image.astype(float) - 200)).clip(0, 255).astype(np.uint8)
    assert abs(sharpness(pale) / values[0] - 1) < 0.15


def test_nothing_to_see_has_no_sharpness():
    assert sharpness(np.full((40, 40, 3), 200, np.uint8)) == 0.0
