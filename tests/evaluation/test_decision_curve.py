import numpy as np
import pytest

from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.decision_curve import (
    THRESHOLDS,
    check_positive,
    malignant_classes,
    net_benefit,
)
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.exceptions import InputError


def test_net_benefit_by_hand():
    sick = np.array([True, True, False, False])
    probability = np.array([[0.9, 0.4, 0.6, 0.1]])
    drawn = Resamples.draw(sick.astype(int), n_classes=2, n_draws=20)
    found = net_benefit(sick, probability, drawn)
    at = {threshold: found["net_benefit"][i] for i, threshold in enumerate(THRESHOLDS)}
    assert at[0.05] == pytest.approx(2 / 4 - 2 / 4 * 0.05 / 0.95)
    assert at[0.51] == pytest.approx(1 / 4 - 1 / 4 * 0.51 / 0.49)
    assert at[0.81] == pytest.approx(1 / 4)
    assert at[0.95] == 0


def test_the_best_net_benefit_is_the_share_of_the_sick():
    sick = np.arange(50) % 5 == 0
    drawn = Resamples.draw(sick.astype(int), n_classes=2, n_draws=20)
    found = net_benefit(sick, sick[None].astype(float), drawn)
    assert found["net_benefit"] == pytest.approx([0.2] * len(THRESHOLDS))
    assert all(low <= 0.2 <= high for low, high in zip(found["low"], found["high"], strict=True))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["Benign", "Early", "Pre", "Pro"], ["Early", "Pre", "Pro"]),
        (["all", "hem"], ["all"]),
        (["ALL", "AML", "CLL", "CML", "Normal"], ["ALL", "AML", "CLL", "CML"]),
        (["Malignant Pre-B", "Benign"], ["Malignant Pre-B"]),
        (["lymphoblast", "erythroblast", "lymphocyte"], ["lymphoblast"]),
        (["non-leukemic", "leukaemia"], ["leukaemia"]),
        (["promyelocyte", "small lymphocyte", "leukocyte"], []),
        (["Early", "Pre", "Pro"], []),
    ],
)
def test_classes_named_like_leukemia_are_found(classes, expected):
    assert malignant_classes(classes) == expected


def test_classes_looked_for_must_be_there_and_leave_another():
    assert check_positive(["c", "a"], ["a", "b", "c"]) == ["a", "c"]
    with pytest.raises(InputError, match="'d' is looked for .* expected one of a, b"):
        check_positive(["d"], ["a", "b"])
    with pytest.raises(InputError, match="All 2 classes are looked for"):
        check_positive(["b", "a"], ["a", "b"])


def test_a_comparison_has_a_curve_of_the_blasts_or_of_what_is_asked_for(make_study, candidates):
    manifest = make_study(n_groups=9, pure=False)
    options = {"folds": 3, "shortcuts": False, "cache": None, "n_draws": 50}
    found = compare_estimators(candidates, manifest, **options).document["decision_curve"]
    assert found["positive"] == ["blast"]
    curves = {entry["name"]: entry["net_benefit"] for entry in found["candidates"]}
    middle = int(np.flatnonzero(THRESHOLDS == 0.49)[0])
    assert curves["stripes"][middle] == pytest.approx(0.5)
    assert found["treat_all"][middle] == pytest.approx(0.5 - 0.5 * 0.49 / 0.51)
    other = compare_estimators(candidates, manifest, positive=["lymphocyte"], **options)
    assert other.document["decision_curve"]["positive"] == ["lymphocyte"]
    with pytest.raises(InputError, match="'monocyte' is looked for"):
        compare_estimators(candidates, manifest, positive=["monocyte"], **options)
