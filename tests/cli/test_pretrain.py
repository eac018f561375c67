"""``hybridleuk pretrain``: what it writes, says, refuses, and what the file is then good for."""

import json

import pytest

from hybridleuk.data.artificial import draw_study
from hybridleuk.embeddings.described import header_of


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    draw_study(folder, n_patients=4, images_per_patient_and_class=1, random_state=0)
    return folder / "manifest.csv"


COMMON = ("--method", "supervised", "--weights", "random", "--image-size", 32, "--workers", 1)


def test_a_backbone_of_ones_own_and_its_use(run, study, tmp_path):
    out = tmp_path / "own.safetensors"
    ended = run("pretrain", study, "-o", out, *COMMON, "--epochs", 2, "--batch-size", 4, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert [line["epoch"] for line in document["history"]] == [0, 1, 2]
    assert document["backbone"] == "smearnet"
    assert "Epoch 1/2: nearest neighbors" in ended.err
    assert "hybridleuk_learned_from" in header_of(out)
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]

    features = tmp_path / "features.parquet"
    used = run("extract", study, "-o", features, "--features", "deep", "--weights", out)
    assert used.status == 0, used.err
    n = document["n_images"]
    assert f"CONTAMINATED: smearnet was trained on {n} of these {n} images" in used.err

    refused = run("pretrain", study, "-o", out, *COMMON)
    assert refused.status == 1
    assert "give --overwrite" in refused.err


def test_wrong_usage(run, study, tmp_path):
    ended = run("pretrain", study, "-o", tmp_path / "own.pth")
    assert ended.status == 2
    assert ".safetensors" in ended.err
    ended = run("pretrain", study, "-o", tmp_path / "a.safetensors", "--method", "dino")
    assert ended.status == 2
    ended = run("pretrain", study, "-o", tmp_path / "a.safetensors", "--backbone", "resnet19")
    assert ended.status == 2
    assert "no backbone 'resnet19'" in ended.err
