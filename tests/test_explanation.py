"""Evidence is what a call loses without a group of measurements; each image gets its picture."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from hybridleuk import FineTunedCNN, HybridClassifier, Manifest, read_image
from hybridleuk.data.artificial import draw_cell
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.explanation import check_explainable, explain_images, weigh_evidence
from hybridleuk.morphology.groups import GROUPS, feature_of, group_of
from hybridleuk.report.explained import AGAINST, FOR, evidence_picture
from hybridleuk.segmentation.cells import find_cells

KINDS = ("lymphocyte", "neutrophil")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    paths, labels = [], []
    for number in range(16):
        kind = KINDS[number % 2]
        path = folder / f"{kind}_{number}.png"
        Image.fromarray(draw_cell(kind, random_state=number).image).save(path)
        paths.append(str(path))
        labels.append(kind)
    return Manifest.from_paths(paths, labels)


@pytest.fixture(scope="module")
def fitted(study):
    model = HybridClassifier(features="morphology", cache=None, workers=1)
    return model.fit(list(study.paths), study.labels)


def test_evidence_is_what_the_log_odds_lose(study, fitted):
    table = fitted.features_.extract(list(study.paths[:2]))
    found = weigh_evidence(fitted, table)
    values = fitted.features_.transform(table)
    names = fitted.features_.names_
    lobes = [i for i, name in enumerate(names) if group_of(feature_of(name)) == "nucleus lobes"]
    without = values.copy()
    without[:, lobes] = 0
    for row, kind in enumerate(KINDS):
        p, q = (fitted.head_.predict_proba(v)[row, row] for v in (values, without))
        expected = np.log(p / (1 - p)) - np.log(q / (1 - q))
        assert (found[row].label, found[row].probability) == (kind, pytest.approx(p))
        assert found[row].weights["nucleus lobes"] == pytest.approx(expected)
        strengths = np.abs(list(found[row].weights.values()))
        assert np.all(np.diff(strengths) <= 0)
    assert set(found[0].weights) <= set(GROUPS)


def test_the_mean_of_training_says_nothing(study, fitted):
    table = fitted.features_.extract(list(study.paths[:1]))
    order = list(table.blocks["morphology"].columns)
    mean = dict(zip(fitted.features_.names_, fitted.features_.scaler_.mean_, strict=True))
    average = pd.DataFrame([[mean[name] for name in order]], columns=order)
    table.blocks["morphology"] = average
    (found,) = weigh_evidence(fitted, table)
    assert np.allclose(list(found.weights.values()), 0, atol=1e-9)


def test_lobes_tell_a_neutrophil(study, fitted):
    found = weigh_evidence(fitted, fitted.features_.extract(list(study.paths)))
    neutrophils = [e for e, kind in zip(found, study.labels, strict=True) if kind == "neutrophil"]
    assert np.mean([e.weights["nucleus lobes"] for e in neutrophils]) > 0.1
    name, away = neutrophils[0].remarkable["nucleus lobes"]
    assert group_of(name) == "nucleus lobes"
    assert abs(away) > 0.5


def test_deviations_are_standard_scores(study, fitted):
    values = fitted.features_.deviations(list(study.paths))
    varies = np.isfinite(fitted.features_.scaler_.spread_)
    assert np.allclose(values[:, varies].mean(axis=0), 0, atol=1e-8)
    assert np.allclose(values[:, varies].std(axis=0), 1, atol=1e-6)
    assert not values[:, ~varies].any()


def test_a_picture_for_each_image_and_a_list_of_them(study, fitted, tmp_path):
    index = explain_images(fitted, study, tmp_path / "why")
    read = pd.read_csv(tmp_path / "why" / "index.csv", keep_default_na=False)
    assert read["path"].tolist() == [str(path) for path in study.paths]
    assert read["label"].tolist() == fitted.predict(list(study.paths)).tolist()
    assert list(read.columns) == list(index.columns)
    assert "nucleus lobes +" in "".join(read["for"])
    pictures = [tmp_path / "why" / name for name in read["picture"]]
    assert sorted((tmp_path / "why" / "explained").iterdir()) == sorted(pictures)
    assert {read_image(path).shape[0] for path in pictures} == {400}


def test_the_picture_has_outlines_and_both_colors():
    image = draw_cell("neutrophil").image
    cells = find_cells(image)
    picture = evidence_picture(image, cells, "neutrophil 90%", {"a": 1.0, "b": -1.0, "c": 0.01}, {})
    assert picture.shape[0] == 400
    panel = picture[:, -460:]
    for color in (FOR, AGAINST):
        assert (panel == color).all(axis=2).sum() > 500, "a bar"
    right = np.argwhere((panel == FOR).all(axis=2))[:, 1].max()
    left = np.argwhere((panel == AGAINST).all(axis=2))[:, 1].min()
    assert left < 230 < right


def test_without_a_cell_the_picture_says_so():
    empty = np.full((60, 60, 3), 230, dtype=np.uint8)
    cells = find_cells(empty)
    assert len(cells) == 0
    notes = {"nucleus lobes": ("nucleus_waist", 3.0)}
    picture = evidence_picture(empty, cells, "platelet 80%", {"nucleus lobes": 1.0}, notes)
    plain = evidence_picture(empty, cells, "platelet 80%", {"nucleus lobes": 1.0}, {})
    assert np.array_equal(picture, plain), "no measurement is called remarkable"
    assert (picture[370:, -460:] < 128).any(), "the sentence at the bottom"


def test_a_network_gets_heat(tmp_path, study):
    network = FineTunedCNN(
        weights="random", image_size=32, epochs=1, validation_fraction=0, workers=1, cache=None
    ).fit(list(study.paths), study.labels)
    index = explain_images(network, study, tmp_path)
    assert set(index["method"]) == {
        "Grad-CAM of the last convolutional map (Selvaraju et al. 2017)"
    }
    assert read_image(tmp_path / index["picture"][0]).shape == (360, 640, 3)


def test_deep_features_alone_have_no_names():
    with pytest.raises(InputError, match="stand for nothing that has a name; explanations need"):
        check_explainable(HybridClassifier(features="deep"))
    check_explainable(HybridClassifier())
    check_explainable(FineTunedCNN())
    with pytest.raises(InputError, match="Predictions of LogisticRegression cannot be explained"):
        check_explainable(LogisticRegression())


def test_a_folder_that_cannot_be_written(study, fitted, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        explain_images(fitted, study, tmp_path / "file")
