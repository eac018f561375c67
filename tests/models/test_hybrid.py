import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from hybridleuk import HybridClassifier, HybridFeatures
from hybridleuk.data.artificial import draw_cell
from hybridleuk.exceptions import ImageError, InputError, SplitError
from hybridleuk.features import FeatureTable
from hybridleuk.models.classifiers import SVMClassifier
from hybridleuk.models.hybrid import CLASSIFIERS

SMALL = {"backbone": "squeezenet1_0", "weights": "random"}


@pytest.fixture(scope="module")
def cells():
    kinds = ["lymphocyte", "neutrophil"] * 8
    images = [draw_cell(kind, size=96, random_state=i).image for i, kind in enumerate(kinds)]
    return images, kinds, np.repeat(np.arange(8), 2)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.repeat(["blast", "other"], 60)
    morphology = rng.normal(size=(120, 4)) + 2 * (y == "blast")[:, None]
    blocks = {
        "morphology": pd.DataFrame(morphology),
        "embedding__net__image": pd.DataFrame(rng.normal(size=(120, 9))),
    }
    return FeatureTable(pd.DataFrame(index=range(120)), blocks, {}), y


@pytest.mark.parametrize("classifier", ["svm", "xgboost"])
def test_learns_from_a_feature_table(table, classifier):
    features, y = table
    fitted = HybridClassifier(classifier).fit(features[::2], y[::2])
    assert (fitted.predict(features[1::2]) == y[1::2]).mean() > 0.8
    assert fitted.classes_.tolist() == ["blast", "other"]


@pytest.mark.parametrize("classifier", ["svm", "xgboost"])
def test_prediction_sets_cover_new_rows(table, classifier):
    features, y = table
    fitted = HybridClassifier(classifier, alpha=0.1).fit(features[::2], y[::2])
    sets = fitted.prediction_sets_.predict(fitted.predict_proba(features[1::2]))
    assert sets[np.arange(60), (y[1::2] == "other").astype(int)].mean() > 0.75
    assert HybridClassifier(classifier).fit(features, y).prediction_sets_ is None


def test_images_to_probabilities(cells):
    images, kinds, groups = cells
    fitted = HybridClassifier(**SMALL).fit(images, kinds, groups)
    probabilities = fitted.predict_proba(images)
    assert probabilities.shape == (16, 2)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert list(fitted.features_.blocks_) == [
        "morphology",
        "morphology_other",
        "embedding__squeezenet1_0__image",
    ]


def test_same_seed_same_answer(cells):
    images, kinds, _ = cells
    first, second = (
        HybridClassifier(cache=None, **SMALL).fit(images, kinds).predict_proba(images)
        for _ in range(2)
    )
    assert np.allclose(first, second, atol=1e-6)


def test_clone_pipeline_and_grid_search(cells):
    images, kinds, groups = cells
    classifier = HybridClassifier(features="morphology")
    assert clone(classifier).get_params() == classifier.get_params()
    pipeline = Pipeline(
        [("features", HybridFeatures(features="morphology")), ("svm", SVMClassifier())]
    )
    assert pipeline.fit(images, kinds).predict(images).shape == (16,)
    search = GridSearchCV(classifier, {"classifier": ["svm", "xgboost"]}, cv=GroupKFold(2))
    assert search.fit(images, kinds, groups=groups).best_params_["classifier"] in {"svm", "xgboost"}


def test_bad_input_is_named(cells, tmp_path):
    images, kinds, _ = cells
    with pytest.raises(SplitError, match="only the class lymphocyte"):
        HybridClassifier(features="morphology").fit(images[:4], ["lymphocyte"] * 4)
    with pytest.raises(InputError, match="16 images but 15 labels"):
        HybridClassifier(features="morphology").fit(images, kinds[:-1])
    with pytest.raises(InputError, match="classifier is 'lda'; expected one of svm, xgb"):
        HybridClassifier("lda", "morphology").fit(images, kinds)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="broken.png"):
        HybridClassifier(features="morphology").fit(
            [*images[:4], tmp_path / "broken.png"], kinds[:5]
        )


def test_an_own_classifier_takes_scaled_features_and_keeps_its_settings(cells):
    images, kinds, groups = cells
    own = HybridClassifier(LinearDiscriminantAnalysis(), "morphology", alpha=0.2)
    fitted = own.fit(images, kinds, groups)
    assert isinstance(fitted.head_, LinearDiscriminantAnalysis)
    assert fitted.head_ is not own.classifier, "what is given stays unfitted"
    assert fitted.prediction_sets_ is not None
    assert fitted.predict_proba(images).shape == (16, len(set(kinds)))
    assert fitted.network_bytes() == 0, "measurements need no network"
    with pytest.raises(InputError, match="put a LinearDiscriminantAnalysis into a GridSearchCV"):
        HybridClassifier(LinearDiscriminantAnalysis(), tune=True).fit(images, kinds)


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_tuning_says_what_it_searches(name):
    assert HybridClassifier(name).tuning() is None
    said = HybridClassifier(name, tune=True).tuning()
    assert (said["n_settings"], said["inner_folds"]) == (9, 3)


def test_every_space_holds_as_many_settings():
    assert {len(made.settings()) for made in CLASSIFIERS.values()} == {9}
