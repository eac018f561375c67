import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.patients import patient_scores


def test_scores_are_means_over_images_and_repeats():
    p = np.random.default_rng(0).dirichlet(np.ones(3), (2, 12))
    groups = np.array(list("cccaaabbbbbb"))
    codes = np.array([2] * 3 + [0] * 3 + [1] * 6)
    truth, scores, kept = patient_scores(codes, p, groups)
    assert kept.all()
    assert truth.tolist() == [0, 1, 2]
    expected = [p[:, groups == name].mean(axis=(0, 1)) for name in "abc"]
    np.testing.assert_allclose(scores, expected)


def test_groups_of_several_labels_are_left_out():
    p = np.full((1, 6, 2), 0.5)
    codes, groups = np.array([0, 0, 1, 1, 0, 1]), np.array([1, 1, 2, 2, 3, 3])
    truth, scores, kept = patient_scores(codes, p, groups)
    assert truth.tolist() == [0, 1]
    assert len(scores) == 2
    assert kept.tolist() == [True, True, False]


def test_a_comparison_has_results_by_patient(make_study, candidates):
    manifest = make_study(signal="group", n_groups=12)
    result = compare_estimators(
        candidates, manifest, folds=3, shortcuts=False, cache=None, n_draws=200
    )
    section = result.document["patients"]
    assert (section["unit"], section["n"], section["n_excluded"]) == ("patient", 12, 0)
    for entry in section["candidates"]:
        rows = result.predictions[result.predictions["candidate"] == entry["name"]]
        chance = rows.groupby("group")["prob_lymphocyte"].mean()
        truth = rows.groupby("group")["label"].first() == "lymphocyte"
        expected = balanced_accuracy_score(truth, chance > 0.5)
        assert entry["balanced_accuracy"]["mean"] == pytest.approx(expected)
        assert entry["auroc"]["mean"] == pytest.approx(roc_auc_score(truth, chance))
        assert entry["accuracy"]["low"] < entry["accuracy"]["mean"] <= entry["accuracy"]["high"]


@pytest.mark.parametrize("study", [{"grouped": False}, {"pure": False}, {"per_group": 1}])
def test_without_patients_of_their_own_label_there_are_none(make_study, candidates, study):
    manifest = make_study(n_groups=18, **study)
    result = compare_estimators(
        {"stripes": candidates["stripes"]},
        manifest,
        folds=3,
        shortcuts=False,
        cache=None,
        n_draws=50,
    )
    assert result.document["patients"] is None
    assert len(result.document["calibration"]["candidates"]) == 1
