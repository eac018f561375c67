import json

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridleuk import progress
from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.shortcuts import SHORTCUTS
from hybridleuk.exceptions import InputError, SplitError
from hybridleuk.report.html import report_from_folder

FAST = {"folds": 3, "n_draws": 100, "cache": None}
SCORES = {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece", "brier"}


def ones(images):
    return np.ones((len(images), 1))


def test_the_document_has_the_keys_that_are_promised(make_study, candidates, tmp_path):
    manifest = make_study(pure=False)
    result = compare_estimators(
        candidates, manifest, split="both", notes=["RANDOM WEIGHTS"], command="hybridleuk x", **FAST
    )
    result.write(tmp_path / "out")
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (
        found["dataset"].items()
        >= {"n_images": 72, "n_groups": 12, "group_kind": "patient"}.items()
    )
    assert found["dataset"]["classes"] == ["blast", "lymphocyte"]
    assert (
        found["protocol"].items() >= {"split": "both", "folds": 3, "repeats": 1, "seed": 0}.items()
    )
    assert {(c["name"], c["split"]) for c in found["candidates"]} == {
        (name, split) for name in candidates for split in ("group", "random")
    }
    for entry in found["candidates"]:
        for metric in SCORES:
            assert set(entry[metric]) == {"mean", "low", "high"}
        for metric in ("sensitivity", "specificity"):
            assert set(entry[metric]) == {"blast", "lymphocyte"}
        assert entry["fit_seconds"] > 0
        assert entry["predict_ms_per_image"] > 0
    assert set(found["pairs"][0]) >= {"a", "b", "difference", "low", "high", "p_value", "test"}
    assert {s["name"] for s in found["shortcuts"]} == set(SHORTCUTS)
    assert all(s["description"].endswith(".") for s in found["shortcuts"])
    assert isinstance(found["shortcuts"][0]["balanced_accuracy"], float)
    assert set(found["leakage_gap"]) == set(candidates)
    assert found["external"] == []
    assert found["notes"] == ["RANDOM WEIGHTS"]
    assert sum(map(sum, found["confusion"]["group"]["stripes"])) == 72
    predictions = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert len(predictions) == 72 * 4
    written = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert written == report_from_folder(tmp_path / "out")
    for name, best in (("table.md", "| stripes |"), ("table.tex", "stripes &")):
        assert best in (tmp_path / "out" / name).read_text("utf-8")
    table = pd.read_csv(tmp_path / "out" / "table.csv").query("kind == 'candidate'")
    assert len(table) == len(result.table)
    assert (tmp_path / "out" / "model_card.md").read_text("utf-8").startswith("# Model card: ")
    assert set(result.table) >= {"name", "split", "accuracy", "accuracy_low", "accuracy_high"}


def test_predictions_agree_with_the_figures_and_keep_groups_apart(make_study, candidates):
    result = compare_estimators(candidates, make_study(), **FAST)
    rows = result.predictions.query("candidate == 'stripes'")
    accuracy = (rows["predicted"] == rows["label"]).mean()
    entry = next(c for c in result.document["candidates"] if c["name"] == "stripes")
    assert entry["accuracy"]["mean"] == pytest.approx(accuracy)
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    np.testing.assert_allclose(rows[["prob_blast", "prob_lymphocyte"]].sum(axis=1), 1)
    folds = result.predictions.pivot(index="image_id", columns="candidate", values="fold")
    assert (folds["stripes"] == folds["colors"]).all()


def test_a_planted_shortcut_is_said(make_study, candidates):
    result = compare_estimators(candidates, make_study(signal="background"), **FAST)
    assert "background color alone reaches" in result.verdict[0]
    assert result.verdict[0].startswith("The background color alone reaches")
    assert result.document["alarms"]


@pytest.mark.parametrize("seed", range(4))
def test_signal_in_the_cells_raises_no_alarm(make_study, candidates, seed):
    result = compare_estimators(candidates, make_study(seed=seed, pure=False), **FAST)
    assert result.document["alarms"] == []
    assert result.verdict[0].startswith("stripes has the highest balanced accuracy")
    assert any(said.startswith("No shortcut baseline comes near") for said in result.verdict)


def test_random_folds_that_flatter_are_found_out(make_study):
    from_neighbours = make_pipeline(FunctionTransformer(_colors), KNeighborsClassifier(3))
    manifest = make_study(signal="group", n_groups=16)
    result = compare_estimators(
        {"neighbours": from_neighbours}, manifest, split="both", shortcuts=False, **FAST
    )
    gap = result.document["leakage_gap"]["neighbours"]
    assert gap["low"] > 0.1
    assert any(said.startswith("Random folds flatter") for said in result.verdict)


def _colors(images):
    from hybridleuk import read_image

    return np.stack([read_image(image).mean(axis=(0, 1)) for image in images])


def test_an_interrupted_comparison_resumes(make_study, counting, tmp_path):
    manifest = make_study()
    options = {**FAST, "shortcuts": False, "directory": tmp_path / "out"}
    counting.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        compare_estimators({"c": counting()}, manifest, **options)
    assert counting.fits == 2
    counting.stop_after = None
    resumed = compare_estimators({"c": counting()}, manifest, **options)
    assert counting.fits == 3
    fresh = compare_estimators({"c": counting()}, manifest, **{**options, "directory": None})
    pd.testing.assert_frame_equal(resumed.predictions, fresh.predictions)


def test_stale_folds_are_not_used(make_study, counting, tmp_path):
    manifest = make_study()
    options = {**FAST, "shortcuts": False, "directory": tmp_path / "out"}

    def fits(estimator, images=manifest, **changes):
        counting.fits = 0
        compare_estimators({"c": estimator}, images, **{**options, **changes})
        return counting.fits

    assert fits(counting()) == 3
    assert fits(counting()) == 0
    assert fits(counting(cache="elsewhere")) == 0
    assert fits(counting(strength=2.0)) == 3
    assert fits(counting(), random_state=1) == 3
    assert fits(counting(), split="random") == 3
    assert fits(counting(), manifest.subset(np.arange(len(manifest) - 1))) >= 2
    relabelled = manifest.with_groups([f"Q{g}" for g in manifest.groups])
    assert fits(counting(), relabelled) == 3


def test_external_images_are_scored_by_a_classifier_of_all_images(make_study, counting):
    manifest, other = make_study(), make_study(seed=7, n_groups=4)
    result = compare_estimators(
        {"c": counting()}, manifest, external={"clinic B": other}, shortcuts=False, **FAST
    )
    assert len(counting.seen[-1][0]) == len(manifest)
    (entry,) = result.document["external"]
    assert entry.items() >= {"name": "clinic B", "n_images": 24, "n_shared": 0}.items()
    assert entry["candidates"][0].keys() >= {*SCORES, "sensitivity", "specificity", "drop"}
    assert len(result.external_predictions) == 24


def test_external_images_that_were_fitted_on_are_told(make_study, counting):
    manifest = make_study()
    result = compare_estimators(
        {"c": counting()},
        manifest,
        external={"again": manifest.subset(np.arange(6))},
        shortcuts=False,
        **FAST,
    )
    assert any("6 of the 6 images of again" in said for said in result.document["warnings"])


def test_a_candidate_that_guesses_is_called_that(make_study):
    guessing = make_pipeline(FunctionTransformer(ones), DummyClassifier(strategy="prior"))
    result = compare_estimators({"guessing": guessing}, make_study(), **FAST)
    assert result.verdict[0].startswith("No candidate is clearly better than chance")
    json.dumps(result.document, allow_nan=False)


def test_progress_counts_folds(make_study, candidates):
    class Counter(progress.Listener):
        totals: dict = {}  # noqa: RUF012

        def closed(self, task):
            self.totals[task.description] = (task.done, task.total)

    with progress.report_to(Counter()) as counter:
        compare_estimators(candidates, make_study(), **FAST)
    assert counter.totals["Comparing"] == (6, 6)
    assert counter.totals["Comparing shortcuts"] == (24, 24)


def test_what_cannot_be_compared_says_why(make_study, candidates):
    manifest = make_study(grouped=False)
    with pytest.raises(SplitError, match="A split by group needs groups"):
        compare_estimators(candidates, manifest, split="both", **FAST)
    with pytest.raises(InputError, match="split is 'fold'; expected one of group, random, both"):
        compare_estimators(candidates, manifest, split="fold", **FAST)
    with pytest.raises(InputError, match="No candidate given"):
        compare_estimators({}, manifest, **FAST)
    for no_classifier in (DummyClassifier, "hybrid+svm", object()):
        with pytest.raises(InputError, match="'x' is .*; expected a scikit-learn classifier"):
            compare_estimators({"x": no_classifier}, manifest, **FAST)
    with pytest.raises(InputError, match="n_draws is 1; expected 2"):
        compare_estimators(candidates, manifest, **{**FAST, "n_draws": 1})
    one_class = manifest.subset(manifest.labels == "blast")
    with pytest.raises(SplitError, match="only the class blast"):
        compare_estimators(candidates, one_class, **FAST)
    with pytest.raises(SplitError, match="Class blast has 2 groups, fewer than 3 folds"):
        compare_estimators(candidates, make_study(n_groups=4), **FAST)
    strange = manifest.frame.assign(label="neutrophil")
    other = type(manifest)(strange)
    with pytest.raises(InputError, match="has|have the class neutrophil, which is not among"):
        compare_estimators(candidates, manifest, external={"other": other}, **FAST)
