import numpy as np
import pytest

from hybridleuk.segmentation.sharpness import edge_width


def nucleus(radius, ramp, depth=0.5, ground=0.1):
    """Draw a disk of density whose edge is a straight ramp of a known width."""
    y, x = np.mgrid[: 4 * radius, : 4 * radius] - 2.0 * radius
    away = np.hypot(y, x) - radius
    return ground + depth * np.clip(0.5 - away / ramp, 0, 1), away < 0


@pytest.mark.parametrize("radius", [20, 40])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_the_width_is_that_of_the_ramp_drawn(radius, share):
    density, mask = nucleus(radius, share * radius)
    assert edge_width(density, mask) == pytest.approx(share, rel=0.15)


def test_contrast_cancels_and_blur_widens():
    density, mask = nucleus(30, 6)
    pale, _ = nucleus(30, 6, depth=0.1, ground=0.4)
    assert edge_width(pale, mask) == pytest.approx(edge_width(density, mask))
    assert edge_width(nucleus(30, 12)[0], mask) > 1.5 * edge_width(density, mask)


def test_what_has_no_edge_has_no_width():
    density, mask = nucleus(20, 5)
    assert edge_width(density, np.zeros_like(mask)) == 0.0
    assert edge_width(density, np.ones_like(mask)) == 0.0
    assert edge_width(np.full_like(density, 0.3), mask) == 0.0
