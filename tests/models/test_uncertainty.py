import numpy as np
import pytest

from hybridleuk.exceptions import InputError
from hybridleuk.models.uncertainty import PredictionSets


def drawn(rng, n, classes=3):
    truth = rng.choice(classes, n, p=[0.7, 0.2, 0.1])
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), truth] += 1.5
    odds = np.exp(scores)
    return odds / odds.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_covers_every_class_as_promised(alpha):
    rng = np.random.default_rng(0)
    covered = np.zeros((40, 3))
    for repeat in range(40):
        sets = PredictionSets(alpha).fit(*drawn(rng, 600))
        probabilities, truth = drawn(rng, 2000)
        inside = sets.predict(probabilities)[np.arange(2000), truth]
        covered[repeat] = [inside[truth == k].mean() for k in range(3)]
    assert np.all(np.abs(covered.mean(axis=0) - (1 - alpha)) < 0.025)


def test_class_with_too_few_images_is_never_ruled_out():
    sets = PredictionSets(0.1).fit([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 5, [0] * 20 + [1] * 5)
    assert sets.thresholds_[1] == 0
    assert sets.predict([[1.0, 0.0]])[0, 1]


def test_impossible_risk_is_refused():
    with pytest.raises(InputError, match="alpha is 1.5; expected a risk between 0 and 1"):
        PredictionSets(1.5).fit([[1.0]], [0])
