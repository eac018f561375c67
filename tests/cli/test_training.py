"""Options of networks that are trained, in ``fit`` and ``compare``."""

import json

import pytest

from hybridleuk import load_model
from hybridleuk_cli.options import FeatureOptions
from hybridleuk_cli.training import of_candidate, sparkline

QUICK = ("--weights", "random", "--image-size", 32, "--epochs", 1, "--workers", 1)


def test_a_sparkline_has_the_greatest_and_the_least_and_no_more_than_forty_bars():
    assert sparkline([1.0, 1.0]) == "▁▁"
    long = sparkline(list(range(100)))
    assert (len(long), long[0], long[-1]) == (40, "▁", "█")


@pytest.mark.parametrize(
    ("weights", "named", "backbone"),
    [
        ("default", None, None),
        ("random", None, None),
        ("own.safetensors", None, "squeezenet1_0"),
        ("default", ["squeezenet1_0"], "squeezenet1_0"),
    ],
)
def test_two_channel_has_its_own_backbone_unless_told_otherwise(weights, named, backbone):
    parameters = {"backbone": "squeezenet1_0", "weights": weights}
    found = of_candidate("two-channel", parameters, FeatureOptions(backbone=named))
    assert found.get("backbone") == backbone
    assert of_candidate("finetuned", parameters, FeatureOptions()) == parameters


def test_the_options_reach_the_network(run, smears, tmp_path):
    output = tmp_path / "m.hleuk"
    more = ("--budget", "1h", "--batch-size", 4, "--accumulate", 2, "--mixing", "mixup")
    more = (*more, "--learning-rate", 0.001, "--orientations", 8, "--checkpoint", tmp_path / "c")
    named = ("--classifier", "two-channel", "--backbone", "squeezenet1_1")
    ended = run("fit", smears, "-o", output, *named, *QUICK, *more, "--json")
    assert ended.status == 0, ended.err
    assert len(json.loads(ended.out)["history"]) == 2
    model = load_model(output)
    assert (model.backbone, model.second_view, model.budget) == ("squeezenet1_1", "hsv", "1h")
    assert (model.batch_size, model.accumulate, model.mixing) == (4, 2, "mixup")
    assert (model.learning_rate, model.orientations) == (0.001, 8)
    assert len(list((tmp_path / "c").iterdir())) == 1  # kept, since it was asked for


def test_compare_trains_both_channels_and_both_kinds(run, smears, tmp_path):
    named = ("--candidate", "two-channel", "--candidate", "finetuned-joint")
    few = ("--folds", 2, "--counterfactuals", 0, "--backbone", "squeezenet1_1")
    ended = run("compare", smears, "-o", tmp_path / "c", *named, *QUICK, *few)
    assert ended.status == 0, ended.err
    document = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert {c["name"] for c in document["candidates"]} == {"two-channel", "finetuned-joint"}
    trained = {entry["candidate"]: entry["folds"] for entry in document["training"]}
    assert {name: len(folds) for name, folds in trained.items()} == {
        "two-channel": 2,
        "finetuned-joint": 2,
    }
    assert trained["two-channel"][0]["epoch"] == [0, 1]
    assert all(0 <= entry["waiting_share"] < 1 for entry in document["training"])
    for name in trained:
        assert f"{name} waited for images " in ended.out
    assert 'id="fig-training"' in (tmp_path / "c" / "report.html").read_text()


def test_what_is_no_time_is_wrong_usage_and_what_is_not_used_is_said(run, smears, tmp_path):
    ended = run("fit", smears, "-o", tmp_path / "m.hleuk", "--budget", "soon")
    assert (ended.status, "'20m'" in ended.err) == (2, True)
    options = ("--features", "morphology", "--epochs", 3, "--workers", 1)
    ended = run("fit", smears, "-o", tmp_path / "m.hleuk", *options)
    assert ended.status == 0
    assert "Only networks that are trained make use of --epochs." in ended.err
