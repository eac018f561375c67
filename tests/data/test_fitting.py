"""Groups stay whole wherever a scikit-learn classifier divides its images once more."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridleuk.data.fitting import fit_with_groups
from hybridleuk.exceptions import SplitError

PATIENT = np.random.default_rng(2).permutation(60) // 5
GROUPS = np.array([f"P{i}" for i in PATIENT])
LABELS = np.array(["blast", "normal"])[PATIENT % 2]
# Each patient lies at a place of its own, whatever the class: a neighbor tells the patient.
X = np.random.default_rng(0).normal(size=(12, 3))[PATIENT]
X = X + 0.01 * np.random.default_rng(1).normal(size=X.shape)


class Watched(KNeighborsClassifier):
    """Notes the patients it is fitted on and those it is asked about."""

    log: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.known_ = set(_patients(X))
        return super().fit(X, y)

    def predict(self, X):
        Watched.log.append(self.known_ & set(_patients(X)))
        return super().predict(X)

    def predict_proba(self, X):
        Watched.log.append(self.known_ & set(_patients(X)))
        return super().predict_proba(X)


def _patients(rows):
    distances = ((np.asarray(rows)[:, None] - X[None]) ** 2).sum(axis=2)
    return GROUPS[distances.argmin(axis=1)]


@pytest.fixture(autouse=True)
def watched():
    Watched.log = []
    yield
    assert Watched.log, "nothing was left out and asked about"


def search(cv):
    return GridSearchCV(Watched(), {"n_neighbors": [1, 3]}, cv=cv, refit=True)


@pytest.mark.parametrize(
    "classifier",
    [
        search(3),
        search(None),
        search(GroupKFold(3)),
        search(LeaveOneGroupOut()),
        make_pipeline("passthrough", search(4)),
        CalibratedClassifierCV(Watched(), cv=3, ensemble=True),
        StackingClassifier([("one", Watched())], LogisticRegression(), cv=3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_patient_is_on_both_sides_of_an_inner_fold(classifier):
    before = repr(classifier)
    fit_with_groups(classifier, X, LABELS, GROUPS)
    assert not set().union(*Watched.log)
    assert repr(classifier) == before, "its own setting is given back"


def test_without_groups_the_search_draws_its_own_folds():
    fit_with_groups(search(3), X, LABELS)
    assert set().union(*Watched.log)


def test_folds_of_its_own_that_cut_a_patient_are_refused():
    Watched.log = [None]
    with pytest.raises(SplitError, match="inner folds of the GridSearchCV leak: Group "):
        fit_with_groups(search(KFold(3, shuffle=True, random_state=0)), X, LABELS, GROUPS)


def test_a_class_of_one_patient_cannot_be_searched_on():
    Watched.log = [None]
    labels = np.where(GROUPS == "P0", "blast", "normal")
    with pytest.raises(SplitError, match="GridSearchCV divides its images once more"):
        fit_with_groups(search(3), X, labels, GROUPS)


def test_what_is_no_search_is_fitted_as_it_is():
    Watched.log = [None]
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    assert fit_with_groups(plain, X, LABELS, GROUPS) is plain
