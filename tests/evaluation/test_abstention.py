import numpy as np
import pytest

from hybridleuk.evaluation.abstention import SHARES, answered_accuracy
from hybridleuk.evaluation.resampling import Resamples


def test_accuracy_among_the_surest_by_sorting():
    rng = np.random.default_rng(0)
    codes, p = rng.integers(0, 3, 500), rng.dirichlet(np.ones(3), 500)
    p = (p + 0.5 * np.eye(3)[codes]) / 1.5
    drawn = Resamples.draw(codes, n_classes=3, groups=np.arange(500) // 10, n_draws=100)
    found = answered_accuracy(codes, p[None], drawn)
    order = np.argsort(-p.max(axis=1))
    right = (p.argmax(axis=1) == codes)[order]
    assert len(SHARES) == len(found["answered"]) == 21
    for place, share in enumerate(SHARES):
        expected = right[: round(share * 500)].mean()
        assert found["accuracy"][place] == pytest.approx(expected)
        assert found["answered"][place] == pytest.approx(share)
        assert found["low"][place] < expected <= found["high"][place]


def test_equal_probabilities_are_answered_together():
    codes = np.arange(40) % 2
    p = np.tile([0.8, 0.2], (40, 1))
    drawn = Resamples.draw(codes, n_classes=2, n_draws=50)
    found = answered_accuracy(codes, p[None], drawn)
    assert found["answered"] == [1.0] * 21
    assert found["accuracy"] == [0.5] * 21


def test_repeats_are_pooled():
    codes = np.array([0, 1] * 10)
    sure = np.eye(2)[codes] * 0.9 + 0.05
    unsure = np.eye(2)[1 - codes] * 0.2 + 0.4
    drawn = Resamples.draw(codes, n_classes=2, n_draws=20)
    found = answered_accuracy(codes, np.stack([sure, unsure]), drawn)
    assert found["accuracy"][0] == 0.5
    half = int(np.flatnonzero(SHARES == 0.48)[0])
    assert found["accuracy"][half] == 1.0
    assert found["answered"][half] == 0.5
