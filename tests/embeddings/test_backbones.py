"""The table against torchvision, and the contract that every network of it keeps."""

import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from hybridleuk.embeddings.backbones import BACKBONES, backbone, blocks_of
from hybridleuk.embeddings.download import weights_url
from hybridleuk.embeddings.network import FrozenBackbone, empty_network, random_network
from hybridleuk.exceptions import InputError

TABLE = pytest.mark.parametrize("record", BACKBONES.values(), ids=list(BACKBONES))
REQUIRED = {
    *("squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50"),
    *("densenet121", "densenet201", "vgg16", "vgg19", "inception_v3"),
    *("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
}


def pictures(record, n=2, seed=0):
    shape = (n, record.minimum_size, record.minimum_size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def trunk_of(network, record):
    return {k: v for k, v in network.state_dict().items() if k.split(".")[0] not in record.head}


def test_the_table_is_complete():
    assert set(BACKBONES) >= REQUIRED
    assert all(name == record.name for name, record in BACKBONES.items())


@TABLE
def test_record_says_what_torchvision_says(record):
    weights = torchvision.models.get_model_weights(record.name)[record.weights_tag]
    preset = weights.transforms()
    assert weights_url(record).endswith(f"/{record.weights_file}")
    assert weights.meta["num_params"] == record.parameters
    assert preset.crop_size == [record.input_size]
    assert preset.resize_size == [record.resize_size]
    assert tuple(preset.mean) == record.mean
    assert tuple(preset.std) == record.std
    assert preset.interpolation.value == record.interpolation
    assert preset.antialias == record.antialias


@TABLE
def test_layers_have_the_stated_width_at_the_input_size(record):
    widths = {}
    network = empty_network(record)
    for name, _ in record.layers:
        layer = network.get_submodule(name)

        def see(module, inputs, output, name=name):
            widths[name] = output.shape[1]

        layer.register_forward_hook(see)
    with torch.no_grad():
        network(torch.empty(1, 3, record.input_size, record.input_size, device="meta"))
    assert tuple(widths.items()) == tuple(record.layers)
    for part in record.head:
        assert hasattr(network, part) or part == "AuxLogits"


def as_torchvision_pools(network, record):
    """Let a complete network return what its own classifier would be given."""
    if record.name.startswith(("squeezenet", "vgg")):
        return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    setattr(network, record.head[0], nn.Identity())
    return network


@TABLE
def test_contract(record):
    """Finite, deterministic, frozen, and the same as torchvision's own network to 1e-5."""
    network = random_network(record, 0)
    frozen = FrozenBackbone(record, trunk_of(network, record), blocks_of(record))
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    some = pictures(record)

    rows = frozen.train().embed(some)
    assert rows.shape == (2, record.width)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(frozen.embed(some), rows)
    assert np.abs(rows[0] - rows[1]).max() > 1e-4 * np.abs(rows).max()

    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    for name, value in frozen.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)

    plain = as_torchvision_pools(network, record).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        scaled = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
        expected = plain((scaled - mean) / std).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)


@TABLE
def test_all_layers_and_poolings_in_one_pass(record):
    if record.name == "vgg19":
        pytest.skip("vgg16 is the same but for its depth, and costs less")
    blocks = blocks_of(record, "all", "avg+max+center")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 1), record), blocks)
    rows = frozen.embed(pictures(record))
    assert rows.shape == (2, 3 * sum(layer.width for layer in record.layers))
    assert np.isfinite(rows).all()
    parts = np.split(rows, np.cumsum([block.width for block in blocks])[:-1], axis=1)
    for (_, how, _), average, maximum in zip(blocks[::3], parts[::3], parts[1::3], strict=True):
        assert how == "avg"
        assert (average <= maximum + 1e-6).all()


def test_poolings_of_a_known_map():
    record = dataclasses.replace(backbone("resnet18"), std=(1.0, 1.0, 1.0), mean=(0.0, 0.0, 0.0))
    blocks = blocks_of(record, "layer1", "avg+max+center")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 0), record), blocks)
    seen = {}
    frozen.network.layer1.register_forward_hook(
        lambda module, inputs, output: seen.update(map=output.numpy().copy()), prepend=True
    )
    rows = frozen.embed(pictures(record, n=1))
    values = seen["map"][0]
    assert values.shape == (64, 8, 8)
    expected = [values.mean((1, 2)), values.max((1, 2)), values[:, 2:6, 2:6].mean((1, 2))]
    np.testing.assert_allclose(rows[0], np.concatenate(expected), rtol=1e-5, atol=1e-6)


def test_the_network_stops_after_the_last_layer_asked_for():
    record = backbone("resnet18")
    network = random_network(record, 0)
    frozen = FrozenBackbone(record, trunk_of(network, record), blocks_of(record, "layer2"))
    reached = []
    frozen.network.layer3.register_forward_hook(lambda *_: reached.append("layer3"))
    frozen.embed(pictures(record))
    assert reached == []


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch):
    record = backbone("squeezenet1_1")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 0), record), blocks_of(record))
    whole = frozen.embed(pictures(record, n=7))
    sizes = []
    run = frozen._embed

    def small(batch, precision):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return run(batch, precision)

    monkeypatch.setattr(frozen, "_embed", small)
    rows = frozen.embed(pictures(record, n=7), batch_size=7)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(rows, whole, atol=1e-5 * np.abs(whole).max())
    monkeypatch.setattr(frozen, "_embed", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        frozen.embed(pictures(record, n=1))


def test_no_pictures_give_no_rows():
    record = backbone("squeezenet1_1")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 0), record), blocks_of(record))
    assert frozen.embed(pictures(record, n=0)).shape == (0, 512)


def test_random_networks_follow_their_seed_and_leave_torch_alone():
    record = backbone("squeezenet1_1")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (random_network(record, seed) for seed in (0, 0, 1))
    torch.testing.assert_close(torch.rand(3), expected)
    first = [network.features[0].weight for network in (one, same, other)]
    torch.testing.assert_close(first[0], first[1], rtol=0, atol=0)
    assert not torch.equal(first[0], first[2])


def test_layers_and_poolings_are_found_by_name():
    record = backbone("squeezenet1_0")
    blocks = blocks_of(record, ["features.5", "default"], "avg+max")
    assert [tuple(block) for block in blocks] == [
        ("features.5", "avg", 256),
        ("features.5", "max", 256),
        ("features.12", "avg", 512),
        ("features.12", "max", 512),
    ]
    assert blocks_of(record, "features.5 + default", "avg+max") == blocks
    assert len(blocks_of(record, "all")) == len(record.layers)


@pytest.mark.parametrize(
    ("layers", "pooling", "message"),
    [
        ("features.6", "avg", r"no layer 'features.6' to pool; it has features.3, features.4"),
        ([], "avg", "at least one layer"),
        ("default", "mean", "pooling is 'mean'; expected avg, max, center"),
        ("default", "avg+", "pooling is 'avg\\+'"),
        ("default+features.12", "avg", "expected each only once"),
    ],
)
def test_wrong_layers_and_poolings(layers, pooling, message):
    with pytest.raises(InputError, match=message):
        blocks_of(backbone("squeezenet1_0"), layers, pooling)


@pytest.mark.parametrize("name", ["resnet19", "", None, ["resnet18"]])
def test_unknown_backbone(name):
    with pytest.raises(
        InputError, match=r"no backbone .*; there are squeezenet1_0, .*inception_v3"
    ):
        backbone(name)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        backbone("resnet18").width_ = 3
    assert len({hash(record) for record in BACKBONES.values()}) == len(BACKBONES)


def test_inception_is_given_values_between_minus_one_and_one():
    record = backbone("inception_v3")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 0), record), blocks_of(record))
    given = []
    frozen.network.Conv2d_1a_3x3.register_forward_pre_hook(
        lambda module, inputs: given.append(inputs[0].numpy().copy())
    )
    some = pictures(record)
    frozen.embed(some)
    np.testing.assert_allclose(given[0], some.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-5)
