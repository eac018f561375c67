"""Networks of timm, and those at Hugging Face, from its cache or a server of the test's own."""

import dataclasses
import hashlib
import http.server
import json
import shutil
import sys
import threading

import numpy as np
import pytest
import safetensors.torch
import torch

from hybridleuk import DeepEmbeddings, HybridClassifier
from hybridleuk.embeddings import huggingface
from hybridleuk.embeddings.backbones import backbone, blocks_of, trainable_backbone
from hybridleuk.embeddings.bundle import write_bundle
from hybridleuk.embeddings.network import FrozenBackbone, random_network
from hybridleuk.embeddings.records import record_from_json, record_to_json
from hybridleuk.embeddings.timm_backbones import _published
from hybridleuk.embeddings.weights import load_network, resolve_weights, trunk_state
from hybridleuk.exceptions import InputError, WeightsError
from hybridleuk.persistence import load_model, save_model

timm = pytest.importorskip("timm")
constants = pytest.importorskip("huggingface_hub").constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CNN, VIT = "timm:test_resnet", "timm:test_vit"
NHWC = "timm:swin_tiny_patch4_window7_224"
CONFIG = {
    "architecture": "test_vit",
    "num_classes": 0,
    "num_features": 64,
    "model_args": {"img_size": 48},
    "pretrained_cfg": {
        "tag": "cells",
        "input_size": [3, 48, 48],
        "fixed_input_size": True,
        "mean": [0.7, 0.6, 0.8],
        "std": [0.1, 0.2, 0.1],
        "interpolation": "bicubic",
        "license": "cc-by-4.0",
    },
}


def pictures(side, n=2):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def rows(record, network, some, **blocks):
    state = {k: v for k, v in network.state_dict().items() if not record.in_head(k)}
    return FrozenBackbone(record, state, blocks_of(record, **blocks)).embed(some)


@pytest.mark.parametrize(
    ("name", "pooling", "timm_pool"),
    [(CNN, "avg", "avg"), (CNN, "max", "max"), (VIT, "cls", "token"), (NHWC, "avg", "avg")],
)
def test_the_same_as_timm_gives(name, pooling, timm_pool):
    record = backbone(name)
    network = random_network(record, 0)
    some = pictures(record.input_size)
    found = rows(record, network, some, pooling=pooling)
    plain = timm.create_model(record.architecture, num_classes=0, global_pool=timm_pool).eval()
    plain.load_state_dict(network.state_dict())
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        given = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
        expected = plain((given - mean) / std).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-4)


def test_a_transformer_has_patches_beside_its_class_token():
    record = backbone(VIT)
    assert (record.prefix_tokens, record.class_token) == (1, True)
    network = random_network(record, 0)
    some = pictures(record.input_size)
    found = rows(record, network, some, pooling="avg+max+gem+center+cls")
    assert found.shape == (2, 5 * record.width)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        given = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
        tokens = network.forward_features((given - mean) / std).numpy()
    average, maximum, _, center, first = np.split(found, 5, axis=1)
    side = int(np.sqrt(tokens.shape[1] - 1))
    grid = tokens[:, 1:].reshape(2, side, side, -1)
    third = side // 3
    middle = grid[:, third : side - third, third : side - third].mean((1, 2))
    for part, true in (
        (average, grid.mean((1, 2))),
        (maximum, grid.max((1, 2))),
        (center, middle),
        (first, tokens[:, 0]),
    ):
        np.testing.assert_allclose(part, true, atol=1e-4)


@pytest.mark.parametrize("name", [CNN, VIT, NHWC])
def test_every_listed_layer_can_be_pooled(name):
    record = backbone(name)
    found = rows(record, random_network(record, 0), pictures(record.input_size, 1), layers="all")
    assert found.shape == (1, sum(layer.width for layer in record.layers))
    assert np.isfinite(found).all()
    assert record.default_layer == "output"
    assert backbone(f" Timm:{name[5:]}") is record


@pytest.mark.parametrize("name", [CNN, VIT, NHWC])
def test_records_survive_json(name):
    record = backbone(name)
    assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


@pytest.mark.parametrize(
    "change",
    [
        {"options": [["checkpoint_path", "evil.pth"]]},
        {"options": [["pretrained", True]]},
        {"source": "own"},
        {"builder": "../evil"},
        {"input_size": 10**9},
        {"std": [1, 0, 1]},
        {"layers": []},
        {"unknown": 1},
        {"head": None},
    ],
)
def test_records_that_were_never_written(change):
    with pytest.raises(ValueError):
        record_from_json(record_to_json(backbone("resnet18")) | change)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet10", r"has no network 'resnet10'; it has .*resnet10"),
        ("timm:", "has no network ''"),
        ("timm:test_vit.nonsense", "has test_vit, but no such weights of it"),
        ("timm:../evil", "has no network"),
        ("hf-hub:nonsense", "names no repository; expected hf-hub:OWNER/NAME"),
    ],
)
def test_names_that_mean_nothing(name, message):
    with pytest.raises(InputError, match=message):
        backbone(name)


@pytest.mark.parametrize("name", ["Xception", "timm:test_vit2"])
def test_without_timm_one_sentence_says_how_to_get_it(name, monkeypatch):
    record = backbone(name)
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"built by timm, which .*pip install 'hybridleuk\[timm\]'"
    with pytest.raises(InputError, match=message):
        random_network(record, 0)
    with pytest.raises(InputError, match=message):  # before anything is fetched
        resolve_weights(record)
    with pytest.raises(InputError, match=message):
        backbone("timm:test_vit3")


def test_what_can_be_fine_tuned():
    assert trainable_backbone("timm:test_resnet").name == "timm:test_resnet"
    assert trainable_backbone("NASNetLarge").name == "nasnetlarge"
    assert trainable_backbone(VIT).rates.backbone < trainable_backbone("resnet18").rates.backbone
    own = torch.nn.Identity()
    own.input_size = 32
    with pytest.raises(InputError, match=r"Identity.* cannot be fine-tuned here"):
        trainable_backbone(own)


@pytest.mark.parametrize(("name", "fixed"), [(CNN, False), (VIT, True), ("inception_v3", False)])
def test_networks_that_take_one_size_only(name, fixed):
    record = backbone(name)
    assert record.fixed_size is fixed
    assert dataclasses.replace(record, input_size=record.minimum_size).fixed_size is fixed


def test_checkpoints_of_a_teacher_with_heads_beside_its_backbone(tmp_path):
    record = backbone(VIT)
    state = random_network(record, 0).state_dict()
    teacher = {f"backbone.{name}": value for name, value in state.items()}
    torch.save({"teacher": {**teacher, "dino_head.w": torch.ones(2)}}, tmp_path / "teacher.pth")
    found = trunk_state(resolve_weights(record, tmp_path / "teacher.pth"))
    assert all(torch.equal(found[name], value) for name, value in state.items())


# Hugging Face


@pytest.fixture
def cells_state():
    return timm.create_model("test_vit", num_classes=0, img_size=48).state_dict()


@pytest.fixture
def hf_cache(tmp_path, monkeypatch):
    """An empty cache of Hugging Face, with the client told to stay offline."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _published.cache_clear()
    return tmp_path / "hf"


def put(cache, repository, files):
    """Lay files in the cache as the client does: by hash, with links of their names."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for part in (folder / "blobs", folder / "refs", snapshot):
        part.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for name, content in files.items():
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    return snapshot


def repository_files(state, **config):
    return {
        "config.json": json.dumps(CONFIG | config).encode(),
        "model.safetensors": safetensors.torch.save(state),
    }


def test_a_repository_in_the_cache_needs_no_internet(hf_cache, cells_state):
    snapshot = put(hf_cache, "lab/cells", repository_files(cells_state))
    record = backbone("hf-hub:lab/cells")
    assert (record.input_size, record.architecture, record.hub) == (48, "test_vit", "lab/cells")
    assert (record.mean, record.std) == ((0.7, 0.6, 0.8), (0.1, 0.2, 0.1))
    assert record.licence == "cc-by-4.0"
    found = resolve_weights(record, "default")
    assert found.path == snapshot / "model.safetensors"
    assert found.is_genuine
    assert found.description == "timm cells"
    state = trunk_state(found)
    assert all(torch.equal(state[name], value) for name, value in cells_state.items())
    assert backbone(f"hf-hub:lab/cells@{COMMIT}").hub == f"lab/cells@{COMMIT}"


def test_bundles_and_model_files_bring_an_encoder_to_where_its_repository_is_not(
    hf_cache, cells_state, images, tmp_path
):
    name = "hf-hub:lab/cells"
    put(hf_cache, "lab/cells", repository_files(cells_state))
    record = backbone(name)
    write_bundle(tmp_path / "bundle.zip", [(record, resolve_weights(record).path)])
    settings = {"pooling": "cls", "cache": None}
    rows = DeepEmbeddings(name, **settings).fit_transform(images)
    many = [np.roll(image, i, axis=0) for i in range(4) for image in images[:4]]
    model = HybridClassifier(features="deep", backbone=name, **settings)
    model.fit(many, ["blast", "other"] * 8)
    expected = model.predict_proba(images)
    save_model(model, tmp_path / "model.hleuk")

    shutil.rmtree(hf_cache)
    _published.cache_clear()
    bundled = DeepEmbeddings(name, weights=tmp_path / "bundle.zip", **settings)
    np.testing.assert_array_equal(bundled.fit_transform(images), rows)
    restored = load_model(tmp_path / "model.hleuk").set_params(cache=None)
    np.testing.assert_allclose(restored.predict_proba(images), expected, atol=1e-9)


def test_a_changed_file_in_the_cache_is_noticed(hf_cache, cells_state):
    snapshot = put(hf_cache, "lab/cells", repository_files(cells_state))
    found = resolve_weights(backbone("hf-hub:lab/cells"), "default")
    changed = {name: value + 1 for name, value in cells_state.items()}
    (snapshot / "model.safetensors").resolve().write_bytes(safetensors.torch.save(changed))
    assert not found.is_genuine


def test_older_checkpoints_are_read_without_running_code(hf_cache, cells_state, tmp_path):
    torch.save(cells_state, tmp_path / "old.bin")
    files = {
        **repository_files(cells_state),
        "pytorch_model.bin": (tmp_path / "old.bin").read_bytes(),
    }
    del files["model.safetensors"]
    snapshot = put(hf_cache, "lab/old", files)
    found = resolve_weights(backbone("hf-hub:lab/old"), "default")
    assert found.path == snapshot / "pytorch_model.bin"
    assert set(trunk_state(found)) == set(cells_state)
    torch.save(timm.create_model("test_vit", num_classes=0), found.path.resolve())
    with pytest.raises(WeightsError, match="could run code"):
        trunk_state(resolve_weights(backbone("hf-hub:lab/old"), "default"))


def test_weights_of_the_table_come_from_the_cache(hf_cache):
    record = backbone("ResNet50V2")
    assert huggingface.cached_file(record) is None
    state = random_network(record, 3).state_dict()
    put(hf_cache, record.hub, {"model.safetensors": safetensors.torch.save(state)})
    loaded = load_network(record)
    assert loaded.description == "timm a1h_in1k (ImageNet)"
    assert torch.equal(loaded.network.stem.conv.weight, state["stem.conv.weight"])
    assert torch.equal(loaded.network.head.fc.weight, state["head.fc.weight"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": None}, "not in timm's format: its config.json names no timm architect"),
        ({"architecture": "no_such_network"}, "a 'no_such_network', which timm .* does not know"),
    ],
)
def test_repositories_of_another_kind(hf_cache, cells_state, config, message):
    put(hf_cache, "lab/other", repository_files(cells_state, **config))
    with pytest.raises((WeightsError, InputError), match=message):
        backbone("hf-hub:lab/other")


def test_a_damaged_config(hf_cache):
    put(hf_cache, "lab/damaged", {"config.json": b"{not json"})
    with pytest.raises(WeightsError, match="no readable config.json"):
        backbone("hf-hub:lab/damaged")


def test_offline_and_not_there(hf_cache):
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set\).*backbones bundle"):
        backbone("hf-hub:lab/absent")
    with pytest.raises(WeightsError, match=r"timm/nasnetalarge.tf_in1k \(HF_HUB_OFFLINE is set"):
        resolve_weights(backbone("NASNetLarge"))


class Hub(http.server.ThreadingHTTPServer):
    """Answers as Hugging Face does for the files of one repository."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubAnswer)
        self.files = {}
        self.got = []


class HubAnswer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.server.got.append(self.path)
        self.answer(body=True)

    def answer(self, body):
        content = self.server.files.get(self.path.rsplit("/", 1)[1])
        self.send_response(200 if content is not None else 404)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content is not None:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(hf_cache, monkeypatch):
    with Hub() as made:
        url = f"http://127.0.0.1:{made.server_port}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_fetched_once_into_the_cache(hub, hf_cache, cells_state):
    hub.files = repository_files(cells_state)
    record = backbone("hf-hub:lab/cells")
    found = resolve_weights(record)
    assert hf_cache in found.path.parents
    assert found.path.read_bytes() == hub.files["model.safetensors"]
    assert found.is_genuine
    assert len(hub.got) == 2
    resolve_weights(backbone("hf-hub:lab/cells"))
    assert len(hub.got) == 2


def test_a_repository_without_weights(hub, cells_state):
    hub.files = repository_files(cells_state)
    del hub.files["model.safetensors"]
    with pytest.raises(WeightsError, match="it has neither of model.safetensors, pytorch_model"):
        resolve_weights(backbone("hf-hub:lab/cells"))


def test_no_internet_is_noticed_at_once(hf_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    record = dataclasses.replace(backbone("resnet18"), source="timm", hub="lab/resnet18")
    with pytest.raises(WeightsError, match=r"cannot be fetched from .*lab/resnet18 .*refused"):
        resolve_weights(record)
