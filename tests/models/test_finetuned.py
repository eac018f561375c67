"""The classifier as a user meets it, on small drawn images and an untrained network."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from hybridleuk import FineTunedCNN
from hybridleuk.exceptions import ImageError, InputError, ModelFileError, SplitError

SMALL = {"weights": "random", "image_size": 32, "batch_size": 8, "precision": "fp32", "workers": 1}
COLORS = {"ALL": (120, 60, 150), "normal": (170, 120, 190), "other": (150, 60, 70)}


pytestmark = pytest.mark.usefixtures("one_thread")


def draw(label, random, size=40):
    y, x = np.mgrid[:size, :size]
    center = size / 2 + random.uniform(-4, 4, 2)
    radius = {"ALL": 11, "normal": 7, "other": 9}[label] + random.uniform(-1, 1)
    inside = (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2
    image = random.normal(225, 4, (size, size, 3))
    image[inside] = random.normal(COLORS[label], 6, (inside.sum(), 3))
    return image.clip(0, 255).astype(np.uint8)


def smear(per_class=12, classes=("ALL", "normal"), seed=0):
    random = np.random.default_rng(seed)
    labels = list(classes) * per_class
    return [draw(label, random) for label in labels], labels


@pytest.fixture(scope="module")
def fitted():
    torch.set_num_threads(1)
    X, y = smear(16, ("ALL", "normal", "other"))
    groups = [f"P{i // 6}" for i in range(len(y))]
    return FineTunedCNN(**SMALL, epochs=4).fit(X, y, groups)


def test_it_learns_what_can_be_seen(fitted):
    X, y = smear(6, ("ALL", "normal", "other"), seed=1)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (18, 3)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert list(fitted.classes_) == ["ALL", "normal", "other"]
    assert fitted.score(X, y) > 0.9
    assert set(fitted.predict(X)) <= set(fitted.classes_)


def test_the_history_tells_each_epoch(fitted):
    history = fitted.history_
    assert list(history["epoch"]) == list(range(len(history)))
    best = history["valid_loss"].idxmin()
    assert fitted.best_epoch_ == history["epoch"][best]
    assert {"train_loss", "train_accuracy", "valid_balanced_accuracy"} <= set(history)


def test_watched_images_share_no_group_with_those_learned_from(fitted):
    groups = np.array([f"P{i // 6}" for i in range(48)])
    watched = np.zeros(48, dtype=bool)
    watched[fitted.watched_] = True
    assert 0 < watched.sum() <= 24
    assert not set(groups[watched]) & set(groups[~watched])


def test_what_is_watched_is_not_learned_from():
    # Other images to watch change what is kept, but no step of the training.
    X, y = smear(8)
    whole = FineTunedCNN(**SMALL, epochs=1).fit(X, y)
    blank = [np.full_like(x, 255) if i in whole.watched_ else x for i, x in enumerate(X)]
    other = FineTunedCNN(**SMALL, epochs=1).fit(blank, y)
    assert np.array_equal(whole.watched_, other.watched_)
    assert whole.history_["train_loss"].equals(other.history_["train_loss"])
    assert not (whole.history_["valid_loss"] == other.history_["valid_loss"]).any()


def test_the_seed_decides_and_the_callers_random_numbers_are_kept():
    X, y = smear(6)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    results = [
        FineTunedCNN(**SMALL, epochs=2, random_state=seed).fit(X, y).predict_proba(X)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_without_validation_every_epoch_is_run_and_one_image_of_a_class_will_do():
    X, y = smear(5)
    X, y = [*X, draw("other", np.random.default_rng(3))], [*y, "other"]
    fitted = FineTunedCNN(**SMALL, epochs=2, validation_fraction=0).fit(X, y)
    assert list(fitted.history_["epoch"]) == [0, 1, 2]
    assert fitted.best_epoch_ == 2
    assert "valid_loss" not in fitted.history_
    assert len(fitted.watched_) == 0
    assert len(fitted.classes_) == 3


def test_the_model_file_state_is_json_and_tensors_and_predicts_the_same(fitted):
    X, _ = smear(3, seed=2)
    description, tensors = fitted.to_state()
    restored = FineTunedCNN.from_state(json.loads(json.dumps(description)), tensors)
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())
    assert np.array_equal(restored.predict_proba(X), fitted.predict_proba(X))
    assert list(restored.predict(X)) == list(fitted.predict(X))
    pd.testing.assert_frame_equal(restored.history_, fitted.history_)
    assert restored.to_state()[0] == description
    assert not {"device", "cache", "checkpoint"} & set(description["parameters"])


def test_weights_that_do_not_belong_are_refused(fitted):
    description, tensors = fitted.to_state()
    with pytest.raises(ModelFileError, match="not those of squeezenet1_0 with 2 classes"):
        FineTunedCNN.from_state({**description, "classes": ["ALL", "normal"]}, tensors)


def test_a_pickle_holds_tensors_and_no_network(fitted):
    X, _ = smear(2, seed=2)
    content = pickle.dumps(fitted)
    assert b"GraphModule" not in content
    assert np.array_equal(pickle.loads(content).predict_proba(X), fitted.predict_proba(X))


def test_labels_keep_their_type():
    X, y = smear(4)
    fitted = FineTunedCNN(**SMALL, epochs=1).fit(X, [label == "ALL" for label in y])
    assert fitted.predict(X).dtype == bool
    description, tensors = fitted.to_state()
    assert FineTunedCNN.from_state(description, tensors).predict(X).dtype == bool


def test_clone_pipeline_and_grid_search():
    X, y = smear(6)
    network = FineTunedCNN(**SMALL, epochs=1, validation_fraction=0)
    assert clone(network).get_params() == network.get_params()
    pipeline = Pipeline([("network", network)])
    search = GridSearchCV(pipeline, {"network__learning_rate": [1e-4, 1e-3]}, cv=2)
    assert search.fit(X, y).predict(X).shape == (12,)


@pytest.mark.parametrize("view", ["segmented", "cells"])
def test_the_views_of_the_embeddings(view, monkeypatch):
    X, y = smear(4)
    fitted = FineTunedCNN(**SMALL, view=view, epochs=1, cache=None).fit(X, y)
    assert fitted.predict_proba(X[:2]).shape == (2, 2)


def test_one_class_only():
    X, _ = smear(2)
    with pytest.raises(SplitError, match="only the class ALL"):
        FineTunedCNN(**SMALL).fit(X, ["ALL"] * 4)


def test_a_class_that_cannot_be_watched_says_what_to_do():
    X, y = smear(4)
    groups = ["A" if label == "ALL" else f"N{i}" for i, label in enumerate(y)]
    with pytest.raises(SplitError, match=r"ALL has 1 group.*validation_fraction=0"):
        FineTunedCNN(**SMALL).fit(X, y, groups)
    with pytest.raises(SplitError, match=r"ALL has 1 image.*validation_fraction=0"):
        FineTunedCNN(**SMALL).fit(X[:4], ["ALL", "normal", "normal", "normal"])


def test_a_broken_image_is_named(tmp_path):
    X, y = smear(4)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with pytest.raises(ImageError, match="broken.png"):
        FineTunedCNN(**SMALL).fit([*X[:-1], broken], y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "alexnext"}, "no backbone 'alexnext'"),
        ({"view": "cell"}, "view is 'cell'"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"validation_fraction": 0.7}, "validation_fraction is 0.7.*at most 0.5"),
        ({"image_size": 8}, "image_size is 8; expected at least 32"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"device": "cuda:99"}, "device"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    X, y = smear(2)
    with pytest.raises(InputError, match=message):
        FineTunedCNN(**{**SMALL, **parameters}).fit(X, y)


def test_images_and_labels_of_different_number():
    X, y = smear(2)
    with pytest.raises(InputError, match="4 images but 3 labels"):
        FineTunedCNN(**SMALL).fit(X, y[:3])


def test_batchnorm_statistics_of_pretrained_weights_stay(tmp_path):
    from hybridleuk.embeddings.backbones import backbone
    from hybridleuk.embeddings.weights import load_network

    network = load_network(backbone("mobilenet_v3_small"), "random", 7).network
    file = tmp_path / "mine.pth"
    torch.save(network.state_dict(), file)
    X, y = smear(4)
    options = {**SMALL, "weights": file, "backbone": "mobilenet_v3_small", "epochs": 1}
    options["validation_fraction"] = 0
    fitted = FineTunedCNN(**options).fit(X, y)
    after = fitted.network_.backbone.state_dict()
    before = network.state_dict()
    assert torch.equal(after["features.0.1.running_mean"], before["features.0.1.running_mean"])
    assert not torch.equal(after["features.0.1.weight"], before["features.0.1.weight"])
    assert fitted.weights_description_ == "file mine.pth"
    # Untrained statistics say nothing: they are learned.
    fresh = FineTunedCNN(**{**options, "weights": "random"}).fit(X, y)
    assert fresh.network_.backbone.state_dict()["features.0.1.running_mean"].abs().sum() > 0
