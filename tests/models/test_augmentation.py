import pytest
import torch

from hybridleuk.models.augmentation import Augmentation

STILL = Augmentation(
    rotation=0, flip=False, scale=0, shift=0, stain=0, tint=0, brightness=0, blur=0
)


def disc(size=96, radius=20, width=None):
    width = width or size
    y, x = torch.meshgrid(torch.arange(size), torch.arange(width), indexing="ij")
    inside = (y - (size - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < radius**2
    image = torch.full((3, size, width), 0.9)
    image[:, inside] = torch.tensor([0.4, 0.2, 0.5])[:, None]
    return image


def area(batch):
    return (batch[:, 1] < 0.55).sum(dim=(1, 2)).float()


def test_all_ranges_at_zero_change_nothing():
    batch = torch.rand(3, 3, 40, 56).clamp(min=1 / 255)
    torch.testing.assert_close(STILL(batch), batch, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(96, 96), (80, 100)])
def test_turning_and_mirroring_keep_the_area_of_a_cell(shape):
    batch = disc(shape[0], width=shape[1]).expand(16, -1, -1, -1)
    torch.manual_seed(0)
    turned = Augmentation(scale=0, shift=0, stain=0, tint=0, brightness=0)(batch)
    torch.testing.assert_close(area(turned), area(batch), rtol=0.03, atol=0)


def test_a_quarter_turn_is_a_rotation():
    class Quarter(Augmentation):
        def _matrices(self, n, aspect):
            return torch.tensor([[[0.0, -1 / aspect, 0.0], [aspect, 0.0, 0.0]]]).expand(n, 2, 3)

    batch = torch.rand(1, 3, 32, 32)
    turned = Quarter().move(batch)
    torch.testing.assert_close(turned, torch.rot90(batch, 1, (2, 3)), rtol=0, atol=1e-5)


def test_the_scale_stays_within_its_range():
    batch = disc().expand(64, -1, -1, -1)
    torch.manual_seed(0)
    ratio = (area(Augmentation(scale=0.2).move(batch)) / area(batch)).sqrt()
    assert ratio.min() > 1 / 1.2 - 0.03
    assert ratio.max() < 1.2 + 0.03
    assert ratio.max() / ratio.min() > 1.2


def test_stain_multiplies_optical_density_and_white_stays_white():
    white = torch.ones(4, 3, 16, 16)
    grey = torch.full((4, 3, 16, 16), 0.5)
    only_stain = Augmentation(stain=0.2, tint=0, brightness=0)
    torch.testing.assert_close(only_stain.change_light(white), white)
    torch.manual_seed(1)
    density = -torch.log(only_stain.change_light(grey)) / torch.log(torch.tensor(2.0))
    assert density.min() >= 0.8 - 1e-5
    assert density.max() <= 1.2 + 1e-5
    assert len(density[:, 0, 0, 0].unique()) == 4


def test_blur_keeps_the_mean_and_flattens_edges_of_about_half_the_images():
    only_blur = Augmentation(
        rotation=0, flip=False, scale=0, shift=0, stain=0, tint=0, brightness=0
    )
    batch = disc().expand(64, -1, -1, -1)
    torch.manual_seed(0)
    blurred = only_blur.defocus(batch)
    torch.testing.assert_close(blurred.mean((2, 3)), batch.mean((2, 3)), rtol=0, atol=1e-5)
    roughness = (blurred.diff(dim=3).abs()).amax((1, 2, 3))
    sharp = roughness == roughness.max()
    assert 20 <= sharp.sum() <= 44
    # A step of height h under (1, 4, 6, 4, 1) / 16 rises by at most 6 / 16 of h in one pixel.
    assert roughness.min() >= roughness.max() * (1 - 0.5 * 10 / 16) - 1e-4


def test_views_behind_each_other_are_changed_alike():
    batch = disc().expand(4, -1, -1, -1)
    torch.manual_seed(0)
    changed = Augmentation()(torch.cat([batch, batch], dim=1))
    torch.testing.assert_close(changed[:, :3], changed[:, 3:])


def test_the_input_is_left_alone_and_the_seed_decides():
    batch = torch.rand(4, 3, 32, 32)
    before = batch.clone()
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(Augmentation()(batch))
    assert torch.equal(batch, before)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].min() >= 0
    assert results[0].max() <= 1
