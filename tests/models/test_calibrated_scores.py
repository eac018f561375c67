"""From class scores to probabilities."""

import numpy as np
import pytest

from hybridleuk import FineTunedCNN
from hybridleuk.models.calibrated_scores import best_temperature, mean_probabilities

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"weights": "random", "image_size": 32, "batch_size": 8, "workers": 1, "cache": None}


def drawn(n, scale, seed=0):
    """Scores whose softmax, divided by `scale`, is the chance with which the classes were drawn."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 3)) * 1.5
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (chances.cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return scale * logits[None], codes


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_scale_of_the_scores(scale):
    assert best_temperature(*drawn(4000, scale)) == pytest.approx(scale, rel=0.08)


def test_few_images_move_it_little():
    scores, codes = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]), np.array([0, 1, 0])
    few = best_temperature(scores, codes)  # all of them right, so that sharper looks better
    many = best_temperature(np.tile(scores, (1, 400, 1)), np.tile(codes, 400))
    assert 0.1 <= many < 0.2 < 0.4 < few < 1


def test_orientations_are_averaged_as_probabilities():
    scores = np.log(np.array([[[0.9, 0.1]], [[0.5, 0.5]]]))
    assert mean_probabilities(scores)[0] == pytest.approx([0.7, 0.3])


def test_a_prediction_over_eight_orientations_does_not_depend_on_how_the_image_lies():
    random = np.random.default_rng(0)
    labels = np.arange(16) % 2
    images = random.integers(0, 200, (16, 32, 32, 3)) + 50 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    network = FineTunedCNN(**OPTIONS, epochs=1, orientations=8).fit(images, labels)
    turned = [np.rot90(image)[::-1].copy() for image in images]
    expected = network.predict_proba(images)
    np.testing.assert_allclose(network.predict_proba(turned), expected, atol=1e-5)
    network.set_params(orientations=1)
    assert np.abs(network.predict_proba(turned) - network.predict_proba(images)).max() > 1e-4
