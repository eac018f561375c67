"""Outputs are refused before any work, and are complete or not there."""

import os

import pytest

from hybridleuk.exceptions import OutputError
from hybridleuk_cli.outputs import (
    claim_directory,
    claim_file,
    clear,
    refuse_to_replace,
    write_file,
)

MARKS = {"finished": "report.html", "unfinished": ("folds",)}


def test_new_file_in_a_new_folder(tmp_path):
    claim_file(tmp_path / "deep" / "f.parquet", overwrite=False)
    assert list((tmp_path / "deep").iterdir()) == []


def test_existing_file(tmp_path):
    (tmp_path / "f.csv").write_text("old")
    with pytest.raises(OutputError, match=r"f\.csv exists.*--overwrite"):
        claim_file(tmp_path / "f.csv", overwrite=False)
    claim_file(tmp_path / "f.csv", overwrite=True)
    assert (tmp_path / "f.csv").read_text() == "old"


def test_file_that_is_a_folder_and_folder_that_is_a_file(tmp_path):
    (tmp_path / "f.csv").write_text("old")
    with pytest.raises(OutputError, match="is a folder"):
        claim_file(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        claim_directory(tmp_path / "f.csv", overwrite=True, **MARKS)
    with pytest.raises(OutputError, match="cannot be written"):
        claim_file(tmp_path / "f.csv" / "g.csv", overwrite=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"cannot be written \(permission denied\)"):
        claim_file(tmp_path / "f.csv", overwrite=False)


def test_directory_new_empty_and_unfinished(tmp_path):
    out = tmp_path / "out"
    assert not claim_directory(out, overwrite=False, **MARKS)
    assert not claim_directory(out, overwrite=False, **MARKS)
    (out / "folds").mkdir()
    assert not claim_directory(out, overwrite=False, **MARKS)
    assert not claim_directory(out, overwrite=True, **MARKS), "an unfinished run is resumed"


def test_directory_finished(tmp_path):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(OutputError, match="holds finished results"):
        claim_directory(tmp_path, overwrite=False, **MARKS)
    assert claim_directory(tmp_path, overwrite=True, **MARKS)


def test_directory_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("old")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not from this command; choose a new or an empty"):
            claim_directory(tmp_path, overwrite=overwrite, **MARKS)
    (tmp_path / "thesis.tex").rename(tmp_path / ".thesis")
    assert not claim_directory(tmp_path, overwrite=True, **MARKS), "hidden files are no content"


def test_clear_removes_only_what_is_named(tmp_path):
    (tmp_path / "thesis.tex").write_text("old")
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "a.json").write_text("{}")
    clear(tmp_path, ["folds", "report.html"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"gr\xfcn")
    with pytest.raises(OutputError, match="gr\ufffdn is not valid UTF-8; choose another name"):
        claim_file(path, overwrite=False)
    with pytest.raises(OutputError, match="gr\ufffdn is not valid UTF-8; choose another name"):
        claim_directory(path, overwrite=False, **MARKS)


def test_write_is_whole_or_nothing(tmp_path):
    target = tmp_path / "p.csv"
    target.write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space"):
        write_file(target, fail)
    assert target.read_text() == "old"
    write_file(target, lambda path: path.write_text("new"))
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_what_is_read_is_never_replaced(tmp_path):
    image = tmp_path / "smears" / "a.png"
    image.parent.mkdir()
    image.touch()
    (tmp_path / "other").mkdir()
    refuse_to_replace([image], [tmp_path / "smears" / "counts.csv", tmp_path / "other", None])
    for output in (image, image.parent, tmp_path, tmp_path / "other" / ".." / "smears"):
        with pytest.raises(OutputError, match=r"a.png is read and would lie among what is written"):
            refuse_to_replace([str(image)], [output])
