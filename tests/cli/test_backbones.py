"""``hybridleuk backbones list | fetch | bundle``, and bundles given to ``--weights``."""

import dataclasses
import hashlib
import json
import sys

import pytest
import torch

from hybridleuk.embeddings import backbones, weights
from hybridleuk.embeddings.backbones import BACKBONES, PAPER
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import read_state
from hybridleuk.exceptions import WeightsError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Give the test a torch hub of its own that holds two networks, and no internet."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(weights, "hub_folder", lambda: folder)
    monkeypatch.setattr("hybridleuk.embeddings.huggingface.cached_file", lambda record: None)

    def unreachable(record, *_):
        raise WeightsError(f"{record.name} cannot be downloaded")

    monkeypatch.setattr("hybridleuk.embeddings.download.download_weights", unreachable)
    monkeypatch.setattr("hybridleuk.embeddings.huggingface.fetch_from_hub", unreachable)
    for name in ("squeezenet1_1", "mobilenet_v3_small"):
        put(monkeypatch, folder, name)
    return folder


def put(monkeypatch, folder, name):
    """Put untrained weights into the hub, and let the table hold their hash."""
    torch.save(random_network(BACKBONES[name], 0).state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    record = dataclasses.replace(
        BACKBONES[name], weights_file=f"{name}-{digest}.pth", sha256=digest
    )
    monkeypatch.setitem(backbones.BACKBONES, name, record)
    return (folder / "new.pth").rename(folder / record.weights_file)


def test_list_shows_every_name_of_the_paper(run, hub):
    document = json.loads(run("backbones", "list", "--json").out)
    rows = {row["name"]: row for row in document["backbones"]}
    assert set(PAPER) <= set(rows)
    assert {name for name, row in rows.items() if row["downloaded"]} == {
        "squeezenet1_1",
        "mobilenet_v3_small",
        "smearnet",
    }
    assert "closest published equivalent" in rows["resnet50v2"]["note"]
    assert rows["xception"]["builder"] == "legacy_xception"
    assert all(row["licence"] and len(row["mean"]) == 3 for row in rows.values())
    shown = run("backbones", "list", "--quiet").out
    assert "timm:NAME" in shown
    assert "nasnetlarge" in shown


def test_list_and_fetch_without_timm(run, hub, monkeypatch):
    monkeypatch.setattr("hybridleuk.embeddings.timm_backbones.has_timm", lambda: False)
    assert "pip install 'hybridleuk[timm]'" in run("backbones", "list", "--quiet").out
    monkeypatch.setitem(sys.modules, "timm", None)
    ended = run("backbones", "fetch", "timm:resnet10t")
    assert ended.status == 1
    assert "pip install 'hybridleuk[timm]'" in ended.err


def test_fetch_checks_what_is_there(run, hub):
    document = json.loads(run("backbones", "fetch", "SqueezeNet1_1", "--json").out)
    (row,) = document["backbones"]
    path = hub / BACKBONES["squeezenet1_1"].weights_file
    assert (row["name"], row["state"], row["file"]) == ("squeezenet1_1", "here", str(path))
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["bytes"] == path.stat().st_size
    assert "here" in run("backbones", "fetch", "squeezenet1_1").out


def test_fetch_finds_a_replaced_file(run, hub, monkeypatch):
    path = hub / BACKBONES["squeezenet1_1"].weights_file
    genuine = path.read_bytes()
    path.write_bytes(b"replaced")
    ended = run("backbones", "fetch", "squeezenet1_1")
    assert ended.status == 1
    assert "its hash is not the published one" in ended.err
    monkeypatch.setattr(
        "hybridleuk.embeddings.download.download_weights",
        lambda record, target: target.write_bytes(genuine),
    )
    ended = run("backbones", "fetch", "squeezenet1_1", "--overwrite", "--json")
    assert json.loads(ended.out)["backbones"][0]["state"] == "fetched"
    assert path.read_bytes() == genuine


def test_fetch_goes_on_after_one_that_cannot_be_had(run, hub):
    ended = run("backbones", "fetch", "resnet18", "squeezenet1_1", "--json")
    assert ended.status == 1
    document = json.loads(ended.out)
    assert [row["name"] for row in document["backbones"]] == ["squeezenet1_1"]
    assert document["problems"] == [
        {"name": "resnet18", "problem": "resnet18 cannot be downloaded"}
    ]
    assert "resnet18 cannot be downloaded" in run("backbones", "fetch", "resnet18").err


@pytest.mark.parametrize("command", [("fetch",), ("bundle", "-o", "bundle.zip")])
def test_nothing_named(run, hub, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run("backbones", *command)
    assert ended.status == 2
    assert "name at least one network, or give --paper or --all" in ended.err
    assert "no backbone 'resnet19'" in run("backbones", *command, "resnet19").err


def test_the_paper_is_ten_networks(run, hub):
    document = json.loads(run("backbones", "fetch", "--paper", "--json").out)
    assert [item["name"] for item in document["problems"]] == list(PAPER)


@pytest.fixture
def bundle(run, hub, tmp_path):
    path = tmp_path / "bundle.zip"
    ended = run("backbones", "bundle", "SqueezeNet1_1", "mobilenet_v3_small", "-o", path, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert document["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [row["name"] for row in document["backbones"]] == ["squeezenet1_1", "mobilenet_v3_small"]
    return path


def test_a_bundle_serves_all_backbones_of_a_command(run, hub, bundle, smears, tmp_path):
    networks = ("--backbone", "SqueezeNet1_1", "--backbone", "mobilenet_v3_small")
    common = ("extract", smears, "--features", "deep", "--json", "--cache", tmp_path / "cache")
    here = run(*common, *networks, "-o", tmp_path / "here.parquet")
    for path in hub.iterdir():
        path.unlink()
    ended = run(*common, *networks, "--weights", bundle, "-o", tmp_path / "bundled.parquet")
    assert (here.status, ended.status) == (0, 0), here.err + ended.err
    import pandas as pd

    one, two = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("here", "bundled"))
    pd.testing.assert_frame_equal(one, two)
    assert "embedding__squeezenet1_1__image" in two.columns


def test_a_backbone_that_is_not_in_the_bundle(run, bundle, smears, tmp_path):
    options = ("--features", "deep", "--backbone", "resnet18", "--weights", bundle)
    ended = run("extract", smears, "-o", tmp_path / "f.parquet", *options)
    assert ended.status == 1
    assert "no weights of resnet18; it has squeezenet1_1, mobilenet_v3_small" in ended.err
    assert not (tmp_path / "f.parquet").exists()


def test_an_existing_bundle_is_kept(run, hub, bundle):
    ended = run("backbones", "bundle", "squeezenet1_1", "-o", bundle)
    assert ended.status == 1
    assert "give --overwrite" in ended.err
    assert run("backbones", "bundle", "squeezenet1_1", "-o", bundle, "--overwrite").status == 0
    assert run("backbones", "bundle", "squeezenet1_1", "-o", bundle.with_suffix(".tar")).status == 2


def test_weights_of_ones_own_in_a_bundle(run, hub, tmp_path):
    file = next(hub.glob("squeezenet*"))
    own = ("--weights", file, "-o", tmp_path / "own.zip")
    ended = run("backbones", "bundle", "squeezenet1_1", *own, "--json")
    assert json.loads(ended.out)["backbones"][0]["file"].endswith(file.name)
    assert run("backbones", "bundle", "squeezenet1_1", "resnet18", *own, "--overwrite").status == 2
    assert json.loads(ended.out)["backbones"][0]["weights"] == "a file of one's own"
    assert json.loads(ended.out)["backbones"][0]["from"] == "given by whoever made the bundle"
    ended = run("backbones", "bundle", "resnet18", *own, "--overwrite")
    assert ended.status == 1
    assert "looks like squeezenet1_1" in ended.err


def test_a_replaced_file_is_not_bundled_as_published(run, hub, tmp_path):
    (hub / BACKBONES["squeezenet1_1"].weights_file).write_bytes(b"replaced")
    ended = run("backbones", "bundle", "squeezenet1_1", "-o", tmp_path / "wrong.zip")
    assert ended.status == 1
    assert "its hash is not the published one" in ended.err
    assert not (tmp_path / "wrong.zip").exists()


def test_doctor_tells_of_damaged_and_unfinished_weights(run, hub, monkeypatch, tmp_path):
    from hybridleuk_cli import doctor

    monkeypatch.setattr(doctor, "_NEEDED", {"numpy": "numpy"})
    (hub / BACKBONES["squeezenet1_1"].weights_file).write_bytes(b"damaged")
    (hub / "resnet18-f37072fd.pth.partial").write_bytes(b"begun")
    ended = run("doctor", "--json", "--cache", tmp_path / "cache")
    found = json.loads(ended.out)
    assert found["weights"]["damaged"] == ["squeezenet1_1"]
    assert found["weights"]["unfinished"] == ["resnet18-f37072fd.pth.partial"]
    assert found["weights"]["present"] == ["squeezenet1_1", "mobilenet_v3_small", "smearnet"]
    missing = {item["what"]: item["how"] for item in found["missing"]}
    how = missing["squeezenet1_1's weights are not as published"]
    assert how == "hybridleuk backbones fetch squeezenet1_1 --overwrite"
    assert ended.status == 0


def test_the_backbone_of_a_trained_network_becomes_weights(run, tmp_path, smears):
    model, output = tmp_path / "m.hleuk", tmp_path / "own.safetensors"
    options = ("--weights", "random", "--image-size", 32, "--epochs", 1, "--workers", 1)
    ended = run("fit", smears, "-o", model, "--classifier", "finetuned", *options)
    assert ended.status == 0, ended.err
    assert "Learning curve, epochs 0 to 1" in ended.out
    assert "waited for images" in ended.out
    ended = run("backbones", "export", model, "-o", output, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["n_learned_from"] == 16
    assert read_state(output)["features.0.weight"].shape == (96, 3, 7, 7)
    assert "exists" in run("backbones", "export", model, "-o", output).err
    ended = run("fit", smears, "-o", tmp_path / "s.hleuk", "--features", "morphology")
    assert ended.status == 0, ended.err
    ended = run("backbones", "export", tmp_path / "s.hleuk", "-o", tmp_path / "no.safetensors")
    assert (ended.status, "expected a model of" in ended.err) == (1, True)
