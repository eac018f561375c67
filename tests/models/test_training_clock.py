"""A time budget: what fits into it, and a training that ends in time."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from hybridleuk import FineTunedCNN
from hybridleuk.exceptions import InputError
from hybridleuk.models import training, training_clock
from hybridleuk.models.training_clock import Clock, planned_steps, seconds_of

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"weights": "random", "image_size": 32, "batch_size": 4, "workers": 1, "cache": None}


def images(n=24):
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = random.integers(0, 200, (n, 32, 32, 3)) + 50 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), (" 1.5 H ", 5400), (7, 7), (0.5, 0.5)]
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", 0, "0s", "20 minutes", "1e3"])
def test_what_is_no_duration(text):
    with pytest.raises(InputError, match=r"budget is .*'20m'"):
        seconds_of(text)


def test_steps_that_fit_follow_the_speed():
    known = {"stepping": 50.0, "elapsed": 100.0, "budget": 1000.0}
    assert planned_steps(100, 10_000, **known) == 100 + (970 - 100) * 2
    assert planned_steps(100, 300, **known) == 300  # no more than without a budget
    assert planned_steps(3, 300, **known) == 300  # too early to tell
    assert planned_steps(100, 300, stepping=50.0, elapsed=1001.0, budget=1000.0) == 100


def test_earlier_runs_count():
    clock = Clock(spent=100.0)
    assert 100 <= clock.elapsed < 101
    with clock.waiting():
        pass
    assert 0 <= clock.waited < 1


def test_a_training_whose_time_is_up_ends_with_what_it_has():
    pixels, labels = images()
    fitted = FineTunedCNN(**OPTIONS, epochs=500, budget=1e-3).fit(pixels, labels)
    assert list(fitted.history_["epoch"]) == [0, 1]
    assert fitted.predict_proba(pixels).shape == (24, 2)
    with pytest.raises(InputError, match="budget is 'soon'"):
        FineTunedCNN(**OPTIONS, budget="soon").fit(pixels, labels)


def test_the_rate_has_fallen_when_the_time_is_up(monkeypatch):
    # A clock on which every look at it takes a hundredth of a second, whatever the machine does.
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks) / 100)
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training_clock, "time", clock)
    pixels, labels = images()
    options = {**OPTIONS, "epochs": 2000, "patience": 2000}
    fitted = FineTunedCNN(**options, budget="4s").fit(pixels, labels)
    rates = fitted.history_["learning_rate"]
    assert 3 < len(rates) < 100
    assert rates.iloc[-1] < 0.2 * rates.max()
    assert next(ticks) / 100 < 4.5
