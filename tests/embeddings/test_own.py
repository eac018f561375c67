"""Networks of one's own: what they have to say, what is refused, and what identifies them."""

import copy
import dataclasses
import pickle
from threading import Lock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from hybridleuk import DeepEmbeddings, HybridClassifier, HybridFeatures
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.network import FrozenBackbone
from hybridleuk.embeddings.own import own_fingerprint, own_record
from hybridleuk.exceptions import InputError, WeightsError
from hybridleuk.persistence import save_model


class Net(nn.Module):
    """Two convolutions with a BatchNorm between, and a factor that is no parameter."""

    input_size = 24

    def __init__(self, width=6, factor=1.0, seed=0):
        super().__init__()
        self.factor = factor
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, width, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x)))) * self.factor


class Doubled(Net):
    def forward(self, x):
        return super().forward(x) * 2


@pytest.fixture
def net():
    return Net()


def embed(network, images, **parameters):
    return DeepEmbeddings(network, **{"cache": None, **parameters}).fit_transform(images)


def expected(network, images):
    """Resize, standardise and average with torch alone."""
    from PIL import Image

    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    side = network.input_size
    rows = []
    for image in images:
        small = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
        values = (torch.from_numpy(small.copy()).permute(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            rows.append(copy.deepcopy(network).eval()(values[None]).mean((2, 3))[0].numpy())
    return np.stack(rows)


def test_rows_are_what_the_network_returns(net, images):
    rows = embed(net, images)
    assert rows.shape == (5, 6)
    np.testing.assert_allclose(rows, expected(net, images), rtol=1e-4, atol=1e-6)


def test_the_network_itself_is_not_changed(net, images):
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    embed(net, images)
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not net._forward_hooks
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_layers_and_poolings(net, images):
    record = backbone(net)
    assert [tuple(layer) for layer in record.layers] == [
        ("first", 4),
        ("norm", 4),
        ("last", 6),
        ("output", 6),
    ]
    estimator = DeepEmbeddings(net, layers="first+output", pooling="avg+gem", cache=None)
    assert estimator.fit_transform(images).shape == (5, 20)
    names = estimator.get_feature_names_out()
    assert (names[0], names[-1]) == ("Net__image__first__avg__0", "Net__image__output__gem__5")


def test_it_clones_and_pickles(net, images):
    estimator = DeepEmbeddings(net, cache=None).fit(images)
    rows = estimator.transform(images)
    assert estimator.weights_description_ == "a network of one's own, Net"
    np.testing.assert_array_equal(clone(estimator).fit_transform(images), rows)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(images), rows)


def test_cached_by_values_settings_and_code(net, images, tmp_path, monkeypatch):
    ran = []
    run = FrozenBackbone.embed
    monkeypatch.setattr(
        FrozenBackbone, "embed", lambda self, *a, **k: ran.append(1) or run(self, *a, **k)
    )
    cache = tmp_path / "cache"
    rows = embed(net, images, cache=cache)
    assert ran
    ran.clear()
    np.testing.assert_array_equal(embed(copy.deepcopy(net), images, cache=cache), rows)
    assert not ran
    np.testing.assert_allclose(embed(Doubled(), images, cache=cache), 2 * rows, rtol=1e-5)
    factored = Net(factor=3.0)
    np.testing.assert_allclose(embed(factored, images, cache=cache), 3 * rows, rtol=1e-5)
    with torch.no_grad():
        net.last.bias += 1
    np.testing.assert_allclose(embed(net, images, cache=cache), rows + 1, rtol=1e-4, atol=1e-5)


def test_fingerprints():
    same = own_fingerprint(Net())
    assert own_fingerprint(Net()) == same
    assert own_fingerprint(Net().train()) == own_fingerprint(Net().eval())
    moved = Net()
    moved.norm.running_mean += 1e-3
    strided = Net()
    strided.first.stride = (1, 1)
    others = [Net(seed=1), Net(width=5), Net(factor=2.0), Doubled(), moved, strided]
    private, loose, hooked = Net(), Net(), Net()
    private._scale = 2
    loose.table = torch.ones(3)
    hooked.register_forward_hook(lambda module, inputs, output: output + 1)
    others += [Net().half(), nn.Sequential(Net()), private, loose, hooked]
    others += [Returns(lambda x: x), Returns(lambda x: x + 1), *map(added, (1, 2))]
    assert len({same, *map(own_fingerprint, others)}) == len(others) + 1


def test_a_record_of_ones_own(net, images):
    record = dataclasses.replace(
        backbone("resnet18"), name="smears-1", input_size=32, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    net.backbone_record = record
    found = own_record(net)
    assert (found.name, found.input_size, found.source, found.width) == ("smears-1", 32, "own", 6)
    assert not np.allclose(embed(net, images), embed(Net(), images))


def test_settings_as_timm_writes_them(net):
    wrapped = nn.Sequential(net)
    wrapped.pretrained_cfg = {
        "input_size": (3, 40, 40),
        "mean": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
        "license": "mit",
    }
    found = own_record(wrapped)
    assert (found.input_size, found.mean, found.interpolation) == (40, (0.5,) * 3, "bicubic")
    assert found.licence == "mit"


class Returns(nn.Module):
    input_size = 16

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(x)


def edited(body):
    """Make a class whose name stays the same while its code is worked on."""
    scope = {"torch": torch, "Net": Net}
    exec(f"class Mine(Net):\n    def forward(self, x):\n        return {body}\n", scope)
    return scope["Mine"]()


def test_code_that_was_edited_is_another_network():
    bodies = ("torch.relu(self.first(x))", "torch.sigmoid(self.first(x))", "self.first(x) * 2")
    assert len({own_fingerprint(edited(body)) for body in bodies}) == 3
    assert own_fingerprint(edited(bodies[0])) == own_fingerprint(edited(bodies[0]))


def added(number):
    return Returns(lambda x: x + number)


def test_the_same_function_is_the_same_network():
    assert own_fingerprint(added(1)) == own_fingerprint(added(1))
    assert own_fingerprint(Net(factor=Lock())) != own_fingerprint(Net(factor=Lock()))


def test_parameters_that_are_not_finite_are_named(net, images):
    embed(net, images)  # described, and found sound, before it diverges
    with torch.no_grad():
        net.last.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"network Net: 1 of 216 values of .*last\.weight"):
        embed(net, images)


def test_infinity_in_a_buffer_is_the_networks_business(net, images):
    net.register_buffer("mask", torch.full((3, 3), -torch.inf))
    assert np.isfinite(embed(net, images)).all()


@pytest.mark.parametrize(
    ("what", "width"),
    [
        (lambda x: x.mean((2, 3)), 3),
        (lambda x: x.flatten(2).transpose(1, 2), 3),
        (lambda x: x, 3),
    ],
)
def test_rows_tokens_and_maps(what, width, images):
    assert embed(Returns(what), images).shape == (5, width)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda x: {"out": x}, "returns dict; expected a tensor of shape"),
        (lambda x: x.mean(), "returns a tensor of 0 dimensions"),
        (lambda x: x @ torch.zeros(3, 3), r"does not take pictures of shape \(n, 3, 16, 16\)"),
    ],
)
def test_networks_that_return_something_else(what, message):
    with pytest.raises(InputError, match=message):
        backbone(Returns(what))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"input_size": None}, r"input_size None; expected .* set network.input_size = 224"),
        ({"input_size": 2}, "input_size 2"),
        ({"mean": (0.5, 0.5)}, "mean .*; expected three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std .*; expected three numbers.*above 0"),
        ({"interpolation": "area"}, "interpolation 'area'; expected 'bilinear' or 'bicubic'"),
    ],
)
def test_impossible_settings(net, attributes, message):
    for name, value in attributes.items():
        setattr(net, name, value)
    with pytest.raises(InputError, match=message):
        backbone(net)


def test_weights_beside_it_are_refused(net, images):
    with pytest.raises(WeightsError, match="comes with its values, but weights is 'random'"):
        DeepEmbeddings(net, weights="random", cache=None).fit(images)


def test_side_by_side_with_a_named_one(net, images):
    features = HybridFeatures(
        "deep",
        backbone=[net, "SqueezeNet"],
        weights=["default", "random"],
        layers="default",
        pooling="avg",
        cache=None,
    )
    table = features.extract(images)
    assert list(table.blocks) == ["embedding__Net__image", "embedding__squeezenet1_0__image"]
    assert table.block_sizes == [6, 512]
    assert table.provenance["parameters"]["backbone"] == ["Net", "squeezenet1_0"]


def test_a_model_file_cannot_hold_it(net, images, tmp_path):
    many = [np.roll(image, i, axis=0) for i in range(4) for image in images[:4]]
    labels = ["blast", "other"] * 8
    model = HybridClassifier(features="deep", backbone=net, cache=None).fit(many, labels)
    assert len(model.predict(images)) == 5
    with pytest.raises(InputError, match=r"Net is a network of one's own.*holds no code"):
        save_model(model, tmp_path / "model.hleuk")
    assert list(tmp_path.iterdir()) == []
