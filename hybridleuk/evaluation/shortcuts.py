"""How far one gets without reading a cell: baselines from background, mean color and thumbnail.

A classifier whose accuracy such a baseline also reaches has not been shown to read cells: slides of
different classes may simply have been stained or lit differently. The features depend on neither
label nor fold, so they are cached by content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from hybridleuk import progress
from hybridleuk.data.cache import Cache, cache_key, open_cache
from hybridleuk.data.images import ImageLike, RGBImage, check_images, image_sha256, read_image

__all__ = [
    "SHORTCUTS",
    "BackgroundColor",
    "MeanColor",
    "ShortcutClassifier",
    "Thumbnail",
    "background_color",
    "mean_color",
    "shortcut_features",
    "thumbnail",
]

Array = npt.NDArray[Any]

VERSION = 1
_BATCH = 64


def background_color(image: RGBImage) -> Array:
    """Median and standard deviation of R, G, B over the pixels brighter than Otsu on green.

    Six numbers, 0 to 255. An image of one green value throughout counts as all background.
    (Otsu 1979, IEEE Trans. Systems, Man and Cybernetics 9:62-66.)

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.shortcuts import background_color
    >>> image = np.full((20, 20, 3), 230, np.uint8); image[5:15, 5:15] = (90, 40, 120)
    >>> background_color(image).tolist()
    [230.0, 230.0, 230.0, 0.0, 0.0, 0.0]
    """
    green = image[..., 1]
    bright = green > _otsu(green)
    pixels = image[bright] if bright.any() else image.reshape(-1, 3)
    return np.concatenate([np.median(pixels, axis=0), pixels.std(axis=0)])


def mean_color(image: RGBImage) -> Array:
    """Mean of R, G, B over the whole image: three numbers, 0 to 255."""
    return image.reshape(-1, 3).mean(axis=0)


def thumbnail(image: RGBImage, size: int = 8) -> Array:
    """Return the image shrunk to `size` x `size` by averaging: 3 * size**2 numbers, 0 to 255."""
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


_MEASURES: dict[str, Callable[[RGBImage], Array]] = {
    "background color": background_color,
    "mean color": mean_color,
    "8 x 8 thumbnail": thumbnail,
}
SHORTCUTS = tuple(_MEASURES)


def shortcut_features(
    images: Sequence[ImageLike],
    names: Sequence[str] = SHORTCUTS,
    *,
    cache: Any = "default",
) -> dict[str, Array]:
    """Measure shortcuts of all images, decoding each at most once.

    Returns
    -------
    dict
        Name of the shortcut to ndarray of shape (n, n_features), float64.
    """
    listed = check_images(images)
    store = open_cache(cache)
    try:
        hashes = [image_sha256(image) for image in listed]
        found: dict[str, dict[str, Array]] = {name: {} for name in names}
        for name in names:
            keys = {_key(name, sha256): sha256 for sha256 in hashes}
            answers = store.get_many(keys) if store else {}
            found[name] = {keys[key]: value for key, value in answers.items()}
        for sha256, measured in _measure_missing(listed, hashes, found, store):
            for name in names:
                found[name][sha256] = measured[name]
    finally:
        if store:
            store.close()
    return {name: np.stack([found[name][sha256] for sha256 in hashes]) for name in names}


class _ShortcutTransformer(TransformerMixin, BaseEstimator):
    """A shortcut as a scikit-learn transformer over images; ``fit`` learns nothing."""

    shortcut: str
    columns: tuple[str, ...]

    def __init__(self, cache: Any = "default") -> None:
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the images; nothing is learned."""
        check_images(X)
        return self

    def transform(self, X: Any) -> Array:
        """Measure each image: ndarray of shape (n, n_features), float64."""
        return shortcut_features(X, [self.shortcut], cache=self.cache)[self.shortcut]

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns."""
        return np.array(self.columns, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class BackgroundColor(_ShortcutTransformer):
    """Six numbers of the background of each image: see :func:`background_color`."""

    shortcut = "background color"
    columns = tuple(f"background_{c}_{s}" for s in ("median", "std") for c in "rgb")


class MeanColor(_ShortcutTransformer):
    """Three numbers of each image: see :func:`mean_color`."""

    shortcut = "mean color"
    columns = tuple(f"mean_{c}" for c in "rgb")


class Thumbnail(_ShortcutTransformer):
    """192 numbers of each image: see :func:`thumbnail`."""

    shortcut = "8 x 8 thumbnail"
    columns = tuple(f"thumbnail_{y}_{x}_{c}" for y in range(8) for x in range(8) for c in "rgb")


class ShortcutClassifier(ClassifierMixin, BaseEstimator):
    """RBF support vector machine on shortcut features, scaled to unit variance.

    Its probabilities are the softmax of decision values: good for the predicted class and for
    ranking, not calibrated.

    Parameters
    ----------
    C : float, default 10.0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    """

    def __init__(self, C: float = 10.0) -> None:
        self.C = C

    def fit(self, X: Any, y: Any) -> Self:
        """Fit scaling and machine on features of shape (n, n_features)."""
        self.scaler_ = StandardScaler().fit(X)
        self.machine_ = SVC(C=self.C, class_weight="balanced", break_ties=True)
        self.machine_.fit(self.scaler_.transform(X), y)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return an array of shape (n, n_classes) whose rows sum to 1."""
        check_is_fitted(self)
        decision = self.machine_.decision_function(self.scaler_.transform(X))
        if decision.ndim == 1:
            decision = np.column_stack([-decision, decision])
        odds = np.exp(decision - decision.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """Return the class of each row."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _key(name: str, sha256: str) -> str:
    return cache_key("shortcut", sha256, {"name": name, "version": VERSION})


def _measure_missing(
    images: Sequence[ImageLike],
    hashes: Sequence[str],
    found: dict[str, dict[str, Array]],
    store: Cache | None,
) -> Iterator[tuple[str, dict[str, Array]]]:
    missing = {
        sha256: image
        for sha256, image in zip(hashes, images, strict=True)
        if any(sha256 not in known for known in found.values())
    }
    if not missing:
        return
    items, names = list(missing.items()), list(found)
    with (
        ThreadPoolExecutor() as pool,
        progress.task("Measuring shortcuts", len(items)) as measuring,
    ):
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            results = list(pool.map(lambda item: _measure(item[1], names), batch))
            fresh = list(zip((sha256 for sha256, _ in batch), results, strict=True))
            if store:
                store.put_many({_key(n, s): values[n] for s, values in fresh for n in names})
            yield from fresh
            measuring.advance(len(batch))


def _measure(image: ImageLike, names: Sequence[str]) -> dict[str, Array]:
    pixels = read_image(image)
    return {name: _MEASURES[name](pixels) for name in names}


def _otsu(values: Array) -> float:
    """Threshold that best parts grey values in two, by variance between the parts."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    mass = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    inside = (below > 0) & (above > 0)
    if not inside.any():
        return 255.0
    gap = mass[inside] / below[inside] - (mass[-1] - mass[inside]) / above[inside]
    between = below[inside] * above[inside] * gap**2
    return float(np.flatnonzero(inside)[np.argmax(between)])
