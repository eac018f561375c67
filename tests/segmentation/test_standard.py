import numpy as np
import pytest
from scipy import ndimage

from hybridleuk.data.artificial import draw_cell
from hybridleuk.segmentation.standard import standard_cell, standard_picture

EMPTY = (240.0, 240.0, 240.0)


def ellipse(shape, center, axes):
    y, x = np.indices(shape)
    return np.hypot((y - center[0]) / axes[0], (x - center[1]) / axes[1]) < 1


def painted(size=200, scale=1.0, center=None):
    """Draw a light cell with a dark nucleus, `scale` times as large as one of radius 40 px."""
    center = center or (size / 2 - 0.5, size / 2 - 0.5)
    cell = ellipse((size, size), center, (44 * scale, 36 * scale))
    nucleus = ellipse((size, size), center, (22 * scale, 18 * scale))
    image = np.full((size, size, 3), EMPTY, dtype=np.uint8)
    image[cell] = (190, 160, 200)
    image[nucleus] = (90, 60, 150)
    return image, nucleus, cell & ~nucleus


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.2])
def test_every_cell_has_the_standard_size_and_keeps_its_proportions(scale):
    image, *drawn = painted(scale=scale)
    _, nucleus, cytoplasm = standard_cell(image, *drawn)
    cell = nucleus | cytoplasm
    assert cell.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    assert nucleus.sum() / cell.sum() == pytest.approx(0.25, rel=0.06)
    (height, width), (before, beside) = (
        np.ptp(np.argwhere(m), axis=0) + 1 for m in (cell, sum(drawn))
    )
    assert height / width == pytest.approx(before / beside, rel=0.02)


def test_flat_colors_stay_and_outside_is_never_looked_at():
    image, nucleus, cytoplasm = painted()
    image[~(nucleus | cytoplasm)] = np.random.default_rng(0).integers(0, 256, 3)
    seen, inner, outer = standard_cell(image, nucleus, cytoplasm)
    deep = ndimage.binary_erosion(inner, iterations=5)
    assert (seen[deep] == (90, 60, 150)).all()
    rim = outer & ~ndimage.binary_dilation(inner, iterations=5)
    assert (seen[rim] == (190, 160, 200)).all()
    assert (seen[~(inner | outer)] == 0).all()


@pytest.mark.parametrize("turn", [lambda a: np.rot90(a), lambda a: a[::-1], lambda a: a[:, ::-1]])
def test_a_turned_cell_gives_the_turned_result(turn):
    drawn = draw_cell("neutrophil", random_state=3)
    image, nucleus = drawn.image, drawn.nucleus
    cytoplasm = (drawn.instances > 0) & ~nucleus
    expected = standard_cell(image, nucleus, cytoplasm)
    found = standard_cell(turn(image), turn(nucleus), turn(cytoplasm))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(turn(one), other)
    whole = nucleus | cytoplasm
    picture = standard_picture(turn(image), turn(whole), EMPTY, 64)
    np.testing.assert_array_equal(turn(standard_picture(image, whole, EMPTY, 64)), picture)


def test_a_blurred_cell_hardly_differs():
    rng = np.random.default_rng(0)
    image, nucleus, cytoplasm = painted()
    noisy = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    noise = np.abs(noisy[nucleus].astype(float) - (90, 60, 150)).mean()
    seen, inner, _ = standard_cell(noisy, nucleus, cytoplasm)
    left = np.abs(seen[ndimage.binary_erosion(inner, iterations=5)].astype(float) - (90, 60, 150))
    assert left.mean() < 0.4 * noise


def test_lamp_and_amount_of_stain_cancel_in_a_picture():
    image, nucleus, cytoplasm = painted()
    cell = nucleus | cytoplasm
    density = np.log10((np.array(EMPTY) + 4) / (image + 4.0))
    lamp = np.array([250.0, 230.0, 180.0])
    thicker = (lamp + 4) * 10 ** (-density * (1.4, 1.2, 1.3)) - 4
    other = np.clip(np.rint(thicker), 0, 255).astype(np.uint8)
    one = standard_picture(image, cell, EMPTY, 128).astype(int)
    two = standard_picture(other, cell, lamp, 128).astype(int)
    assert np.abs(one - two).mean() < 1.5
    assert np.abs(one - two).max() <= 12
    assert np.abs(image.astype(int) - other)[cell].mean() > 20


def test_a_cell_in_another_place_gives_the_same_picture():
    image, nucleus, cytoplasm = painted(size=200)
    moved = painted(size=300, center=(120.5, 160.5))
    one = standard_picture(image, nucleus | cytoplasm, EMPTY, 96)
    two = standard_picture(moved[0], moved[1] | moved[2], EMPTY, 96)
    np.testing.assert_array_equal(one, two)


def test_no_cell_gives_an_empty_picture():
    image = painted()[0]
    nothing = np.zeros(image.shape[:2], dtype=bool)
    assert (standard_picture(image, nothing, EMPTY, 32) == 255).all()
    seen, nucleus, cytoplasm = standard_cell(image, nothing, nothing)
    assert seen.shape == (1, 1, 3)
    assert not nucleus.any()
    assert not cytoplasm.any()


def test_a_cell_of_one_color_and_one_of_one_pixel_are_defined():
    image, nucleus, cytoplasm = painted()
    flat = np.full_like(image, 120)
    assert np.ptp(standard_picture(flat, nucleus | cytoplasm, EMPTY, 32)) > 0
    dot = np.zeros_like(nucleus)
    dot[5, 5] = True
    seen, inner, _ = standard_cell(image, dot, np.zeros_like(dot))
    assert inner.any()
    assert (seen[inner] == 240).all()
