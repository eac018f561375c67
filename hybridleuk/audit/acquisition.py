"""How the images were taken: clusters of stain, light and camera, and whether classes follow them.

What is looked at sees little or nothing of the cells: color of background and of the whole image,
sharpness, roughness of the background, and the tables by which a JPEG was compressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk import progress
from hybridleuk.audit.evidence import Evidence
from hybridleuk.audit.exchange import exchanged, p_value

__all__ = ["acquisition", "acquisition_features", "cluster_count"]

Array = npt.NDArray[Any]

MOST_CLUSTERS = 12
_JUDGED, _REFERENCES, _STARTS = 1000, 5, 3
_CLEARER = 0.1
_FEWEST = 30
_PERMUTATIONS = 199
_EXAMPLES = 6
_BOUND = 8.0
_TABLES = slice(-128, None)  # of the file metadata: two quantisation tables
_ROUGHNESS = slice(12, None)  # of the background only
HOW = (
    "k-means on robust units of background color, mean color (weight 0.25), sharpness, roughness "
    "of the background and JPEG tables; as many clusters as have the greatest mean silhouette, if "
    "it exceeds by 0.1 what as many clusters reach on draws from one normal distribution of the "
    "same covariance, else one"
)


def acquisition(
    evidence: Evidence, shortcuts: Mapping[str, Array], *, random_state: int = 0
) -> dict[str, Any]:
    """Cluster images by how they were taken, and compare with their classes.

    Parameters
    ----------
    evidence : Evidence
    shortcuts : mapping of name of a baseline to ndarray of shape (n, d)
        ``background only``, ``background color``, ``mean color`` and ``file metadata``.
    random_state : int, default 0

    Returns
    -------
    dict
        ``n_clusters``, ``sizes``, ``examples`` (paths nearest to the middle of each cluster),
        ``clusters`` (number of each image's cluster, from 0), ``classes`` (images per cluster and
        class), ``nmi_with_class`` (normalised mutual information, 0 to 1; None without labels),
        ``nmi_by_chance`` (its mean over exchanged labels), ``p_value`` and ``how``.
    """
    features = acquisition_features(evidence, shortcuts)
    with progress.task("Clustering by acquisition", 1, "sets") as clustering:
        count = cluster_count(features, random_state=random_state)
        clusters, distances = _clustered(features, count, random_state)
        clustering.advance()
    order = np.argsort(distances, kind="stable")
    examples = [
        [evidence.paths[row] for row in order[clusters[order] == number][:_EXAMPLES]]
        for number in range(count)
    ]
    return {
        "n_clusters": count,
        "sizes": np.bincount(clusters, minlength=count).tolist(),
        "examples": examples,
        "clusters": clusters.tolist(),
        **_with_class(clusters, evidence, random_state),
        "how": HOW,
    }


def acquisition_features(evidence: Evidence, shortcuts: Mapping[str, Array]) -> Array:
    """Put what tells of stain, light and camera on one scale: (n, d), bounded robust units."""
    background, metadata = shortcuts["background only"], shortcuts["file metadata"]
    tables = metadata[:, _TABLES]
    strength = np.log1p(tables.reshape(len(tables), 2, -1).mean(axis=2))
    optics = np.column_stack(
        [np.log1p(evidence.column("sharpness")), np.log1p(background[:, _ROUGHNESS]).mean(axis=1)]
    )
    blocks = (
        (shortcuts["background color"], 1.0),
        (shortcuts["mean color"], 0.25),  # it also tells of the cells
        (optics, 1.0),
        (strength, 1.0),
    )
    return np.hstack([weight * _robust(values) for values, weight in blocks])


def cluster_count(features: Array, *, random_state: int = 0) -> int:
    """Choose the number of clusters, 1 to 12.

    For each number from 2 the mean silhouette (Rousseeuw 1987, J. Computational and Applied
    Mathematics 20:53-65) of k-means is compared with the mean over five draws from one normal
    distribution of the same covariance, which has no clusters. The greatest silhouette wins among
    those that exceed theirs by 0.1; where none does, or of under 30 images, the answer is 1. At
    most 1,000 images are looked at, so that the cost does not grow with their number.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    random_state : int, default 0
    """
    rng = np.random.default_rng(random_state)
    if len(features) < _FEWEST or not np.ptp(features, axis=0).any():
        return 1
    judged = features[rng.permutation(len(features))[:_JUDGED]]
    covariance = np.cov(judged.T)
    drawn = [
        rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(judged), method="svd")
        for _ in range(_REFERENCES)
    ]
    found = _silhouettes(judged, random_state)
    by_chance = np.mean([_silhouettes(one, random_state) for one in drawn], axis=0)
    clear = found - by_chance >= _CLEARER
    return 2 + int(np.where(clear, found, -np.inf).argmax()) if clear.any() else 1


def _silhouettes(features: Array, random_state: int) -> Array:
    """Mean silhouette of 2 to 12 clusters; -1 where there are not so many different images."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    found = np.full(MOST_CLUSTERS - 1, -1.0)
    most = min(MOST_CLUSTERS, len(np.unique(features, axis=0)) - 1, len(features) // 10)
    for count in range(2, most + 1):
        machine = KMeans(count, n_init=_STARTS, random_state=random_state)
        found[count - 2] = silhouette_score(features, machine.fit_predict(features))
    return found


def _clustered(features: Array, count: int, random_state: int) -> tuple[Array, Array]:
    """Return the number of each image's cluster, the largest first, and how far it is off."""
    from sklearn.cluster import KMeans

    machine = KMeans(count, n_init=10, random_state=random_state).fit(features)
    numbers = machine.labels_
    distances = np.linalg.norm(features - machine.cluster_centers_[numbers], axis=1)
    by_size = np.argsort(-np.bincount(numbers, minlength=count), kind="stable")
    renumbered = np.empty(count, dtype=np.int64)
    renumbered[by_size] = np.arange(count)
    return renumbered[numbers], distances


def _with_class(clusters: Array, evidence: Evidence, random_state: int) -> dict[str, Any]:
    from sklearn.metrics import normalized_mutual_info_score

    labels = evidence.labels
    unknown = {"nmi_with_class": None, "nmi_by_chance": None, "p_value": None, "classes": None}
    if labels is None:
        return unknown
    names, codes = np.unique(labels, return_inverse=True)
    table = np.zeros((clusters.max() + 1, len(names)), dtype=int)
    np.add.at(table, (clusters, codes), 1)
    per_cluster = [dict(zip(names.tolist(), row.tolist(), strict=True)) for row in table]
    if len(table) < 2 or len(names) < 2:
        return {**unknown, "nmi_with_class": 0.0, "classes": per_cluster}
    observed = float(normalized_mutual_info_score(codes, clusters))
    draws = exchanged(codes, evidence.groups, times=_PERMUTATIONS, random_state=random_state)
    by_chance = np.array([normalized_mutual_info_score(drawn, clusters) for drawn in draws])
    return {
        "nmi_with_class": observed,
        "nmi_by_chance": float(by_chance.mean()),
        "p_value": p_value(observed, by_chance),
        "classes": per_cluster,
    }


def _robust(values: Array) -> Array:
    """Distance from the median in median absolute deviations, bounded."""
    middle = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=0)
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return np.clip((values - middle) / np.where(spread > 0, spread, 1.0), -_BOUND, _BOUND)
