"""Shares of the training parts are nested, keep groups whole, and never touch the test parts."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from hybridleuk import progress
from hybridleuk.evaluation.checkpoints import Checkpoints
from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.crossval import Study, draw_folds
from hybridleuk.evaluation.learning_curve import SHARES, learn, thinned


def study_of(n_groups=40, per_group=5, mixed=False):
    n = n_groups * per_group
    group = np.arange(n) // per_group
    labels = np.where(group % 4 == 0, "blast", "lymphocyte")
    if mixed:
        labels = np.where(np.arange(n) % per_group == 0, "blast", labels)
    names = np.array([f"P{g}" for g in group], dtype=object)
    return Study(np.arange(n), labels, names, [str(i) for i in range(n)])


@pytest.mark.parametrize("mixed", [False, True])
def test_smaller_shares_lie_in_larger_ones_with_whole_groups_of_every_class(mixed):
    study = study_of(mixed=mixed)
    rows = np.arange(160)
    before = set()
    for share in (*SHARES, 1.0):
        kept = thinned(study, rows, share, grouped=True, random_state=3)
        groups = set(study.groups[kept])
        assert before <= groups
        assert set(kept) == {row for row in rows if study.groups[row] in groups}
        assert set(study.labels[kept]) == {"blast", "lymphocyte"}
        before = groups
    assert len(kept) == len(rows)


def test_classes_keep_their_share_and_two_groups_at_least():
    study = study_of(n_groups=80)
    half = study.groups[thinned(study, np.arange(400), 0.5, grouped=True, random_state=0)]
    numbers = np.unique([int(name[1:]) for name in half])
    assert (np.sum(numbers % 4 == 0), np.sum(numbers % 4 != 0)) == (10, 30)
    few = study.groups[thinned(study, np.arange(400), 0.01, grouped=True, random_state=0)]
    assert len(set(few)) == 4


def test_another_order_for_another_seed_and_images_where_asked():
    study = study_of()
    one, other = (thinned(study, np.arange(200), 0.1, grouped=True, random_state=s) for s in (0, 1))
    assert not np.array_equal(one, other)
    images = thinned(study, np.arange(200), 0.1, grouped=False, random_state=0)
    assert len(images) == 20
    assert len(set(study.groups[images])) > 10


class Recording(ClassifierMixin, BaseEstimator):
    seen = ()

    def __init__(self, fewest=0):
        self.fewest = fewest

    def fit(self, X, y, groups=None):
        if len(X) < self.fewest:
            raise ValueError(f"needs {self.fewest} images\nand more")
        Recording.seen = (*Recording.seen, set(X))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        Recording.seen[-1].isdisjoint(X) or pytest.fail("asked about what it was fitted on")
        return np.full((len(X), 2), 0.5)


def test_test_parts_are_never_learned_from_and_finished_fits_are_kept(tmp_path):
    study = study_of()
    (folds,) = draw_folds(study.labels, study.groups, split="group", folds=4)
    Recording.seen = ()
    run = {"split": "group", "checkpoints": Checkpoints(tmp_path)}
    curves = learn({"recording": Recording()}, study, folds, **run)
    assert [step.n_units for step in curves["recording"]] == [5.0, 8.0, 15.5]
    assert len(Recording.seen) == 12
    again = learn({"recording": Recording()}, study, folds, **run)
    assert len(Recording.seen) == 12
    for one, other in zip(curves["recording"], again["recording"], strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)


class Notes(progress.Listener):
    def __init__(self):
        self.said = []

    def noted(self, text):
        self.said.append(text)


def test_a_candidate_that_refuses_few_images_lacks_a_step_and_says_so():
    study = study_of()
    (folds,) = draw_folds(study.labels, study.groups, split="group", folds=4)
    with progress.report_to(Notes()) as listener:
        (steps,) = learn({"choosy": Recording(40)}, study, folds, split="group").values()
    assert [step.n_units for step in steps] == [8.0, 15.5]
    assert listener.said == ["The learning curve of choosy lacks 25 images: needs 40 images"]


def test_in_the_document_the_curve_rises_to_the_comparison_itself(make_study, candidates):
    study = make_study(n_groups=24, per_group=4)
    result = compare_estimators(
        candidates, study, folds=3, shortcuts=False, n_draws=50, learning_curve=["stripes"]
    )
    found = result.document["learning_curve"]
    assert (found["unit"], found["metric"]) == ("groups", "balanced_accuracy")
    assert found["left_out"] == ["colors"]
    (curve,) = found["candidates"]
    assert curve["n"] == [4.0, 8.0, 16.0], "a tenth and a quarter are two groups of each class"
    stripes = result.document["candidates"][1]
    assert curve["mean"][-1] == pytest.approx(stripes["balanced_accuracy"]["mean"])
    assert curve["high"][-1] == pytest.approx(stripes["balanced_accuracy"]["high"], abs=0.02)
    assert all(low <= mean <= high for low, mean, high in zip(
        curve["low"], curve["mean"], curve["high"], strict=True))  # fmt: skip


def test_without_it_nothing_is_said(make_study, candidates):
    result = compare_estimators(candidates, make_study(), folds=3, shortcuts=False, n_draws=20)
    assert result.document["learning_curve"] is None


def test_leaving_out_one_group_after_the_other_thins_groups_too_and_many_folds_are_not_thinned():
    study = study_of(n_groups=8)
    folds = [
        (np.flatnonzero(study.groups != name), np.flatnonzero(study.groups == name))
        for name in np.unique(study.groups)
    ]
    (steps,) = learn({"recording": Recording()}, study, folds, split="logo").values()
    assert [step.n_units for step in steps] == [3.75, 4.75]
    assert learn({"recording": Recording()}, study, folds * 2, split="logo") == {}
