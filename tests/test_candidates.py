import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin

from hybridleuk import Manifest, compare
from hybridleuk.candidates import CANDIDATES, make_candidate, make_candidates
from hybridleuk.data.artificial import draw_study
from hybridleuk.exceptions import InputError
from hybridleuk.models.finetuned import FineTunedCNN
from hybridleuk.models.hybrid import HybridClassifier
from hybridleuk.models.named import parts_of

LATE = ("late+svm", "late+xgboost", "finetuned+morphology")


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_name_makes_a_classifier(name):
    made = make_candidate(name, weights="random", finetuning={"epochs": 3})
    parts = list(parts_of(made))
    assert len(parts) == (2 if name in LATE else 1)
    assert all(isinstance(part, (FineTunedCNN, HybridClassifier)) for part in parts)
    assert {part.weights for part in parts} == {"random"}


def test_options_reach_the_network():
    made = make_candidate(
        "finetuned",
        backbone=["resnet18", "vgg16"],
        weights=["a.pth", "b.pth"],
        finetuning={"epochs": 3},
    )
    assert (made.backbone, made.weights, made.epochs) == ("resnet18", "a.pth", 3)


def test_wrong_names_are_refused():
    with pytest.raises(InputError, match=r"No candidate 'svm'; known are hybrid\+svm"):
        make_candidate("svm")
    with pytest.raises(InputError, match="given twice"):
        make_candidates(["hybrid+svm", "hybrid+svm"])
    with pytest.raises(InputError, match="No candidate given"):
        make_candidates([])


class Majority(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / counts.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_built_in_beside_ones_own(tmp_path):
    study = draw_study(
        tmp_path / "study",
        n_patients=12,
        images_per_patient_and_class=2,
        classes=("Benign", "Pro"),
        size=64,
        random_state=0,
    )
    result = compare(
        study,
        ["morphology+svm", "deep+svm", ("majority", Majority())],
        folds=2,
        weights="random",
        directory=tmp_path / "out",
        counterfactuals=4,
    )
    found = result.document["counterfactuals"]
    assert found["n_images"] == 4
    assert len(found["candidates"]) == 3
    assert set(result.table["name"]) == {"morphology+svm", "deep+svm", "majority"}
    assert result.document["dataset"]["group_kind"] == "patient"
    assert "RANDOM WEIGHTS" in " ".join(result.document["notes"])


def test_other_images_of_unknown_classes_are_refused_before_anything_is_measured(
    tmp_path, monkeypatch
):
    images = [str(tmp_path / f"{i}.png") for i in range(4)]
    for i, path in enumerate(images):
        Image.fromarray(np.full((32, 32, 3), 40 * i, dtype=np.uint8)).save(path)
    manifest = Manifest.from_paths(images, labels=["blast", "blast", "other", "other"])
    other = Manifest.from_paths(images[:2], labels=["blast", "blast cells"])
    measured = []
    monkeypatch.setattr("hybridleuk.candidates._extract_once", lambda *_: measured.append(1))
    with pytest.raises(InputError, match="the class blast cells, which is not among those"):
        compare(manifest, ["morphology+svm"], external={"other": other})
    assert not measured
