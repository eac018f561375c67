from types import SimpleNamespace

import numpy as np
import pytest

from hybridleuk.audit.acquisition import acquisition, cluster_count


def shortcuts(middles, rng):
    """Draw what baselines measure of images whose background has these middles, (n,)."""
    n = len(middles)
    metadata = np.zeros((n, 145))
    return {
        "background color": middles[:, None] + rng.normal(size=(n, 6)),
        "mean color": middles[:, None] + rng.normal(size=(n, 3)),
        "background only": 5 + rng.normal(size=(n, 21)),
        "file metadata": metadata,
    }


def evidence(labels, groups=None):
    n = 0 if labels is None else len(labels)
    return SimpleNamespace(
        labels=labels,
        groups=groups,
        paths=[f"{k}.png" for k in range(n)],
        column=lambda name: 1.3 + 0.01 * np.random.default_rng(1).normal(size=n),
    )


@pytest.mark.parametrize("seed", range(3))
def test_one_microscope_is_one_cluster(seed):
    rng = np.random.default_rng(seed)
    covariance = np.diag([9.0, 1.0, 1.0, 0.5, 0.5])
    assert cluster_count(rng.multivariate_normal(np.zeros(5), covariance, 300)) == 1


@pytest.mark.parametrize("n_clusters", [2, 3, 5])
def test_as_many_clusters_as_were_drawn(n_clusters):
    rng = np.random.default_rng(n_clusters)
    middles = 12 * rng.permutation(np.eye(6))[:n_clusters]
    numbers = np.arange(400) % n_clusters
    assert cluster_count(middles[numbers] + rng.normal(size=(400, 6))) == n_clusters


def test_few_or_equal_images_are_one_cluster():
    assert cluster_count(np.arange(20.0)[:, None]) == 1
    assert cluster_count(np.ones((200, 3))) == 1


def test_cameras_that_follow_the_class():
    rng = np.random.default_rng(0)
    labels = np.repeat(["ALL", "normal"], 100)
    middles = np.where(labels == "ALL", 200.0, 240.0)
    found = acquisition(evidence(labels), shortcuts(middles, rng))
    assert (found["n_clusters"], found["sizes"]) == (2, [100, 100])
    assert found["nmi_with_class"] == pytest.approx(1.0)
    assert found["nmi_by_chance"] < 0.05
    assert found["p_value"] <= 0.01
    assert sorted(map(sorted, (row.values() for row in found["classes"]))) == [[0, 100], [0, 100]]


def test_cameras_without_regard_to_class():
    rng = np.random.default_rng(0)
    labels = np.tile(["ALL", "normal"], 100)
    middles = np.where(np.arange(200) < 100, 200.0, 240.0)
    found = acquisition(evidence(labels), shortcuts(middles, rng))
    assert found["n_clusters"] == 2
    assert found["nmi_with_class"] < 0.05
    assert found["p_value"] > 0.05
