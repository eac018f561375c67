"""The table of cells that ``hybridleuk segment`` writes, a part at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from hybridleuk.data.manifest import COLUMNS
from hybridleuk.morphology.catalogue import select_features
from hybridleuk.morphology.files_folder import unfinished_name

__all__ = ["cells_writer"]


@contextmanager
def cells_writer(path: Path) -> Iterator[Any]:
    """Give a function that appends rows to a Parquet file, which appears when all is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    unfinished = unfinished_name(path)
    buffered: list[pd.DataFrame] = []

    def flush() -> None:
        if buffered:
            rows = pd.concat(buffered, ignore_index=True)
            rows = (
                rows.astype(object).where(rows.notna(), None) if rows.isna().any().any() else rows
            )
            file.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
            buffered.clear()

    def write(table: pd.DataFrame) -> None:
        if len(table):
            buffered.append(table)
        if len(buffered) >= 256:
            flush()

    try:
        with pq.ParquetWriter(unfinished, schema) as file:
            yield write
            flush()
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _schema() -> Any:
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in COLUMNS]
    fields += [pa.field("number", pa.int32()), pa.field("central", pa.bool_())]
    fields += [pa.field(name, pa.int32()) for name in ("y0", "x0", "y1", "x1")]
    fields += [pa.field(name, pa.float64()) for name in ("centroid_y", "centroid_x")]
    fields += [pa.field("flags", pa.string())]
    fields += [pa.field(feature.name, pa.float64()) for feature in select_features()]
    return pa.schema(fields)
