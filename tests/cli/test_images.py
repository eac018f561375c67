"""From what was typed to images: nothing that is read is replaced, and nothing found gets lost."""

import shutil

import pytest

READ = "is read and would lie among what is written"
QUICK = ("--candidate", "morphology+svm", "--folds", 2, "--workers", 1)


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
    ended = run("compare", smears, "-o", ".", "--weights", "random", *QUICK)
    assert ended.status == 0, ended.err


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
