"""Fine-tuning of every network of the table, of vision transformers, and of no others."""

import numpy as np
import pytest
import torch
from torch import nn

from hybridleuk import DeepEmbeddings, FineTunedCNN
from hybridleuk.embeddings.backbones import BACKBONES, backbone
from hybridleuk.embeddings.network import empty_network, random_network
from hybridleuk.exceptions import InputError
from hybridleuk.models.training_network import ImageClassifier, empty_classifier
from hybridleuk.models.training_recipe import parameter_groups, picture_size
from hybridleuk.persistence import load_model, save_model

pytest.importorskip("timm")


VIT = "timm:test_vit"  # patches of 16 px, 64 values each, a class token
# Of one kind each: windows, register tokens and rotary places, pooling by attention, no tokens.
TRANSFORMERS = (
    *(VIT, "timm:test_vit3", "timm:swin_tiny_patch4_window7_224"),
    *("timm:vit_small_patch16_dinov3", "timm:test_maxvit"),
)


@pytest.mark.parametrize("name", [*BACKBONES, *TRANSFORMERS])
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
    of_pooling = ("backbone.network.attn_pool.", "backbone.network.fc_norm.")
    assert not [n for n in without if not n.startswith(of_pooling)], "every weight learns"
    trunk = {n for n in empty_network(record).state_dict() if not record.in_head(n)}
    assert set(network.trunk_state()) == trunk


@pytest.mark.parametrize(("name", "tokens"), [("timm:test_resnet", 0), (VIT, 1)])
def test_features_are_those_of_the_frozen_network(name, tokens):
    record = backbone(name)
    network = random_network(record, 0)
    classifier = ImageClassifier(random_network(record, 0), record, 2).eval()
    images = torch.rand(2, 3, 160, 160)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (record.mean, record.std))
    with torch.no_grad():
        expected = network.forward_features((images - mean) / std)
        expected = expected[:, tokens:].mean(1) if tokens else expected.mean((2, 3))
        torch.testing.assert_close(classifier.features(images), expected)


@pytest.mark.parametrize("name", ["timm:test_resnet", VIT])
def test_trained_saved_loaded_and_its_features_in_the_hybrid(tmp_path, name):
    rng = np.random.default_rng(0)
    images = [rng.integers(k, k + 120, (48, 48, 3), dtype=np.uint8) for k in (0, 120) * 6]
    size = None if name == VIT else 48
    settings = {"weights": "random", "image_size": size, "epochs": 1, "cache": None}
    model = FineTunedCNN(name, **settings, workers=1).fit(images, ["dark", "light"] * 6)
    assert model.image_size_ == (size or 160)
    save_model(model, tmp_path / "model.hleuk")
    restored = load_model(tmp_path / "model.hleuk")
    np.testing.assert_allclose(
        restored.predict_proba(images), model.predict_proba(images), atol=1e-6
    )
    model.save_backbone(tmp_path / "own.safetensors")
    frozen = DeepEmbeddings(name, weights=tmp_path / "own.safetensors", cache=None, workers=1)
    rows = frozen.fit_transform(images[:2])
    with torch.inference_mode():
        pixels = torch.from_numpy(model.pictures(images[:2])).permute(0, 3, 1, 2) / 255
        np.testing.assert_allclose(rows, model.network_.features(pixels), atol=1e-4)


def test_tables_that_no_state_dict_holds_are_computed_again():
    record = backbone("timm:test_vit_relpos")
    trained = ImageClassifier(random_network(record, 0), record, 3).eval()
    torch.nn.init.normal_(trained.head[-1].weight)
    again = empty_classifier(record, 3)
    again.load_state_dict(trained.state_dict(), assign=True)
    images = torch.rand(1, 3, 160, 160)
    assert torch.equal(again.eval()(images), trained(images))


def test_layers_of_a_transformer_learn_slower_the_nearer_they_are_to_the_picture():
    record = backbone(VIT)
    network = ImageClassifier(random_network(record, 0), record, 2)
    settings = FineTunedCNN(VIT, weights="random", device="cpu")
    settings.record_, settings.seed_ = record, 0
    groups = parameter_groups(network, settings._recipe(network, torch.device("cpu")))
    named = {id(p): name for name, p in network.named_parameters()}
    found = {
        named[id(p)].removeprefix("backbone.network."): (group["highest"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    assert len(found) == len(named)
    depth = {"patch_embed.proj": 6, "blocks.0.attn.qkv": 5, "blocks.5.attn.qkv": 0}
    for layer, below in depth.items():
        rate = 6e-4 * 0.2 * 0.75**below
        assert found[f"{layer}.weight"] == (pytest.approx(rate), 0.02), layer
        assert found[f"{layer}.bias"] == (pytest.approx(rate), 0.0), layer
    assert found["pos_embed"][1] == found["cls_token"][1] == 0
    assert found["norm.weight"][0] == pytest.approx(6e-4 * 0.2)
    assert found["head.1.weight"] == (6e-4, 0.02)


def test_a_transformer_takes_one_size_only():
    images = [np.zeros((40, 40, 3), dtype=np.uint8)] * 4
    settings = {"weights": "random", "image_size": 96, "cache": None}
    with pytest.raises(InputError, match=r"image_size is 96; timm:test_vit takes .* 160 px only"):
        FineTunedCNN(VIT, **settings).fit(images, list("abab"))


def test_a_module_is_refused_in_one_sentence():
    network = nn.Identity()
    network.input_size = 32
    images = [np.zeros((40, 40, 3), dtype=np.uint8)] * 4
    with pytest.raises(InputError, match="cannot be fine-tuned here, only used as it is"):
        FineTunedCNN(network, weights="random", cache=None).fit(images, list("abab"))
