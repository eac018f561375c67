"""Probes are asked once per fold of the first repeat, of the fold's unseen images, and resumed."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from hybridleuk.evaluation.checkpoints import Checkpoints
from hybridleuk.evaluation.compare import _study
from hybridleuk.evaluation.crossval import cross_validate, draw_folds

ASKED = []


@dataclass(frozen=True)
class Certainty:
    """How certain a fitted candidate is on average."""

    power: int = 1
    name: str = field(default="certainty", init=False)

    def applies_to(self, estimator):
        return hasattr(estimator, "strength")

    def ask(self, fitted, study, fold):
        ASKED.append(fold[1])
        top = fitted.predict_proba(study.images[fold[1]]).max(axis=1)
        return {"top": top**self.power, "names": np.array(["top", "größte"])}


@pytest.fixture
def ask(make_study, counting, tmp_path):
    ASKED.clear()
    study = _study(make_study())
    folds = draw_folds(study.labels, study.groups, split="group", folds=3, repeats=2)

    def run(probe, estimator=None):
        return cross_validate(
            "counting",
            estimator or counting(),
            study,
            folds,
            split="group",
            checkpoints=Checkpoints(tmp_path / "folds"),
            probes=[probe],
        )

    return run, folds


def test_every_unseen_image_of_the_first_repeat_is_asked_about_once(ask):
    run, folds = ask
    result = run(Certainty())
    answers = result.answers["certainty"]
    assert [list(a.test) for a in answers] == [list(test) for _, test in folds[0]]
    top = np.concatenate([a.arrays["top"] for a in answers])
    rows = np.concatenate([a.test for a in answers])
    assert np.allclose(top, result.probabilities[0, rows].max(axis=1))
    assert answers[0].arrays["names"][1] == "größte"


def test_the_same_question_is_not_asked_again(ask, counting):
    run, _ = ask
    first, fits = run(Certainty()), counting.fits
    again = run(Certainty())
    assert counting.fits == fits
    assert len(ASKED) == 3
    for a, b in zip(first.answers["certainty"], again.answers["certainty"], strict=True):
        assert np.array_equal(a.arrays["top"], b.arrays["top"])


def test_another_question_is_asked_of_a_candidate_fitted_again(ask, counting):
    run, _ = ask
    first, fits = run(Certainty()), counting.fits
    squared = run(Certainty(power=2))
    assert counting.fits == fits + 3, "the first repeat only"
    assert np.array_equal(first.probabilities, squared.probabilities)
    values = [r.answers["certainty"][0].arrays["top"] for r in (first, squared)]
    assert np.allclose(values[0] ** 2, values[1])


def test_candidates_that_cannot_be_asked_are_left_alone(ask, candidates):
    run, _ = ask
    assert run(Certainty(), candidates["stripes"]).answers == {}
    assert not ASKED


def test_a_damaged_answer_is_asked_for_again(ask, tmp_path):
    run, _ = ask
    first = run(Certainty())
    damaged = sorted((tmp_path / "folds").glob("*certainty*.npz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:40])
    again = run(Certainty())
    assert len(ASKED) == 4
    for a, b in zip(first.answers["certainty"], again.answers["certainty"], strict=True):
        assert np.array_equal(a.arrays["top"], b.arrays["top"])
