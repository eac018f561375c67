"""Properties that the catalogue claims, tested for each of its rows."""

import numpy as np
import pytest
from scipy import ndimage

from hybridleuk.exceptions import InputError
from hybridleuk.morphology import color, shape, spots, texture, zones
from hybridleuk.morphology.catalogue import (
    CATALOGUE,
    FAMILIES,
    PROPERTIES,
    catalogue_table,
    select_features,
)

FEATURES = list(CATALOGUE.values())
# Values near zero have no relative error worth the name.
FLOOR = {"px": 0.5, "px2": 5.0, "1": 0.02, "grey": 2.0, "deg": 2.0, "Lab": 1.0, "OD": 0.01}


def in_range(feature, value):
    low, high = feature.range
    return np.isfinite(value) and low - 1e-9 <= value <= high + 1e-9


def turned(arrays, quarters, flipped):
    flip = [array[:, ::-1] if flipped else array for array in arrays]
    return [np.ascontiguousarray(np.rot90(array, quarters)) for array in flip]


@pytest.fixture(scope="module")
def degenerate():
    """Cells that a failed segmentation may leave."""
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    nothing = np.zeros((40, 40), dtype=bool)
    pixel, line, ring, everything = (nothing.copy() for _ in range(4))
    pixel[20, 20] = True
    line[10, 3:30] = True
    ring[5:30, 5:30] = True
    ring[6:29, 6:29] = False
    everything[:] = True
    black, white = np.zeros_like(image), np.full_like(image, 255)
    masks = [
        (nothing, nothing),
        (pixel, nothing),
        (nothing, pixel),
        (pixel, line),
        (line, pixel),
        (line.T, ring & ~line.T),
        (everything, nothing),
        (nothing, everything),
    ]
    return [(n, c, picture) for n, c in masks for picture in (image, black, white)]


def test_every_feature_is_finite_and_in_range_on_degenerate_cells(degenerate, measured):
    for nucleus, cytoplasm, image in degenerate:
        values = measured(FEATURES, nucleus, cytoplasm, image)
        outside = [name for name, v in values.items() if not in_range(CATALOGUE[name], v)]
        assert not outside


def test_every_feature_of_nothing_is_zero(degenerate, measured):
    values = measured(FEATURES, *degenerate[0])
    assert not any(values.values())


def test_every_feature_of_a_cell_is_in_range_and_says_something(drawn, measured):
    values = measured(FEATURES, *drawn)
    assert all(in_range(CATALOGUE[name], value) for name, value in values.items())
    zero = {name for name, value in values.items() if not value}
    # The outline of the cell is symmetric, and its waves are too smooth for spots.
    smooth = ("_lbp_", "granule_", "vacuole_", "cell_hu_", "nucleus_exposed")
    assert all(any(word in name for word in smooth) for name in zero)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turned_cells_have_the_same_features(drawn, measured, quarters, flipped):
    features = [feature for feature in FEATURES if feature.rotation_free]
    rng = np.random.default_rng(1)
    nucleus, cytoplasm, image = drawn
    noisy = np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
    before = measured(features, nucleus, cytoplasm, noisy)
    after = measured(features, *turned((nucleus, cytoplasm, noisy), quarters, flipped))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=1e-6, abs=1e-10), name


def test_scale_free_features_stay_when_the_cell_is_enlarged(drawn, drawn_twice_as_large, measured):
    features = [feature for feature in FEATURES if feature.scale_free]
    before, after = (measured(features, *cell) for cell in (drawn, drawn_twice_as_large))
    for name, value in before.items():
        tolerance = 0.03 * FLOOR[CATALOGUE[name].unit]
        if name.endswith("indentation"):  # a dent is known to half a pixel
            tolerance = 0.5 / 100
        assert after[name] == pytest.approx(value, rel=0.03, abs=tolerance), name


def test_illumination_free_features_stay_when_channels_are_dimmed(drawn, measured):
    features = [feature for feature in FEATURES if feature.illumination_free]
    nucleus, cytoplasm, image = drawn
    dimmed = image // np.array([2, 1, 2], dtype=np.uint8)
    regions = measured(features, nucleus, cytoplasm, image)
    from hybridleuk.morphology.region import CellRegions

    cell = CellRegions(nucleus, cytoplasm, dimmed, background=np.array([118.0, 236.0, 118.0]))
    for feature in features:
        # Color is resampled and rounded to whole levels again, so it comes out less exactly.
        close = (
            {"rel": 0.02, "abs": 0.01}
            if feature.family in ("color", "background")
            else {"rel": 1e-6, "abs": 1e-9}
        )
        assert feature.measure(cell) == pytest.approx(regions[feature.name], **close), feature.name


def test_focus_free_features_stay_when_the_image_is_out_of_focus(drawn, measured):
    features = [feature for feature in FEATURES if feature.focus_free]
    nucleus, cytoplasm, image = drawn
    rng = np.random.default_rng(1)
    noisy = np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
    sigma = 0.01 * 2 * np.sqrt(np.count_nonzero(nucleus | cytoplasm) / np.pi)
    blurred = ndimage.gaussian_filter(noisy.astype(float), (sigma, sigma, 0))
    before = measured(features, nucleus, cytoplasm, noisy)
    after = measured(features, nucleus, cytoplasm, np.rint(blurred).astype(np.uint8))
    for name, value in before.items():
        tolerance = FLOOR[CATALOGUE[name].unit]
        assert after[name] == pytest.approx(value, rel=0.05, abs=tolerance), name


def test_texture_is_not_focus_free(drawn, measured):
    features = [feature for feature in FEATURES if "glcm_contrast_near" in feature.name]
    nucleus, cytoplasm, image = drawn
    blurred = ndimage.gaussian_filter(image, (2, 2, 0))
    before = measured(features, nucleus, cytoplasm, image)
    assert any(
        abs(value - before[name]) > 0.2 * before[name]
        for name, value in measured(features, nucleus, cytoplasm, blurred).items()
    )
    assert not any(feature.focus_free for feature in features)


def test_features_of_the_illumination_do_change(drawn, measured):
    nucleus, cytoplasm, image = drawn
    features = [f for f in FEATURES if f.family == "color" and f.name.endswith("_mean")]
    before = measured(features, nucleus, cytoplasm, image)
    after = measured(features, nucleus, cytoplasm, image // 2)
    assert before["nucleus_red_mean"] == pytest.approx(2 * after["nucleus_red_mean"], rel=0.005)


def test_nothing_outside_of_the_cell_enters_by_default(drawn, measured):
    nucleus, cytoplasm, image = drawn
    other = image.copy()
    other[~(nucleus | cytoplasm)] = (3, 250, 99)  # not even where color is smoothed
    features = select_features()
    assert measured(features, nucleus, cytoplasm, image) == measured(
        features, nucleus, cytoplasm, other
    )
    assert not any(feature.family == "background" for feature in features)


def test_names_begin_with_the_region_and_do_not_repeat():
    assert len(CATALOGUE) == len({feature.name for feature in FEATURES})
    for feature in FEATURES:
        assert feature.name in CATALOGUE
        if feature.region != "both":
            assert feature.name.startswith(feature.region + "_")


def test_every_public_function_is_in_the_catalogue():
    used = {getattr(f.function, "func", f.function).__name__ for f in FEATURES}
    measures = {
        name
        for module in (shape, color, texture, spots, zones)
        for name in module.__all__
        if callable(getattr(module, name))
    }
    assert measures - used == {
        "closed_and_opened",
        "color_channels",
        "cooccurrence",
        "dilated",
    }


def test_the_table_has_a_row_for_each_feature_and_no_blanks():
    table = catalogue_table()
    assert table["name"].tolist() == list(CATALOGUE)
    assert (table[["unit", "range", "formula", "source"]] != "").all(axis=None)
    assert set(table["family"]) == set(FAMILIES)


def test_a_feature_measures_a_plain_mask(drawn):
    nucleus, _, image = drawn
    assert CATALOGUE["nucleus_area"](nucleus) == nucleus.sum()
    assert CATALOGUE["nucleus_red_mean"](nucleus, image) == image[nucleus, 0].mean()
    with pytest.raises(InputError, match="relates nucleus and cytoplasm"):
        CATALOGUE["nc_ratio_cell"](nucleus)


def test_selection_by_family_and_property():
    assert {f.family for f in select_features("shape")} == {"shape"}
    chosen = select_features(FAMILIES, PROPERTIES)
    assert all(f.scale_free and f.rotation_free and f.illumination_free for f in chosen)
    with pytest.raises(InputError, match=r"families holds 'form'; expected some of shape, color"):
        select_features(["form"])
    with pytest.raises(InputError, match="require holds 'free'"):
        select_features(["shape"], ["free"])
    with pytest.raises(InputError, match="No feature of the families"):
        select_features([])
