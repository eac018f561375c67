"""From what was typed to images: nothing that is read is replaced, and nothing found gets lost."""

import json
import os
import shutil

import pandas as pd
import pytest

from hybridleuk.exceptions import InputError

READ = "is read and would lie among what is written"
QUICK = (
    *("--candidate", "morphology+svm", "--folds", 2, "--counterfactuals", 4),
    *("--workers", 1),
)


@pytest.fixture
def begun(tmp_path):
    """A folder in which a comparison was begun, so that a comparison may go on in it."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "comparison.json").write_text("{}")
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(ended, name):
    assert ended.status == 1
    assert READ in ended.err.replace("\n", " ")
    assert str(name) in ended.err


def test_images_to_test_on_are_never_replaced(run, smears, begun):
    shutil.copytree(smears, begun / "folds" / "others")
    before = contents(begun)
    for source in (begun / "folds" / "others", begun / "folds"):
        arguments = ("compare", smears, "-o", begun, "--test", source, *QUICK)
        assert_refused(run(*arguments, "--overwrite"), source)
    assert contents(begun) == before


def test_unreadable_files_are_never_replaced(run, smears, begun, tmp_path):
    broken = begun / "report.html"
    broken.write_bytes(b"no image")
    listed = tmp_path / "list.csv"
    good = [f"{path},{path.parent.name}\n" for path in smears.rglob("*.png")]
    listed.write_text("path,label\n" + "".join(good) + f"{broken},blast\n")
    assert_refused(run("compare", listed, "-o", begun, *QUICK, "--overwrite"), broken)
    assert broken.read_bytes() == b"no image"
    broken = smears / "blast" / "broken.png"
    broken.write_bytes(b"no image")
    assert_refused(run("fit", smears, "-o", broken, "--overwrite"), broken)
    assert broken.read_bytes() == b"no image"


def test_models_are_never_replaced(run, smears, tmp_path):
    model = tmp_path / "model.csv"
    model.write_bytes(b"a model")
    ended = run("predict", model, smears, "-o", model, "--overwrite")
    assert_refused(ended, model)
    arguments = ("count", smears, "--differential", model, "--overwrite")
    assert_refused(run(*arguments, "-o", model), model)
    table = ("-o", tmp_path / "c.csv")
    groups = tmp_path / "c_groups.csv"
    model.rename(groups)
    assert_refused(run("count", smears, "--differential", groups, *table, "--overwrite"), groups)
    boxes = tmp_path / "m.json"
    groups.rename(boxes)
    arguments = ("count", smears, "--differential", boxes, *table, "--boxes", boxes)
    assert_refused(run(*arguments, "--overwrite"), boxes)
    assert boxes.read_bytes() == b"a model"


@pytest.mark.parametrize("command", ["extract", "fit", "compare"])
def test_weights_are_never_replaced(run, smears, begun, command):
    weights = begun / "report.parquet"
    weights.write_bytes(b"weights")
    output = begun if command == "compare" else weights
    ended = run(command, smears, "-o", output, "--weights", weights, "--overwrite")
    assert_refused(ended, weights)
    assert weights.read_bytes() == b"weights"


def test_words_for_weights_are_no_files(run, smears, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")

    def begin(*_, **__):
        raise InputError("work was begun")

    monkeypatch.setattr("hybridleuk.candidates.compare", begin)
    ended = run("compare", smears, "-o", ".", "--weights", "random", *QUICK)
    assert "work was begun" in ended.err


def test_a_list_that_is_read_is_not_added_to(run, smears, tmp_path):
    (smears / "blast" / "broken.png").write_bytes(b"no image")
    listed = tmp_path / "skipped.csv"
    listed.write_text(f"path,reason\n{smears / 'blast' / 'P00_0.png'},mended by now\n")
    text = listed.read_text()
    ended = run("extract", listed, "-o", tmp_path / "f.parquet", "--features", "morphology")
    assert_refused(ended, listed)
    assert listed.read_text() == text


def test_a_result_among_the_images_is_replaced_when_asked(run, smears):
    arguments = ("extract", smears, "-o", smears / "blast" / "f.parquet", "--workers", 1)
    arguments += ("--features", "morphology")
    assert run(*arguments).status == 0
    assert run(*arguments).status == 1
    ended = run(*arguments, "--overwrite")
    assert ended.status == 0, ended.err


COMMANDS = {
    "extract": ("f.parquet", "--features", "morphology"),
    "segment": ("out",),
    "count": ("c.csv", "--voc", "voc", "--group-regex", r"(P\d+)_"),
    "fit": ("m.hleuk", "--features", "morphology"),
    "compare": ("out", *QUICK[:-2]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_is_no_text_is_a_skipped_file(run, smears, tmp_path, command, monkeypatch):
    good = smears / "blast" / "P00_0.png"
    bad = os.fsdecode(os.fsencode(smears) + b"/blast/P09_gr\xfcn.png")
    try:
        shutil.copy(good, bad)
    except OSError:
        pytest.skip("this file system takes no such names")
    for path in smears.rglob("P*_[4-7].png"):  # enough is left
        path.unlink()
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "results")
    output, *options = COMMANDS[command]
    ended = run(command, smears, "-o", output, *options, "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert (document["n_found"], document["n_images"], document["n_skipped"]) == (9, 8, 1)
    table = pd.read_csv(document["skipped_file"])
    assert table["path"].tolist() == [f"{smears}/blast/P09_gr\ufffdn.png"]
    assert table["output"].tolist() == ["." if output == "out" else output]
    assert "UTF-8" in table["reason"][0]


def test_runs_beside_each_other_keep_their_lists(run, smears, tmp_path):
    (smears / "blast" / "broken.png").write_bytes(b"no image")
    (smears / "lymphocyte" / "empty.png").write_bytes(b"")
    out = tmp_path / "out"
    options = ("--features", "morphology", "--workers", 1)
    for name in ("blast", "lymphocyte"):
        assert run("extract", smears / name, "-o", out / f"{name}.parquet", *options).status == 0
    assert run("count", smears / "blast", "-o", out / "c.csv").status == 0
    table = pd.read_csv(out / "skipped.csv")
    assert table["output"].tolist() == ["blast.parquet", "lymphocyte.parquet", "c.csv"]
    (smears / "blast" / "broken.png").unlink()
    again = ("extract", smears / "blast", "-o", out / "blast.parquet", *options, "--overwrite")
    assert run(*again).status == 0
    table = pd.read_csv(out / "skipped.csv")
    assert table["output"].tolist() == ["lymphocyte.parquet", "c.csv"]


def test_a_segmentation_made_again_keeps_the_rows_of_others(run, smears, tmp_path):
    (smears / "blast" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ("segment", smears / "blast", "-o", out, "--workers", 1)
    assert run(*arguments).status == 0
    assert run("count", smears, "-o", out / "c.csv", "--workers", 1).status == 0
    assert run(*arguments, "--overwrite").status == 0
    assert pd.read_csv(out / "skipped.csv")["output"].tolist() == ["c.csv", "."]


@pytest.mark.parametrize("command", ["segment", "compare", "count"])
def test_overwriting_is_no_leave_to_write_among_other_things(run, smears, tmp_path, command):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    output = (tmp_path / "c.csv", "--pictures", mine) if command == "count" else (mine,)
    ended = run(command, smears, "-o", *output, "--overwrite")
    assert ended.status == 1
    assert "not from this command; choose a new or an empty folder" in ended.err
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
