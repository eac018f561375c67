import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridleuk.evaluation.checkpoints import (
    Checkpoints,
    FoldResult,
    describe,
    fingerprint,
    write_atomically,
)
from hybridleuk.exceptions import OutputError

RESULT = FoldResult(np.array([[0.25, 0.75], [1.0, 0.0]]), 1.5, 20.0)


def kept(tmp_path):
    store = Checkpoints(tmp_path)
    store.save("a-1", RESULT, ["x", "y"], {"fold": 0})
    return store


def test_a_fold_comes_back_as_it_was(tmp_path):
    loaded = kept(tmp_path).load("a-1", (2, 2))
    np.testing.assert_array_equal(loaded.probabilities, RESULT.probabilities)
    assert (loaded.fit_seconds, loaded.predict_ms) == (1.5, 20.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.json", "a-1.parquet"]


def test_missing_incomplete_damaged_or_misshapen_folds_are_not_used(tmp_path):
    store = kept(tmp_path)
    assert store.load("b-2", (2, 2)) is None
    assert store.load("a-1", (3, 2)) is None
    table = (tmp_path / "a-1.parquet").read_bytes()
    (tmp_path / "a-1.parquet").write_bytes(table[: len(table) // 2])
    assert store.load("a-1", (2, 2)) is None
    (tmp_path / "a-1.parquet").write_bytes(table)
    (tmp_path / "a-1.json").write_text("{")
    assert store.load("a-1", (2, 2)) is None
    (tmp_path / "a-1.json").unlink()
    assert store.load("a-1", (2, 2)) is None


def test_without_a_folder_nothing_is_kept():
    store = Checkpoints(None)
    store.save("a-1", RESULT, ["x", "y"], {})
    assert store.load("a-1", (2, 2)) is None


def test_every_setting_changes_the_name(tmp_path):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"one")
    cases = [
        LogisticRegression(),
        LogisticRegression(C=2.0),
        LogisticRegression(C=True),
        make_pipeline(LogisticRegression()),
        make_pipeline(FunctionTransformer(lambda x: [v + 1 for v in x])),
        make_pipeline(FunctionTransformer(lambda x: [v + 2 for v in x])),
        {"weights": str(file)},
        {"weights": "other"},
        np.arange(3),
        np.arange(4),
        "1",
        1,
    ]
    names = [fingerprint("c", case) for case in cases]
    file.write_bytes(b"two!")
    names.append(fingerprint("c", {"weights": str(file)}))
    assert len(set(names)) == len(names)


def test_equal_settings_have_one_name_whatever_cannot_change_results():
    class Estimator(LogisticRegression):
        def __init__(self, C=1.0, cache=None, n_jobs=None):
            self.C, self.cache, self.n_jobs = C, cache, n_jobs

    assert describe(Estimator()) == describe(Estimator(cache="elsewhere", n_jobs=2))
    assert describe(Estimator()) != describe(Estimator(C=2.0))
    text = str(describe(FunctionTransformer(lambda x: [len(v) for v in x])))
    assert "0x" not in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    write_atomically(target, b"first")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybridleuk.evaluation.checkpoints.os.replace", full)
    with pytest.raises(OutputError, match=r"result.json cannot be written \(No space left"):
        write_atomically(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
