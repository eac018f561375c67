"""Boosted trees on wide tables: rounds in blocks, each block on columns drawn at random.

XGBoost's histograms are built over every column, those a tree may not use included, so that 4,600
embedding values cost ten times what 460 do. Here a block of rounds is trained on a narrow table of
its own columns, from the margins of all rounds before it, and the trees of all blocks are joined to
one ordinary booster. It is the random subspace of ``colsample_bytree`` (Ho 1998, IEEE TPAMI
20:832-844), drawn anew for each block and not for each tree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BinnedTable", "boosted"]

Array = npt.NDArray[Any]
ROUNDS_PER_BLOCK = 10


@dataclass(frozen=True)
class BinnedTable:
    """A table whose values are in bins, ready for any number of boosters.

    Attributes
    ----------
    columns : list of ndarray of int
        Of each block of rounds, ascending.
    tables : list of xgboost.QuantileDMatrix
        The same rows, cut down to each block's columns.
    shape : (n, n_features)
    """

    columns: list[Array]
    tables: list[Any]
    shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        X: Array,
        codes: Array,
        weights: Array,
        *,
        width: int,
        rounds: int,
        bins: int,
        seed: int,
        threads: int | None,
    ) -> BinnedTable:
        """Draw the columns of each block and put their values into bins.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
        codes, weights : ndarray of shape (n,)
        width : int
            Columns of each block; all of them make one block of all rounds.
        rounds : int
            Boosting rounds that will be asked for.
        bins, seed, threads : int
        """
        import xgboost

        n_features = X.shape[1]
        blocks = 1 if width >= n_features else -(-rounds // ROUNDS_PER_BLOCK)
        rng = np.random.default_rng(seed)
        columns = [
            np.sort(rng.choice(n_features, min(width, n_features), replace=False))
            for _ in range(blocks)
        ]
        narrow = X.astype(np.float32)
        tables = [
            xgboost.QuantileDMatrix(
                narrow[:, picked], codes, weight=weights, max_bin=bins, nthread=threads
            )
            for picked in columns
        ]
        return cls(columns, tables, X.shape)


def boosted(table: BinnedTable, parameters: Mapping[str, Any], rounds: int) -> Any:
    """Train trees block by block and join them.

    Parameters
    ----------
    table : BinnedTable
    parameters : mapping
        Of ``xgboost.train``; ``max_bin`` as in the table.
    rounds : int

    Returns
    -------
    xgboost.Booster
        On all columns of the table that was binned.
    """
    import xgboost

    n_outputs = int(parameters.get("num_class", 1))
    margins = np.zeros((table.shape[0], n_outputs), dtype=np.float32)
    seed, blocks, parts = int(parameters["seed"]), len(table.tables), []
    shares = [len(part) for part in np.array_split(np.arange(rounds), blocks)]
    for number, (data, share) in enumerate(zip(table.tables, shares, strict=True)):
        data.set_base_margin(margins.ravel())
        part = xgboost.train({**parameters, "seed": seed + number, "base_score": 0.5}, data, share)
        parts.append(part)
        if number < blocks - 1:
            margins = part.predict(data, output_margin=True).reshape(margins.shape)
    whole = len(table.columns[0]) == table.shape[1]
    return parts[0] if whole else _joined(parts, table)


def _joined(parts: list[Any], table: BinnedTable) -> Any:
    """Make one booster of several, their columns under the numbers of the whole table."""
    import xgboost

    documents = [json.loads(bytes(part.save_raw("json"))) for part in parts]
    trees: list[dict[str, Any]] = []
    info: list[int] = []
    starts = [0]
    for document, columns in zip(documents, table.columns, strict=True):
        model = document["learner"]["gradient_booster"]["model"]
        starts += [len(trees) + start for start in model["iteration_indptr"][1:]]
        info += model["tree_info"]
        for tree in model["trees"]:
            tree["split_indices"] = columns[tree["split_indices"]].tolist()
            tree["tree_param"]["num_feature"] = str(table.shape[1])
            tree["id"] = len(trees)
            trees.append(tree)
    whole = documents[0]
    learner = whole["learner"]
    model = learner["gradient_booster"]["model"]
    model |= {"trees": trees, "tree_info": info, "iteration_indptr": starts}
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    model["cats"]["feature_segments"] = []
    learner["learner_model_param"]["num_feature"] = str(table.shape[1])
    joined = xgboost.Booster()
    joined.load_model(bytearray(json.dumps(whole).encode()))
    return joined
