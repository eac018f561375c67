"""``hybridleuk audit``: what it writes, what it fails on, what it refuses before any work."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from hybridleuk.data.artificial import draw_study
from hybridleuk_cli.audit import RESULTS

QUICK = ("--workers", 1)


@pytest.fixture
def planted(tmp_path):
    """Drawn smears with a copy under another label, one turned, and a file that is cut off."""
    root = tmp_path / "study"
    draw_study(root, n_patients=8, images_per_patient_and_class=2, size=96, random_state=1)
    (root / "manifest.csv").unlink()
    first, second = sorted(root.glob("Benign/*"))[:2]
    (root / "Pro" / "P81_copy.png").write_bytes(first.read_bytes())
    Image.open(second).transpose(Image.Transpose.ROTATE_90).save(root / "Benign/P82_turned.png")
    (root / "Benign" / "P83_cut.png").write_bytes(first.read_bytes()[:300])
    return root


def names_of(paths):
    return {Path(path).name for path in paths}


def test_writes_page_findings_and_cleaned_manifest(run, planted, tmp_path):
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in planted.rglob("*.png")}
    arguments = ("audit", planted, "-o", out, *QUICK, "--fail-on", "leakage")
    ended = run(*arguments)
    assert ended.status == 0, ended.err
    assert "sets of duplicates" in ended.out
    assert f"Report: {out / 'audit.html'}" in ended.out
    assert {path.name for path in out.iterdir()} == {*RESULTS, "skipped.csv"}
    document = json.loads((out / "audit.json").read_text("utf-8"))
    assert document["verdict"][0][:20] in ended.out
    assert document["command"].startswith("hybridleuk audit")
    assert [entry["problem"] for entry in document["files"]][:1] == ["truncated"]
    first, second = sorted(path.name for path in planted.glob("Benign/*"))[:2]
    sets = {cluster["kind"]: cluster for cluster in document["duplicates"]}
    assert len(document["duplicates"]) == len(sets) == 2
    assert names_of(sets["bytes"]["images"]) == {first, "P81_copy.png"}
    assert names_of(sets["near"]["images"]) == {second, "P82_turned.png"}
    assert (sets["bytes"]["conflict"], sets["near"]["conflict"]) == (True, False)

    cleaned = pd.read_csv(out / "cleaned.csv")
    kept = names_of(cleaned["path"])
    assert not kept & {first, "P81_copy.png", "P83_cut.png"}
    assert len(kept & {second, "P82_turned.png"}) == 1
    left_out = pd.read_csv(out / "left_out.csv")
    assert len(cleaned) + len(left_out) == len(before)
    assert {path: path.read_bytes() for path in planted.rglob("*.png")} == before

    again = run(*arguments)
    assert again.status == 1
    assert "holds finished results" in again.err

    taken_up = run("audit", out / "cleaned.csv", "-o", tmp_path / "second", *QUICK, "--json")
    assert taken_up.status == 0, taken_up.err
    second = json.loads(taken_up.out)
    assert second["audit"]["duplicates"] == []
    assert second["n_images"] == len(cleaned)


def test_fails_on_what_it_is_asked_to_after_writing(run, planted, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "audit.html").write_text("of an earlier audit")
    kinds = ("duplicates", "shortcuts", "labels", "files", "leakage")
    options = [part for kind in kinds for part in ("--fail-on", kind)]
    groups = ("--group-regex", r"(P\d+)_")
    ended = run("audit", planted, "-o", out, *QUICK, *groups, *options, "--overwrite", "--json")
    assert ended.status == 1
    assert set(RESULTS) <= {path.name for path in out.iterdir()}
    assert "of an earlier audit" not in (out / "audit.html").read_text("utf-8")
    document = json.loads(ended.out)
    assert document["failed_on"] == ["duplicates", "labels", "files", "leakage"]
    assert "Error: Found what was asked to fail on: duplicates, labels, files, l" in ended.err


def test_labels_are_doubted_by_features_that_are_given(run, planted, tmp_path):
    features = tmp_path / "f.parquet"
    (planted / "Benign" / "P83_cut.png").unlink()
    made = run("extract", planted, "-o", features, "--features", "morphology", *QUICK)
    assert made.status == 0, made.err
    ended = run("audit", planted, "-o", tmp_path / "out", *QUICK, "--features", features)
    assert ended.status == 0, ended.err

    Image.new("RGB", (64, 64), (200, 190, 220)).save(planted / "Benign" / "new.png")
    refused = run("audit", planted, "-o", tmp_path / "two", *QUICK, "--features", features)
    assert refused.status == 1
    assert "has no features of 1 of " in refused.err
    assert "new.png" in refused.err
    assert not any((tmp_path / "two").iterdir())


def test_images_without_labels(run, smears, tmp_path):
    ended = run("audit", smears / "blast", "-o", tmp_path / "out", *QUICK, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)["audit"]
    assert (document["shortcuts"], document["suspect_labels"]) == ([], [])
    assert (tmp_path / "out" / "audit.html").exists()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--fail-on", "leaks"), 2, "no kind 'leaks'; known are leakage, duplicates"),
        (("--features", "nowhere.parquet"), 1, "nowhere.parquet"),
        (("--strict",), 1, "P83_cut.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refused_before_any_work(run, planted, tmp_path, monkeypatch, options, status, message):
    def fail(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("hybridleuk.audit.audit.audit", fail)
    ended = run("audit", planted, "-o", tmp_path / "out", *QUICK, *options)
    assert ended.status == status, ended.err
    assert message in " ".join(ended.err.split())
    assert not (tmp_path / "out" / "audit.html").exists()


def test_nothing_that_is_read_is_replaced(run, smears):
    (smears / "audit.html").write_text("old")
    ended = run("audit", smears, "-o", smears, *QUICK, "--overwrite")
    assert ended.status == 1
    assert "would lie among what is written" in ended.err
    assert (smears / "audit.html").read_text() == "old"
