"""``hybridleuk compare``: what it writes, what it resumes, what it refuses before any work."""

import json

import pandas as pd
import pytest

from hybridleuk_cli.compare import RESULTS

QUICK = (
    *("--candidate", "morphology+svm", "--folds", 2, "--workers", 1),
    *("--counterfactuals", 4),
)
REGEX = ("--group-regex", r"(P\d+)_")


def test_results_verdict_and_resuming(run, smears, tmp_path):
    out = tmp_path / "out"
    arguments = ("compare", smears, "-o", out, *QUICK, *REGEX)
    ended = run(*arguments)
    assert ended.status == 0, ended.err
    assert "morphology+svm" in ended.out
    assert f"Report: {out / 'report.html'}" in ended.out
    document = json.loads((out / "comparison.json").read_text())
    assert document["protocol"]["split"] == "group"
    assert document["dataset"]["n_groups"] == 8
    assert document["verdict"][0][:20] in ended.out
    assert len(pd.read_parquet(out / "predictions.parquet")) >= 16

    finished = run(*arguments)
    assert finished.status == 1
    assert "holds finished results" in finished.err

    folds = {path: path.stat().st_mtime_ns for path in (out / "folds").glob("morphology*")}
    (out / "report.html").unlink()
    resumed = run(*arguments, "--json")
    assert resumed.status == 0, resumed.err
    assert {path: path.stat().st_mtime_ns for path in folds} == folds, "no fold is fitted twice"
    assert json.loads(resumed.out)["comparison"]["candidates"] == document["candidates"]

    stale = out / "model_card.md"
    stale.write_text("of an earlier comparison")
    again = run(*arguments, "--overwrite", "--quiet")
    assert (again.status, again.out) == (0, "")
    assert {path.name for path in out.iterdir()} <= set(RESULTS)
    assert stale.read_text("utf-8").startswith("# Model card")
    assert {path.stat().st_mtime_ns for path in folds} != set(folds.values())


def test_external_images_and_samples(run, smears, tmp_path):
    costs = tmp_path / "costs.csv"
    costs.write_text("true,blast,lymphocyte\nblast,0,10\nlymphocyte,1,0\n")
    options = (*QUICK, "--per-class", 6, "--test", smears, "--json", "--costs", costs)
    options = (*options, "--positive", "lymphocyte")
    ended = run("compare", smears, "-o", tmp_path / "out", *options)
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert document["comparison"]["dataset"]["n_images"] == 12
    assert document["n_left_aside"] == 4
    assert document["comparison"]["costs"]["matrix"] == [[0, 10], [1, 0]]
    assert document["comparison"]["decision_curve"]["positive"] == ["lymphocyte"]
    (external,) = document["comparison"]["external"]
    assert (external["name"], external["n_images"]) == ("smears", 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folds", "9"), "fewer than 9 folds"),
        (("--split", "group"), "needs groups"),
        (("--group-regex", "([a-z]+)/"), "Class blast has 1 group"),
        (("--group-regex", "P"), "no parentheses"),
        (("--weights", "nowhere.pth"), "no such file"),
        (("--test", "nowhere"), "nowhere"),
        (("--costs", "nowhere.csv"), "cannot be read from nowhere.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refused_before_any_work(run, smears, tmp_path, options, message, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("hybridleuk.candidates.compare", fail)
    out = tmp_path / "out"
    ended = run("compare", smears, "-o", out, "--candidate", "morphology+svm", *options)
    assert ended.status == 1
    assert message in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: ")
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--positive", "monocyte"), "'monocyte' is looked for"),
        (("--costs", "costs.csv"), "say nothing of the class lymphocyte"),
        (("--test", "other.csv"), "images 'other' have the class eosinophil"),
    ],
    ids=["positive", "costs", "test"],
)
def test_classes_that_are_not_there(run, smears, tmp_path, options, message, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("hybridleuk.candidates.compare", fail)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "costs.csv").write_text("true,blast\nblast,0\n")
    pd.DataFrame({"path": [next(smears.rglob("*.png"))], "label": "eosinophil"}).to_csv("other.csv")
    earlier = tmp_path / "out" / "comparison.json"
    (tmp_path / "out").mkdir()
    for name in ("comparison.json", "report.html"):
        (tmp_path / "out" / name).write_text("{}")
    ended = run(
        *("compare", smears, "-o", "out", "--candidate", "morphology+svm", "--overwrite"), *options
    )
    assert ended.status == 1
    assert message in ended.err
    assert earlier.exists(), "nothing is cleared for a comparison that cannot be made"


def test_folder_of_something_else(run, smears, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    ended = run("compare", smears, "-o", tmp_path, *QUICK)
    assert ended.status == 1
    assert "not empty" in ended.err


def test_features_choose_the_candidates(run, smears, tmp_path):
    options = ("--features", "morphology", "--folds", 2, "--workers", 1, "--json")
    ended = run("compare", smears, "-o", tmp_path / "out", *options)
    assert ended.status == 0, ended.err
    names = {row["name"] for row in json.loads(ended.out)["comparison"]["candidates"]}
    assert names == {f"morphology+{c}" for c in ("svm", "xgboost", "logistic", "knn")}


OWN = """
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
def lda():
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
text = "no classifier"
"""


def test_own_classifiers_tuning_and_one_group_at_a_time(run, smears, tmp_path, monkeypatch):
    (tmp_path / "mine_of_this_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    candidates = ("morphology+lda=mine_of_this_test:lda", "morphology+knn", "morphology+logistic")
    named = [part for name in candidates for part in ("--candidate", name)]
    options = ("--split", "logo", "--tune", "--workers", 1, "--json", "--counterfactuals", 0)
    ended = run("compare", smears, "-o", "out", *named, *REGEX, *options, "--no-learning-curve")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)["comparison"]
    assert document["protocol"]["split"] == "logo"
    assert document["protocol"]["folds"] == 8
    assert document["protocol"]["group_rule"].startswith("regular expression (P")
    entries = {entry["name"]: entry for entry in document["candidates"]}
    assert set(entries) == {"morphology+lda", "morphology+knn", "morphology+logistic"}
    assert entries["morphology+lda"]["tuning"] is None
    for name in ("morphology+knn", "morphology+logistic"):
        assert entries[name]["tuning"]["n_settings"] == 9
    assert all(entry["size_bytes"] > 1000 for entry in entries.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine=nowhere_at_all:x", "cannot be loaded (ModuleNotFoundError"),
        ("mine=json", "not of the form NAME=module:attribute"),
        ("mine=json:dumps", "cannot be made without arguments"),
        ("mine=collections:OrderedDict", "is a OrderedDict; expected a scikit-learn classifier"),
        ("hybrid+svm=json:dumps", "is that of a built-in candidate"),
    ],
)
def test_own_classifiers_that_are_none(run, smears, tmp_path, name, message):
    ended = run("compare", smears, "-o", tmp_path / "out", "--candidate", name)
    assert ended.status == 1
    assert message in " ".join(ended.err.split())


def test_the_split_of_a_manifest(run, smears, tmp_path):
    files = sorted(smears.rglob("*.png"))
    rows = [
        {"path": path, "label": path.parent.name, "split": "test" if place % 4 == 0 else "train"}
        for place, path in enumerate(files)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    options = (*QUICK[:2], "--workers", 1, "--split", "manifest", "--json")
    ended = run("compare", tmp_path / "manifest.csv", "-o", tmp_path / "out", *options)
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)["comparison"]
    n_test = sum(row["split"] == "test" for row in rows)
    assert document["dataset"]["n_images"] == n_test
    assert document["protocol"]["n_train"] == len(rows) - n_test
    predictions = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    tested = {str(row["path"]) for row in rows if row["split"] == "test"}
    assert set(predictions["path"]) == tested


def test_pseudo_groups_stand_only_where_none_are_known(run, smears, tmp_path):
    ended = run("compare", smears, "-o", tmp_path / "out", *QUICK, *REGEX, "--pseudo-groups")
    assert ended.status == 1
    assert "these images have groups" in " ".join(ended.err.split())


def test_an_own_classifier_that_fails_is_named(run, smears, tmp_path, monkeypatch):
    (tmp_path / "failing_of_this_test.py").write_text(
        "from sklearn.linear_model import LogisticRegression\npicky = LogisticRegression(C=-1)\n"
    )
    monkeypatch.chdir(tmp_path)
    candidate = "morphology+picky=failing_of_this_test:picky"
    ended = run("compare", smears, "-o", "out", "--candidate", candidate, "--folds", 2, *REGEX)
    assert ended.status == 1
    said = " ".join(ended.err.split())
    assert "The candidate 'morphology+picky' failed while it was fitted (" in said
    assert "mistake in hybridleuk" not in said
