"""Classifiers that read one known thing lose by the change of that thing, and by no other."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridleuk import read_image
from hybridleuk.data.artificial import draw_study
from hybridleuk.evaluation.changes import CHANGES, OTHER_CLASS, SAME_CLASS
from hybridleuk.evaluation.compare import _study, compare_estimators
from hybridleuk.evaluation.counterfactual_probe import PROBE, Counterfactuals, _sampled
from hybridleuk.evaluation.crossval import draw_folds
from hybridleuk.evaluation.shortcut_estimators import ShortcutClassifier

NAMES = [kind.name for kind in CHANGES]


def corners(images):
    """Mean color of the four corners: background and nothing else."""
    pixels = [read_image(image) for image in images]
    return np.array(
        [np.median([p[y, x] for y in (2, -3) for x in (2, -3)], axis=0) for p in pixels]
    )


def middles(images):
    """Median color in the middle: the cell and nothing else."""
    pixels = [read_image(image) for image in images]
    return np.array([np.median(p[28:36, 28:36], axis=(0, 1)) for p in pixels])


def reading(measure):
    return make_pipeline(FunctionTransformer(measure), ShortcutClassifier())


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """Cells of any kind on a background that tells the class."""
    return draw_study(
        tmp_path_factory.mktemp("leaky") / "s",
        n_patients=12,
        images_per_patient_and_class=3,
        classes=("Benign", "Pro"),
        size=64,
        shortcut=True,
        morphology_signal=False,
    )


@pytest.fixture(scope="module")
def asked(leaky, tmp_path_factory):
    candidates = {"corners": reading(corners), "middles": reading(middles)}
    cache = tmp_path_factory.mktemp("cache")
    probe = Counterfactuals(cache=cache)
    return compare_estimators(
        candidates, leaky, folds=3, shortcuts=False, cache=cache, probes=[probe], n_draws=200
    )


def test_the_one_that_reads_the_background_is_found_out(asked):
    found = asked.document["counterfactuals"]
    assert [change["name"] for change in found["changes"]] == NAMES
    assert found["n_images"] + found["n_without_cell"] == 36
    entry = next(e for e in found["candidates"] if e["name"] == "corners")
    assert entry["unchanged"]["mean"] > 0.9
    other, same = (entry["changes"][name] for name in (OTHER_CLASS, SAME_CLASS))
    assert other["loss"]["mean"] > 0.8
    assert other["flipped"] > 0.8
    assert abs(same["loss"]["mean"]) < 0.2
    effect = entry["background_effect"]
    assert effect["low"] > 0.5
    assert effect["mean"] == pytest.approx(
        same["balanced_accuracy"]["mean"] - other["balanced_accuracy"]["mean"]
    )
    for change in entry["changes"].values():
        assert change["loss"]["mean"] == pytest.approx(
            entry["unchanged"]["mean"] - change["balanced_accuracy"]["mean"]
        )
    assert any(
        "costs corners" in said and "it reads the background" in said
        for said in asked.document["alarms"]
    )


def test_the_one_that_reads_the_cell_is_not(asked):
    entry = next(
        e for e in asked.document["counterfactuals"]["candidates"] if e["name"] == "middles"
    )
    for name in (OTHER_CLASS, SAME_CLASS, "background_flat"):
        assert entry["changes"][name]["flipped"] == 0
    effect = entry["background_effect"]
    assert effect["mean"] == 0
    assert effect["low"] < 0 < effect["high"]  # never flipped, but on a few images only
    assert entry["changes"]["brightness"]["flipped"] > 0


def test_donors_are_of_another_group_and_of_the_class_wanted(leaky, tmp_path):
    study = _study(leaky)
    for fold in draw_folds(study.labels, study.groups, split="group", folds=3)[0]:
        sample = _sampled(study, fold, 12, tmp_path)
        assert set(sample.rows) <= set(fold[1])
        assert len(sample.cells) == len(sample.rows) == len(set(sample.rows))
        for donors, different in ((sample.other, True), (sample.same, False)):
            assert (donors >= 0).all()
            assert set(donors) <= set(sample.rows), "unseen as well"
            assert (study.groups[donors] != study.groups[sample.rows]).all()
            assert ((study.labels[donors] != study.labels[sample.rows]) == different).all()
        again = _sampled(study, (fold[0], fold[1][::-1]), 12, tmp_path)
        assert again.rows.tolist() == sample.rows.tolist(), "whatever the order of the images"
        assert len(set(study.groups[sample.rows])) == len(set(study.groups[fold[1]]))


def test_a_single_group_of_a_class_has_no_control(leaky, tmp_path):
    study = _study(leaky)
    few = np.flatnonzero(np.isin(study.groups, ["P01", "P02"]))
    sample = _sampled(study, (np.setdiff1d(np.arange(36), few), few), 6, tmp_path)
    assert (sample.other >= 0).all()
    assert (sample.same == -1).all()


class Paths(ClassifierMixin, BaseEstimator):
    """Takes paths only, as a program that reads its own tables would."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        for path in X:
            open(path).close()
        return np.tile([0.6, 0.4], (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_a_candidate_that_takes_no_arrays_answers_nothing(leaky, tmp_path):
    study = _study(leaky)
    fold = draw_folds(study.labels, study.groups, split="group", folds=3)[0][0]
    fitted = Paths().fit(study.images, study.labels)
    assert Counterfactuals(n_images=6, cache=tmp_path).ask(fitted, study, fold) == {}


def test_images_without_a_cell_are_left_out_and_counted(leaky, tmp_path, monkeypatch):
    study = _study(leaky)
    blank = np.full((64, 64, 3), 230, np.uint8)
    images = np.empty(36, dtype=object)
    images[:] = list(study.images)
    first = np.flatnonzero(study.labels == "Pro")
    for row in first[:5]:
        images[row] = blank
    emptied = type(study)(images, study.labels, study.groups, study.hashes)
    everything = (np.array([], int), np.arange(36))
    sample = _sampled(emptied, everything, 36, tmp_path)
    assert not set(first[:5]) & set(sample.rows)
    assert sample.n_without_cell >= 5


def test_the_place_of_the_cache_does_not_name_the_answer(tmp_path):
    from hybridleuk.evaluation.checkpoints import fingerprint

    here, there = Counterfactuals(cache=tmp_path), Counterfactuals(cache=None)
    assert fingerprint("a", here) == fingerprint("a", there)
    assert fingerprint("a", here) != fingerprint("a", Counterfactuals(n_images=100))
    assert here.name == PROBE
