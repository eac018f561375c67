"""Resuming, checkpoints, schedule, first head, precision: the machinery of the training."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from hybridleuk import FineTunedCNN, progress
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.network import random_network
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.models import training
from hybridleuk.models.augmentation import Augmentation
from hybridleuk.models.calibrated_scores import best_temperature
from hybridleuk.models.training import Training
from hybridleuk.models.training_checkpoint import Checkpoint, Snapshot
from hybridleuk.models.training_data import LabelledPixels
from hybridleuk.models.training_network import (
    ImageClassifier,
    empty_classifier,
    start_head,
    training_precision,
)
from hybridleuk.models.training_recipe import Recipe, parameter_groups, rate_factor

CPU = torch.device("cpu")
OPTIONS = {"weights": "random", "image_size": 32, "batch_size": 4, "epochs": 3, "workers": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


def images(n=16):
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = random.integers(0, 200, (n, 32, 32, 3)) + 50 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


class Killed(BaseException):
    """As final as SIGKILL: no ``except Exception`` sees it."""


class Killing(progress.Listener):
    """Kills the training after so many batches, and remembers what was said."""

    def __init__(self, after=math.inf):
        self.after, self.seen, self.notes = after, [], []

    def advanced(self, task):
        if task.unit == "batches":
            self.seen.append(task.done)
            if task.done >= self.after:
                raise Killed

    def noted(self, text):
        self.notes.append(text)


def weights_of(network):
    return dict(network.network_.state_dict())


def assert_same_end(one, other):
    assert weights_of(one).keys() == weights_of(other).keys()
    for name, value in weights_of(one).items():
        assert torch.equal(value, weights_of(other)[name]), name
    columns = [name for name in one.history_ if name != "seconds"]
    assert one.history_[columns].equals(other.history_[columns])
    assert one.best_epoch_ == other.best_epoch_


@pytest.mark.parametrize("backbone_name", ["squeezenet1_0", "mobilenet_v3_small"])
@pytest.mark.parametrize("validation_fraction", [0.25, 0])
def test_a_killed_training_goes_on_to_the_same_end(
    tmp_path, monkeypatch, backbone_name, validation_fraction
):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    X, y = images()
    options = {**OPTIONS, "backbone": backbone_name, "validation_fraction": validation_fraction}
    unbroken = FineTunedCNN(**options).fit(X, y)
    network = FineTunedCNN(**options, checkpoint=tmp_path)
    for after in (2, 5):  # in the middle of the first and of a later epoch
        with progress.report_to(Killing(after)), pytest.raises(Killed):
            network.fit(X, y)
    listener = Killing()
    with progress.report_to(listener):
        network.fit(X, y)
    assert listener.seen[0] >= 4
    assert any("goes on in epoch 2" in note for note in listener.notes)
    assert_same_end(unbroken, network)


def test_a_finished_training_is_not_repeated(tmp_path):
    X, y = images()
    first = FineTunedCNN(**OPTIONS, checkpoint=tmp_path).fit(X, y)
    listener = Killing()
    with progress.report_to(listener):
        again = FineTunedCNN(**OPTIONS, checkpoint=tmp_path).fit(X, y)
    assert len(listener.seen) == 1
    assert_same_end(first, again)


def test_another_training_in_the_same_folder_begins_anew(tmp_path):
    X, y = images()
    FineTunedCNN(**OPTIONS, checkpoint=tmp_path).fit(X, y)
    for changed in (
        FineTunedCNN(**{**OPTIONS, "epochs": 1}, checkpoint=tmp_path).fit(X, y),
        FineTunedCNN(**{**OPTIONS, "epochs": 1}, checkpoint=tmp_path).fit(255 - X, y),
        FineTunedCNN(**{**OPTIONS, "epochs": 1}, checkpoint=tmp_path).fit(X, 1 - y),
    ):
        assert len(changed.history_) == 2
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_checkpoint_is_said_and_training_begins_anew(tmp_path):
    X, y = images()
    network = FineTunedCNN(**OPTIONS, checkpoint=tmp_path)
    expected = weights_of(network.fit(X, y))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    listener = Killing()
    with progress.report_to(listener):
        again = weights_of(network.fit(X, y))
    assert any("cannot be used" in note and "anew" in note for note in listener.notes)
    assert all(torch.equal(again[name], value) for name, value in expected.items())


def test_a_checkpoint_holds_tensors_and_json_and_replaces_itself(tmp_path):
    checkpoint = Checkpoint(tmp_path / "folder", "ab" * 32)
    assert checkpoint.load() is None
    for epoch in (1, 2):
        values = {"epoch": epoch, "best_loss": math.inf, "history": [{"loss": 0.1}]}
        checkpoint.save(Snapshot({"now.weight": torch.full((2, 2), float(epoch))}, values))
    snapshot = checkpoint.load()
    assert snapshot.values == {"epoch": 2, "best_loss": math.inf, "history": [{"loss": 0.1}]}
    assert torch.equal(snapshot.tensors["now.weight"], torch.full((2, 2), 2.0))
    assert [path.name for path in checkpoint.path.parent.iterdir()] == [checkpoint.path.name]


def test_a_checkpoint_of_another_format_is_not_used(tmp_path):
    checkpoint = Checkpoint(tmp_path, "cd" * 32)
    save_file({"x": torch.zeros(1)}, checkpoint.path, metadata={"hybridleuk": '{"format": 99}'})
    listener = Killing()
    with progress.report_to(listener):
        assert checkpoint.load() is None
    assert "another format number" in listener.notes[0]


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="Cannot write the checkpoint"):
        Checkpoint(tmp_path / "file", "ef" * 32).save(Snapshot({"x": torch.zeros(1)}, {}))


def classifier(name="squeezenet1_0", n_classes=2):
    record = backbone(name)
    return ImageClassifier(random_network(record, 0), record, n_classes)


def recipe(**changed):
    return Recipe(
        **{
            "epochs": 2,
            "patience": 5,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "backbone_factor": 0.1,
            "layer_decay": 1.0,
            "warmup": 0.1,
            "weight_decay": 0.1,
            "label_smoothing": 0.1,
            "averaging": 0.9,
            "accumulate": 1,
            "mixing": None,
            "budget": None,
            "augmentation": Augmentation(),
            "seed": 0,
            "device": CPU,
            "precision": "fp32",
            **changed,
        }
    )


def test_the_rate_rises_and_falls_to_nearly_zero():
    rates = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)  # a tenth of the steps
    assert max(rates) == 1
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.001
    assert all(np.diff(rates[10:]) < 0)
    assert rate_factor(0, 1, 0.1) == 1
    assert [round(rate_factor(step, 9, 0.1), 2) for step in range(3)] == [0.33, 0.67, 1.0]


def test_the_backbone_learns_slower_and_biases_do_not_decay():
    network = classifier()
    groups = parameter_groups(network, recipe())
    assert sorted({group["highest"] for group in groups}) == pytest.approx([1e-4, 1e-3])
    of_head = {id(p) for p in network.head.parameters()}
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0)
            assert group["highest"] == pytest.approx(1e-3 if id(parameter) in of_head else 1e-4)
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_first_head_is_the_logistic_regression_on_frozen_features(n_classes):
    random = np.random.default_rng(0)
    codes = np.arange(60) % n_classes
    features = random.normal(size=(60, 512)) + codes[:, None] * (np.arange(512) % 7)
    network = classifier(n_classes=n_classes)
    start_head(network, features.astype(np.float32), codes, np.ones(n_classes))
    network.eval()
    scaled = (torch.from_numpy(features).float() - network.center) / network.spread
    ours = torch.softmax(network.head(scaled), dim=1).detach().numpy()
    reference = LogisticRegression(C=0.01, max_iter=2000).fit(scaled.numpy(), codes)
    np.testing.assert_allclose(ours, reference.predict_proba(scaled.numpy()), atol=0.02)


def test_a_loss_that_is_no_number_is_an_error():
    pixels, labels = images()
    train = LabelledPixels(pixels, labels, np.arange(16))
    run = Training(classifier(), recipe(learning_rate=1e30, epochs=9), train, None, np.ones(2))
    with pytest.raises(InputError, match=r"loss became .* use a lower learning_rate"):
        run.run()


def test_training_that_never_beats_the_frozen_features_gives_those_back():
    pixels, labels = images(32)
    train = LabelledPixels(pixels, labels, np.arange(16))
    # The frozen features fit what is watched here; steps as wide as this wreck them.
    valid = LabelledPixels(pixels, labels, np.arange(16))
    settings = recipe(epochs=20, patience=2, learning_rate=0.05, augmentation=None)
    run = Training(classifier(), settings, train, valid, np.ones(2))
    history = run.run()
    assert run.at.best_epoch == 0
    assert len(history) == 3
    before = classifier().backbone.state_dict()
    after = run.network.backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_stays_near_full_precision(precision):
    pixels, labels = images()
    train = LabelledPixels(pixels, labels, np.arange(16))
    losses = []
    for name in ("fp32", precision):
        settings = recipe(precision=name, augmentation=None)
        losses.append(Training(classifier(), settings, train, None, np.ones(2)).run())
    assert losses[1][-1]["train_loss"] == pytest.approx(losses[0][-1]["train_loss"], abs=0.1)


def test_training_stops_when_validation_does_not_improve():
    pixels, labels = images(32)
    train = LabelledPixels(pixels, labels, np.arange(16))
    # What is watched has the labels exchanged: learning makes it worse from the start.
    wrong = LabelledPixels(pixels, 1 - labels, np.arange(16, 32))
    run = Training(classifier(), recipe(epochs=20, patience=2), train, wrong, np.ones(2))
    history = run.run()
    assert history[-1]["epoch"] == run.at.epoch == run.at.best_epoch + 2 < 20
    assert run.at.best_loss == min(record["valid_loss"] for record in history)
    with torch.inference_mode():
        scores = torch.cat([run.network(batch.images) for batch in wrong.in_order(CPU)])
    scores = scores.clone() / best_temperature(scores.numpy()[None], wrong.labels)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(wrong.labels)).item()
    assert loss == pytest.approx(run.at.best_loss, rel=1e-4)


def test_class_weights_count():
    pixels, labels = images()
    train = LabelledPixels(pixels, labels, np.arange(16))
    shares = []
    for weights in ([50.0, 1.0], [1.0, 50.0]):
        run = Training(classifier(), recipe(averaging=0), train, None, np.array(weights))
        run.run()
        with torch.inference_mode():
            scores = torch.cat([run.network(batch.images) for batch in train.in_order(CPU)])
        shares.append(torch.softmax(scores, 1)[:, 1].mean().item())
    assert shares[1] > shares[0] + 0.5


def test_automatic_precision_follows_hardware_and_network(monkeypatch):
    import hybridleuk.models.training_network as module

    monkeypatch.setattr(module, "_has_bf16", lambda: True)
    assert training_precision("auto", CPU, classifier()) == "bf16"
    assert training_precision("auto", CPU, classifier("mobilenet_v3_small")) == "fp32"
    assert training_precision("fp32", CPU, classifier()) == "fp32"
    monkeypatch.setattr(module, "_has_bf16", lambda: False)
    assert training_precision("auto", CPU, classifier()) == "fp32"


@pytest.mark.parametrize("name", ["squeezenet1_0", "resnet18", "mobilenet_v3_small"])
def test_a_state_dict_brings_a_network_back(name):
    record = backbone(name)
    network = classifier(name, 3).eval()
    torch.nn.init.normal_(network.head[-1].weight)
    empty = empty_classifier(record, 3)
    empty.load_state_dict(network.state_dict(), assign=True)
    batch = torch.rand(1, 3, 64, 64)
    assert torch.equal(empty.eval()(batch), network(batch))
