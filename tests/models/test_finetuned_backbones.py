"""Fine-tuning of every network of the table and of timm, transformers among them."""

import numpy as np
import pytest
import torch
from torch import nn

from hybridleuk import DeepEmbeddings, FineTunedCNN
from hybridleuk.embeddings.backbones import BACKBONES, backbone
from hybridleuk.embeddings.network import empty_network, random_network
from hybridleuk.exceptions import InputError
from hybridleuk.models.training_network import ImageClassifier
from hybridleuk.models.training_recipe import picture_size
from hybridleuk.persistence import load_model, save_model

pytest.importorskip("timm")

CNN, VIT, SWIN = "timm:test_resnet", "timm:test_vit", "timm:swin_tiny_patch4_window7_224"
SETTINGS = {"weights": "random", "epochs": 1, "cache": None}


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    images = [rng.integers(k, k + 120, (48, 48, 3), dtype=np.uint8) for k in (0, 120) * 6]
    return images, ["dark", "light"] * 6


@pytest.mark.parametrize("name", [*BACKBONES, VIT, SWIN])
def test_every_backbone_of_the_table_can_be_trained(name):
    # On torch's meta device: shapes and gradients, without values, so that it takes no time.
    record = backbone(name)
    network = ImageClassifier(empty_network(record), record, 3, views=2, measurements=5)
    network = network.to("meta").train()
    side = picture_size(record, None if record.fixed_size else max(64, record.minimum_size))
    images = torch.zeros(2, 6, side, side, device="meta")
    assert network.features(images).shape == (2, 2 * record.width)
    scores = network(images, torch.zeros(2, 5, device="meta"))
    assert scores.shape == (2, 3)
    scores.sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert not without, "every weight learns"
    trunk = {n for n in empty_network(record).state_dict() if not record.in_head(n)}
    assert set(network.trunk_state()) == trunk


@pytest.mark.parametrize(("name", "side"), [(CNN, 64), (VIT, 160)])
def test_features_are_those_of_the_frozen_network(name, side):
    record = backbone(name)
    network = random_network(record, 0).eval()
    classifier = ImageClassifier(random_network(record, 0), record, 2).eval()
    images = torch.rand(2, 3, side, side)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        values = network.forward_features((images - mean) / std)
        patches = values[:, record.prefix_tokens :].mean(1) if name == VIT else values.mean((2, 3))
        torch.testing.assert_close(classifier.features(images), patches)


@pytest.mark.parametrize("name", [CNN, VIT])
def test_trained_saved_loaded_and_used_frozen(name, study, tmp_path):
    images, labels = study
    size = None if name == VIT else 48
    model = FineTunedCNN(name, image_size=size, **SETTINGS).fit(images, labels)
    save_model(model, tmp_path / "model.hleuk")
    restored = load_model(tmp_path / "model.hleuk")
    expected = model.predict_proba(images)
    np.testing.assert_allclose(restored.predict_proba(images), expected, atol=1e-6)
    model.save_backbone(tmp_path / "own.safetensors")
    rows = [
        DeepEmbeddings(
            name, weights=weights, layers="default", pooling="avg", cache=None
        ).fit_transform(images[:2])
        for weights in (tmp_path / "own.safetensors", "random")
    ]
    assert np.isfinite(rows[0]).all()
    assert not np.allclose(*rows)


def test_a_transformer_takes_one_size(study):
    with pytest.raises(InputError, match="image_size is 64; timm:test_vit takes pictures of 160"):
        FineTunedCNN(VIT, image_size=64, **SETTINGS).fit(*study)


def test_layers_of_a_transformer_near_the_pictures_learn_more_slowly():
    record = backbone(VIT)
    network = ImageClassifier(random_network(record, 0), record, 2)
    scales = network.layer_scales(0.75)
    blocks = len(network.backbone.network.blocks)
    first, last = (f"backbone.network.blocks.{k}.mlp.fc1.weight" for k in (0, blocks - 1))
    assert scales["backbone.network.pos_embed"] < scales[first] < scales[last] <= 1
    assert scales[first] == pytest.approx(scales[last] * 0.75 ** (blocks - 1))
    assert network.layer_scales(1.0) == {}
    assert "backbone.network.pos_embed" in network.spared()
    assert record.rates.backbone < backbone(CNN).rates.backbone
    convolutions = backbone(CNN)
    assert ImageClassifier(random_network(convolutions, 0), convolutions, 2).spared() == set()


def test_networks_of_ones_own_are_refused_in_one_sentence():
    network = nn.Identity()
    network.input_size = 32
    images = [np.zeros((40, 40, 3), dtype=np.uint8)] * 4
    with pytest.raises(InputError, match="cannot be fine-tuned here, only used as it is"):
        FineTunedCNN(network, weights="random", cache=None).fit(images, list("abab"))
