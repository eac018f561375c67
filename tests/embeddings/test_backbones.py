"""The table against torchvision, and the contract that every network of it keeps."""

import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from hybridleuk.embeddings.backbones import (
    BACKBONES,
    PAPER,
    POOLINGS,
    backbone,
    backbone_name,
    blocks_of,
    canonical_name,
    file_name,
    identity_of,
)
from hybridleuk.embeddings.download import weights_url
from hybridleuk.embeddings.network import FrozenBackbone, empty_network, random_network
from hybridleuk.embeddings.pooling import pool, stain_weights
from hybridleuk.embeddings.timm_backbones import has_timm
from hybridleuk.exceptions import InputError


def of(*records):
    missing = pytest.mark.skipif(not has_timm(), reason="timm is not installed")
    listed = [
        pytest.param(record, id=record.name, marks=missing if record.source == "timm" else ())
        for record in records
    ]
    return pytest.mark.parametrize("record", listed)


TABLE = of(*BACKBONES.values())
TORCHVISION = of(*(record for record in BACKBONES.values() if record.source == "torchvision"))
TIMM = of(*(record for record in BACKBONES.values() if record.source == "timm"))
REQUIRED = {
    *("squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50"),
    *("densenet121", "densenet201", "vgg16", "vgg19", "inception_v3"),
    *("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
}
# As the paper writes them, and what they are here.
AS_WRITTEN = {
    "EfficientNet": "efficientnet_b0",
    "MobileNetV3": "mobilenet_v3_large",
    "VGG-19": "vgg19",
    "Xception": "xception",
    "InceptionV3": "inception_v3",
    "ResNet50V2": "resnet50v2",
    "VGG-16": "vgg16",
    "NASNetLarge": "nasnetlarge",
    "InceptionResNetV2": "inception_resnet_v2",
    "DenseNet201": "densenet201",
}


def pictures(record, n=2, seed=0):
    shape = (n, record.minimum_size, record.minimum_size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def trunk_of(network, record):
    return {k: v for k, v in network.state_dict().items() if not record.in_head(k)}


def test_the_table_is_complete():
    assert set(BACKBONES) >= REQUIRED
    assert all(name == record.name for name, record in BACKBONES.items())
    assert set(PAPER) == set(AS_WRITTEN.values()) <= set(BACKBONES)


@pytest.mark.parametrize(("written", "name"), AS_WRITTEN.items())
def test_the_ten_of_the_paper_by_the_names_it_uses(written, name):
    for spelled in (written, written.lower(), written.upper(), f" {written.replace('-', ' ')}"):
        assert backbone(spelled).name == name
        assert canonical_name(spelled) == backbone_name(spelled) == name


def test_spellings_that_mean_nothing_else():
    assert backbone("Inception_V3") is backbone("inception-v3") is BACKBONES["inception_v3"]
    assert backbone("ResNet-50").name == "resnet50"
    assert backbone("resnetv2_50").name == "resnet50v2"
    assert canonical_name(" TIMM: resnet10t") == "timm:resnet10t"
    assert canonical_name("of_my_own") == "of_my_own"
    with pytest.raises(InputError, match="Did you mean densenet201"):
        backbone("densnet201")


def test_closest_equivalents_are_said_to_be():
    assert "closest published equivalent" in backbone("ResNet50V2").note
    assert "pre-activation" in backbone("ResNet50V2").note
    assert backbone("ResNet50V2").architecture == "resnetv2_50"


def test_names_of_files():
    assert file_name("hf-hub:owner/some.name@v1") == "hf-hub-owner-some.name@v1"
    assert [file_name(name) for name in BACKBONES] == list(BACKBONES)


def test_another_input_is_another_identity():
    record = backbone("resnet18")
    assert identity_of(record) == "resnet18"
    others = [
        dataclasses.replace(record, **change)
        for change in ({"input_size": 96}, {"mean": (0.0,) * 3}, {"interpolation": "bicubic"})
    ]
    assert len({identity_of(other) for other in [record, *others]}) == 4


@TORCHVISION
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
    assert record.sha256 == record.weights_file.rsplit("-", 1)[1].removesuffix(".pth")


@TIMM
def test_record_says_what_timm_says(record):
    network = empty_network(record)
    settings = network.pretrained_cfg
    assert settings["tag"] == record.weights_tag
    assert settings.get("hf_hub_id", "") == record.hub
    assert record.hub or settings["url"] == record.url == weights_url(record)
    assert settings["input_size"] == (3, record.input_size, record.input_size)
    assert int(record.input_size / settings["crop_pct"]) == record.resize_size
    assert (settings["mean"], settings["std"]) == (record.mean, record.std)
    assert settings["interpolation"] == record.interpolation
    assert record.licence.lower().startswith(settings["license"])
    assert sum(p.numel() for p in network.parameters()) == record.parameters
    listed = [(item["module"], item["num_chs"]) for item in network.feature_info]
    deepest = record.layers[-1]
    assert deepest.width == network.num_features
    # ResNetV2 ends in a normalisation and a ReLU behind its last stage, which timm does not list.
    assert set(record.layers) - set(listed) <= {deepest}


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
        network(torch.zeros(1, 3, record.input_size, record.input_size, device="meta"))
    assert tuple(widths.items()) == tuple(record.layers)
    for part in record.head:
        assert hasattr(network, part) or part == "AuxLogits"


def as_its_source_pools(network, record):
    """Let a complete network return what its own classifier would be given."""
    if record.name.startswith(("squeezenet", "vgg")):
        return nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if record.source == "timm":
        network.reset_classifier(0)
        return network
    setattr(network, record.head[0], nn.Identity())
    return network


@TABLE
def test_contract(record):
    """Finite, deterministic, frozen, and the same as its source's own network to 1e-5."""
    network = random_network(record, 0)
    frozen = FrozenBackbone(record, trunk_of(network, record), blocks_of(record))
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    some = pictures(record)

    rows = frozen.train().embed(some)
    assert rows.shape == (2, record.width)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(frozen.embed(some), rows)
    assert np.abs(rows[0] - rows[1]).max() > 1e-4 * np.abs(rows).max() > 0

    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    for name, value in frozen.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)

    plain = as_its_source_pools(network, record).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        scaled = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
        expected = plain((scaled - mean) / std).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)


@TABLE
def test_all_layers_and_poolings_in_one_pass(record):
    if record.name == "vgg19":
        pytest.skip("vgg16 is the same but for its depth, and costs less")
    blocks = blocks_of(record, "all", "avg+max+gem+center")
    frozen = FrozenBackbone(record, trunk_of(random_network(record, 1), record), blocks)
    n = 1 if record.parameters > 80e6 else 2
    rows = frozen.embed(pictures(record, n))
    assert rows.shape == (n, 4 * sum(layer.width for layer in record.layers))
    assert np.isfinite(rows).all()
    parts = np.split(rows, np.cumsum([block.width for block in blocks])[:-1], axis=1)
    for (_, how, _), *found in zip(blocks[::4], parts[::4], parts[1::4], parts[2::4], strict=True):
        average, maximum, generalised = found
        assert how == "avg"
        assert (average <= maximum + 1e-6).all()
        # Of values that are not negative, the generalised mean lies between mean and maximum.
        assert (generalised <= np.maximum(maximum, 1e-6) * (1 + 1e-5)).all()
        assert (np.maximum(average, 0) <= generalised + 1e-5 * np.abs(maximum).max()).all()


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

    def small(batch, precision, orientations):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return run(batch, precision, orientations)

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
        ("default", "mean", "pooling is 'mean'; expected avg, max, gem, center, stained, cls"),
        ("default", "avg+", "pooling is 'avg\\+'"),
        ("default", "cls", "squeezenet1_0 has no class token.*write 'avg'"),
        ("default+features.12", "avg", "expected each only once"),
    ],
)
def test_wrong_layers_and_poolings(layers, pooling, message):
    with pytest.raises(InputError, match=message):
        blocks_of(backbone("squeezenet1_0"), layers, pooling)


@pytest.mark.parametrize("name", ["resnet19", "", None, ["resnet18"]])
def test_unknown_backbone(name):
    with pytest.raises(
        InputError, match=r"no backbone .*; there are squeezenet1_0, .*inception_v3.*timm:NAME"
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


# Poolings


def truth(values, how):
    """Pool one map (channels, h, w) by the formulas, in float64."""
    values = values.astype(np.float64)
    if how == "gem":
        return np.cbrt((np.maximum(values, 1e-6) ** 3).mean((1, 2)))
    if how == "center":
        values = values[:, 3:6, 3:6]
    return values.max((1, 2)) if how == "max" else values.mean((1, 2))


@pytest.mark.parametrize("how", [how for how in POOLINGS if how not in ("stained", "cls")])
def test_every_shape_of_output_is_pooled_alike(how):
    maps = np.random.default_rng(0).normal(1, 2, (2, 5, 9, 9)).astype(np.float32)
    expected = np.stack([truth(values, how) for values in maps])
    given = torch.from_numpy(maps)
    tokens = given.flatten(2).transpose(1, 2)
    prefixed = torch.cat([torch.full((2, 3, 5), 99.0), tokens], dim=1)
    for found in (
        pool(given, how),
        pool(given.permute(0, 2, 3, 1), how, channels_last=True),
        pool(tokens, how),
        pool(prefixed, how, prefix_tokens=3),
        pool(given.to(torch.float64), how),
    ):
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_the_class_token_and_rows():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    np.testing.assert_array_equal(pool(tokens, "cls", prefix_tokens=1), tokens[:, 0])
    row = torch.rand(2, 6) + 0.5
    for how in ("avg", "max", "gem", "center"):
        torch.testing.assert_close(pool(row, how), row)
    torch.testing.assert_close(pool(row, "stained", weights=torch.rand(2, 1, 8, 8)), row)


def test_stained_places_count_by_their_weight():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 5, 4, 4)).astype(np.float32)
    fine = rng.uniform(0.1, 1, (2, 1, 8, 8)).astype(np.float32)
    coarse = fine.reshape(2, 1, 4, 2, 4, 2).mean((3, 5))
    expected = (maps * coarse).sum((2, 3)) / coarse.sum((2, 3))
    given, weights = torch.from_numpy(maps), torch.from_numpy(fine)
    tokens = given.flatten(2).transpose(1, 2)
    for found in (
        pool(given, "stained", weights=weights),
        pool(given.permute(0, 2, 3, 1), "stained", channels_last=True, weights=weights),
        pool(tokens, "stained", weights=weights),
    ):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="weights of the picture"):
        pool(given, "stained")


def colored(*squares):
    """Draw squares (row, column, color) of 16 px on an empty smear of 64 px."""
    picture = np.full((1, 3, 64, 64), 240, dtype=np.float32)
    for row, column, color in squares:
        picture[0, :, row : row + 16, column : column + 16] = np.reshape(color, (3, 1, 1))
    return torch.from_numpy(picture)


CHROMATIN, RED_CELL, INK = (90, 50, 150), (225, 150, 150), (5, 5, 5)


def test_chromatin_is_the_stain_that_counts():
    weights = stain_weights(colored((0, 0, CHROMATIN), (32, 32, RED_CELL), (0, 40, INK)))
    nucleus, cell, ink, empty = (
        float(weights[0, 0, row, column]) for row, column in ((7, 7), (34, 34), (7, 41), (50, 7))
    )
    assert nucleus == pytest.approx(100 / 151 * np.log10(248 / 98), rel=1e-4)
    assert nucleus > 10 * cell > 10 * empty > 0
    assert ink < 0.01 * nucleus


def test_without_stain_every_place_counts_alike():
    maps = torch.rand(3, 4, 6, 6)
    levels = torch.tensor([0.0, 127.0, 255.0]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    found = pool(maps, "stained", weights=stain_weights(levels))
    torch.testing.assert_close(found, maps.mean((2, 3)))


def test_a_frozen_backbone_weighs_by_the_stain_of_its_own_picture():
    record = dataclasses.replace(backbone("resnet18"), std=(1.0, 1.0, 1.0), mean=(0.0, 0.0, 0.0))
    frozen = FrozenBackbone(
        record, trunk_of(random_network(record, 0), record), blocks_of(record, "layer1", "stained")
    )
    seen = {}
    frozen.network.layer1.register_forward_hook(
        lambda module, inputs, output: seen.update(map=output.clone()), prepend=True
    )
    some = pictures(record)
    rows = frozen.embed(some)
    given = torch.from_numpy(some).permute(0, 3, 1, 2).float()
    expected = pool(seen["map"], "stained", weights=stain_weights(given))
    np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-5, atol=1e-6)
    turned = frozen.embed(np.rot90(some, 1, (1, 2)), orientations=8)
    np.testing.assert_allclose(frozen.embed(some, orientations=8), turned, rtol=1e-4, atol=1e-5)


# Flips and rotations


@pytest.fixture(scope="module")
def small():
    record = backbone("squeezenet1_1")
    return FrozenBackbone(record, trunk_of(random_network(record, 3), record), blocks_of(record))


def test_views_average_over_the_symmetries_of_a_square(small):
    some = pictures(small.record, n=3)
    turned = [np.rot90(some, k, (1, 2)) for k in range(4)]
    mirrored = [picture[:, :, ::-1] for picture in turned]
    for views, parts in ((2, [turned[0], mirrored[0]]), (4, turned), (8, turned + mirrored)):
        expected = np.mean([small.embed(part) for part in parts], axis=0)
        found = small.embed(some, orientations=views, batch_size=2)
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max(), rtol=1e-5)
    assert np.abs(small.embed(some) - small.embed(turned[1])).max() > 1e-3
    scale = np.abs(some).max()
    for other in (turned[1], turned[3], mirrored[0], mirrored[2]):
        found = small.embed(other, orientations=8)
        np.testing.assert_allclose(
            found, small.embed(some, orientations=8), atol=1e-5 * scale, rtol=1e-4
        )


@pytest.mark.parametrize("views", [0, 3, "8", None])
def test_other_numbers_of_views(small, views):
    with pytest.raises(InputError, match=r"orientations is .*; expected 1, 2, 4 or 8"):
        small.embed(pictures(small.record), orientations=views)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ["layer2", "layer3", "layer4"]),
        ("inception_v3", ["Mixed_6e", "Mixed_7c"]),
        ("squeezenet1_0", [f"features.{i}" for i in (5, 7, 8, 9, 10, 12)]),
    ],
)
def test_upper_layers_are_the_deeper_two_thirds(name, expected):
    assert [block.layer for block in blocks_of(backbone(name), "upper")] == expected
