import numpy as np
from sklearn.metrics import balanced_accuracy_score

from hybridleuk.evaluation.metrics import replicate
from hybridleuk.evaluation.recalls import balanced_accuracies
from hybridleuk.evaluation.resampling import Resamples


def test_as_scikit_learn_and_as_the_metrics_of_the_candidates():
    rng = np.random.default_rng(0)
    codes, groups = rng.integers(0, 3, 90), rng.integers(0, 12, 90)
    drawn = Resamples.draw(codes, n_classes=3, groups=groups, n_draws=50)
    probabilities = rng.dirichlet(np.ones(3), 90)
    calls = probabilities.argmax(axis=1)
    right = np.stack([calls == codes, np.ones(90)])
    found = balanced_accuracies(codes, np.arange(90), right, drawn, 3)
    assert np.isclose(found[0, 0], balanced_accuracy_score(codes, calls))
    expected = replicate(codes, probabilities, drawn)["balanced_accuracy"]
    assert np.allclose(found[0], expected, atol=1e-6)
    assert np.allclose(found[1], 1.0)


def test_a_part_of_the_images_and_a_draw_without_a_class():
    codes = np.array([0, 0, 0, 1, 1, 1])
    drawn = Resamples(
        np.array([[1, 1, 1], [2, 1, 0]], np.float32), np.repeat([0, 1, 2], 2), np.ones((3, 2))
    )
    rows = np.array([0, 5])
    found = balanced_accuracies(codes[rows], rows, np.array([[True, False]]), drawn, 2)
    assert found[0, 0] == 0.5
    assert np.isnan(found[0, 1])
