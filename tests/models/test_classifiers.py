import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GroupKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from hybridleuk.data import splits
from hybridleuk.data.splits import stratified_folds
from hybridleuk.exceptions import SplitError
from hybridleuk.models.classifiers import SVMClassifier, XGBoostClassifier
from hybridleuk.models.linear import LogisticClassifier
from hybridleuk.models.neighbors import KNNClassifier

MAKERS = [SVMClassifier, XGBoostClassifier, LogisticClassifier, KNNClassifier]


@pytest.mark.filterwarnings("ignore:A class has a single image")
@parametrize_with_checks(
    [
        SVMClassifier(),
        XGBoostClassifier(n_estimators=10, colsample_bytree=1.0),
        LogisticClassifier(),
        KNNClassifier(),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(300, 12, n_informative=6, n_classes=3, random_state=0)
    return X, np.array(["blast", "lymphocyte", "monocyte"])[y], np.repeat(np.arange(30), 10)


@pytest.mark.parametrize("make", MAKERS)
def test_learns_and_gives_probabilities(table, make):
    X, y, groups = table
    train, test = next(GroupKFold(3).split(X, y, groups))
    fitted = make().fit(X[train], y[train], groups[train])
    probabilities = fitted.predict_proba(X[test])
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (fitted.predict(X[test]) == y[test]).mean() > 0.6


@pytest.mark.parametrize("make", MAKERS)
def test_tuning_keeps_groups_apart(table, make, monkeypatch):
    X, y, groups = table
    seen = []

    def spying(labels, members, **options):
        folds = stratified_folds(labels, members, **options)
        seen.extend((set(members[a]), set(members[b])) for a, b in folds)
        return folds

    monkeypatch.setattr(splits, "stratified_folds", spying)
    options = {"n_estimators": 5} if make is XGBoostClassifier else {}
    make(tune=True, **options).fit(X, y, groups)
    assert seen
    assert all(not train & test for train, test in seen)


def test_calibration_leaves_the_group_out():
    """Noise labels that are constant in a group: only a leaking calibration can be certain."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(24), 12)
    X = rng.normal(size=(24, 5))[groups] + 0.01 * rng.normal(size=(288, 5))
    y = rng.integers(0, 2, 24)[groups]
    with_groups = SVMClassifier().fit(X, y, groups).predict_proba(X).max(axis=1).mean()
    without = SVMClassifier().fit(X, y).predict_proba(X).max(axis=1).mean()
    assert without > 0.9
    assert with_groups < 0.7


def test_single_group_of_a_class_is_said(table):
    X, y, _ = table
    groups = np.where(y == "blast", "P1", [f"Q{i % 9}" for i in range(len(y))])
    with pytest.warns(UserWarning, match="single image or group"):
        assert SVMClassifier().fit(X, y, groups).calibration_ == "training scores"


@pytest.mark.parametrize("make", MAKERS)
def test_one_class_is_refused(make):
    with pytest.raises(SplitError, match="one class only, blast"):
        make().fit(np.eye(4), ["blast"] * 4)


def test_balanced_weights_help_the_rare_class():
    X, y = make_classification(600, 6, weights=[0.95], flip_y=0, class_sep=0.5, random_state=1)
    found = {
        weight: (XGBoostClassifier(20, class_weight=weight).fit(X, y).predict(X)[y == 1] == 1)
        for weight in (None, "balanced")
    }
    assert found["balanced"].mean() > found[None].mean()


def test_same_seed_same_probabilities(table):
    X, y, _ = table
    first, second = (XGBoostClassifier(20, random_state=3).fit(X, y) for _ in range(2))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))


def test_machine_on_a_precomputed_kernel_is_the_plain_machine(table):
    from sklearn.svm import SVC

    X, y, _ = table
    ours = SVMClassifier().fit(X[:200], y[:200])
    plain = SVC(C=10.0, class_weight="balanced", random_state=0).fit(X[:200], y[:200])
    kernel = np.exp(-ours.gamma_ * ((X[200:, None] - X[None, :200]) ** 2).sum(axis=2))
    assert np.array_equal(ours.machine_.predict(kernel), plain.predict(X[200:]))
    assert (ours.predict(X[200:]) == plain.predict(X[200:])).mean() > 0.9


def test_probabilities_are_products_of_pairwise_sigmoids(table):
    X, y, _ = table
    ours = SVMClassifier().fit(X[:200], y[:200])
    kernel = np.exp(-ours.gamma_ * ((X[200:, None] - X[None, :200]) ** 2).sum(axis=2))
    decisions = ours.machine_.decision_function(kernel)
    share = 1 / (1 + np.exp(-ours.slope_ * decisions))
    first, second, third = share.T
    expected = np.stack([first * second, (1 - first) * third, (1 - second) * (1 - third)], axis=1)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(ours.predict_proba(X[200:]), expected)


def test_few_patients_are_not_learnt_by_heart():
    """Every patient is a tight cluster: held-out rows must show how bad new patients are."""
    rng = np.random.default_rng(1)
    centres, diagnosis = rng.normal(size=(16, 40)), np.tile(np.arange(4), 4)
    groups = np.repeat(np.arange(16), 8)
    X = centres[groups] + 0.05 * rng.normal(size=(128, 40))
    y = diagnosis[groups]
    held_out = SVMClassifier().fit(X, y, groups).held_out_probabilities(X, y, groups)
    assert held_out[np.arange(128), y].mean() < 0.4


def test_separable_rows_do_not_make_it_certain():
    X = np.repeat(np.eye(3), 6, axis=0) + 0.001 * np.arange(18)[:, None]
    y = np.repeat(["a", "b", "c"], 6)
    assert SVMClassifier().fit(X, y).predict_proba(X).max() < 0.99
