import numpy as np
import pytest
from skimage.filters import threshold_otsu
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from hybridleuk.evaluation import shortcuts
from hybridleuk.evaluation.shortcut_estimators import (
    BackgroundColor,
    MeanColor,
    ShortcutClassifier,
    Thumbnail,
)
from hybridleuk.evaluation.shortcut_measures import background_color, mean_color, thumbnail
from hybridleuk.evaluation.shortcuts import shortcut_features

TRANSFORMERS = [BackgroundColor, MeanColor, Thumbnail]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    made = rng.integers(200, 240, (8, 32, 32, 3)).astype(np.uint8)
    made[:, 10:20, 10:20] //= 3
    return list(made)


def test_background_is_what_is_brighter_than_otsu_on_green(images):
    pixels = images[0][images[0][..., 1] > threshold_otsu(images[0][..., 1])]
    expected = [*np.median(pixels, axis=0), *pixels.std(axis=0)]
    np.testing.assert_allclose(background_color(images[0]), expected)


def test_background_does_not_see_the_cell(images):
    changed = images[0].copy()
    changed[10:20, 10:20] = (10, 0, 30)
    np.testing.assert_allclose(background_color(changed), background_color(images[0]))


def test_a_plain_image_is_all_background():
    plain = np.full((16, 16, 3), (250, 240, 230), np.uint8)
    assert background_color(plain).tolist() == [250, 240, 230, 0, 0, 0]


def test_thumbnail_and_mean_color_average(images):
    blocks = images[0].reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail(images[0]).reshape(8, 8, 3), blocks, atol=1.01)
    np.testing.assert_allclose(mean_color(images[0]), blocks.mean(axis=(0, 1)))


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_transformers_are_scikit_learn_transformers(kind, images):
    transformer = clone(kind(cache=None))
    values = transformer.fit_transform(images)
    assert values.shape == (8, len(transformer.get_feature_names_out()))
    frame = kind(cache=None).set_output(transform="pandas").fit_transform(images)
    assert list(frame.columns) == list(transformer.get_feature_names_out())
    model = make_pipeline(kind(cache=None), ShortcutClassifier())
    assert model.fit(images, ["a", "b"] * 4).predict(images).shape == (8,)


def test_images_are_decoded_once_and_then_never(images, tmp_path, monkeypatch):
    decoded = []

    def counted(image):
        decoded.append(1)
        return image

    monkeypatch.setattr(shortcuts, "read_image", counted)
    first = shortcut_features([*images, images[0]], cache=tmp_path)
    assert len(decoded) == 8
    again = shortcut_features([*images, images[0]], cache=tmp_path)
    assert len(decoded) == 8
    for name, values in first.items():
        assert len(values) == 9
        np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize("k", [2, 4])
def test_probabilities_of_the_baseline_follow_its_machine(k):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), np.arange(80) % k
    X[:, 0] += y
    fitted = ShortcutClassifier().fit(X, y)
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(
        fitted.predict(X), fitted.machine_.predict(fitted.scaler_.transform(X))
    )
