"""``hybridleuk datasets``: list, describe, fetch and check, as a user meets them."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pbc(tmp_path):
    folder = tmp_path / "mine"
    for label, name in (("basophil", "BA_1"), ("ig", "PMY_2")):
        (folder / label).mkdir(parents=True)
        Image.fromarray(np.full((363, 360, 3), 200, np.uint8)).save(folder / label / f"{name}.jpg")
    return folder


def test_list(run):
    result = run("datasets", "list", "--json")
    document = json.loads(result.out)
    assert result.status == 0
    names = [entry["name"] for entry in document["datasets"]]
    assert {"all", "c-nmc", "pbc", "bccd", "bloodmnist"} <= set(names)


def test_describe_names_defects_and_the_way_to_it(run):
    shown = " ".join(run("datasets", "describe", "all").out.split())
    assert "kaggle datasets download -d mehradaria/leukemia" in shown
    assert "98.0 %" in shown
    assert "Benign (504)" in shown


def test_describe_what_is_not_known(run):
    result = run("datasets", "describe", "mnist")
    assert result.status == 1
    assert "known are all, c-nmc" in result.err


def test_fetch_what_only_a_person_can_fetch(run, tmp_path):
    result = run("datasets", "fetch", "c-nmc", "-o", str(tmp_path / "out"))
    assert result.status == 1
    assert "Licence: CC BY 3.0" in " ".join(result.err.split())
    assert "(1) Open the homepage" in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()


def test_check_says_what_is_missing(run, pbc):
    result = run("datasets", "check", str(pbc), "--json")
    document = json.loads(result.out)
    assert result.status == 1
    assert document["name"] == "pbc"
    assert document["complete"] is False
    assert document["parts"][0]["classes"]["ig"] == [1, 2895]
    assert document["remarks"] == ["PBC_dataset_normal_DIB: 2 of 17,092 files, 17,090 missing."]


def test_check_what_is_not_recognised(run, tmp_path):
    (tmp_path / "a").mkdir()
    result = run("datasets", "check", str(tmp_path / "a"))
    assert result.status == 1
    assert "not recognised as one of the known data sets" in " ".join(result.err.split())
