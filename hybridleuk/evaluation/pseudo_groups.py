"""Pseudo-groups: what stands for patients where none are known, and is always called pseudo.

Images that were taken in one sitting share stain, light and camera; a classifier may know them by
it. They are found by the color of their empty background and of the whole image, which say how an
image was taken, clustered without regard to class. Images that show the same (copies, turned,
cropped or compressed again) go to one group together. A pseudo-group keeps apart what leaks through
acquisition and copies; two patients of one sitting it cannot tell apart, nor one patient of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import silhouette_score

from hybridleuk.data.manifest import Manifest
from hybridleuk.data.near_duplicates import near_duplicates
from hybridleuk.evaluation.shortcuts import shortcut_features
from hybridleuk.exceptions import SplitError

__all__ = ["acquisition_clusters", "groups_of_copies", "pseudo_groups"]

Array = npt.NDArray[Any]

MEASURES = ("background color", "mean color")
FEWEST_GROUPS, MOST_GROUPS = 10, 50
_SMALL_CLUSTERS = 400
# The median of the background says how an image was taken; its spread, and the color of the whole
# image, also tell of what lies in it.
_WEIGHT_OF_REST = 0.25
_JUDGED = 2000


def pseudo_groups(
    manifest: Manifest,
    *,
    per_class: int = 5,
    cache: Any = "default",
    n_jobs: int | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> Manifest:
    """Return the same images with pseudo-groups from acquisition and near-duplicates.

    Parameters
    ----------
    manifest : Manifest
        Its groups, if any, are replaced.
    per_class : int, default 5
        Each class is to be found in so many groups at least, so that as many folds can be made;
        where no number of clusters allows it, the one that comes closest is taken.
    cache : "default", path or None
    n_jobs : int, optional
    pairs : sequence of (int, int), optional
        Rows that show the same, where they are known; else they are looked for.

    Returns
    -------
    Manifest
        With groups ``pseudo-01``, ..., `group_kind` ``"pseudo"``, and in `group_rule` how they
        were made. The same images always give the same groups.

    Raises
    ------
    SplitError
        There are fewer than twenty images.
    ImageError
        An image cannot be decoded.
    """
    images = list(manifest.paths)
    if len(images) < 2 * FEWEST_GROUPS:
        raise SplitError(
            f"Pseudo-groups of {len(images)} images; expected {2 * FEWEST_GROUPS} at least. Name "
            "the patients, or use the split 'random'."
        )
    measured = shortcut_features(images, list(MEASURES), cache=cache)
    features = _scaled(*(measured[name] for name in MEASURES))
    clusters = acquisition_clusters(features, manifest.labels, per_class=per_class)
    if pairs is None:
        found = near_duplicates(images, cache=cache, n_jobs=n_jobs)
        pairs = [(pair.first, pair.second) for pair in found]
    sets = groups_of_copies(list(manifest.frame["sha256"]), list(pairs))
    clusters = clusters[sets]  # a set of copies follows its first image
    _, codes = np.unique(clusters, return_inverse=True)
    n_copies = int(len(images) - len(np.unique(sets)))
    rule = (
        f"pseudo: {codes.max() + 1} clusters of the color of background and image (Ward's method, "
        f"as many as separate best), without regard to class; {n_copies} copies and "
        "near-duplicates kept with the image they show"
    )
    names = [f"pseudo-{code + 1:02d}" for code in codes.ravel()]
    return manifest.with_groups(names, kind="pseudo", rule=rule)


def acquisition_clusters(
    features: Array, labels: Array | None = None, *, per_class: int = 5
) -> npt.NDArray[np.intp]:
    """Cluster images by how they were taken.

    The images are brought down to some hundred small clusters by k-means, whose centers are joined
    by Ward's method; the number of clusters, 10 to 50, is the one of the greatest mean silhouette
    (Rousseeuw 1987, J. Computational and Applied Mathematics 20:53-65) among those that leave each
    class enough groups. The cost grows with the number of images.

    Parameters
    ----------
    features : ndarray of shape (n, d)
        All on one scale.
    labels : ndarray of shape (n,), optional
        Only to see in how many clusters each class is.
    per_class : int, default 5

    Returns
    -------
    ndarray of shape (n,), int
    """
    n_small = min(_SMALL_CLUSTERS, len(np.unique(features, axis=0)), max(2, len(features) // 3))
    small = KMeans(n_small, n_init=1, random_state=0).fit(features)
    judged = np.unique(np.linspace(0, len(features) - 1, _JUDGED).astype(int))
    best, chosen = (-1, -np.inf), small.labels_
    for count in range(min(FEWEST_GROUPS, n_small), min(MOST_GROUPS, n_small) + 1):
        joined = AgglomerativeClustering(count).fit_predict(small.cluster_centers_)
        found = joined[small.labels_]
        if len(np.unique(found[judged])) < 2 or len(judged) <= count:
            continue
        enough = min(per_class, _fewest(found, labels, per_class))
        score = (enough, float(silhouette_score(features[judged], found[judged])))
        if score > best:
            best, chosen = score, found
    return np.asarray(chosen)


def groups_of_copies(hashes: list[str], pairs: list[tuple[int, int]]) -> npt.NDArray[np.intp]:
    """Give each image the first row among those that show the same.

    Parameters
    ----------
    hashes : list of n str
        The same for images that are the same byte for byte.
    pairs : list of (int, int)
        Rows that show the same.

    Examples
    --------
    >>> from hybridleuk.evaluation.pseudo_groups import groups_of_copies
    >>> groups_of_copies(["a", "b", "a", "c"], [(1, 3)]).tolist()
    [0, 1, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = pd.Series(range(len(hashes))).groupby(hashes).transform("min").to_numpy()
    linked = np.array([*pairs, *zip(range(len(hashes)), first, strict=True)]).reshape(-1, 2)
    size = (len(hashes), len(hashes))
    graph = coo_array((np.ones(len(linked)), (linked[:, 0], linked[:, 1])), shape=size)
    _, members = connected_components(graph, directed=False)
    return pd.Series(range(len(hashes))).groupby(members).transform("min").to_numpy()


def _scaled(background: Array, whole: Array) -> Array:
    """Put background (three medians, three spreads) and whole image on one scale, side by side."""
    medians, spreads = background[:, :3], background[:, 3:]
    rest = np.hstack([_robust(spreads), _robust(whole)])
    return np.hstack([_robust(medians), _WEIGHT_OF_REST * rest])


def _robust(values: Array) -> Array:
    """Distance from the median in median absolute deviations, bounded."""
    middle = np.median(values, axis=0)
    spread = np.median(np.abs(values - middle), axis=0)
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return np.clip((values - middle) / np.where(spread > 0, spread, 1.0), -8, 8)


def _fewest(clusters: Array, labels: Array | None, enough: int) -> int:
    """In how many clusters the class is that is in the fewest."""
    if labels is None:
        return enough
    return int(pd.Series(clusters).groupby(np.asarray(labels)).nunique().min())
