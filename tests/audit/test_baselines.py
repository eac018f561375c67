import numpy as np
import pytest

from hybridleuk.audit import baselines
from hybridleuk.audit.baselines import folds_of, is_told, score_baselines

NAME = "background color"


def patients(seed, *, shift, spread=1.0):
    """Draw 20 patients of two classes, 5 images each, of slides that differ by `spread`."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(20), 5)
    labels = np.array(["ALL", "normal"])[groups % 2]
    values = rng.normal(size=(100, 4)) + spread * rng.normal(size=(20, 4))[groups]
    values[:, 0] += shift * (labels == "ALL")
    return values, labels, groups


def test_a_shortcut_is_told():
    values, labels, groups = patients(0, shift=6.0)
    (entry,) = score_baselines({NAME: values}, labels, groups)
    assert entry["balanced_accuracy"] > 0.9
    assert entry["chance"] == 0.5
    assert entry["folds_by"] == "group"
    assert is_told(entry)


def test_slides_that_differ_without_regard_to_class_are_none():
    """Images of a patient are alike; only by folds and exchange of images would they tell."""
    values, labels, groups = patients(1, shift=0.0, spread=5.0)
    (entry,) = score_baselines({NAME: values}, labels, groups)
    assert not is_told(entry)
    assert entry["p_value"] > 0.05
    (leaky,) = score_baselines({NAME: values}, labels, None)
    assert leaky["balanced_accuracy"] > 0.9, "the same images, their patients unknown"


def test_false_alarms_are_as_rare_as_the_p_value_says():
    found = [
        score_baselines({NAME: values}, labels, groups)[0]["p_value"]
        for values, labels, groups in (patients(seed, shift=0.0) for seed in range(12))
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.25


def test_what_does_not_vary_tells_nothing():
    _, labels, groups = patients(0, shift=0.0)
    (entry,) = score_baselines({NAME: np.ones((100, 3))}, labels, groups)
    assert entry["balanced_accuracy"] == pytest.approx(0.5)
    assert not is_told(entry)


def test_sample_of_many_has_every_class(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_IMAGES", 40)
    values, labels, _ = patients(0, shift=6.0)
    labels = np.where(np.arange(100) < 12, "rare", labels)
    (entry,) = score_baselines({NAME: values}, labels)
    assert 40 <= entry["n_images"] <= 60


def test_folds_by_image_where_groups_are_too_few():
    labels, groups = np.repeat(["a", "b"], 10), np.repeat([1, 2], 10)
    folds, by = folds_of(labels, groups, 5, 0)
    assert (len(folds), by) == (5, "image")


def test_one_class_has_no_folds():
    assert folds_of(np.repeat("a", 10), None, 5, 0) == ([], "image")
