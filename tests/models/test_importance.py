"""Permutation importance finds the columns a signal was put into, and is not hidden by a twin."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hybridleuk.evaluation.context import Context
from hybridleuk.evaluation.crossval import OutOfFold
from hybridleuk.evaluation.importance import importance_section
from hybridleuk.evaluation.probes import Answer
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.features import FeatureTable
from hybridleuk.hybrid import HybridFeatures
from hybridleuk.models.hybrid import HybridClassifier
from hybridleuk.models.importance import PermutationProbe, block_columns

N = 240
NAMES = ("nucleus_area", "nucleus_perimeter", "nucleus_hue_mean", "cytoplasm_hue_mean")


class Table(HybridFeatures):
    """Takes rows of a table for images: what each 'image' says is its number."""

    measured = pd.DataFrame()
    deep = pd.DataFrame()

    def extract(self, X):
        rows = [int(x) for x in X]
        blocks = {
            "morphology": self.measured.iloc[rows].reset_index(drop=True),
            "embedding__net__image": self.deep.iloc[rows].reset_index(drop=True),
        }
        return FeatureTable(pd.DataFrame(index=range(len(rows))), blocks, {})

    def extractors(self):
        return {"morphology": self}

    def _check_versions(self, X):
        pass


class Measuring:
    def fit(self, images):
        return self

    def transform(self, images):
        return Table.measured.iloc[[int(x) for x in images]].to_numpy()

    def get_feature_names_out(self):
        return Table.measured.columns


@pytest.fixture
def fitted(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.array(["blast", "lymphocyte"])[np.arange(N) % 2]
    signal = (np.arange(N) % 2) * 2.0 + rng.normal(0, 0.5, N)
    measured = {"nucleus_area": signal, "nucleus_perimeter": signal + rng.normal(0, 0.02, N)}
    measured |= {name: rng.normal(size=N) for name in NAMES[2:]}
    frame = pd.DataFrame({f"{name}__mean": values for name, values in measured.items()})
    monkeypatch.setattr(Table, "measured", frame)
    monkeypatch.setattr(Table, "deep", pd.DataFrame(rng.normal(size=(N, 6))))
    monkeypatch.setattr(Table, "extractors", lambda self: {"morphology": Measuring()})
    images = np.arange(N).astype(str).astype(object)
    classifier = HybridClassifier(cache="somewhere")
    train, test = np.arange(120), np.arange(120, N)
    classifier.features_ = Table(measurements="all").fit(images[train])
    scaled = classifier.features_.transform(images[train])
    classifier.head_ = LogisticRegression(C=100.0).fit(scaled, labels[train])
    classifier.classes_ = classifier.head_.classes_
    study = SimpleNamespace(images=images, labels=labels, classes=["blast", "lymphocyte"])
    return classifier, study, (train, test)


def context_of(study, answers):
    codes = np.searchsorted(study.classes, study.labels)
    results = {"random": {"mine": OutOfFold(np.eye(2)[codes][None], np.ones(1), 1.0, answers)}}
    return Context(
        manifest=None,
        study=study,
        plan={},
        results=results,
        baselines={},
        resamples=Resamples.draw(codes, n_classes=2, n_draws=200),
        settings=SimpleNamespace(split="random", seed=0),
        estimators={},
        draws={},
    )


def section(probe, fitted):
    classifier, study, fold = fitted
    answers = {"importance": [Answer(fold[1], probe.ask(classifier, study, fold))]}
    (found,) = importance_section(context_of(study, answers))
    return found


def test_the_signal_is_found_in_its_block_and_in_its_twins(fitted):
    found = section(PermutationProbe(), fitted)
    losses = {block["name"]: block["loss"] for block in found["blocks"]}
    assert list(losses) == ["morphology", "embedding__net__image"]
    assert losses["morphology"]["low"] > 0.3
    assert losses["morphology"]["low"] < losses["morphology"]["mean"] < losses["morphology"]["high"]
    assert abs(losses["embedding__net__image"]["mean"]) < 0.1
    first = found["measurements"][0]
    assert set(first["members"]) == {"nucleus_area", "nucleus_perimeter"}
    assert first["loss"]["low"] > 0.3
    assert (first["region"], bool(first["describes"])) == ("nucleus", True)
    assert all(abs(other["loss"]["mean"]) < 0.1 for other in found["measurements"][1:])
    assert "exchanged together" in found["how"]


def test_alone_each_twin_hides_the_loss_of_the_other(fitted, monkeypatch):
    from hybridleuk.models import importance
    from hybridleuk.morphology.groups import Twins

    together = section(PermutationProbe(), fitted)["measurements"][0]["loss"]["mean"]
    singles = [Twins(name, (name,)) for name in NAMES]
    monkeypatch.setattr(importance, "find_twins", lambda measured: singles)
    alone = section(PermutationProbe(), fitted)["measurements"][0]["loss"]["mean"]
    assert alone < together - 0.1


def test_only_unseen_images_are_asked_about_classes_in_equal_numbers(fitted):
    classifier, study, fold = fitted
    answer = PermutationProbe(images=40).ask(classifier, study, fold)
    assert set(answer["rows"]) <= set(fold[1])
    assert np.unique(study.labels[answer["rows"]], return_counts=True)[1].tolist() == [20, 20]
    again = PermutationProbe(images=40).ask(classifier, study, fold)
    assert all(np.array_equal(answer[name], again[name]) for name in answer)
    assert not any(array.dtype == object for array in answer.values())


def test_who_can_be_asked():
    probe = PermutationProbe()
    assert probe.applies_to(HybridClassifier(features="hybrid"))
    assert probe.applies_to(HybridClassifier(features="morphology"))
    assert not probe.applies_to(HybridClassifier(features="deep"))
    assert not probe.applies_to(HybridClassifier(cache=None)), "it would measure all again"
    assert not probe.applies_to(LogisticRegression())


def test_nobody_asked_nothing_said(fitted):
    assert importance_section(context_of(fitted[1], {})) is None


def test_both_parts_of_the_morphology_are_one_block():
    found = block_columns({"morphology": 2, "morphology_other": 1, "embedding__a__image": 2})
    assert {name: columns.tolist() for name, columns in found.items()} == {
        "morphology": [0, 1, 2],
        "embedding__a__image": [3, 4],
    }
