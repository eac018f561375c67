"""The vote of nearest neighbors against drawn clouds and a count by hand."""

import numpy as np
import pytest

from hybridleuk.models.pretraining_probe import found_again, neighbor_accuracy


def clouds(spread, n=30, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], n)
    rows = np.eye(3)[codes] + rng.normal(0, spread, (3 * n, 3))
    return rows.astype(np.float32), codes


def test_clouds_apart_and_clouds_that_are_one():
    assert neighbor_accuracy(*clouds(0.05)) == 1.0
    rows, codes = clouds(5.0)
    assert neighbor_accuracy(rows, np.random.default_rng(1).permutation(codes)) < 0.5


def test_rows_without_a_class_neither_vote_nor_count():
    rows, codes = clouds(0.05)
    more = np.concatenate([rows, rows[::-1]])
    assert neighbor_accuracy(more, np.concatenate([codes, np.full(len(codes), -1)])) == 1.0
    assert np.isnan(neighbor_accuracy(rows, np.full(len(codes), -1)))


def test_neighbors_of_the_same_patient_do_not_vote():
    """Each patient's rows are alike, and labels are drawn by patient: only patients could tell."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 5)
    rows = np.repeat(rng.normal(size=(20, 8)), 5, axis=0) + rng.normal(0, 0.01, (100, 8))
    codes = np.repeat(np.arange(20) % 2, 5)
    rows = rows.astype(np.float32)
    assert neighbor_accuracy(rows, codes) > 0.9
    assert neighbor_accuracy(rows, codes, groups) < 0.75


def test_views_of_the_same_picture():
    rows, _ = clouds(1.0)
    assert found_again(rows, rows * 3) == 1.0
    assert found_again(rows, np.roll(rows, 1, axis=0)) == pytest.approx(0.0, abs=0.05)
