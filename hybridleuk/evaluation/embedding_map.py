"""A map on which images with similar features lie close to each other: key ``map``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.data.sampling import evenly_by_class
from hybridleuk.evaluation.context import Context

__all__ = ["MOST_POINTS", "map_section", "place"]

Array = npt.NDArray[Any]
MOST_POINTS = 600
_COMPONENTS = 50
_PERPLEXITY = 30.0
_FEWEST = 10


def map_section(context: Context) -> dict[str, Any] | None:
    """Lay the features of the best candidate that has some out on a plane.

    No label takes part in where a point lies: labels only say which images are sampled (as many of
    each class) and how the points are marked.

    Returns
    -------
    dict, or None where no candidate has cached features or there are fewer than 10 images
        ``features``: the candidate whose features these are; ``candidate``: whose out-of-fold calls
        are ``right`` or not; ``method``; ``points``.
    """
    ranked = _ranked(context)
    owner = next((name for name in ranked if _has_features(context.estimators[name])), None)
    rows = evenly_by_class(context.codes, MOST_POINTS)
    if owner is None or len(rows) < _FEWEST:
        return None
    images = list(context.study.images[rows])
    with progress.task("Map of the features", total=len(rows)) as task:
        features = context.estimators[owner].unfitted_features()
        table = features.extract(images)
        places = place(features.fit(table).transform(table), random_state=context.settings.seed)
        task.advance(len(rows))
    calls = context.results[context.main_split][ranked[0]].probabilities[0, rows].argmax(axis=1)
    return {
        "candidate": ranked[0],
        "features": owner,
        "method": f"features scaled as for the classifier, {_components(*table.shape)} principal "
        f"components, t-SNE of perplexity {_perplexity(len(rows)):.0f}; neighbors mean something, "
        "distances between far points and directions do not",
        "n_images": len(context.codes),
        "points": _points(context, rows, places, calls == context.codes[rows]),
    }


def place(features: Array, *, random_state: int = 0) -> Array:
    """Lay rows out on a plane: principal components, then t-SNE (van der Maaten and Hinton 2008).

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        At least 3 rows.
    random_state : int, default 0

    Returns
    -------
    ndarray of shape (n, 2)
        Centered, the farthest coordinate at -1 or 1; the same for the same rows on one machine.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(_components(*features.shape), svd_solver="full").fit_transform(features)
    layout = TSNE(
        perplexity=_perplexity(len(features)),
        init="pca",
        random_state=random_state,
        n_jobs=1,
    )
    places = layout.fit_transform(reduced).astype(np.float64)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    reach = np.abs(places).max()
    return places / reach if reach > 0 else places


def _components(n: int, n_features: int) -> int:
    return min(_COMPONENTS, n, n_features)


def _perplexity(n: int) -> float:
    return min(_PERPLEXITY, (n - 1) / 3)


def _ranked(context: Context) -> list[str]:
    draws = context.draws[context.main_split]
    return sorted(draws, key=lambda name: -draws[name]["balanced_accuracy"][0])


def _has_features(estimator: Any) -> bool:
    """Whether a candidate can tell its features, and they need not be made again for this."""
    return hasattr(estimator, "unfitted_features") and estimator.cache is not None


def _points(context: Context, rows: Array, places: Array, right: Array) -> list[dict[str, Any]]:
    identity = context.manifest.frame[["image_id", "path", "label"]].iloc[rows]
    return [
        {
            "image_id": str(image_id),
            "path": str(path),
            "label": str(label),
            "x": round(float(x), 4),
            "y": round(float(y), 4),
            "right": bool(good),
        }
        for (image_id, path, label), (x, y), good in zip(
            identity.itertuples(index=False), places, right, strict=True
        )
    ]
