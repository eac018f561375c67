"""Seconds of CPU that tuning an SVM and boosted trees takes, beside the plainest scikit-learn way.

Run:  python benchmarks/classifiers.py FEATURES.parquet [--rows N] [--classifiers svm xgboost]
      [--one-setting]

FEATURES is a file of ``hybridleuk extract``. Both ways search the same nine settings on the same
three inner folds, one thread each: ours, and ``GridSearchCV`` over ``SVC(probability=True)`` or
``XGBClassifier``. Time is of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import resource
import time
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from hybridleuk.data.splits import inner_folds, stratified_folds
from hybridleuk.features import FeatureTable
from hybridleuk.hybrid import HybridFeatures
from hybridleuk.models.classifiers import SVMClassifier, XGBoostClassifier


def read_fold(path: str, rows: int | None) -> tuple[Any, ...]:
    """Return scaled training and test rows with their classes, of the first of five folds."""
    table = FeatureTable.read_parquet(path)
    labels = np.asarray(table.labels).astype(str)
    if rows is not None:
        picked = np.sort(np.random.default_rng(0).permutation(len(labels))[:rows])
        table, labels = table[picked], labels[picked]
    train, test = stratified_folds(labels, table.groups)[0]
    features = HybridFeatures(**_recipe(table)).fit(table[train])
    scaled = features.transform(table[train]), features.transform(table[test])
    return scaled[0], labels[train], scaled[1], labels[test]


def _recipe(table: FeatureTable) -> dict[str, Any]:
    kinds = {name.split("__")[0] for name in table.blocks}
    return {"features": "hybrid" if len(kinds) > 1 else kinds.pop().replace("embedding", "deep")}


def plain(name: str, X: Any, y: Any, *, search: bool = True) -> Any:
    """Search the same grid as anyone would with scikit-learn alone, or fit its first setting."""
    folds = inner_folds(y, None, 3, 0)
    if name == "svm":
        scale = 1 / (X.shape[1] * X.var())
        grid = {"C": [10, 1, 100], "gamma": [scale, scale / 4, scale * 4]}
        machine = SVC(probability=True, class_weight="balanced", random_state=0)
        return _fitted(machine, grid, folds, X, y, search)
    from xgboost import XGBClassifier

    trees = XGBClassifier(
        n_estimators=200,
        subsample=0.8,
        colsample_bytree=min(0.3, 400 / X.shape[1]),
        max_bin=64,
        n_jobs=1,
        random_state=0,
    )
    grid = {"max_depth": [4, 3, 6], "learning_rate": [0.1, 0.05, 0.2]}
    codes = np.unique(y, return_inverse=True)[1]
    return _fitted(trees, grid, folds, X, codes, search)


def _fitted(one: Any, grid: dict[str, Any], folds: Any, X: Any, y: Any, search: bool) -> Any:
    if search:
        return GridSearchCV(one, grid, scoring="balanced_accuracy", cv=folds).fit(X, y)
    return one.set_params(**{name: values[0] for name, values in grid.items()}).fit(X, y)


def timed(what: str, fit: Any, Z: Any, truth: Any) -> None:
    """Fit, and print seconds of CPU and balanced accuracy on the test rows."""
    start = time.process_time()
    fitted = fit()
    seconds = time.process_time() - start
    called = np.asarray(fitted.predict(Z))
    if called.dtype.kind in "iu":
        called = np.unique(truth)[called]
    score = balanced_accuracy_score(truth, called)
    print(f"{what:24s} {seconds:8.1f} s   balanced accuracy {score:.4f}", flush=True)


def main() -> None:
    """Time both ways on one fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--classifiers", nargs="+", default=["svm", "xgboost"])
    parser.add_argument("--one-setting", action="store_true", help="fit once, without a search")
    given = parser.parse_args()
    X, y, Z, truth = read_fold(given.features, given.rows)
    print(f"{X.shape[0]} rows of {X.shape[1]} columns, {len(np.unique(y))} classes")
    ours = {"svm": SVMClassifier, "xgboost": XGBoostClassifier}
    with threadpool_limits(1):
        for name in given.classifiers:
            timed(f"{name}, not tuned", lambda name=name: ours[name]().fit(X, y), Z, truth)
            if given.one_setting:
                once = partial(plain, name, X, y, search=False)
                timed(f"{name}, scikit-learn's way", once, Z, truth)
                continue
            tuned = lambda name=name: ours[name](tune=True).fit(X, y)  # noqa: E731
            timed(f"{name}, tuned", tuned, Z, truth)
            timed(f"{name}, GridSearchCV", partial(plain, name, X, y), Z, truth)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
