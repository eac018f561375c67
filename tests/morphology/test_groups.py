"""Every measurement has its group, and twins are found from ranks alone."""

import numpy as np
import pandas as pd
import pytest

from hybridleuk.morphology.catalogue import CATALOGUE, IMAGE_COLUMNS
from hybridleuk.morphology.groups import GROUPS, describe, feature_of, find_twins, group_of


def test_every_measurement_has_a_group_and_no_group_is_empty():
    found = {group_of(name) for name in [*CATALOGUE, *IMAGE_COLUMNS, "my_own"]}
    assert found == set(GROUPS)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("nucleus_area", "nucleus size"),
        ("nucleus_solidity", "nucleus lobes"),
        ("nucleus_hu_3", "nucleus outline"),
        ("cell_feret_max", "cell size"),
        ("cell_circularity", "cell outline"),
        ("nc_ratio_cell", "amount of cytoplasm"),
        ("cytoplasm_area", "amount of cytoplasm"),
        ("cytoplasm_vacuolation_10", "cytoplasm granules and vacuoles"),
        ("cytoplasm_local_entropy_mean", "cytoplasm texture"),
        ("nucleus_rim_contrast", "nucleus color"),
        ("contrast_lab", "nucleus against cytoplasm"),
        ("nucleus_od_red_over_background", "color against background"),
        ("qc_no_cell", "number of cells"),
    ],
)
def test_groups_by_hand(name, group):
    assert group_of(name) == group


def test_columns_and_descriptions():
    assert feature_of("nucleus_lab_a_mean__std") == "nucleus_lab_a_mean"
    assert feature_of("qc_flagged") == "qc_flagged"
    assert feature_of("mine") == "mine"
    assert describe("nucleus_lobe_count") == ("nucleus", CATALOGUE["nucleus_lobe_count"].formula)
    assert describe("cell_count") == ("image", "leukocytes found")
    assert describe("mine") == ("", "")


def table(**columns):
    return pd.DataFrame({f"{name}__mean": values for name, values in columns.items()})


def test_twins_are_found_whatever_the_curve_or_the_sign():
    rng = np.random.default_rng(0)
    size, hue = rng.uniform(1, 5, 200), rng.normal(size=200)
    found = find_twins(table(area=size**2, hue=hue, diameter=size, smallness=-np.exp(size)))
    assert {frozenset(twins.members) for twins in found} == {
        frozenset({"area", "diameter", "smallness"}),
        frozenset({"hue"}),
    }


def test_the_name_is_that_of_the_member_most_like_the_others():
    rng = np.random.default_rng(1)
    core = rng.normal(size=400)
    noisy = {f"noisy_{i}": core + rng.normal(0, 0.5, 400) for i in range(3)}
    (twins,) = find_twins(table(**noisy, core=core))
    assert twins.name == twins.members[0] == "core"


def test_what_does_not_vary_is_left_out_and_the_mean_decides():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=50), rng.normal(size=50)
    measured = pd.DataFrame(
        {"a__mean": a, "a__std": b, "still__mean": np.ones(50), "b__mean": b, "b__std": a}
    )
    assert [twins.members for twins in find_twins(measured)] == [("a",), ("b",)]
    assert find_twins(measured[["still__mean"]]) == []
