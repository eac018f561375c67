"""Weights: where they are taken from, what is refused, and what identifies them."""

import hashlib
import io
import os
import pickle
import urllib.error

import numpy as np
import pytest
import safetensors.torch
import torch

from hybridleuk import progress
from hybridleuk.data import download
from hybridleuk.data.cache import Cache
from hybridleuk.embeddings import package_table, states, weights
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.learned import learned_from
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.weights import fingerprint, load_network, resolve_weights, trunk_state
from hybridleuk.exceptions import WeightsError

SQUEEZENET = backbone("squeezenet1_0")


class Notes(progress.Listener):
    def __init__(self):
        self.texts = []

    def noted(self, text):
        self.texts.append(text)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Give the test an empty torch hub cache of its own, and no network."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))

    def unreachable(*_, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(download.urllib.request, "urlopen", unreachable)
    return tmp_path / "hub" / "checkpoints"


def as_bytes(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


# Files


def test_pth_and_safetensors_give_the_same_network(tmp_path, squeezenet_file, squeezenet_state):
    trunk = trunk_state(resolve_weights(SQUEEZENET, squeezenet_file))
    assert set(trunk) == {name for name in squeezenet_state if name.startswith("features.")}
    other = tmp_path / "trunk.safetensors"
    safetensors.torch.save_file(trunk, other)
    for name, value in trunk_state(resolve_weights(SQUEEZENET, str(other))).items():
        torch.testing.assert_close(value, squeezenet_state[name], rtol=0, atol=0)
    one, two = (resolve_weights(SQUEEZENET, path) for path in (squeezenet_file, other))
    assert fingerprint(one) == fingerprint(two)
    assert one.sha256 == hashlib.sha256(squeezenet_file.read_bytes()).hexdigest() != two.sha256
    assert one.description == "file squeezenet.pth"


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_checkpoints_are_unwrapped(tmp_path, squeezenet_state, wrapper):
    path = tmp_path / "checkpoint.pth"
    state = {f"module.{name}": value for name, value in squeezenet_state.items()}
    torch.save({"epoch": 3, wrapper: state}, path)
    plain = tmp_path / "plain.pth"
    torch.save(squeezenet_state, plain)
    found = [fingerprint(resolve_weights(SQUEEZENET, p)) for p in (path, plain)]
    assert found[0] == found[1]


def test_another_number_of_classes_does_not_matter(tmp_path, squeezenet_state):
    path = tmp_path / "fine_tuned.pth"
    head = {"classifier.1.weight": torch.zeros(8, 512, 1, 1), "classifier.1.bias": torch.zeros(8)}
    torch.save({**squeezenet_state, **head}, path)
    network, _, _ = load_network(SQUEEZENET, path)
    assert network.classifier[1].out_channels == 1000
    value = network.features[0].weight
    torch.testing.assert_close(value, squeezenet_state["features.0.weight"], rtol=0, atol=0)


def test_older_names_and_missing_counters_of_torchvisions_densenets(tmp_path):
    record = backbone("densenet121")
    state = random_network(record, 0).state_dict()
    old = {
        states.re.sub(r"(denselayer\d+\.(norm|conv))(\d\.)", r"\1.\3", name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    torch.save(state, tmp_path / "new.pth")
    found = [resolve_weights(record, tmp_path / f"{name}.pth") for name in ("old", "new")]
    assert fingerprint(found[0]) == fingerprint(found[1])
    assert trunk_state(found[0]).keys() == trunk_state(found[1]).keys()


def test_complete_network(squeezenet_file, squeezenet_state):
    network, identity, description = load_network(SQUEEZENET, squeezenet_file)
    assert not network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, squeezenet_state[name], rtol=0, atol=0)
    assert identity == fingerprint(resolve_weights(SQUEEZENET, squeezenet_file))
    assert description == "file squeezenet.pth"


# What is refused


def test_wrong_architecture_is_named(tmp_path):
    path = tmp_path / "mystery.pth"
    torch.save(random_network(backbone("resnet18"), 0).state_dict(), path)
    message = (
        r"mystery.pth does not fit squeezenet1_0: 50 of 50 tensors are missing, 122 are unexpected "
        r"and 0 differ in shape; it looks like resnet18, so name that backbone"
    )
    with pytest.raises(WeightsError, match=message):
        trunk_state(resolve_weights(SQUEEZENET, path))
    with pytest.raises(WeightsError, match="looks like resnet18"):
        load_network(SQUEEZENET, path)


def test_siblings_are_told_apart(tmp_path):
    path = tmp_path / "sibling.pth"
    torch.save(random_network(backbone("squeezenet1_1"), 0).state_dict(), path)
    with pytest.raises(WeightsError, match=r"differ in shape; it looks like squeezenet1_1"):
        trunk_state(resolve_weights(SQUEEZENET, path))


def test_incomplete_and_foreign_files(tmp_path, squeezenet_state):
    incomplete = dict(squeezenet_state)
    del incomplete["features.3.squeeze.weight"]
    torch.save(incomplete, tmp_path / "incomplete.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    with pytest.raises(WeightsError, match=r"1 of 50 tensors are missing, 0 are unexpected"):
        trunk_state(resolve_weights(SQUEEZENET, tmp_path / "incomplete.pth"))
    with pytest.raises(WeightsError, match=r"looks like none of the known backbones"):
        trunk_state(resolve_weights(SQUEEZENET, tmp_path / "foreign.pth"))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("protocol", ["zip", "pickle"])
def test_pickles_that_run_code_are_refused(tmp_path, monkeypatch, squeezenet_state, protocol):
    monkeypatch.chdir(tmp_path)
    content = {**squeezenet_state, "more": Malicious()}
    if protocol == "zip":
        torch.save(content, "evil.pth")
    else:
        (tmp_path / "evil.pth").write_bytes(pickle.dumps(content))
    with pytest.raises(
        WeightsError, match=r"more than plain tensors and could run code, so it was"
    ):
        trunk_state(resolve_weights(SQUEEZENET, "evil.pth"))
    assert not (tmp_path / "harm").exists()


def test_whole_pickled_networks_are_refused(tmp_path):
    torch.save(random_network(SQUEEZENET, 0), tmp_path / "network.pth")
    with pytest.raises(WeightsError, match=r"torch.save\(network.state_dict\(\), FILE\)"):
        trunk_state(resolve_weights(SQUEEZENET, tmp_path / "network.pth"))


def test_values_that_are_no_tensors(tmp_path):
    torch.save({"weight": 3}, tmp_path / "numbers.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="more than plain tensors"):
        trunk_state(resolve_weights(SQUEEZENET, tmp_path / "numbers.pth"))
    with pytest.raises(WeightsError, match="holds list, expected a state dict"):
        trunk_state(resolve_weights(SQUEEZENET, tmp_path / "list.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_files(tmp_path, squeezenet_state, suffix, damage):
    path = tmp_path / f"weights{suffix}"
    whole = (
        as_bytes(squeezenet_state) if suffix == ".pth" else safetensors.torch.save(squeezenet_state)
    )
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"no weights", "empty": b""}[damage])
    with pytest.raises(WeightsError, match=r"no readable weights, or cut off .*copy it again"):
        trunk_state(resolve_weights(SQUEEZENET, path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_values_that_are_not_finite_are_refused_and_named(tmp_path, squeezenet_state, value):
    bias = squeezenet_state["features.3.squeeze.bias"].double()
    bias[2:5] = value
    path = tmp_path / "diverged.safetensors"
    safetensors.torch.save_file({**squeezenet_state, "features.3.squeeze.bias": bias}, path)
    message = r"diverged.*: 3 of 16 values of the tensor features\.3\.squeeze\.bias are NaN or inf"
    found = resolve_weights(SQUEEZENET, path)
    with Cache(tmp_path / "cache") as cache:
        for _ in range(2):
            with pytest.raises(WeightsError, match=message):
                fingerprint(found, cache)
        assert len(cache) == 0
    with pytest.raises(WeightsError, match=message):
        load_network(SQUEEZENET, path)


def test_a_changed_file_is_another_identity(squeezenet_file, squeezenet_state):
    before = resolve_weights(SQUEEZENET, squeezenet_file)
    known = before.sha256, fingerprint(before)
    changed = {**squeezenet_state, "features.0.bias": squeezenet_state["features.0.bias"] + 1e-3}
    torch.save(changed, squeezenet_file)
    os.utime(squeezenet_file, ns=(1, 1))
    after = resolve_weights(SQUEEZENET, squeezenet_file)
    assert after.sha256 != known[0]
    assert fingerprint(after) != known[1]


def test_no_such_file():
    with pytest.raises(WeightsError, match=r"'nowhere.pth' are no file, nor 'default'.*FILE"):
        resolve_weights(SQUEEZENET, "nowhere.pth")


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(WeightsError, match=r"are a folder, not a file, nor 'default'"):
        resolve_weights(SQUEEZENET, tmp_path)


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("input_size", "banana", "a whole number of px"),
        ("input_size", "224.5", "a whole number of px"),
        ("mean", "[0.5, 0.5]", "three numbers"),
        ("std", "[0.2, 0.2, null]", "three numbers"),
    ],
)
def test_metadata_name_the_field_that_is_wrong(tmp_path, field, text, expected):
    path = tmp_path / "described.safetensors"
    said = {"architecture": "squeezenet1_0", field: text}
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, said)
    with pytest.raises(WeightsError) as failed:
        backbone("mine", path)
    assert f"({field} is {text!r}, expected {expected}" in str(failed.value)


def test_only_one_backbone_comes_in_the_package():
    with pytest.raises(
        WeightsError, match=r"No weights of squeezenet1_0 come in.*smearnet.*FILE.*'random'"
    ):
        resolve_weights(SQUEEZENET, "bundled")
    record = backbone("smearnet")
    found = [resolve_weights(record, word) for word in ("default", "bundled")]
    assert found[0].path == found[1].path
    assert found[0].is_genuine
    assert found[0].sha256 == record.sha256
    assert found[0].description == "smearnet 1 of the package (blood cells)"
    assert backbone("bundled") is record


def test_the_package_offers_its_backbone_where_weights_cannot_be_had(hub):
    with pytest.raises(WeightsError) as failed:
        resolve_weights(SQUEEZENET, "default")
    assert "'--weights bundled' without --backbone" in str(failed.value)
    assert "backbone='smearnet'" in str(failed.value)


def test_weights_that_were_taken_out_of_the_package_are_missed(monkeypatch, tmp_path):
    record = backbone("smearnet")
    monkeypatch.setattr(package_table, "_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"part of the package; install hybridleuk again"):
        resolve_weights(record, "bundled")


def test_the_weights_of_the_package_are_small_and_tell_their_images():
    found = resolve_weights(backbone("smearnet"))
    assert found.path.stat().st_size < 3_000_000
    assert 2500 < len(learned_from(found)) < 4000
    state = trunk_state(found)
    assert {value.dtype for name, value in state.items() if "num_batches" not in name} == {
        torch.float32
    }
    assert (found.path.parent / "NOTICE.md").read_text().count(found.sha256) == 1


# Random weights


def test_random_weights_are_announced():
    with progress.report_to(Notes()) as notes:
        _, identity, description = load_network(SQUEEZENET, "random", random_state=3)
    assert identity == "random-3"
    assert description == "RANDOM weights, seed 3: this network was never trained"
    assert len(notes.texts) == 1
    assert "RANDOM" in notes.texts[0]


def test_a_fingerprint_is_kept_so_that_the_file_is_read_once(
    tmp_path, squeezenet_file, monkeypatch
):
    found = resolve_weights(SQUEEZENET, squeezenet_file)
    with Cache(tmp_path / "cache") as cache:
        first = fingerprint(found, cache)
        monkeypatch.setattr(weights, "_fingerprints", {})
        monkeypatch.setattr(weights, "trunk_state", None)
        assert fingerprint(found, cache) == first
        assert len(first) == 64


# torchvision's weights


def test_without_network_the_error_names_the_ways_out(hub):
    with pytest.raises(WeightsError) as caught:
        resolve_weights(SQUEEZENET, "default")
    text = str(caught.value)
    for part in (
        "squeezenet1_0 are not in",
        str(hub),
        "Name or service not known",
        "FILE",
        "squeezenet1_0-b66bff10.pth from a machine with internet",
        "'random'",
    ):
        assert part in text
    assert "\n" not in text
    assert list(hub.iterdir()) == []


def test_a_file_of_the_hub_is_used_and_a_replaced_one_announced(hub, squeezenet_state):
    hub.mkdir(parents=True)
    torch.save(squeezenet_state, hub / SQUEEZENET.weights_file)
    found = resolve_weights(SQUEEZENET, "default")
    assert "is not torchvision's file" in found.description
    with progress.report_to(Notes()) as notes:
        found.announce()
    assert "does not have the hash in its name" in notes.texts[0]


def test_the_hub_is_where_torch_has_it_with_and_without_torch(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for name, value in (("XDG_CACHE_HOME", tmp_path / "xdg"), ("TORCH_HOME", tmp_path / "home")):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(name, str(value))
        with_torch = weights.hub_folder()
        with monkeypatch.context() as context:
            context.delitem(weights.sys.modules, "torch")
            assert weights.hub_folder() == with_torch
        assert value in with_torch.parents


# Real weights


def test_shared_squeezenet(real_data):
    path = real_data.parent / "weights" / "squeezenet1_0-imagenet.pth"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    network, _, _ = load_network(SQUEEZENET, path)
    assert resolve_weights(SQUEEZENET, path).sha256.startswith("2e28baf63a240ddb")
    with torch.no_grad():
        answer = network(torch.zeros(1, 3, 224, 224))
    assert answer.shape == (1, 1000)
    assert np.isfinite(answer.numpy()).all()
