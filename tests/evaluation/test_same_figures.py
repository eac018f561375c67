"""The same study gives the same figures: twice, by two workers, and after interruptions."""

import warnings

import pandas as pd
import pytest

from hybridleuk import compare, progress
from hybridleuk.data.artificial import draw_study

CANDIDATES = ("morphology+svm", "hybrid+xgboost", "late+svm")
# Seconds, the number of workers, and settings as text, which name the cache and the workers.
OF_THE_RUN = {"fit_seconds", "predict_ms_per_image", "jobs", "estimator"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return draw_study(
        tmp_path_factory.mktemp("drawn") / "study",
        n_patients=8,
        images_per_patient_and_class=2,
        classes=("Benign", "Pro"),
        size=64,
        random_state=0,
    )


def compared(study, cache, *, workers=1, directory=None):
    """Compare with a cache of its own, so that nothing is taken over from another run.

    Names of its folders have one length: they are counted in the size of a fitted candidate.
    """
    with warnings.catch_warnings():  # a quarter of so few groups leaves one for a class
        warnings.filterwarnings("ignore", message="A class has a single image or group")
        return compare(
            study,
            CANDIDATES,
            folds=2,
            weights="random",
            layers="default",
            pooling="avg",
            counterfactuals=4,
            jobs=workers,
            workers=workers,
            cache=cache,
            directory=directory,
        )


@pytest.fixture(scope="module")
def unbroken(study, tmp_path_factory):
    return compared(study, tmp_path_factory.mktemp("same") / "cache")


def figures(value):
    """Leave out what tells of the run and not of the candidates."""
    if isinstance(value, dict):
        return {name: figures(part) for name, part in value.items() if name not in OF_THE_RUN}
    return [figures(part) for part in value] if isinstance(value, list) else value


def check_same(found, expected):
    pd.testing.assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    assert figures(found.document) == figures(expected.document)


def test_a_second_run_with_two_workers(study, unbroken, tmp_path_factory):
    found = compared(study, tmp_path_factory.mktemp("same") / "cache", workers=2)
    assert found.document["protocol"]["jobs"] == 2
    check_same(found, unbroken)


class Stopping(progress.Listener):
    """Stop like Ctrl-C when so many folds, of whatever kind, are finished."""

    def __init__(self, after):
        self.left = after

    def advanced(self, task):
        if task.unit == "folds":
            self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_run_that_was_interrupted_again_and_again(study, unbroken, tmp_path_factory):
    folder = tmp_path_factory.mktemp("same")
    options = {"cache": folder / "cache", "directory": folder / "out"}
    for after, workers in ((1, 1), (3, 2), (7, 1)):
        with pytest.raises(KeyboardInterrupt), progress.report_to(Stopping(after)):
            compared(study, workers=workers, **options)
        assert list((folder / "out" / "folds").glob("*.json"))
    check_same(compared(study, workers=2, **options), unbroken)
