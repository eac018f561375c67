"""Leakage planted on purpose is caught: what was fitted elsewhere, and what sees test images."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hybridleuk import read_image
from hybridleuk.candidates import make_candidate
from hybridleuk.evaluation.compare import _study, compare_estimators
from hybridleuk.evaluation.crossval import cross_validate, draw_folds
from hybridleuk.evaluation.leakage import check_unfitted, fitted_parts
from hybridleuk.exceptions import SplitError

FAST = {"folds": 3, "n_draws": 50, "cache": None, "shortcuts": False}


def colors(images, scaler=None):
    values = np.array([read_image(image).mean(axis=(0, 1)) for image in images])
    return values if scaler is None else scaler.transform(values)


def scaled_by(scaler):
    return lambda images: scaler.transform(colors(images))


@pytest.mark.parametrize("how", ["partial", "closure", "frozen", "bound"])
def test_a_scaler_fitted_on_all_images_is_caught(make_study, how):
    manifest = make_study()
    scaler = StandardScaler().fit(colors(manifest.paths))
    step = {
        "partial": FunctionTransformer(partial(colors, scaler=scaler)),
        "closure": FunctionTransformer(scaled_by(scaler)),
        "frozen": make_pipeline(FunctionTransformer(colors), FrozenEstimator(scaler)),
        "bound": make_pipeline(FunctionTransformer(colors), FunctionTransformer(scaler.transform)),
    }[how]
    candidate = make_pipeline(step, LogisticRegression())
    with pytest.raises(SplitError, match="'leaky' holds a StandardScaler that was fitted befo"):
        compare_estimators({"leaky": candidate}, manifest, **FAST)


def test_a_classifier_fitted_before_is_cloned_and_so_forgets(make_study):
    manifest = make_study()
    honest = make_pipeline(FunctionTransformer(colors), StandardScaler(), LogisticRegression())
    fresh = compare_estimators({"c": honest}, manifest, **FAST)
    fitted = honest.fit(manifest.paths, manifest.labels)
    again = compare_estimators({"c": fitted}, manifest, **FAST)
    columns = ["prob_blast", "prob_lymphocyte"]
    np.testing.assert_array_equal(fresh.predictions[columns], again.predictions[columns])


def test_a_frozen_classifier_in_a_calibration_is_caught():
    inner = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(SplitError, match="holds a LogisticRegression that was fitted"):
        check_unfitted("c", CalibratedClassifierCV(FrozenEstimator(inner)))


def test_networks_and_plain_settings_are_no_fitted_parts():
    for name in ("hybrid+svm", "finetuned", "finetuned+morphology", "late+svm"):
        assert not list(fitted_parts(make_candidate(name)))


@dataclass(frozen=True)
class Asked:
    """Keeps what a fitted candidate says of the same images in every fold."""

    reference: tuple
    name: str = field(default="asked", init=False)

    def applies_to(self, estimator):
        return True

    def ask(self, fitted, study, fold):
        return {"said": fitted.predict_proba(list(self.reference))}


@pytest.mark.parametrize(
    "candidate",
    ["morphology+svm", "morphology+xgboost", "morphology+logistic", "morphology+knn"],
)
def test_fitting_takes_no_notice_of_the_test_images(make_study, candidate, tmp_path):
    """The test images of a fold are replaced by others: the fitted candidate stays the same."""
    study = _study(make_study())
    (folds,) = draw_folds(study.labels, study.groups, split="group", folds=3)
    fold = folds[0]
    images = study.images.copy()
    for place in fold[1]:
        images[place] = str(tmp_path / f"{place}.png")
        Image.fromarray(np.full((32, 32, 3), place, np.uint8)).save(images[place])
    hashes = [f"{h}{row in fold[1]}" for row, h in enumerate(study.hashes)]
    changed = replace(study, images=images, hashes=hashes)
    probe = Asked(tuple(study.images[fold[0]][:6]))
    classifier = make_candidate(candidate, tune=True, cache=str(tmp_path / "cache"), workers=1)
    told = [
        cross_validate("c", classifier, each, [[fold]], split="manifest", probes=[probe])
        .answers["asked"][0]
        .arrays["said"]
        for each in (study, changed)
    ]
    np.testing.assert_array_equal(*told)
