"""``segment`` and ``count`` compare with what people drew; the truth is what was drawn in."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk.data.artificial import draw_study


@pytest.fixture
def study(tmp_path):
    """Draw cells with their true masks, under the names that ``segment`` has for them."""
    draw_study(
        tmp_path / "smears",
        n_patients=2,
        images_per_patient_and_class=2,
        classes=("Benign", "Pro"),
        size=128,
        truth_directory=tmp_path / "truth",
    )
    return tmp_path


def test_segment_says_how_it_agrees_with_masks(run, study):
    masks = study / "truth" / "regions"
    out = study / "out"
    arguments = ("segment", study / "smears", "-o", out, "--annotations", masks, "--workers", 1)
    ended = run(*arguments, "--json")
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)["agreement"]
    assert (found["n_images"], found["n_problems"]) == (4, 0)
    assert found["dice_nucleus"] > 0.8
    table = pd.read_csv(out / "agreement.csv")
    # The same figure from the masks that were written, by nothing but numpy.
    first = table.iloc[0]
    one = np.asarray(Image.open(out / "regions" / f"{first['image_id']}.png")) == 255
    other = np.asarray(Image.open(masks / f"{first['image_id']}.png")) == 255
    assert len(np.unique(np.asarray(Image.open(masks / f"{first['image_id']}.png")))) == 3
    if table["found"].iloc[0] == 1:
        expected = 2 * (one & other).sum() / (one.sum() + other.sum())
        assert first["dice_nucleus"] == pytest.approx(expected)
    ended = run("segment", study / "smears", "-o", out, "--workers", 1, "--overwrite")
    assert ended.status == 0, ended.err
    assert not (out / "agreement.csv").exists()


def test_masks_that_cannot_be_used_are_told_and_do_no_harm(run, study):
    masks = study / "truth" / "regions"
    damaged = sorted(masks.glob("*.png"))[0]
    Image.new("L", (20, 20)).save(damaged)
    arguments = ("segment", study / "smears", "-o", study / "out", "--annotations", masks)
    ended = run(*arguments, "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)["agreement"]
    assert (found["n_images"], found["n_problems"]) == (3, 1)
    assert "a mask of 20 x 20 px for an image of 128 x 128" in " ".join(ended.err.split())


def test_count_agrees_with_its_own_boxes_read_as_voc_in_an_archive(run, study):
    voc = study / "voc"
    ended = run("count", study / "smears", "-o", study / "c.csv", "--voc", voc)
    assert ended.status == 0, ended.err
    archive = shutil.make_archive(str(study / "drawn"), "zip", voc)
    ended = run(
        *("count", study / "smears", "-o", study / "d.csv", "--annotations", archive, "--json")
    )
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert document["agreement"]["WBC"]["precision"] == 1.0
    assert document["agreement"]["WBC"]["recall"] == 1.0
    assert document["agreement"]["WBC"]["drawn"] == document["wbc"] > 0
    table = pd.read_csv(study / "d_agreement.csv")
    assert (table["drawn"] == table["matched"]).all()
    ended = run("count", study / "smears", "-o", study / "d.csv", "--annotations", archive)
    assert ended.status == 1
    assert "exists" in ended.err


def test_annotations_are_never_written_over(run, study):
    table = study / "centers.csv"
    image = next(study.glob("smears/*/*.png")).name
    table.write_text(f"image,x,y\n{image},64,64\n")
    arguments = ("count", study / "smears", "-o", table, "--overwrite", "--annotations", table)
    ended = run(*arguments)
    assert ended.status == 1
    assert "is read and would lie among what is written" in " ".join(ended.err.split())
    assert table.read_text().startswith("image,x,y")


def test_annotations_of_other_images(run, study, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = run(
        *("segment", study / "smears", "-o", study / "out", "--annotations", tmp_path / "empty")
    )
    assert ended.status == 1
    assert "nothing in it is named like any of the 4 images" in " ".join(ended.err.split())
