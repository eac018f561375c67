import numpy as np
import pytest

from hybridleuk.audit.labels import Doubts, confident_errors, doubt_labels, held_out_probabilities


def clusters(n=300, classes=3, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    true = np.arange(n) % classes
    features = rng.normal(size=(n, 6))
    features[np.arange(n), true] += 6
    wrong = rng.choice(n, round(noise * n), replace=False)
    given = true.copy()
    given[wrong] = (true[wrong] + 1) % classes
    return features, np.array(list("abc"))[given], np.array(list("abc"))[true], set(wrong.tolist())


def test_planted_noise_is_found():
    features, given, true, wrong = clusters()
    found = doubt_labels(features, given, paths=[str(i) for i in range(len(given))]).suspects
    rows = [int(entry["path"]) for entry in found]
    assert len(wrong & set(rows)) / len(wrong) >= 0.9
    assert len(wrong & set(rows)) / len(rows) >= 0.95
    assert all(
        entry["suggested"] == true[row]
        for entry, row in zip(found, rows, strict=True)
        if row in wrong
    )
    scores = [entry["score"] for entry in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_clean_labels_are_left_alone():
    features, given, _, _ = clusters(noise=0.0)
    assert len(doubt_labels(features, given, paths=[""] * len(given)).suspects) <= 3


def test_confident_joint_by_hand():
    """Thresholds are 0.6 and 0.55; an image that reaches both goes to its likelier class."""
    p = np.array([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.5, 0.5], [0.8, 0.2]])
    codes = np.array([0, 0, 1, 1, 0])
    assert (p[codes == 0, 0].mean(), p[codes == 1, 1].mean()) == pytest.approx((2 / 3, 0.55))
    assert confident_errors(p, codes).tolist() == [0, 1, 1, 1, 0]


def test_probabilities_are_out_of_fold_by_group():
    """Images of a group have a mark of their own; with it on both sides noise would be learned."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    labels = np.array(["a", "b"])[rng.permutation(np.arange(30) % 2)[groups]]
    features = np.eye(30)[groups] + 0.01 * rng.normal(size=(120, 30))
    by_group = held_out_probabilities(features, labels, groups)
    by_image = held_out_probabilities(features, labels, None)
    right = [np.mean((p[:, 1] > 0.5) == (labels == "b")) for p in (by_group, by_image)]
    assert right[0] < 0.75 < 0.95 < right[1]


def test_too_few_images_of_a_class():
    assert held_out_probabilities(np.eye(3), np.array(["a", "a", "b"])) is None
    assert doubt_labels(np.eye(3), np.array(["a", "a", "a"]), paths=list("xyz")) == Doubts([], None)


def test_labels_that_cannot_be_told_are_not_doubted():
    """Labels drawn at random: half of them would look wrong."""
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(80, 6)), np.array(["a", "b"])[rng.integers(2, size=80)]
    found = doubt_labels(features, labels, paths=[""] * 80)
    assert found.suspects == []
    assert not found.test["told"]
    assert found.test["p_value"] > 0.05
