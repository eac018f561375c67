"""Known data sets and class maps, as the commands take them."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

QUICK = (
    *("--candidate", "morphology+svm", "--folds", 2, "--counterfactuals", 0),
    *("--no-learning-curve", "--workers", 1),
)


def draw(path, radius, seed):
    """Draw a nucleus in a cell on an almost white smear, 120 x 120."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (120, 120), (236, 226, 226))
    pen = ImageDraw.Draw(image)
    pen.ellipse((60 - radius - 9, 60 - radius - 9, 69 + radius, 69 + radius), fill=(190, 170, 215))
    pen.ellipse((60 - radius, 60 - radius, 60 + radius, 60 + radius), fill=(95, 50, 140))
    noise = np.random.default_rng(seed).normal(0, 3, (120, 120, 3))
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def pbc(tmp_path):
    """PBC's file names, in class folders, with platelets that Zheng has none of."""
    root = tmp_path / "pbc"
    kinds = {"lymphocyte": ("LY", 14), "neutrophil": ("SNE", 26), "platelet": ("PLATELET", 6)}
    for label, (code, radius) in kinds.items():
        for number in range(4):
            draw(root / label / f"{code}_{number}.jpg", radius + number % 2, number)
    return root


@pytest.fixture
def zheng(tmp_path):
    """Zheng's layout: numbers, masks beside, classes in a table; two of either kind."""
    root = tmp_path / "zheng"
    for number, radius in enumerate((14, 15, 26, 27), start=1):
        draw(root / f"{number:03d}.bmp", radius, number)
        Image.new("L", (120, 120), 0).save(root / f"{number:03d}.png")
    (root / "class_labels.csv").write_text("image ID,class label\n1,2\n2,2\n3,1\n4,1\n")
    return root


def test_extract_takes_classes_from_the_table_and_no_masks(run, zheng, tmp_path):
    out = tmp_path / "f.parquet"
    ended = run("extract", zheng, "-o", out, "--features", "morphology", "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["n_found"] == 4
    labels = pd.read_parquet(out).set_index("image_id")["label"].to_dict()
    assert labels == dict.fromkeys(("001", "002"), "lymphocyte") | dict.fromkeys(
        ("003", "004"), "neutrophil"
    )
    assert "Recognised as Zheng 1" in " ".join(ended.err.split())
    plain = run("count", zheng, "-o", tmp_path / "c.csv", "--dataset", "none", "--json")
    assert json.loads(plain.out)["n_found"] == 9


def test_compare_across_data_sets_with_a_suggested_map(run, pbc, zheng, tmp_path):
    table = tmp_path / "map.csv"
    ended = run("datasets", "map", pbc, "--to", zheng, "-o", table, "--json")
    assert ended.status == 0, ended.err
    suggested = {"lymphocyte": "lymphocyte", "neutrophil": "neutrophil", "platelet": None}
    assert json.loads(ended.out)["classes"] == suggested
    assert table.read_text().splitlines()[0] == "label,becomes"
    out = tmp_path / "out"
    ended = run("compare", pbc, "--test", zheng, "--classes", table, "-o", out, *QUICK, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert (document["n_images"], document["n_left_aside"], document["n_skipped"]) == (12, 4, 0)
    comparison = document["comparison"]
    assert comparison["dataset"]["classes"] == ["lymphocyte", "neutrophil"]
    assert comparison["external"][0]["n_images"] == 4
    assert "4 images of the classes platelet are left out" in " ".join(ended.err.split())


def test_strict_does_not_mind_classes_that_are_left_out(run, pbc, tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("label,becomes\nlymphocyte,small\nneutrophil,large\nplatelet,\n")
    out = tmp_path / "f.parquet"
    arguments = ("extract", pbc, "-o", out, "--features", "morphology", "--classes", table)
    ended = run(*arguments, "--strict", "--workers", 1)
    assert ended.status == 0, ended.err
    assert set(pd.read_parquet(out)["label"]) == {"small", "large"}
    assert not (tmp_path / "skipped.csv").exists()


def test_a_map_is_checked_and_never_replaced(run, pbc, tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("label,becomes\nlymphocyte,small\nneutrophil,large\n")
    arguments = ("count", pbc, "-o", tmp_path / "c.csv", "--classes", table)
    ended = run(*arguments)
    assert ended.status == 1
    assert "does not name the class 'platelet'" in " ".join(ended.err.split())
    ended = run("count", pbc, "-o", table, "--classes", table, "--overwrite")
    assert ended.status == 1
    assert "is read and would lie among what is written" in " ".join(ended.err.split())
    ended = run("datasets", "map", pbc, "--to", "neutrophil", "-o", table)
    assert ended.status == 1
    assert "--overwrite" in ended.err
    assert table.read_text().endswith("large\n")


def test_a_map_to_names(run, pbc, tmp_path):
    table = tmp_path / "map.csv"
    ended = run("datasets", "map", pbc, "--to", "NEU", "--to", "blast", "-o", table)
    assert ended.status == 0, ended.err
    rows = pd.read_csv(table, keep_default_na=False).set_index("label")["becomes"].to_dict()
    expected = {"lymphocyte": "", "neutrophil": "NEU", "platelet": "", "NEU": "NEU"}
    assert rows == expected | {"blast": "blast"}


def test_maps_are_for_images_with_classes(run, pbc, zheng, tmp_path):
    (zheng / "class_labels.csv").unlink()
    ended = run("datasets", "map", zheng, "--to", "NEU", "-o", tmp_path / "m.csv")
    assert ended.status == 1
    assert "no classes to map" in " ".join(ended.err.split())
    ended = run("datasets", "map", pbc, "--to", f"{zheng}/typo", "-o", tmp_path / "m.csv")
    assert ended.status == 1
    assert "no such file or folder" in " ".join(ended.err.split())
    features = tmp_path / "f.parquet"
    arguments = ("extract", pbc, "-o", features, "--features", "morphology", "--workers", 1)
    assert run(*arguments).status == 0
    (tmp_path / "m.csv").write_text("label,becomes\na,b\n")
    arguments = ("fit", features, "-o", tmp_path / "m.hleuk", "--classes", tmp_path / "m.csv")
    ended = run(*arguments)
    assert ended.status == 1
    assert "extract them again with --classes" in " ".join(ended.err.split())
