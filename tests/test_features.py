import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridleuk.exceptions import InputError
from hybridleuk.features import FeatureTable, is_feature_file


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    identity = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(6)],
            "path": [f"/x/{k}.png" for k in range(6)],
            "label": ["blast", "other"] * 3,
            "group": [None] * 6,
        },
        dtype=object,
    )
    blocks = {
        "morphology": pd.DataFrame(rng.normal(size=(6, 2)), columns=["area__mean", "cell_count"]),
        "embedding__net__image": pd.DataFrame(
            rng.normal(size=(6, 4)).astype(np.float32),
            columns=[f"net__image__{k}" for k in range(4)],
        ),
    }
    return FeatureTable(identity, blocks, {"parameters": {"backbone": "net"}})


def test_comes_back_from_parquet(table, tmp_path):
    table.write_parquet(tmp_path / "f.parquet")
    back = FeatureTable.read_parquet(tmp_path / "f.parquet")
    pd.testing.assert_frame_equal(back.identity, table.identity)
    for name, block in table.blocks.items():
        pd.testing.assert_frame_equal(back.blocks[name], block)
    assert back.provenance == table.provenance
    assert is_feature_file(tmp_path / "f.parquet")


def test_layout_on_disk(table, tmp_path):
    table.write_parquet(tmp_path / "f.parquet")
    schema = pq.read_schema(tmp_path / "f.parquet")
    assert schema.field("morphology__area__mean").type == pa.float64()
    assert schema.field("embedding__net__image").type == pa.list_(pa.float32(), 4)
    assert "parameters" in json.loads(schema.metadata[b"hybridleuk"])["provenance"]


def test_rows_are_picked_together(table):
    picked = table[np.array([4, 1])]
    assert picked.identity["image_id"].tolist() == ["i4", "i1"]
    assert np.array_equal(picked.matrix(), table.matrix()[[4, 1]])
    assert len(table[table.labels == "blast"]) == 3
    assert table.shape == (6, 6)
    assert table.groups is None


def test_foreign_newer_and_damaged_files_are_refused(table, tmp_path):
    pd.DataFrame({"path": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    assert not is_feature_file(tmp_path / "manifest.parquet")
    with pytest.raises(InputError, match="holds no hybridleuk features"):
        FeatureTable.read_parquet(tmp_path / "manifest.parquet")
    newer = pa.table({"x": [1]}).replace_schema_metadata({b"hybridleuk": b'{"format": 99}'})
    pq.write_table(newer, tmp_path / "newer.parquet")
    with pytest.raises(InputError, match="format 99, newer than the 1 known here"):
        FeatureTable.read_parquet(tmp_path / "newer.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    assert not is_feature_file(tmp_path / "cut.parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        FeatureTable.read_parquet(tmp_path / "cut.parquet")


def test_failed_write_leaves_nothing(table, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        table.write_parquet(tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []
