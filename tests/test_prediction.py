import numpy as np
import pytest
from PIL import Image

from hybridleuk import HybridClassifier, Manifest
from hybridleuk.data.artificial import draw_cell
from hybridleuk.exceptions import InputError
from hybridleuk.prediction import predict_images


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for i in range(24):
        kind = ["lymphocyte", "neutrophil"][i % 2]
        (folder / kind).mkdir(exist_ok=True)
        image = draw_cell(kind, size=96, random_state=i).image
        Image.fromarray(image).save(folder / kind / f"{i}.png")
    return Manifest.from_folder(folder)


@pytest.fixture(scope="module")
def model(study):
    return HybridClassifier(features="morphology", alpha=0.1).fit(study.paths, study.labels)


def test_one_row_per_image_in_order(model, study):
    table = predict_images(model, study)
    assert table.columns.tolist() == [
        "path",
        "image_id",
        "label",
        "prob_lymphocyte",
        "prob_neutrophil",
        "prediction_set",
        "abstain",
        "reason",
    ]
    assert table["path"].tolist() == study.paths.tolist()
    assert (table["label"] == model.predict(study.paths)).all()
    assert np.allclose(table[["prob_lymphocyte", "prob_neutrophil"]].sum(axis=1), 1)


def test_abstains_exactly_where_a_reason_is_given(model, study):
    table = predict_images(model, study)
    alone = table["prediction_set"].isin(["lymphocyte", "neutrophil"])
    assert (table["abstain"] == ~alone).all()
    assert (table["abstain"] == (table["reason"] != "")).all()


def test_classes_of_too_few_patients_are_named_as_never_ruled_out(study):
    groups = np.arange(len(study.paths)) // 4  # sorted by class: three patients of each
    few = HybridClassifier(features="morphology", alpha=0.1).fit(study.paths, study.labels, groups)
    assert (few.prediction_sets_.thresholds_ == 0).all()
    table = predict_images(few, study)
    assert table["reason"].unique().tolist() == [
        "cannot decide between lymphocyte and neutrophil; of lymphocyte, neutrophil too few were "
        "seen ever to rule them out"
    ]


def test_empty_image_is_abstained_from(model, tmp_path):
    Image.fromarray(np.full((96, 96, 3), 235, np.uint8)).save(tmp_path / "empty.png")
    row = predict_images(model, Manifest.from_folder(tmp_path)).iloc[0]
    assert row["abstain"]
    assert row["reason"] == "no cell found"


def test_without_sets_nothing_is_claimed(study):
    plain = HybridClassifier(features="morphology").fit(study.paths, study.labels)
    table = predict_images(plain, study)
    assert (table["prediction_set"] == "").all()
    assert table["abstain"].isna().all()
    no_cell = predict_images(plain, study).reason
    assert (no_cell == "").all()


def test_unfitted_is_refused(study):
    with pytest.raises(InputError, match="not fitted"):
        predict_images(HybridClassifier(), study)
