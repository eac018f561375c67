"""Every bad input ends in one sentence, status 1, no traceback, and nothing half-written."""

import errno
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from PIL import Image

from hybridleuk.exceptions import InputError
from hybridleuk_cli.errors import exit_status, explain

MORPHOLOGY = ("--features", "morphology", "--workers", 1)


def assert_one_sentence(ended, *words):
    assert ended.status == 1, ended.err
    assert "Traceback" not in ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, ended.err
    assert ended.err.splitlines()[-1] == errors[0]
    for word in words:
        assert word in errors[0], errors[0]


@pytest.mark.parametrize("command", ["audit", "extract", "segment", "fit", "compare"])
def test_empty_folder(run, tmp_path, command):
    (tmp_path / "empty").mkdir()
    output = {"extract": "f.parquet", "fit": "m.hleuk"}.get(command, "out")
    assert_one_sentence(run(command, tmp_path / "empty", "-o", tmp_path / output), "no files in it")


def test_nothing_there(run, tmp_path):
    ended = run("extract", tmp_path / "nothing", "-o", tmp_path / "f.parquet")
    assert_one_sentence(ended, "no such file or folder")


def test_only_files_that_are_no_images(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".DS_169665.jpg").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "in" / "notes.jpg").write_text("no image")
    ended = run("extract", tmp_path / "in", "-o", tmp_path / "f.parquet")
    assert_one_sentence(ended, "None of the 1 files", "notes.jpg")


def test_only_a_hidden_file(run, tmp_path):
    (tmp_path / ".DS_169665.jpg").write_bytes(b"\0\0\0\1Bud1")
    ended = run("extract", tmp_path / ".DS_169665.jpg", "-o", tmp_path / "f.parquet")
    assert_one_sentence(ended, "no images, but 1 hidden files")


def test_one_by_one_pixel(run, tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    ended = run("extract", tmp_path / "dot.png", "-o", tmp_path / "f.parquet")
    assert_one_sentence(ended, "1 x 1 px", "too small")


def test_equal_names_in_two_classes_stay_two(run, smears, tmp_path):
    for name in ("blast", "lymphocyte"):
        first = sorted((smears / name).iterdir())[0]
        first.rename(smears / name / "same.png")
    assert run("extract", smears, "-o", tmp_path / "f.parquet", *MORPHOLOGY).status == 0
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert len(table) == 16
    assert table["image_id"].is_unique


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,x\n", ["no column 'path'"]),
        ("path,label\n", ["no rows"]),
        ("path,label\nnowhere.png,x\n", ["1 of 1 files do not exist", "nowhere.png"]),
        ("path,label\nblast/P00_0.png,x\nblast/P00_0.png,y\n", ["listed twice"]),
        ("path,label\nblast/P00_0.png,x\nblast/P01_1.png,\n", ["1 images have no label"]),
        ('path,label\n"unclosed', ["list.csv"]),
    ],
    ids=["column", "rows", "missing", "duplicate", "label", "malformed"],
)
def test_manifests(run, smears, tmp_path, text, words):
    (smears / "list.csv").write_text(text)
    ended = run("extract", smears / "list.csv", "-o", tmp_path / "f.parquet", *MORPHOLOGY)
    assert_one_sentence(ended, *words)
    assert not (tmp_path / "f.parquet").exists()


def test_missing_group_column(run, smears, tmp_path):
    (smears / "list.csv").write_text("path,label\nblast/P00_0.png,x\n")
    options = ("-o", tmp_path / "f.parquet", "--group-column", "patient")
    assert_one_sentence(run("extract", smears / "list.csv", *options), "no column 'patient'")
    assert_one_sentence(run("extract", smears, *options), "needs a CSV or Parquet manifest")


def test_damaged_feature_file(run, tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"PAR1 and nothing else")
    assert_one_sentence(run("fit", tmp_path / "f.parquet", "-o", tmp_path / "m.hleuk"), "f.parquet")


def test_cache_that_is_no_cache(run, smears, tmp_path):
    (tmp_path / "file").write_text("no folder")
    options = ("--cache", tmp_path / "file", *MORPHOLOGY)
    ended = run("extract", smears, "-o", tmp_path / "f.parquet", *options)
    assert_one_sentence(ended, "cache", "--cache")


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f.parquet")


def test_full_disk_keeps_what_was_computed(run, smears, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    arguments = ("extract", smears, "-o", tmp_path / "f.parquet", "--cache", cache, *MORPHOLOGY)
    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.write_table", full_disk)
        assert_one_sentence(run(*arguments), "disk is full", "f.parquet", "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "smears"]
    monkeypatch.setattr("hybridleuk.morphology.measuring.measure_values", full_disk)
    assert run(*arguments).status == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_stdout_on_a_full_disk(smears):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "hybridleuk_cli", "backbones", "list", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 1
    assert "disk is full" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_closed_pipe_is_silent():
    command = f"{sys.executable} -m hybridleuk_cli backbones list --json | head -c 1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_interrupted_while_working(run, smears, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("hybridleuk.morphology.measuring.measure_values", interrupt)
        ended = run("extract", smears, "-o", tmp_path / "f.parquet", *MORPHOLOGY)
    assert ended.status == 130
    assert "same command goes on from there" in ended.err.splitlines()[-1]
    assert not (tmp_path / "f.parquet").exists()
    assert run("extract", smears, "-o", tmp_path / "f.parquet", *MORPHOLOGY).status == 0


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_from_outside_and_the_same_command_again(smears, tmp_path):
    command = [sys.executable, "-m", "hybridleuk_cli", "compare", smears, "-o", tmp_path / "out"]
    command += [
        "--candidate",
        "morphology+svm",
        "--folds",
        "2",
        "--repeats",
        "40",
        "--workers",
        "1",
    ]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("folds/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Error: Interrupted")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("folds/*.json")}
    command[command.index("--repeats") + 1] = "2"
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("Two sentences."), "Two sentences."),
        (OSError(errno.EROFS, "read-only", "/x/f"), "Permission denied at /x/f; choose"),
        (OSError("something odd"), "something odd; check the path"),
        (MemoryError(), "Out of memory; "),
        (RuntimeError("CUDA out of memory. Tried"), "Out of memory; "),
        (ZeroDivisionError("division by zero"), "Unexpected ZeroDivisionError: division by zero;"),
    ],
)
def test_explanations(error, words):
    assert words in explain(error)
    assert exit_status(error) == 1
