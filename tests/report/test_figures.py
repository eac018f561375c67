import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from hybridleuk.report import panels
from hybridleuk.report.axes import LEFT, SIDE, TOP
from hybridleuk.report.figures import (
    cost_figure,
    difference_figure,
    gap_figure,
    interval_figure,
)
from hybridleuk.report.gallery import mistakes
from hybridleuk.report.panels import confusion_table, reliability_panel, roc_panel


def entry(name, mean, low, high):
    return {"name": name, "balanced_accuracy": {"mean": mean, "low": low, "high": high}}


def test_candidates_and_shortcuts_share_one_axis():
    shortcut = {"name": "mean color", "balanced_accuracy": 0.8, "low": 0.7, "high": 0.9}
    drawn = str(interval_figure([entry("deep", 0.8, 0.7, 0.9)], [shortcut], 0.25))
    whiskers = re.findall(r'<line x1="([^"]+)" x2="([^"]+)"[^>]*class="whisker (\w+)', drawn)
    assert [kind for *_, kind in whiskers] == ["candidate", "shortcut"]
    assert whiskers[0][:2] == whiskers[1][:2]
    (label,) = re.findall(r'role="img" aria-label="([^"]+)"', drawn)
    assert "deep 0.800 0.700–0.900; mean color 0.800 0.700–0.900." in label
    assert "&lt;" not in label
    assert 'class="chance"' in drawn


def test_an_estimate_without_interval_is_a_point():
    drawn = str(interval_figure([entry("deep", 0.8, None, None)], [], 0.5))
    assert "whisker" not in drawn


@pytest.mark.parametrize(
    ("p", "high", "negligible", "kind"),
    [
        (0.01, -0.01, False, "candidate"),
        (0.01, 0.02, False, "open"),
        (0.3, 0.02, False, "open"),
        (1, 0.002, True, "even"),
    ],
)
def test_differences_show_whether_they_are_told_apart(p, high, negligible, kind):
    pair = {"a": "x", "b": "y", "difference": -0.02, "low": -0.03, "high": high}
    drawn = str(difference_figure([{**pair, "p_holm": p, "negligible": negligible}], 0.01))
    assert f'class="point {kind}"' in drawn
    assert "−2.0" in drawn
    assert ("negligible" in drawn) == negligible


def test_a_gap_is_drawn_from_hollow_to_filled():
    row = {"name": "x", "from": 0.9, "to": 0.6, "gap": {"mean": 0.3, "low": 0.2, "high": 0.4}}
    drawn = str(gap_figure([row], "random", "group"))
    places = re.findall(r'cx="([\d.]+)%"[^>]*class="point (\w+)"', drawn)
    assert [kind for _, kind in places] == ["hollow", "candidate"]
    assert float(places[0][0]) > float(places[1][0])
    assert "−30.0" in drawn
    assert "−40.0 to −20.0" in drawn


def test_names_of_equal_candidates_do_not_lie_on_each_other():
    same = [{**entry(f"candidate {i}", 0.9, 0.8, 1.0), "fit_seconds": 1.0} for i in range(6)]
    drawn = str(cost_figure(same, "fit_seconds", "seconds"))
    heights = sorted(map(float, re.findall(r'y="([\d.]+)"[^>]*>candidate', drawn)))
    assert len(heights) == 6
    assert min(np.diff(heights)) >= 14


def test_a_name_turns_away_from_a_point_in_its_way():
    points = [(1.0, 0.9), (100.0, 0.9), (10.0, 0.5), (0.1, 0.5)]
    costs = [{**entry(f"number {i}", y, y, y), "ms": x} for i, (x, y) in enumerate(points)]
    anchors = {}
    for middle in (3.0, 300.0):  # beside the first on its right; far from it
        other = {**entry("other", 0.9, 0.9, 0.9), "ms": middle}
        drawn = str(cost_figure([*costs, other], "ms", "ms"))
        anchors[middle] = 'text-anchor="end"' in re.search(r"<text[^>]*>number 0<", drawn)[0]
    assert anchors == {3.0: True, 300.0: False}


def test_of_many_candidates_those_that_none_beats_are_named():
    costs = [{**entry(f"c{i}", 0.5 + 0.01 * i, 0, 1), "ms": 10.0 + i} for i in range(6)]
    worse = {**entry("worse", 0.4, 0, 1), "ms": 99.0}
    drawn = str(cost_figure([*costs, worse], "ms", "ms"))
    assert re.findall(r"<text[^>]*>(c\d|worse)<", drawn) == [f"c{i}" for i in range(5, -1, -1)]
    assert "<title>worse</title>" in drawn


def test_confusion_is_in_percent_of_the_true_class():
    drawn = str(confusion_table("x", [[3, 1], [0, 0]], ["a", "<b>"]))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", drawn)[1:] == ["75", "25", "", ""]
    assert "&lt;b&gt;" in drawn
    assert 'scope="row"' in drawn


def test_roc_curves_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    score = np.round(rng.random(200) + 0.5 * truth, 1)
    fpr, tpr = panels._roc(score, truth == 1)
    expected = roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    p = np.column_stack([1.5 - score, score]) / 1.5
    drawn = str(roc_panel("x", truth, p, ["a", "b"]))
    assert f"{roc_auc_score(truth, score):.3f}" in drawn


def test_reliability_places_a_bin_at_its_confidence_and_accuracy():
    p = np.tile([0.75, 0.25], (4, 1))
    drawn = str(reliability_panel("x", np.array([0, 0, 1, 1]), p, 0.25))
    assert "4 images called with 0.75: 0.50 right" in drawn
    assert "ECE 0.250" in drawn
    cx, cy = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', drawn).groups()
    assert float(cx) == LEFT + 0.75 * SIDE
    assert float(cy) == TOP + 0.5 * SIDE


def test_mistakes_are_the_most_confident_first_each_image_once(predictions):
    own = predictions.query("candidate == 'deep+svm' and split == 'group'")
    twice = pd.concat([own, own])
    shown, count = mistakes(twice, limit=5)
    wrong = own[own["predicted"] != own["label"]]
    assert count == len(wrong)
    assert len({mistake.image_id for mistake in shown}) == 5
    confidences = [mistake.confidence for mistake in shown]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == wrong.filter(like="prob_").max(axis=1).max()
    assert all(mistake.picture.startswith("data:image/jpeg;base64,") for mistake in shown)
