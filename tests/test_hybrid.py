import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from hybridleuk.exceptions import InputError
from hybridleuk.features import FeatureTable
from hybridleuk.hybrid import HybridFeatures
from hybridleuk.scaling import BlockScaler


@parametrize_with_checks([BlockScaler()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("bound", [None, 1.0, 3.0])
def test_blocks_weigh_the_same(bound):
    X = np.random.default_rng(0).normal(3, [1, 5, 20, 1, 1, 1, 1, 1], size=(400, 8))
    scaled = BlockScaler([3, 5], bound=bound).fit_transform(X)
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(8), abs=0.02)
    assert scaled[:, :3].var(axis=0).sum() == pytest.approx(1)
    assert scaled[:, 3:].var(axis=0).sum() == pytest.approx(1)


def test_constant_features_become_zero_and_do_not_count():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[:, 1] = 7.3
    scaler = BlockScaler().fit(X)
    assert np.all(scaler.transform(X)[:, 1] == 0)
    assert scaler.transform(X).var(axis=0).sum() == pytest.approx(1)
    assert scaler.transform([[0.0, 99.0, 0.0]])[0, 1] == 0


def test_what_lies_far_from_everything_seen_weighs_no_more_than_the_bound():
    X = np.random.default_rng(0).normal(5, 2, size=(200, 2))
    scaler = BlockScaler(bound=1.0).fit(X)
    near, far, farther = scaler.transform([[7.0, 5.0], [60.0, 5.0], [1e6, 5.0]])[:, 0]
    assert 0 < near < far <= farther
    assert farther - near < 0.5 * np.ptp(scaler.transform(X)[:, 0])
    unbound = BlockScaler(bound=None).fit(X).transform([[7.0, 5.0], [60.0, 5.0]])[:, 0]
    assert unbound[1] > 20 * unbound[0]


def test_without_a_bound_it_is_plain_standardisation():
    X = np.random.default_rng(1).normal(3, [1, 5], size=(90, 2))
    expected = (X - X.mean(axis=0)) / X.std(axis=0) / np.sqrt(2)
    assert BlockScaler(bound=None).fit_transform(X) == pytest.approx(expected)


@pytest.mark.parametrize("bound", [0, -1.0, np.nan])
def test_a_bound_is_positive(bound):
    with pytest.raises(InputError, match="expected standard deviations above 0, or None"):
        BlockScaler(bound=bound).fit(np.eye(3))


def test_sizes_must_add_up():
    with pytest.raises(InputError, match=r"\[2, 2\] do not add up to the 3 columns"):
        BlockScaler([2, 2]).fit(np.eye(3))


def test_column_names_stay():
    X = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    assert BlockScaler().set_output(transform="pandas").fit_transform(X).columns.tolist() == [
        "a",
        "b",
        "c",
    ]


def table(seed, width=4):
    rng = np.random.default_rng(seed)
    blocks = {
        "morphology": pd.DataFrame(rng.normal(size=(20, 2)), columns=["area", "ratio"]),
        "embedding__net__image": pd.DataFrame(rng.normal(size=(20, width))),
    }
    return FeatureTable(pd.DataFrame(index=range(20)), blocks, {})


def test_scaling_is_learnt_from_the_fitted_rows_only():
    train, test = table(0), table(1)
    features = HybridFeatures().fit(train)
    expected = BlockScaler([2, 4]).fit(train.matrix()).transform(test.matrix())
    assert np.array_equal(features.transform(test), expected)
    assert features.get_feature_names_out().tolist() == ["area", "ratio", "0", "1", "2", "3"]


def test_other_blocks_are_refused():
    with pytest.raises(InputError, match="Extract them with the same settings"):
        HybridFeatures().fit(table(0)).transform(table(1, width=5))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"features": "both"}, "features is 'both'; expected one of hybrid, morphology, deep"),
        ({"backbone": ["a", "b"], "weights": ["x"]}, "1 weights for 2 backbones"),
        ({"backbone": ["a", "a"]}, "at least one, each once"),
        ({"backbone": []}, "at least one, each once"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(InputError, match=message):
        HybridFeatures(**parameters).extractors()


def measured_table(*columns):
    rng = np.random.default_rng(0)
    blocks = {"morphology": pd.DataFrame(rng.normal(size=(30, len(columns))), columns=columns)}
    return FeatureTable(pd.DataFrame(index=range(30)), blocks, {})


def test_portable_measurements_weigh_more_unless_told():
    table = measured_table("nucleus_area__mean", "nc_ratio_cell__mean", "cell_count")
    features = HybridFeatures("morphology").fit(table)
    assert features.blocks_ == {"morphology": 1, "morphology_other": 2}
    assert features.get_feature_names_out()[0] == "nc_ratio_cell__mean"
    spread = features.transform(table).std(axis=0)
    assert spread == pytest.approx([1.0, 0.4 / np.sqrt(2), 0.4 / np.sqrt(2)])


def test_measurements_may_be_portable_only_or_all():
    table = measured_table("nucleus_area__mean", "nc_ratio_cell__mean")
    portable = HybridFeatures("morphology", measurements="portable").fit(table)
    assert portable.get_feature_names_out().tolist() == ["nc_ratio_cell__mean"]
    everything = HybridFeatures("morphology", measurements="all").fit(table)
    assert everything.blocks_ == {"morphology": 2}
    with pytest.raises(InputError, match="None of the 1 morphology columns is portable"):
        HybridFeatures("morphology", measurements="portable").fit(measured_table("cell_count"))
    with pytest.raises(InputError, match="measurements is 'some'; expected one of weighted"):
        HybridFeatures("morphology", measurements="some").fit(table)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, 2.0, 3.0]])
def test_block_weights_are_one_above_zero_for_each_block(weights):
    with pytest.raises(InputError, match="expected one above 0 for each of 2 blocks"):
        BlockScaler([1, 2], block_weights=weights).fit(np.eye(3))


@pytest.mark.parametrize(
    ("view", "pooling"),
    [("image", "stained+center"), ("segmented", "stained+center"), ("cells", "avg+gem+center")],
)
def test_a_view_has_its_default_poolings(view, pooling):
    for given, expected in (("default", pooling), ("max", "max")):
        features = HybridFeatures("deep", view=view, pooling=given, weights="random", cache=None)
        (extractor,) = features.extractors().values()
        assert extractor.pooling == expected
        image = np.full((40, 40, 3), 240, dtype=np.uint8)
        assert features.extract([image]).provenance["parameters"]["pooling"] == expected
