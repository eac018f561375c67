"""Which weights belong to which backbone, by the order in which they were typed."""

import pytest
import typer

from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import write_weights
from hybridleuk.exceptions import WeightsError
from hybridleuk_cli.weights import pair_weights


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")


def pair(line: str):
    typed = line.split()
    joined = line.replace("=", " ").split()
    values = {
        option: [joined[i + 1] for i, word in enumerate(joined) if word == option]
        for option in ("--backbone", "--weights")
    }
    return pair_weights(values["--backbone"], values["--weights"], typed)


@pytest.mark.parametrize(
    ("line", "weights"),
    [
        ("", ["default"]),
        ("--weights random", ["random"]),
        ("--weights a.pth", ["a.pth"]),
        ("--weights a.pth --backbone resnet18", ["a.pth"]),
        ("--backbone resnet18 --backbone resnet50", ["default", "default"]),
        ("--backbone resnet18 --backbone resnet50 --weights random", ["random", "random"]),
        ("--backbone resnet18 --weights a.pth --backbone resnet50", ["a.pth", "default"]),
        ("--backbone resnet18 --backbone resnet50 --weights a.pth", ["default", "a.pth"]),
        ("--weights=a.pth --backbone=resnet18 --backbone=resnet50", ["a.pth", "default"]),
        (
            "--backbone resnet18 --weights a.pth --backbone resnet50 --weights b.pth",
            ["a.pth", "b.pth"],
        ),
        (
            "--weights a.pth --backbone resnet18 --weights random --backbone resnet50",
            ["a.pth", "random"],
        ),
    ],
)
def test_pairs(files, line, weights):
    assert pair(line)[1] == weights


def test_weights_alone_name_their_backbone(files, tmp_path):
    assert pair("--weights bundled") == (["smearnet"], ["bundled"])
    assert pair("--backbone bundled") == (["smearnet"], ["default"])
    assert pair("--weights a.pth") == (["squeezenet1_0"], ["a.pth"])
    record = backbone("resnet18")
    write_weights(tmp_path / "own.safetensors", random_network(record, 0).state_dict(), record)
    assert pair("--weights own.safetensors") == (["resnet18"], ["own.safetensors"])


def test_bundled_beside_another_backbone():
    with pytest.raises(typer.BadParameter, match="no weights of resnet18, only of smearnet"):
        pair("--backbone resnet18 --weights bundled")


def test_weights_without_a_backbone_beside_them(files):
    with pytest.raises(typer.BadParameter, match="no --backbone beside --weights b.pth"):
        pair("--backbone resnet18 --weights a.pth --weights b.pth")


def test_missing_file():
    with pytest.raises(WeightsError, match="no such file; expected default, bundled, random"):
        pair("--weights nowhere.pth")


def test_a_folder_is_no_file_of_weights(files, tmp_path):
    with pytest.raises(WeightsError, match="this is a folder; expected default, bundled, random"):
        pair(f"--weights {tmp_path}")


def test_unknown_and_repeated_backbone():
    with pytest.raises(typer.BadParameter, match="known are .*resnet18"):
        pair("--backbone resnet19")
    with pytest.raises(typer.BadParameter, match="resnet18 is named twice"):
        pair("--backbone resnet18 --backbone resnet18")
