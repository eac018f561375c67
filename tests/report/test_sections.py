import base64
import io
import re
import string

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve

from hybridleuk.report import panels
from hybridleuk.report.axes import LEFT, SIDE, TOP, Axes
from hybridleuk.report.contents import CONTENTS, contents_of
from hybridleuk.report.curves import (
    abstention_panels,
    decision_panels,
    learning_panels,
    training_panels,
)
from hybridleuk.report.dots import Dots, dot_figure
from hybridleuk.report.embedding_map import TILE, map_figure, picture_sheet
from hybridleuk.report.heat import loss_table
from hybridleuk.report.html import comparison_report
from hybridleuk.report.sections import optional_figures

OPTIONAL = {
    "patients": "fig-patients",
    "counterfactuals": "fig-counterfactuals",
    "calibration": "fig-calibration",
    "prediction_sets": "fig-sets",
    "abstention": "fig-abstention",
    "costs": "fig-mistake-costs",
    "decision_curve": "fig-decision",
    "learning_curve": "fig-learning",
    "training": "fig-training",
    "importance": "fig-importance",
    "map": "fig-map",
    "attention": "fig-attention",
}


def ids(text):
    return set(re.findall(r'<(?:figure|section) id="([^"]+)"', text))


def test_every_key_has_its_figure(complete, predictions):
    text = comparison_report(complete, predictions)
    assert ids(text) >= {*OPTIONAL.values(), "fig-shortcuts", "fig-precision"}
    listed = set(re.findall(r'<a href="#([^"]+)"', text))
    assert listed >= {section.id for part in CONTENTS for section in part.sections}


@pytest.mark.parametrize("entry", [{"waiting_share": 0.031}, {"waiting_share": None}, {}])
def test_the_share_of_time_that_a_network_waited(complete, predictions, entry):
    complete["training"][0] |= entry
    text = comparison_report(complete, predictions)
    assert ("finetuned waited for images 3.1 % of" in text) is bool(entry.get("waiting_share"))


@pytest.mark.parametrize("key", OPTIONAL)
@pytest.mark.parametrize("absent", [True, False])
def test_a_key_that_is_absent_or_none_leaves_no_gap(complete, predictions, key, absent):
    whole = ids(comparison_report(complete, predictions))
    if absent:
        del complete[key]
    else:
        complete[key] = None
    text = comparison_report(complete, predictions)
    gone = whole - ids(text)
    assert OPTIONAL[key] in gone
    assert len(gone) == 2  # the figure and its section
    (section,) = gone - {OPTIONAL[key]}
    assert f'href="#{section}"' not in text


@pytest.mark.parametrize("key", ["patients", "calibration", "abstention", "learning_curve"])
def test_a_section_without_candidates_is_left_out(complete, key):
    complete[key] = complete[key] | {"candidates": []}
    assert optional_figures(complete)[key] is None


def test_parts_without_sections_are_not_listed():
    listed = contents_of({"results", "protocol"})
    assert [part.id for part in listed] == ["part-accuracy", "part-protocol"]


def test_the_main_split_alone_is_drawn(complete):
    for entry in complete["patients"]["candidates"]:
        if entry["split"] == "random":
            entry["name"] = "of the other split"
    assert "of the other split" not in optional_figures(complete)["patients"]


def test_axes_place_values_and_can_be_turned_round():
    axes = Axes("x", "y", 1.0, 0.0, 0.5, 1.0)
    assert axes.x(1.0) == LEFT
    assert axes.x(0.0) == LEFT + SIDE
    assert axes.y(1.0) == TOP
    assert axes.y(0.75) == TOP + SIDE / 2
    assert axes.y(0.1) == TOP + SIDE


def test_precision_and_recall_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    score = np.round(rng.random(200) + 0.5 * truth, 1)
    recall, precision = panels._precision_recall(score, truth == 1)
    expected = precision_recall_curve(truth, score)
    # scikit-learn goes the other way and ends with recall 0 at precision 1.
    np.testing.assert_allclose(recall[1:], expected[1][:-1][::-1])
    np.testing.assert_allclose(precision[1:], expected[0][:-1][::-1])
    p = np.column_stack([1.5 - score, score]) / 1.5
    drawn = panels.precision_recall_panel("x", truth, p, ["a", "b"])
    areas = [average_precision_score(truth == code, p[:, code]) for code in (0, 1)]
    for area in areas:
        assert f"{area:.3f}" in drawn
    assert f"lowest: {'ab'[int(np.argmin(areas))]}" in drawn


def test_abstention_names_the_accuracy_at_four_fifths_answered():
    answered = [1.0, 0.9, 0.8, 0.0]
    entry = {"name": "x", "answered": answered, "accuracy": [0.7, 0.75, 0.81, None]}
    entry |= {"low": [0.6, 0.7, 0.7, None], "high": [0.8, 0.8, 0.9, None]}
    (drawn,) = abstention_panels([entry])
    assert "80 %: 0.810" in drawn
    assert 'class="spread"' in drawn


def test_decision_curves_show_acting_on_all_and_on_none():
    section = {"thresholds": [0.1, 0.5, 0.9], "treat_all": [0.6, 0.2, -3.0]}
    entries = [{"name": n, "net_benefit": [0.5, 0.4, None]} for n in ("x", "y")]
    drawn = decision_panels({**section, "candidates": entries})
    assert len(drawn) == 2
    for panel, other in zip(drawn, "yx", strict=True):
        assert 'class="zero"' in panel
        assert "curve dashed" in panel
        assert f'class="curve"><title>{other}' in panel or f"<title>{other}</title>" in panel


def test_a_training_has_a_line_for_each_fold_and_a_dot_where_it_was_kept():
    fold = {
        "epoch": [0, 1, 2],
        "train_loss": [1.0, 0.5, 0.25],
        "valid_loss": [1.0, 0.4, 0.6],
        "valid_balanced_accuracy": [0.5, 0.9, 0.8],
        "best_epoch": 1,
    }
    loss, accuracy = training_panels({"candidate": "finetuned", "folds": [fold, fold]})
    assert (loss.count("<path"), accuracy.count("<path")) == (4, 2)
    assert (loss.count("<circle"), accuracy.count("<circle")) == (2, 2)
    assert "fold 2 kept epoch 1 at 0.900" in accuracy
    unwatched = fold | {"valid_loss": [None] * 3, "valid_balanced_accuracy": [None] * 3}
    (alone,) = training_panels({"candidate": "finetuned", "folds": [unwatched]})
    assert alone.count("<path") == 1


def test_a_learning_curve_has_a_dot_for_each_number_of_groups():
    entry = {"name": "x", "n": [5, 10, 20], "mean": [0.5, None, 0.8]}
    entry |= {"low": [0.4, None, 0.7], "high": [0.6, None, 0.9]}
    (drawn,) = learning_panels({"unit": "groups", "candidates": [entry]}, 0.25)
    assert drawn.count("<circle") == 2
    assert "x: 5 groups 0.500, 20 groups 0.800." in drawn


def test_losses_are_in_points_bold_when_sure_and_signed():
    changes = [{"name": c, "label": c, "description": ""} for c in "abc"]
    losses = {
        "a": {"loss": {"mean": 0.1, "low": 0.05, "high": 0.2}, "flipped": 0.5},
        "b": {"loss": {"mean": -0.02, "low": -0.05, "high": 0.01}},
    }
    drawn = loss_table(changes, [{"name": "x", "changes": losses}])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", drawn)
    assert cells[1:] == ["<b>10.0</b>", "−2.0", "–"]
    assert "50 % of the calls change" in drawn
    assert re.findall(r'class="(lost|gained)', drawn) == ["lost", "gained"]


def test_dots_without_a_value_are_left_out_but_named():
    row = Dots("x", [({"mean": None, "low": None, "high": None}, "candidate")])
    drawn = dot_figure([row], "axis", low=0, high=1)
    assert "<circle" not in drawn
    assert "x –" in drawn


def solid(path, color):
    Image.new("RGB", (40, 20), color).save(path)
    return str(path)


def test_the_sheet_has_the_picture_of_each_point_at_its_place(tmp_path):
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    paths = [solid(tmp_path / f"{i}.png", color) for i, color in enumerate(colors)]
    address, columns = picture_sheet([paths[0], str(tmp_path / "gone.png"), *paths[1:]])
    sheet = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB")
    assert columns == 2
    assert sheet.size == (2 * TILE, 2 * TILE)
    middles = [(x + TILE // 2, y + TILE // 2) for y in (0, TILE) for x in (0, TILE)]
    expected = [colors[0], (128, 128, 128), *colors[1:]]
    for middle, color in zip(middles, expected, strict=True):
        np.testing.assert_allclose(sheet.getpixel(middle), color, atol=12)


def test_points_lie_where_their_features_put_them(tmp_path):
    path = solid(tmp_path / "a.png", (9, 9, 9))
    made = [("n", 1.0, 5.0, True), ("m", 3.0, 9.0, False), ("n", 2.0, 5.0, True)]
    points = [
        {"image_id": f"i{k}", "path": path, "label": label, "x": x, "y": y, "right": right}
        for k, (label, x, y, right) in enumerate(made)
    ]
    drawn = map_figure(points, ["m", "n"])
    assert re.findall(r"--x:([\d.]+);--y:([\d.]+)", drawn) == [
        ("1.0000", "0.0000"),  # m first: the order of the classes
        ("0.0000", "1.0000"),
        ("0.5000", "1.0000"),
    ]
    assert re.findall(r'class="at (mark-\d[^"]*)"', drawn) == ["mark-0 missed", "mark-1", "mark-1"]
    assert 'aria-label="m, called wrong, i1"' in drawn
    assert isinstance(drawn, Markup)


def test_a_map_whose_images_are_gone_is_still_drawn():
    point = {"image_id": "i", "path": "/nowhere.png", "label": "m", "x": 0, "y": 0, "right": True}
    drawn = map_figure([point], ["m"])
    assert "--sheet" not in drawn
    assert 'aria-label="m, called right, i"' in drawn


def test_a_long_comparison_stays_small(complete, predictions):
    """Twelve candidates and a map of 600 points: the pictures decide, and they are few."""
    names = [f"candidate {letter}" for letter in string.ascii_lowercase[:12]]
    template = complete["candidates"][0]
    complete |= dict.fromkeys(OPTIONAL) | {"pairs": [], "leakage_gap": {}, "external": []}
    complete["candidates"] = [template | {"name": name} for name in names]
    complete["confusion"] = {
        "group": dict.fromkeys(names, complete["confusion"]["group"]["deep+svm"])
    }
    own = predictions.query("candidate == 'deep+svm' and split == 'group'")
    every = pd.concat([own.assign(candidate=name) for name in names])
    text = comparison_report(complete, every)
    assert len(text) < 1e6
    assert text.count("The other 8 candidates") == 3
