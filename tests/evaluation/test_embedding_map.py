"""The map shows what is alike side by side, knows no label, and comes out the same twice."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hybridleuk.evaluation import embedding_map
from hybridleuk.evaluation.embedding_map import map_section, place
from hybridleuk.features import FeatureTable


def clouds(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(center, 1, (n, 20)) for center in (0, 8)])


def test_like_lies_beside_like_and_it_comes_out_the_same():
    features = clouds()
    places = place(features)
    assert places.shape == (80, 2)
    assert np.abs(places).max() == 1
    own, other = places[:40], places[40:]
    gap = np.linalg.norm(own.mean(0) - other.mean(0))
    assert gap > 2 * max(own.std(axis=0).max(), other.std(axis=0).max())
    assert np.array_equal(place(features), places)


class Features:
    def extract(self, images):
        rows = [int(image) for image in images]
        block = pd.DataFrame(clouds()[rows])
        return FeatureTable(pd.DataFrame(index=range(len(rows))), {"deep": block}, {})

    def fit(self, table):
        return self

    def transform(self, table):
        return table.matrix()


class Candidate:
    def __init__(self, cache="somewhere"):
        self.cache = cache

    def unfitted_features(self):
        return Features()


def context(estimators, labels, calls):
    codes = np.unique(labels, return_inverse=True)[1]
    n = len(labels)
    identity = {"image_id": [f"i{k}" for k in range(n)], "path": [f"/x/{k}" for k in range(n)]}
    probabilities = {name: np.eye(2)[of][None] for name, of in calls.items()}
    return SimpleNamespace(
        codes=codes,
        main_split="random",
        settings=SimpleNamespace(seed=0),
        estimators=estimators,
        study=SimpleNamespace(images=np.arange(n).astype(str).astype(object)),
        manifest=SimpleNamespace(frame=pd.DataFrame({**identity, "label": labels})),
        results={"random": {n: SimpleNamespace(probabilities=p) for n, p in probabilities.items()}},
        draws={
            "random": {
                name: {"balanced_accuracy": np.array([np.mean(of == codes)])}
                for name, of in calls.items()
            }
        },
    )


@pytest.fixture
def labels():
    return np.repeat(["blast", "lymphocyte"], 40)


def test_marks_are_of_the_best_candidate_and_features_of_the_best_that_has_some(labels):
    truth = np.repeat([0, 1], 40)
    calls = {"a": np.zeros(80, int), "best": np.where(np.arange(80) < 4, 1, truth)}
    found = map_section(context({"a": Candidate(), "best": object()}, labels, calls))
    assert (found["candidate"], found["features"]) == ("best", "a")
    assert [point["right"] for point in found["points"]] == [False] * 4 + [True] * 76
    assert found["points"][3] | {"x": 0, "y": 0} == {
        "image_id": "i3", "path": "/x/3", "label": "blast", "x": 0, "y": 0, "right": False,
    }  # fmt: skip


def test_no_label_moves_a_point(labels):
    calls = {"a": np.zeros(80, int)}
    first = map_section(context({"a": Candidate()}, labels, calls))["points"]
    other = map_section(context({"a": Candidate()}, labels[::-1], calls))["points"]
    assert [(p["x"], p["y"]) for p in first] == [(p["x"], p["y"]) for p in other]


def test_no_more_points_than_allowed_as_many_of_each_class(labels, monkeypatch):
    monkeypatch.setattr(embedding_map, "MOST_POINTS", 20)
    found = map_section(context({"a": Candidate()}, labels, {"a": np.zeros(80, int)}))
    assert [point["label"] for point in found["points"]] == ["blast"] * 10 + ["lymphocyte"] * 10


def test_no_map_where_features_would_be_made_again(labels):
    calls = {"a": np.zeros(80, int)}
    assert map_section(context({"a": Candidate(cache=None)}, labels, calls)) is None
    assert map_section(context({"a": object()}, labels, calls)) is None
