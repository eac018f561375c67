"""``hybridleuk demo`` in small: every step, its folder, and what happens the second time."""

import json

import pandas as pd
import pytest

from hybridleuk_cli import demo


@pytest.fixture
def small(monkeypatch):
    for name, value in (
        ("_CANDIDATES", ("morphology+svm", "hybrid+svm")),
        ("_FOLDS", 2),
        ("_PATIENTS", 8),
        ("_EACH", 1),
    ):
        monkeypatch.setattr(demo, name, value)


def test_every_step_then_refusal_then_overwriting(run, small, tmp_path, monkeypatch):
    out = tmp_path / "demo"
    ended = run("demo", "--directory", out, "--workers", 1)
    assert ended.status == 0, ended.err
    for step in range(1, 7):
        assert f"{step}/6 " in ended.err
    assert "RANDOM" not in ended.err, "the network of the package is trained"
    assert "say nothing about patients" in ended.out
    report = out / "comparison" / "report.html"
    assert ended.out.rstrip().endswith(f"Report: {report}")
    assert report.stat().st_size > 10_000
    assert len(pd.read_csv(out / "predictions.csv")) == 8
    assert {path.name for path in out.iterdir()} == set(demo._MADE)

    assert "holds finished results" in run("demo", "--directory", out).err

    (out / "predictions.csv").unlink()
    drawn = {path: path.stat().st_mtime_ns for path in (out / "smears").rglob("*.png")}
    resumed = run("demo", "--directory", out, "--workers", 1, "--json")
    assert resumed.status == 0, resumed.err
    document = json.loads(resumed.out)
    assert document["report"] == str(report)
    assert {row["name"] for row in document["comparison"]["candidates"]} == set(demo._CANDIDATES)
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn, "nothing is drawn twice"

    def drawn_anew(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hybridleuk.data.artificial.draw_study", drawn_anew)
    assert run("demo", "--directory", out, "--overwrite").status == 130
    assert not (out / "smears").exists()


def test_a_folder_of_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    ended = run("demo", "--directory", tmp_path)
    assert ended.status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
