"""Whole comparisons of drawn smears of which it is known what can be learned from them.

Rates over many seeds are measured by ``benchmarks/evaluation_shortcuts.py``.
"""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridleuk import read_image
from hybridleuk.candidates import make_candidates
from hybridleuk.data.artificial import draw_study
from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.counterfactual_probe import Counterfactuals
from hybridleuk.evaluation.shortcut_estimators import ShortcutClassifier
from hybridleuk.evaluation.shortcut_measures import region_statistics


def whole_image(images):
    """Color and texture of all there is, as a network would see it."""
    pixels = [read_image(image) for image in images]
    return np.stack([region_statistics(p, np.ones(p.shape[:2], dtype=bool)) for p in pixels])


@pytest.fixture
def said_of(tmp_path):
    """Compare on a drawn study, with a candidate that reads everything, or one that reads cells."""

    def compared(*, cells=False, split="group", shortcuts=True, n_changed=12, **drawn):
        cache = tmp_path / "cache"
        study = draw_study(
            tmp_path / "study",
            **{"n_patients": 12, "images_per_patient_and_class": 3, "size": 64, **drawn},
            classes=("Benign", "Pro"),
            random_state=0,
        )
        image = make_pipeline(FunctionTransformer(whole_image), ShortcutClassifier())
        chosen = (
            make_candidates(["morphology+svm"], cache=cache, workers=1)
            if cells
            else {"image+svm": image}
        )
        return compare_estimators(
            chosen,
            study,
            split=split,
            folds=3,
            shortcuts=shortcuts,
            cache=cache,
            n_draws=300,
            probes=[Counterfactuals(n_changed, cache)] if n_changed else [],
        )

    return compared


def test_a_background_that_tells_the_class_is_said_twice(said_of):
    result = said_of(shortcut=True, morphology_signal=False)
    baselines, exchange = result.document["alarms"]
    assert baselines.startswith("The background color alone reaches")
    assert "background only" in baselines
    assert exchange.startswith("Exchanging the background for that of another class costs")
    assert result.verdict[:2] == [baselines, exchange]


def test_cells_that_tell_the_class_raise_no_alarm(said_of):
    result = said_of(cells=True)
    assert result.document["alarms"] == []
    assert result.verdict[0].startswith("morphology+svm reaches a balanced accuracy of ")
    assert "it reads the background" not in " ".join(result.verdict)


def test_patients_that_only_look_like_their_class_are_seen_through(said_of):
    result = said_of(
        split="both",
        shortcuts=False,
        n_changed=0,
        morphology_signal=False,
        n_patients=16,
        images_per_patient_and_class=8,
    )
    (alarm,) = result.document["alarms"]
    assert alarm.startswith("No candidate is clearly better than chance")
    assert result.document["leakage_gap"]["image+svm"]["low"] > 0
    assert any(said.startswith("Random folds flatter: image+svm") for said in result.verdict)
