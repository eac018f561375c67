"""Bundles of weights, and weights that say which network they are of."""

import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from hybridleuk import DeepEmbeddings, HybridClassifier
from hybridleuk.embeddings.backbones import BACKBONES, backbone, identity_of
from hybridleuk.embeddings.bundle import is_bundle, read_bundle, write_bundle
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import write_weights
from hybridleuk.embeddings.weights import fingerprint, load_network, resolve_weights, trunk_state
from hybridleuk.exceptions import InputError, OutputError, WeightsError
from hybridleuk.persistence import load_model, save_model

SQUEEZENET, MOBILENET = backbone("squeezenet1_0"), backbone("mobilenet_v3_small")
# A record that no table has: another size, and values a scanner of one's own would give.
OWN = dataclasses.replace(
    SQUEEZENET,
    name="smears-1",
    builder="squeezenet1_0",
    input_size=40,
    mean=(0.8, 0.7, 0.8),
    std=(0.1, 0.2, 0.1),
    interpolation="bicubic",
)


@pytest.fixture
def mobilenet_file(tmp_path):
    path = tmp_path / "mobilenet.safetensors"
    safetensors.torch.save_file(random_network(MOBILENET, 5).state_dict(), path)
    return path


@pytest.fixture
def bundle(tmp_path, squeezenet_file, mobilenet_file):
    path = tmp_path / "bundle.zip"
    write_bundle(path, [(SQUEEZENET, squeezenet_file), (MOBILENET, mobilenet_file)])
    return path


def rewritten(path, change):
    """Copy a bundle, with its members changed by a function of name and content."""
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


# What is in it


def test_weights_from_a_bundle_are_those_of_the_file(bundle, squeezenet_file, mobilenet_file):
    for record, file in ((SQUEEZENET, squeezenet_file), (MOBILENET, mobilenet_file)):
        inside, plain = (resolve_weights(record, path) for path in (bundle, file))
        assert inside.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert fingerprint(inside) == fingerprint(plain)
        assert inside.description == "bundle bundle.zip"
        for name, value in trunk_state(plain).items():
            torch.testing.assert_close(trunk_state(inside)[name], value, rtol=0, atol=0)


def test_the_index_says_what_is_in_it(bundle, squeezenet_file):
    with zipfile.ZipFile(bundle) as archive:
        index = json.loads(archive.read("bundle.json"))
        readme = archive.read("README.txt").decode()
        assert archive.testzip() is None
    first = index["backbones"][0]
    assert first["name"] == "squeezenet1_0"
    assert first["sha256"] == hashlib.sha256(squeezenet_file.read_bytes()).hexdigest()
    assert first["licence"] == SQUEEZENET.licence
    for part in (first["sha256"], "--weights bundle.zip", "mobilenet_v3_small", SQUEEZENET.licence):
        assert part in readme
    assert read_bundle(bundle)["squeezenet1_0"].record == SQUEEZENET


def test_the_same_files_give_the_same_bundle(bundle, squeezenet_file, mobilenet_file, tmp_path):
    again = tmp_path / "again" / "bundle.zip"
    again.parent.mkdir()
    write_bundle(again, [(SQUEEZENET, squeezenet_file), (MOBILENET, mobilenet_file)])
    assert again.read_bytes() == bundle.read_bytes()


def test_embeddings_and_fine_tuning_take_a_bundle(bundle, squeezenet_file, images):
    rows = [
        DeepEmbeddings(weights=weights, cache=None).fit_transform(images)
        for weights in (bundle, str(squeezenet_file))
    ]
    np.testing.assert_array_equal(*rows)
    found = [load_network(SQUEEZENET, weights) for weights in (bundle, squeezenet_file)]
    assert found[0].weights_hash == found[1].weights_hash


def test_pth_files_are_no_bundles(squeezenet_file, mobilenet_file, bundle, tmp_path):
    assert not is_bundle(squeezenet_file)
    assert not is_bundle(mobilenet_file)
    assert is_bundle(bundle)
    assert is_bundle(bundle.rename(tmp_path / "without_suffix"))


# What is refused


def test_not_in_the_bundle(bundle):
    message = r"no weights of resnet18; it has squeezenet1_0, mobilenet_v3_small\. Name one"
    with pytest.raises(WeightsError, match=message):
        resolve_weights(backbone("resnet18"), bundle)


@pytest.mark.parametrize("kind", ["zip", "text", "cut", "empty"])
def test_not_a_bundle(bundle, tmp_path, kind):
    path = tmp_path / "other.zip"
    whole = bundle.read_bytes()
    path.write_bytes({"text": b"no zip", "cut": whole[: len(whole) // 2]}.get(kind, b""))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("holiday.jpg", b"picture")
    with pytest.raises(WeightsError, match=r"is not a bundle of weights.*(make one|copy it again)"):
        resolve_weights(SQUEEZENET, path)


def test_a_changed_member_has_another_hash(bundle):
    def change(name, content):
        return content[:-9] + b"different" if name.endswith(".pth") else content

    changed = rewritten(bundle, change)
    message = r"weights/squeezenet1_0/squeezenet.pth has SHA-256 .*, expected .*copy it again"
    for use in (fingerprint, trunk_state, lambda found: found.sha256):
        with pytest.raises(WeightsError, match=message):
            use(resolve_weights(SQUEEZENET, changed))
    assert fingerprint(resolve_weights(MOBILENET, changed))


def test_flipped_bytes_on_the_disk(bundle):
    content = bytearray(bundle.read_bytes())
    content[2_000_000] ^= 255
    bundle.write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a bundle of weights, or was cut off|has SHA-256"):
        fingerprint(resolve_weights(SQUEEZENET, bundle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda index: index | {"format": 2},
            "a bundle of format 2, this hybridleuk reads up to 1",
        ),
        (lambda index: {"format": 1}, "bundle.json is unreadable"),
        (lambda index: [], "bundle.json is unreadable"),
        (
            lambda index: index | {"backbones": [index["backbones"][0] | {"file": "no/such"}]},
            "no/such is missing",
        ),
    ],
)
def test_other_indexes(bundle, change, message):
    def changed(name, content):
        return json.dumps(change(json.loads(content))) if name == "bundle.json" else content

    with pytest.raises(WeightsError, match=message):
        read_bundle(rewritten(bundle, changed))


def test_a_full_disk_leaves_nothing(tmp_path, squeezenet_file, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybridleuk.embeddings.bundle.os.replace", full)
    with pytest.raises(OutputError, match="No space left on device.; free some space"):
        write_bundle(tmp_path / "bundle.zip", [(SQUEEZENET, squeezenet_file)])
    assert list(tmp_path.iterdir()) == [squeezenet_file]


# Weights that describe their network


@pytest.fixture
def own_file(tmp_path, squeezenet_state):
    path = tmp_path / "smears.safetensors"
    write_weights(path, squeezenet_state, OWN)
    return path


def test_a_name_of_ones_own_with_a_file_that_says_what_it_is(own_file, images):
    record = backbone("smears-1", own_file)
    assert record == OWN
    estimator = DeepEmbeddings("smears-1", weights=own_file, cache=None)
    rows = estimator.fit_transform(images)
    assert estimator.get_feature_names_out()[0] == "smears-1__image__0"
    plain = DeepEmbeddings(weights=own_file, cache=None)
    np.testing.assert_array_equal(plain.fit_transform(images), rows)
    assert identity_of(record) != "smears-1"
    assert "head" not in safetensors.torch.load_file(own_file)


def test_its_input_is_part_of_the_cached_identity(own_file, squeezenet_file, images, tmp_path):
    cache = tmp_path / "cache"
    own, plain = (
        DeepEmbeddings(weights=path, cache=cache).fit_transform(images)
        for path in (own_file, squeezenet_file)
    )
    assert not np.allclose(own, plain)


def test_metadata_of_ones_own_hand(tmp_path, squeezenet_state):
    path = tmp_path / "by_hand.safetensors"
    said = {"architecture": "SqueezeNet", "input_size": "64", "mean": "[0.5, 0.5, 0.5]"}
    safetensors.torch.save_file(squeezenet_state, path, said)
    record = backbone("my-cells", path)
    assert (record.name, record.architecture) == ("my-cells", "squeezenet1_0")
    assert (record.input_size, record.mean) == (64, (0.5, 0.5, 0.5))
    assert record.std == SQUEEZENET.std


def test_a_file_of_another_architecture_does_not_change_a_named_one(own_file, images):
    assert backbone("resnet18", own_file) is BACKBONES["resnet18"]
    with pytest.raises(WeightsError, match="does not fit resnet18.*looks like squeezenet1_0"):
        DeepEmbeddings("resnet18", weights=own_file, cache=None).fit(images)


@pytest.mark.parametrize(
    "said",
    [
        {"architecture": "squeezenet1_0", "input_size": "huge"},
        {"architecture": "squeezenet1_0", "std": "[0, 0, 0]"},
        {"hybridleuk_backbone": "{}"},
        {"hybridleuk_backbone": '{"name": "x", "source": "own"}'},
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, squeezenet_state, said):
    path = tmp_path / "nonsense.safetensors"
    safetensors.torch.save_file(squeezenet_state, path, said)
    with pytest.raises(WeightsError, match="metadata does not describe a network"):
        backbone("mine", path)


def test_a_name_of_ones_own_without_description(tmp_path, squeezenet_state, squeezenet_file):
    path = tmp_path / "silent.safetensors"
    safetensors.torch.save_file(squeezenet_state, path, {"architecture": "of somebody else"})
    for weights in (path, squeezenet_file, "random"):
        with pytest.raises(InputError, match="There is no backbone 'mine'"):
            backbone("mine", weights)


def test_writing_what_does_not_fit(tmp_path, squeezenet_state):
    with pytest.raises(WeightsError, match="does not fit resnet18"):
        write_weights(tmp_path / "wrong.safetensors", squeezenet_state, backbone("resnet18"))
    with pytest.raises(OutputError, match="cannot be written"):
        write_weights(tmp_path / "no" / "x.safetensors", squeezenet_state, SQUEEZENET)
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_brings_the_description_along(own_file, images, tmp_path):
    many = [np.roll(image, i, axis=0) for i in range(4) for image in images[:4]]
    labels = ["blast", "other"] * 8
    model = HybridClassifier(
        features="deep", backbone="smears-1", weights=str(own_file), cache=None
    ).fit(many, labels)
    expected = model.predict_proba(images)
    save_model(model, tmp_path / "model.hleuk")
    own_file.unlink()
    restored = load_model(tmp_path / "model.hleuk")
    restored.set_params(cache=None)
    np.testing.assert_allclose(restored.predict_proba(images), expected, atol=1e-9)
