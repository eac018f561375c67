import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from hybridleuk.exceptions import InputError, SplitError
from hybridleuk.models import stacking
from hybridleuk.models.stacking import StackedClassifier


class OnPixels(ClassifierMixin, BaseEstimator):
    """Tells classes by one channel; remembers whom it was fitted on."""

    log: tuple = ()

    def __init__(self, channel=0, checkpoint=None):
        self.channel = channel
        self.checkpoint = checkpoint

    def fit(self, X, y, groups=None):
        OnPixels.log = (*OnPixels.log, (self.channel, groups, self.checkpoint))
        self.classes_ = np.unique(y)
        self.centers_ = [self._values(X)[np.asarray(y) == c].mean() for c in self.classes_]
        return self

    def _values(self, X):
        return np.array([image[..., self.channel].mean() for image in X])

    def predict_proba(self, X):
        far = np.abs(self._values(X)[:, None] - np.array(self.centers_)) / 10
        near = np.exp(-far)
        return near / near.sum(axis=1, keepdims=True)


@pytest.fixture
def images():
    """Red tells a from the rest, green tells b from the rest; neither tells all."""
    OnPixels.log = ()
    rng = np.random.default_rng(0)
    labels = np.array(list("abc") * 16)
    pictures = []
    for label in labels:
        color = np.array([90.0 * (label == "a"), 90.0 * (label == "b"), 50]) + 60
        pictures.append(np.clip(color + rng.normal(0, 3, (4, 4, 3)), 0, 255).astype(np.uint8))
    return pictures, labels, np.arange(48) // 6


PARTS = [("red", OnPixels(0)), ("green", OnPixels(1))]


def test_together_they_know_more_than_each(images):
    pictures, labels, groups = images
    alone = [(clone(p).fit(pictures, labels).predict_proba(pictures)) for _, p in PARTS]
    fitted = StackedClassifier(PARTS).fit(pictures, labels, groups)
    right = (fitted.predict(pictures) == labels).mean()
    assert right > 0.95
    assert all((np.array(list("abc"))[p.argmax(1)] == labels).mean() < 0.9 for p in alone)
    assert np.allclose(fitted.predict_proba(pictures).sum(axis=1), 1)


def test_what_combines_them_is_fitted_on_groups_left_out(images, monkeypatch):
    pictures, labels, groups = images
    StackedClassifier(PARTS).fit(pictures, labels, groups)
    seen = [set(members) for _, members, _ in OnPixels.log]
    assert len(seen) == 8, "three folds and once on all, for each"
    assert all(len(part) < 8 for part in seen[:6])
    assert seen[6] == seen[7] == set(groups)

    def leaking(labels, groups, n_splits, random_state):
        return [(np.arange(30), np.arange(30, 48))]  # group 5 ends at row 35: on both sides

    monkeypatch.setattr(stacking, "inner_folds", leaking)
    with pytest.raises(SplitError, match="is in both the training and the test part"):
        StackedClassifier(PARTS).fit(pictures, labels, np.arange(48) // 7)


def test_state_of_long_trainings_lies_in_folders_of_their_own(images, tmp_path):
    pictures, labels, groups = images
    StackedClassifier(PARTS, folds=2, checkpoint=tmp_path).fit(pictures, labels, groups)
    folders = [folder for *_, folder in OnPixels.log]
    assert len(set(folders)) == 6


def test_nothing_to_leave_out_is_said(images):
    pictures, labels, _ = images
    groups = np.searchsorted(["a", "b", "c"], labels)
    with pytest.warns(UserWarning, match="their mean is taken"):
        fitted = StackedClassifier(PARTS).fit(pictures, labels, groups)
    expected = np.mean([part.predict_proba(pictures) for _, part in fitted.fitted_], axis=0)
    np.testing.assert_allclose(fitted.predict_proba(pictures), expected)


def test_names_are_needed_once_each(images):
    with pytest.raises(InputError, match="expected at least one, each name once"):
        StackedClassifier([PARTS[0], PARTS[0]]).fit(*images[:2])
    with pytest.raises(InputError, match="expected at least one"):
        StackedClassifier([]).fit(*images[:2])
