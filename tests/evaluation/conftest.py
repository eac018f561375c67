"""Drawn studies with a known answer, and image classifiers small enough to fit in a moment."""

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hybridleuk import Manifest, read_image

SIDE = 32


def draw(rng, label, background, stripes):
    """A square cell on a plain background; stripes run down (label 1) or across (label 0)."""
    image = np.full((SIDE, SIDE, 3), background, dtype=np.float64)
    cell = np.full((16, 16, 3), (110.0, 60.0, 140.0))
    if stripes:
        wave = np.where(np.arange(16) % 2, 25.0, -25.0)
        cell += (wave[None, :, None] if label else wave[:, None, None]) * np.ones_like(cell)
    image[8:24, 8:24] = cell
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def make_study(tmp_path):
    """Draw a study: stripes tell the classes apart, or the background does, or only the group."""

    def make(*, signal="stripes", n_groups=12, per_group=6, grouped=True, pure=True, seed=0):
        rng = np.random.default_rng(seed)
        folder = tmp_path / f"study-{signal}-{seed}-{n_groups}"
        paths, labels, groups = [], [], []
        for group in range(n_groups):
            own = rng.uniform(185, 235, 3) if signal == "group" else np.full(3, 215.0)
            for number in range(per_group):
                label = group % 2 if pure else number % 2
                hue = own + (20 * label if signal == "background" else 0)
                hue = hue + rng.normal(0, 1.5, 3) * (signal != "background")
                name = ("blast", "lymphocyte")[label]
                path = folder / name / f"P{group:02d}_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = draw(rng, label, np.minimum(hue, 250), signal == "stripes")
                Image.fromarray(image).save(path)
                paths.append(path)
                labels.append(name)
                groups.append(f"P{group:02d}")
        return Manifest.from_paths(paths, labels, groups if grouped else None)

    return make


def mean_colors(images):
    return np.stack([read_image(image).mean(axis=(0, 1)) for image in images])


def stripe_contrasts(images):
    cells = [read_image(image)[8:24, 8:24].mean(axis=2) for image in images]
    return np.array([[cell.mean(0).std(), cell.mean(1).std()] for cell in cells])


def on_colors(C=1.0):
    return make_pipeline(
        FunctionTransformer(mean_colors), StandardScaler(), LogisticRegression(C=C)
    )


def on_stripes(C=1.0):
    return make_pipeline(
        FunctionTransformer(stripe_contrasts), StandardScaler(), LogisticRegression(C=C)
    )


class Counting(ClassifierMixin, BaseEstimator):
    """Counts its fits, remembers what it was given, and stops like Ctrl-C when told to."""

    fits = 0
    stop_after = None
    seen = ()

    def __init__(self, strength=1.0, cache=None):
        self.strength = strength
        self.cache = cache

    def fit(self, X, y, groups=None):
        if Counting.stop_after is not None and Counting.fits >= Counting.stop_after:
            raise KeyboardInterrupt
        Counting.fits += 1
        Counting.seen = (*Counting.seen, (list(X), groups))
        self.inner_ = on_stripes(self.strength).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)

    def predict(self, X):
        return self.inner_.predict(X)


@pytest.fixture
def counting():
    Counting.fits, Counting.stop_after, Counting.seen = 0, None, ()
    return Counting


@pytest.fixture
def candidates():
    return {"colors": on_colors(), "stripes": on_stripes()}
