import numpy as np
import pandas as pd

from hybridleuk.audit.balance import balance
from hybridleuk.audit.evidence import Evidence
from hybridleuk.data.manifest import Manifest


def judge(rows, kind="patient"):
    frame = pd.DataFrame(rows, columns=["label", "group", "split"], dtype=object)
    for name in ("image_id", "path", "sha256"):
        frame[name] = [f"{name}{k}" for k in range(len(frame))]
    return balance(Evidence(Manifest(frame, group_kind=kind), [None] * len(frame)))


def test_counts():
    rows = [("a", "P1", "train"), ("a", "P1", "train"), ("a", "P2", "test"), ("b", "P3", "train")]
    found = judge(rows)
    assert found["images_per_class"] == {"a": 3, "b": 1}
    assert found["groups_per_class"] == {"a": 2, "b": 1}
    assert found["images_per_split"] == {"test": {"a": 1}, "train": {"a": 2, "b": 1}}
    assert (found["n_groups"], found["groups_of_one_class"], found["most_folds"]) == (3, 3, 1)
    assert found["ratio"] == 3.0
    assert any("test of the split has no image of b" in text for text in found["warnings"])
    assert any("Fewer groups than 5 folds in a (2), b (1)" in text for text in found["warnings"])


def test_groups_in_several_parts():
    found = judge([("a", "P1", "train"), ("a", "P1", "test"), ("b", "P2", "train")])
    assert found["shared_groups"] == ["P1"]
    assert "1 group(s) are in several parts of the split: P1" in found["warnings"][0]


def test_without_groups():
    found = judge([(name, None, None) for name in np.repeat(["a", "b"], 30)], kind="none")
    assert found["most_folds"] == 30
    assert len(found["warnings"]) == 1
    assert "No groups are known" in found["warnings"][0]


def test_uneven_classes():
    found = judge([("a", None, None)] * 300 + [("b", None, None)] * 20, kind="none")
    assert any("15 times as many" in text for text in found["warnings"])


def test_nothing_is_known():
    found = judge([(None, None, None)] * 3, kind="none")
    assert (found["images_per_class"], found["ratio"], found["most_folds"]) == ({}, None, 0)
