"""One step of training: parts of a batch, mixed images, and the average of the weights."""

import copy

import numpy as np
import pytest
import torch

from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.network import random_network
from hybridleuk.models.training_data import Batch, LabelledPixels
from hybridleuk.models.training_learner import Learner
from hybridleuk.models.training_network import ImageClassifier, start_head
from hybridleuk.models.training_recipe import Recipe, mixed

CPU = torch.device("cpu")
RECORD = backbone("squeezenet1_0")


pytestmark = pytest.mark.usefixtures("one_thread")


def recipe(**changed):
    settings = {
        "epochs": 2,
        "patience": 5,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "backbone_factor": 0.5,
        "layer_decay": 1.0,
        "warmup": 0.1,
        "weight_decay": 0.1,
        "label_smoothing": 0.1,
        "averaging": 0.0,
        "accumulate": 1,
        "mixing": None,
        "budget": None,
        "augmentation": None,
        "seed": 0,
        "device": CPU,
        "precision": "fp32",
    }
    return Recipe(**{**settings, **changed})


def classifier(**shape):
    return ImageClassifier(random_network(RECORD, 0), RECORD, 3, dropout=0.0, **shape)


def labelled(n=8, views=1, measured=0):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (n, 32, 32, 3 * views), dtype=np.uint8)
    rows = random.normal(size=(n, measured)).astype(np.float32) if measured else None
    return LabelledPixels(pixels, np.arange(n) % 3, np.arange(n), rows)


def test_gradients_of_parts_add_up_to_those_of_the_batch():
    gradients = []
    for parts in (1, 3):
        learner = Learner(classifier(), recipe(accumulate=parts), np.array([1.0, 2.0, 5.0]))
        torch.nn.init.normal_(
            learner.network.head[-1].weight, generator=torch.Generator().manual_seed(1)
        )
        learner.step(labelled().batch(np.arange(8), CPU), 0, 0.5)
        gradients.append([p.grad.clone() for p in learner.network.parameters()])
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-5)


def test_the_average_follows_the_weights_by_the_decay_of_each_step():
    learner = Learner(classifier(), recipe(averaging=0.9), np.ones(3))
    expected = learner.network.head[-1].bias.detach().clone()
    for step in range(20):
        learner.step(labelled().batch(np.arange(8), CPU), step, 1.0)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * learner.network.head[-1].bias.detach()
    torch.testing.assert_close(learner.average.head[-1].bias, expected)
    assert not torch.equal(learner.network.head[-1].bias, expected)


def test_the_average_is_what_is_validated_and_kept():
    learner = Learner(classifier(), recipe(averaging=0.9), np.ones(3))
    with torch.no_grad():
        learner.average.head[-1].bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
        learner.network.head[-1].bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    assert set(learner.scores(labelled()).argmax(1).tolist()) == {0}
    assert learner.kept()["head.1.bias"].tolist() == [5.0, 0.0, 0.0]


@pytest.mark.parametrize("share", [0.2, 1.0, 4.0])
def test_how_confident_scores_are_does_not_decide_what_is_kept(share, monkeypatch):
    random = np.random.default_rng(2)
    data = labelled(300)
    codes = torch.from_numpy(data.labels)
    scores = torch.from_numpy(random.normal(size=(300, 3))).float()
    scores[torch.arange(300), codes] += 1.5
    weights = np.array([1.0, 2.0, 3.0])
    learner = Learner(classifier(), recipe(), weights)
    monkeypatch.setattr(learner, "scores", lambda _: scores * share)
    # The temperature is found here by trying all of them.
    steps = torch.linspace(-2.3, 2.3, 2000).exp()
    losses = [torch.nn.functional.cross_entropy(scores / t, codes) for t in steps]
    best = steps[int(torch.stack(losses).argmin())]
    expected = torch.nn.functional.cross_entropy(
        scores / best, codes, torch.tensor(weights).float()
    )
    assert learner.validated(data)["valid_loss"] == pytest.approx(expected.item(), abs=2e-3)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_classes_are_mixed_in_the_shares_of_the_images(mixing):
    images = torch.stack([torch.full((3, 64, 64), 0.25 * k) for k in range(4)])
    torch.manual_seed(3)
    batch, targets = mixed(Batch(images, torch.arange(4)), recipe(mixing=mixing), 4)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    assert ((targets > 0).sum(1) == 2).all()
    # Each image is as bright as the classes that it is said to be mixed of.
    brightness = batch.images.mean((1, 2, 3))
    torch.testing.assert_close(brightness, targets @ (0.25 * torch.arange(4.0)))


def test_mixed_images_are_learned_from():
    learner = Learner(classifier(), recipe(mixing="mixup", accumulate=2), np.ones(3))
    torch.manual_seed(0)
    learner.step(labelled().batch(np.arange(8), CPU), 0, 1.0)
    loss, accuracy = learner.close()
    assert loss == pytest.approx(np.log(3), abs=0.05)  # the last layer began with zeros
    assert 0 <= accuracy <= 1


def test_two_views_go_through_one_backbone_and_lie_side_by_side():
    one, two = classifier(), classifier(views=2)
    first, second = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = torch.cat([one.features(first), one.features(second)], dim=1)
        found = two.features(torch.cat([first, second], dim=1))
    torch.testing.assert_close(found, expected)
    assert len(list(two.backbone.parameters())) == len(list(one.backbone.parameters()))


def test_measurements_lie_beside_the_features_and_begin_as_they_are():
    network = classifier(measurements=4)
    network.start_measurements(0)
    images, rows = torch.rand(2, 3, 32, 32), torch.rand(2, 4)
    joined = network.joined(images, rows)
    torch.testing.assert_close(joined[:, :512], network.features(images))
    torch.testing.assert_close(joined[:, 512:], rows)
    before = copy.deepcopy(network.measurements.state_dict())
    learner = Learner(network, recipe(), np.ones(3))
    data = labelled(measured=4)
    learner.begin(data)
    for step in range(3):
        learner.step(data.batch(np.arange(8), CPU), step, 1.0)
    after = network.measurements.state_dict()
    assert not torch.equal(after["outer.weight"], before["outer.weight"])
    assert not torch.equal(after["inner.weight"], before["inner.weight"]), "trained jointly"


def test_the_first_head_gives_both_blocks_the_same_variance_and_keeps_weights_within():
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 512)) * 3
    measured = random.normal(size=(400, 10)) * np.where(np.arange(10) < 5, 0.1, 0.04)
    network = classifier(measurements=10)
    joined = np.concatenate([features, measured], axis=1).astype(np.float32)
    start_head(network, joined, np.arange(400) % 3, np.ones(3))
    scaled = joined / network.spread.numpy()
    variances = scaled.var(axis=0)
    assert variances[512:].sum() == pytest.approx(variances[:512].sum(), rel=0.02)
    ratio = variances[512:517].mean() / variances[517:].mean()
    assert ratio == pytest.approx(2.5**2, rel=0.2)
