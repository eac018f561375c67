"""``hybridleuk doctor`` and ``backbones list``: what is there and what is missing."""

import json

import pytest

from hybridleuk.embeddings.backbones import BACKBONES
from hybridleuk_cli import doctor


@pytest.fixture
def few_libraries(monkeypatch):
    monkeypatch.setattr(doctor, "_NEEDED", {"numpy": "numpy", "pandas": "pandas"})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of torch hub, also where torch itself has been loaded already."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("hybridleuk.embeddings.weights.hub_folder", lambda: folder)
    folder.mkdir()
    return folder


def test_backbones_and_whether_their_weights_are_here(run, hub):
    record = BACKBONES["resnet18"]
    (hub / record.weights_file).write_bytes(b"weights")
    document = json.loads(run("backbones", "list", "--json").out)
    assert document["folder"] == str(hub)
    there = {row["name"]: row["downloaded"] for row in document["backbones"]}
    assert there == {name: name in ("resnet18", "smearnet") for name in BACKBONES}
    shown = run("backbones", "list", "--quiet").out
    assert all(name in shown for name in BACKBONES)
    assert [line.split()[0] for line in shown.splitlines() if line.rstrip().endswith(" here")] == [
        "resnet18",
        "smearnet",
    ]


def test_doctor_says_what_is_there(run, few_libraries, hub, tmp_path):
    ended = run("doctor", "--json", "--cache", tmp_path / "cache")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert {"hybridleuk", "python", "numpy"} <= set(document["versions"])
    assert document["cache"]["path"] == str(tmp_path / "cache")
    assert document["cache"]["results"] == 0
    assert document["cache"]["free_bytes"] > 0
    assert document["device"]["cores"] >= 1
    assert document["device"]["threads"] >= 1
    assert document["device"]["bf16"] in ("hardware", "emulated")
    assert set(document["weights"]["absent"]) == set(BACKBONES) - {"smearnet"}
    missing = {item["what"]: item["how"] for item in document["missing"]}
    assert (
        "--weights FILE"
        in missing[f"weights of {len(BACKBONES) - 1} of {len(BACKBONES)} backbones"]
    )
    shown = run("doctor", "--quiet").out
    assert "how to get it" in shown


def test_doctor_fails_when_a_library_does_not_import(run, monkeypatch, hub):
    monkeypatch.setattr(doctor, "_NEEDED", {"numpy": "numpy", "torchvision": "no_such_module"})
    ended = run("doctor")
    assert ended.status == 1
    assert "torchvision does not import" in ended.out
    assert "together" in ended.out


def test_doctor_fails_when_there_can_be_no_cache(run, few_libraries, hub, tmp_path):
    (tmp_path / "file").write_text("no folder")
    ended = run("doctor", "--cache", tmp_path / "file")
    assert ended.status == 1
    assert "no usable cache" in " ".join(ended.out.split())
