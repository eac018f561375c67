"""The table that extraction writes and classifiers read: identity of each image beside its blocks.

A block is what one extractor measured: the morphology, or the embedding of one backbone in one
view. On disk it is one Parquet file: identity columns as in the manifest, one column per morphology
feature (``morphology__*``), one fixed-size-list column per embedding (``embedding__*``), and in the
file's metadata everything needed to repeat the extraction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.exceptions import InputError

__all__ = ["FeatureTable", "is_feature_file"]

FORMAT = 1
_METADATA_KEY = b"hybridleuk"
_LIST_PREFIX = "embedding__"
_SCALAR_SEPARATOR = "__"


@dataclass(frozen=True)
class FeatureTable:
    """Features of images, in named blocks, with their identity and provenance.

    Attributes
    ----------
    identity : DataFrame of n rows
        The columns ``image_id`` to ``sha256`` of :attr:`hybridleuk.Manifest.frame`.
    blocks : mapping of str to DataFrame of n rows
        ``"morphology"`` and ``"embedding__<backbone>__<view>"``, in that order.
    provenance : mapping
        Extraction parameters, weights, versions; JSON-serialisable.

    Examples
    --------
    >>> import pandas as pd
    >>> from hybridleuk.features import FeatureTable
    >>> identity = pd.DataFrame({"image_id": ["a", "b"], "label": ["blast", "other"]})
    >>> morphology = pd.DataFrame({"nucleus_area": [1.0, 2.0]})
    >>> table = FeatureTable(identity, {"morphology": morphology}, provenance={})
    >>> table.matrix().shape, table.block_sizes
    ((2, 1), [1])
    """

    identity: pd.DataFrame
    blocks: Mapping[str, pd.DataFrame]
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of features."""
        return len(self), sum(self.block_sizes)

    @property
    def block_sizes(self) -> list[int]:
        """Number of features in each block."""
        return [block.shape[1] for block in self.blocks.values()]

    @property
    def feature_names(self) -> list[str]:
        """Name of every feature, in the order of :meth:`matrix`."""
        return [str(name) for block in self.blocks.values() for name in block.columns]

    @property
    def labels(self) -> npt.NDArray[np.object_] | None:
        """Class of each image, or ``None``."""
        return self._identity("label")

    @property
    def groups(self) -> npt.NDArray[np.object_] | None:
        """Group of each image, or ``None``."""
        return self._identity("group")

    def matrix(self) -> npt.NDArray[np.float64]:
        """Put the blocks side by side: (n, n_features)."""
        return np.hstack([block.to_numpy(dtype=np.float64) for block in self.blocks.values()])

    def __getitem__(self, index: Any) -> FeatureTable:
        """Pick rows by an integer or boolean index, as scikit-learn's splitters do."""
        rows = np.arange(len(self))[index]
        return replace(
            self,
            identity=self.identity.iloc[rows].reset_index(drop=True),
            blocks={k: v.iloc[rows].reset_index(drop=True) for k, v in self.blocks.items()},
        )

    def write_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the table; the file appears under its name only when it is complete."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {str(name): pa.array(self.identity[name].tolist()) for name in self.identity}
        names: dict[str, list[str]] = {}
        for block_name, block in self.blocks.items():
            names[block_name] = [str(name) for name in block.columns]
            columns.update(_columns(block_name, block))
        document = {"format": FORMAT, "names": names, "provenance": dict(self.provenance)}
        table = pa.table(columns).replace_schema_metadata({_METADATA_KEY: json.dumps(document)})
        target = Path(path)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            pq.write_table(table, unfinished)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def read_parquet(cls, path: str | os.PathLike[str]) -> FeatureTable:
        """Read a table written by :meth:`write_parquet`.

        Raises
        ------
        InputError
            The file is damaged, was not written by hybridleuk, or by a newer one.
        """
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except Exception as error:
            raise InputError(
                f"{path}: cannot be read as Parquet ({error}); extract again."
            ) from error
        document = _document(table.schema.metadata, path)
        blocks = {}
        for name, columns in document["names"].items():
            if name in table.column_names:
                blocks[name] = _unstacked(table[name], columns)
            else:
                parts = [f"{name}{_SCALAR_SEPARATOR}{column}" for column in columns]
                blocks[name] = table.select(parts).to_pandas().set_axis(columns, axis=1)
        feature_columns = {
            *blocks,
            *(f"{b}{_SCALAR_SEPARATOR}{c}" for b, f in blocks.items() for c in f),
        }
        kept = [name for name in table.column_names if name not in feature_columns]
        identity = table.select(kept).to_pandas().astype(object)
        identity = identity.where(identity.notna(), None)
        return cls(identity, blocks, document["provenance"])

    def _identity(self, name: str) -> npt.NDArray[np.object_] | None:
        if name not in self.identity or self.identity[name].isna().all():
            return None
        return self.identity[name].to_numpy(dtype=object)


def is_feature_file(path: str | os.PathLike[str]) -> bool:
    """Tell a Parquet file of features from a Parquet manifest."""
    if Path(path).suffix.lower() != ".parquet" or not Path(path).is_file():
        return False
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata
    except Exception:  # a damaged file is reported by whoever reads it
        return False
    return _METADATA_KEY in (metadata or {})


def _columns(name: str, block: pd.DataFrame) -> dict[str, Any]:
    import pyarrow as pa

    if not name.startswith(_LIST_PREFIX):
        return {f"{name}{_SCALAR_SEPARATOR}{c}": pa.array(block[c].to_numpy()) for c in block}
    values = np.ascontiguousarray(block.to_numpy(dtype=np.float32))
    flat = pa.array(values.ravel())
    return {name: pa.FixedSizeListArray.from_arrays(flat, values.shape[1])}


def _unstacked(column: Any, names: list[str]) -> pd.DataFrame:
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return pd.DataFrame(flat.reshape(len(column), len(names)), columns=names)


def _document(metadata: Mapping[bytes, bytes] | None, path: Any) -> dict[str, Any]:
    if not metadata or _METADATA_KEY not in metadata:
        raise InputError(
            f"{path}: holds no hybridleuk features; expected a file from `hybridleuk extract`."
        )
    document: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
    if document.get("format", 0) > FORMAT:
        raise InputError(
            f"{path}: features of format {document['format']}, newer than the {FORMAT} known here; "
            "update hybridleuk or extract again."
        )
    return document
