"""Fine-tuning of networks that timm builds, and of none that cannot be trained here."""

import numpy as np
import pytest
import torch
from torch import nn

from hybridleuk import FineTunedCNN
from hybridleuk.embeddings.backbones import BACKBONES, backbone
from hybridleuk.embeddings.network import empty_network, random_network
from hybridleuk.exceptions import InputError
from hybridleuk.models.training_network import ImageClassifier
from hybridleuk.persistence import load_model, save_model

pytest.importorskip("timm")


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_of_the_table_can_be_trained(name):
    # On torch's meta device: shapes and gradients, without values, so that it takes no time.
    record = backbone(name)
    network = ImageClassifier(empty_network(record), record, 3, views=2, measurements=5)
    network = network.to("meta").train()
    side = max(64, record.minimum_size)
    images = torch.zeros(2, 6, side, side, device="meta")
    assert network.features(images).shape == (2, 2 * record.width)
    scores = network(images, torch.zeros(2, 5, device="meta"))
    assert scores.shape == (2, 3)
    scores.sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert not without, "every weight learns"
    trunk = {n for n in empty_network(record).state_dict() if not record.in_head(n)}
    assert set(network.trunk_state()) == trunk


def test_features_are_those_of_the_frozen_network():
    record = backbone("timm:test_resnet")
    network = random_network(record, 0)
    classifier = ImageClassifier(random_network(record, 0), record, 2).eval()
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        expected = network.forward_features((images - mean) / std).mean((2, 3))
        torch.testing.assert_close(classifier.features(images), expected)


def test_trained_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(k, k + 120, (48, 48, 3), dtype=np.uint8) for k in (0, 120) * 6]
    settings = {"weights": "random", "image_size": 48, "epochs": 1, "cache": None}
    model = FineTunedCNN("timm:test_resnet", **settings).fit(images, ["dark", "light"] * 6)
    save_model(model, tmp_path / "model.hleuk")
    restored = load_model(tmp_path / "model.hleuk")
    np.testing.assert_allclose(
        restored.predict_proba(images), model.predict_proba(images), atol=1e-6
    )


@pytest.mark.parametrize("network", ["timm:test_vit", nn.Identity()])
def test_others_are_refused_in_one_sentence(network):
    if isinstance(network, nn.Module):
        network.input_size = 32
    images = [np.zeros((40, 40, 3), dtype=np.uint8)] * 4
    with pytest.raises(InputError, match="cannot be fine-tuned here, only used as it is"):
        FineTunedCNN(network, weights="random", cache=None).fit(images, list("abab"))
