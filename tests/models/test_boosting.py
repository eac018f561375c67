import numpy as np
import pytest
import xgboost

from hybridleuk.models.boosting import BinnedTable, boosted
from hybridleuk.models.classifiers import XGBoostClassifier

COMMON = {
    "tree_method": "hist",
    "max_depth": 3,
    "learning_rate": 0.3,
    "seed": 0,
    "nthread": 1,
    "max_bin": 64,
}
MANY = {**COMMON, "objective": "multi:softprob", "num_class": 3}


@pytest.fixture
def wide():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 60)).astype(np.float32).astype(float)
    codes = (X[:, 0] + X[:, 30] > 0).astype(int) + (X[:, 59] > 0)
    return X, codes, rng.uniform(0.5, 2, 240)


def binned(X, codes, weights, width, rounds=25, threads=1):
    return BinnedTable.of(
        X, codes, weights, width=width, rounds=rounds, bins=64, seed=0, threads=threads
    )


@pytest.mark.parametrize("parameters", [MANY, {**COMMON, "objective": "binary:logistic"}])
def test_blocks_joined_are_the_blocks_one_after_the_other(wide, parameters):
    X, codes, weights = wide
    codes = codes if "num_class" in parameters else np.minimum(codes, 1)
    table = binned(X, codes, weights, width=12)
    whole = boosted(table, parameters, 25)
    assert whole.num_boosted_rounds() == 25
    assert whole.num_features() == 60
    margins = np.zeros((len(X), parameters.get("num_class", 1)), dtype=np.float32)
    for number, (columns, rounds) in enumerate(zip(table.columns, (9, 8, 8), strict=True)):
        data = xgboost.DMatrix(X[:, columns], codes, weight=weights, base_margin=margins.ravel())
        settings = {**parameters, "seed": number, "base_score": 0.5}
        part = xgboost.train(settings, data, rounds)
        margins = part.predict(data, output_margin=True).reshape(margins.shape)
    found = whole.predict(xgboost.DMatrix(X), output_margin=True).reshape(margins.shape)
    if "num_class" in parameters:  # a constant for all classes says nothing
        found, margins = (m - m.mean(axis=1, keepdims=True) for m in (found, margins))
    np.testing.assert_allclose(found, margins, atol=1e-4)


def test_all_columns_are_one_ordinary_booster(wide):
    X, codes, weights = wide
    data = xgboost.QuantileDMatrix(X, codes, weight=weights, max_bin=64)
    plain = xgboost.train({**MANY, "base_score": 0.5}, data, 25)
    ours = boosted(binned(X, codes, weights, width=60), MANY, 25)
    unseen = xgboost.DMatrix(np.random.default_rng(1).normal(size=(40, 60)))
    np.testing.assert_allclose(ours.predict(unseen), plain.predict(unseen), atol=1e-5)


def test_fewer_rounds_than_a_block_on_some_columns(wide):
    X, codes, _ = wide
    fitted = XGBoostClassifier(5, colsample_bytree=0.2).fit(X, codes)
    assert fitted.predict_proba(X).shape == (240, 3)


def test_columns_of_each_block_are_drawn_anew_and_threads_change_nothing(wide):
    X, codes, weights = wide
    table = binned(X, codes, weights, width=12)
    assert len({tuple(columns) for columns in table.columns}) == 3
    two = boosted(binned(X, codes, weights, width=12, threads=2), {**MANY, "nthread": 2}, 25)
    data = xgboost.DMatrix(X)
    np.testing.assert_allclose(two.predict(data), boosted(table, MANY, 25).predict(data), atol=1e-5)


def test_wide_tables_are_learned(wide):
    X, codes, _ = wide
    fitted = XGBoostClassifier(100, colsample_bytree=0.5).fit(X[:160], codes[:160])
    assert (fitted.predict(X[160:]) == codes[160:]).mean() > 0.55
