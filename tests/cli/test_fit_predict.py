"""``hybridleuk fit`` and ``predict``: from images or features to a model file and a table."""

import json
import zipfile

import pandas as pd
import pytest

OPTIONS = ("--workers", 1, "--features", "morphology")
COLUMNS = [
    "path",
    "image_id",
    "label",
    "prob_blast",
    "prob_lymphocyte",
    "prediction_set",
    "abstain",
    "reason",
]


@pytest.fixture
def model(run, smears, tmp_path):
    path = tmp_path / "models" / "m.hleuk"
    ended = run("fit", smears, "-o", path, *OPTIONS, "--group-regex", r"(P\d+)_")
    assert ended.status == 0, ended.err
    return path


def test_fit_from_images_then_predict(run, model, smears, tmp_path):
    output = tmp_path / "p.csv"
    ended = run("predict", model, smears, "-o", output, "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    table = pd.read_csv(output, keep_default_na=False)
    assert list(table) == COLUMNS
    assert len(table) == 16
    truth = [path.split("/")[-2] for path in table["path"]]
    assert (table["label"] == truth).mean() > 0.9
    document = json.loads(ended.out)
    assert sum(document["labels"].values()) == document["n_images"] == 16
    assert document["n_abstained"] == table["abstain"].sum()


def test_a_network_claims_nothing_about_what_it_cannot_decide(run, smears, tmp_path):
    options = ("--weights", "random", "--image-size", 32, "--epochs", 1, "--workers", 1)
    model, output = tmp_path / "m.hleuk", tmp_path / "p.csv"
    assert run("fit", smears, "-o", model, "--classifier", "finetuned", *options).status == 0
    ended = run("predict", model, smears, "-o", output, "--workers", 1)
    assert ended.status == 0, ended.err
    assert "makes no prediction sets" in ended.err
    assert "abstained from" not in ended.out
    assert pd.read_csv(output)[["prediction_set", "abstain"]].isna().all(axis=None)
    ended = run("predict", model, smears, "-o", output, "--overwrite", "--workers", 1, "--json")
    assert json.loads(ended.out)["n_abstained"] is None


def test_fit_from_features_gives_the_same_model(run, model, smears, tmp_path):
    features = tmp_path / "f.parquet"
    regex = ("--group-regex", r"(P\d+)_")
    assert run("extract", smears, "-o", features, *OPTIONS, *regex).status == 0
    assert run("fit", features, "-o", tmp_path / "2.hleuk").status == 0
    tables = []
    for name in (model, tmp_path / "2.hleuk"):
        arguments = ("predict", name, smears, "-o", tmp_path / "p.csv", "--overwrite")
        assert run(*arguments, "--workers", 1).status == 0
        tables.append(pd.read_csv(tmp_path / "p.csv"))
    pd.testing.assert_frame_equal(*tables)


def test_predict_needs_no_labels_and_takes_single_files(run, model, smears, tmp_path):
    image = smears / "blast" / "P00_0.png"
    ended = run("predict", model, image, "-o", tmp_path / "p.csv", "--workers", 1)
    assert ended.status == 0, ended.err
    assert len(pd.read_csv(tmp_path / "p.csv")) == 1


def test_features_that_the_file_does_not_hold(run, smears, tmp_path):
    features = tmp_path / "f.parquet"
    assert run("extract", smears, "-o", features, *OPTIONS).status == 0
    ended = run("fit", features, "-o", tmp_path / "m.hleuk", "--features", "deep")
    assert ended.status == 1
    assert "holds morphology features" in ended.err
    ended = run("fit", features, "-o", tmp_path / "m.hleuk", "--classifier", "finetuned")
    assert ended.status == 1
    assert "trained on images" in ended.err


def test_existing_outputs_are_refused_before_any_work(run, model, tmp_path):
    ended = run("fit", tmp_path / "no-such-folder", "-o", model)
    assert (ended.status, "exists" in ended.err) == (1, True)
    (tmp_path / "p.csv").write_text("precious")
    ended = run("predict", model, tmp_path / "no-such-folder", "-o", tmp_path / "p.csv")
    assert (ended.status, "exists" in ended.err) == (1, True)
    assert (tmp_path / "p.csv").read_text() == "precious"


def test_model_files_that_cannot_be_trusted(run, model, smears, tmp_path):
    content = model.read_bytes()
    cut = tmp_path / "cut.hleuk"
    cut.write_bytes(content[: len(content) // 2])
    changed = tmp_path / "changed.hleuk"
    newer = tmp_path / "newer.hleuk"
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["model.json"])
    for path, edited in (
        (changed, members | {"estimators.skops": members["estimators.skops"] + b"x"}),
        (newer, members | {"model.json": json.dumps(header | {"format": 99}).encode()}),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in edited.items():
                archive.writestr(name, data)
    for path in (cut, changed, newer, tmp_path / "absent.hleuk"):
        ended = run("predict", path, smears, "-o", tmp_path / "p.csv")
        assert ended.status == 1
        assert ended.err.count("\n") == 1, ended.err
        assert path.name in ended.err
        assert not (tmp_path / "p.csv").exists()


def test_labels_are_needed_and_more_than_one_class(run, smears, tmp_path):
    flat = run("fit", smears / "blast", "-o", tmp_path / "m.hleuk", *OPTIONS)
    assert flat.status == 1
    assert "have no labels" in flat.err
    for image in (smears / "lymphocyte").iterdir():
        image.unlink()
    one = run("fit", smears, "-o", tmp_path / "m.hleuk", *OPTIONS)
    assert one.status == 1
    assert "only the class blast" in one.err
    assert not (tmp_path / "m.hleuk").exists()


def test_a_model_never_takes_the_place_of_its_features(run, tmp_path):
    (tmp_path / "f.parquet").write_text("features")
    ended = run("fit", tmp_path / "f.parquet", "-o", tmp_path / "f.parquet", "--overwrite")
    assert ended.status == 1
    assert "would lie among what is written" in ended.err


def test_predictions_are_explained(run, smears, tmp_path):
    model, why = tmp_path / "m.hleuk", tmp_path / "why"
    assert run("fit", smears, "-o", model, "--features", "morphology").status == 0
    table = tmp_path / "p.csv"
    arguments = ("predict", model, smears, "-o", table, "--explain", why)
    ended = run(*arguments, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["explained"] == str(why)
    listed, predicted = pd.read_csv(why / "index.csv"), pd.read_csv(table)
    assert listed["label"].tolist() == predicted["label"].tolist()
    assert len(list((why / "explained").iterdir())) == len(predicted) == 16

    refused = run(*arguments[:4], tmp_path / "other.csv", *arguments[5:])
    assert (refused.status, "holds finished results" in refused.err) == (1, True)
    assert not (tmp_path / "other.csv").exists()
    mine = why / "explained" / "mine.jpg"
    mine.write_text("kept")
    one = sorted(smears.glob("*/*.png"))[0]
    again = run("predict", model, one, "-o", table, "--explain", why, "--overwrite")
    assert again.status == 0, again.err
    assert len(pd.read_csv(why / "index.csv")) == 1
    assert len(list((why / "explained").iterdir())) == 2
    assert mine.read_text() == "kept"


def test_an_unfinished_explanation_is_taken_up_and_foreign_lists_are_kept(run, smears, tmp_path):
    model, why, table = tmp_path / "m.hleuk", tmp_path / "why", tmp_path / "p.csv"
    assert run("fit", smears, "-o", model, "--features", "morphology").status == 0
    one = sorted(smears.glob("*/*.png"))[0]
    (why / "explained").mkdir(parents=True)
    assert run("predict", model, one, "-o", table, "--explain", why).status == 0
    (why / "index.csv").write_text("path,overlay\na,b\n")
    ended = run("predict", model, one, "-o", table, "--explain", why, "--overwrite")
    assert (ended.status, "is not from this command" in ended.err) == (1, True)
    assert (why / "index.csv").read_text() == "path,overlay\na,b\n"
    ended = run("predict", model, one, "-o", table, "--explain", one.parent, "--overwrite")
    assert (ended.status, "is not from this command" in ended.err) == (1, True), ended.err
