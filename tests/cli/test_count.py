"""``hybridleuk count``: what it writes beside the table, what it refuses, and what it reports."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk.data.artificial import draw_field


@pytest.fixture
def fields(tmp_path):
    folder = tmp_path / "fields"
    folder.mkdir()
    for i in range(2):
        image = draw_field(("lymphocyte",), size=(200, 240), random_state=40 + i).image
        Image.fromarray(image).save(folder / f"P{i}_a.png")
    return folder


def test_writes_table_boxes_voc_pictures_and_totals(run, fields, tmp_path):
    out = tmp_path / "out"
    arguments = ("count", fields, "-o", out / "c.csv", "--boxes", out / "b.json", "--workers", 1)
    arguments += ("--voc", out / "voc", "--pictures", out / "drawn", "--group-regex", "(P[0-9])_")
    ended = run(*arguments, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    table = pd.read_csv(out / "c.csv", keep_default_na=False)
    assert table.columns.tolist() == ["path", "wbc", "rbc", "platelets", "flags"]
    assert document["wbc"] == table["wbc"].sum() == 2
    assert document["n_images"] == len(table) == 2
    assert document["groups_file"] == str(out / "c_groups.csv")
    assert pd.read_csv(out / "c_groups.csv")["group"].tolist() == ["P0", "P1"]
    boxes = json.loads((out / "b.json").read_text())
    assert {box["kind"] for box in boxes} <= {"WBC", "RBC", "Platelets"}
    assert {box["path"] for box in boxes} == set(table["path"])
    assert sorted(p.name for p in (out / "voc").glob("*.xml")) == ["P0_a.xml", "P1_a.xml"]
    assert np.asarray(Image.open(out / "drawn" / "P0_a.jpg")).shape == (200, 240, 3)

    again = run(*arguments)
    assert again.status == 1
    assert "--overwrite" in again.err
    (fields / "P1_a.png").unlink()
    assert run(*arguments, "--overwrite").status == 0
    assert [p.name for p in (out / "voc").glob("*.xml")] == ["P0_a.xml"], "old results are removed"


def test_a_folder_of_other_things_is_refused_before_any_work(run, fields, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--voc", tmp_path / "mine")
    assert ended.status == 1
    assert "not empty" in ended.err
    assert not (tmp_path / "c.csv").exists()


def test_an_interrupted_folder_is_taken_up_again(run, fields, tmp_path):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / ".count-started").write_text("P0_a.xml")
    (tmp_path / "voc" / "P0_a.xml").write_text("<half")
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--voc", tmp_path / "voc")
    assert ended.status == 0, ended.err
    assert "</annotation>" in (tmp_path / "voc" / "P0_a.xml").read_text()


def test_what_cannot_be_read_is_skipped_and_listed(run, fields, tmp_path):
    (fields / "broken.png").write_bytes(b"no image")
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--json")
    document = json.loads(ended.out)
    assert (document["n_found"], document["n_images"], document["n_skipped"]) == (3, 2, 1)
    assert len(pd.read_csv(tmp_path / "skipped.csv")) == 1


def test_a_patient_of_whom_nothing_can_be_read_is_named(run, fields, tmp_path):
    (fields / "P9_a.png").write_bytes(b"no image")
    arguments = ("count", fields, "-o", tmp_path / "c.csv", "--group-regex", "(P[0-9])_")
    ended = run(*arguments, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["groups_without_field"] == ["P9"]
    assert "1 of 3 groups have no field that can be read, first P9" in ended.err
    totals = pd.read_csv(tmp_path / "c_groups.csv").set_index("group")
    assert totals.loc["P9", "flags"] == "no_readable_field"
    assert totals.loc["P9", "fields"] == 0
    assert totals.loc[["P9"], ["wbc", "rbc", "platelets"]].isna().all(axis=None)


def test_names_that_say_something_else_are_wrong_usage(run, fields, tmp_path):
    assert run("count", fields, "-o", tmp_path / "c.txt").status == 2
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--boxes", tmp_path / "b.csv")
    assert ended.status == 2
    assert ".json" in ended.err


def test_differential_by_a_model_file(run, fields, smears, tmp_path):
    model = tmp_path / "m.hleuk"
    fitted = run("fit", smears, "-o", model, "--features", "morphology", "--workers", 1)
    assert fitted.status == 0, fitted.err
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--differential", model, "--json")
    assert ended.status == 0, ended.err
    table = pd.read_csv(tmp_path / "c.csv")
    names = ["diff_blast", "diff_lymphocyte", "diff_abstained"]
    assert (table[names].sum(axis=1) == table["wbc"]).all()
    assert sum(json.loads(ended.out)["differential"].values()) == table["wbc"].sum()


def test_images_and_their_list_are_never_replaced(run, fields, tmp_path):
    before = {path: path.read_bytes() for path in fields.rglob("*") if path.is_file()}
    folder = next(path for path in before if path.suffix == ".png").parent
    out = tmp_path / "counts.csv"
    (folder / ".count-started").write_text("P0_a.png", encoding="utf-8")  # as if it were ours
    done = run("count", fields, "-o", out, "--pictures", folder, "--overwrite")
    assert done.status == 1
    assert "would lie among what is written" in done.err
    listed = tmp_path / "list.csv"
    listed.write_text("path\n" + "".join(f"{path}\n" for path in before if path.suffix == ".png"))
    text = listed.read_text()
    assert run("count", listed, "-o", listed, "--overwrite").status == 1
    assert listed.read_text() == text
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_called_skipped_that_is_no_list_of_ours_is_kept(run, fields, tmp_path):
    (fields / "broken.png").write_bytes(b"no image")
    (tmp_path / "skipped.csv").write_text("my,precious\n1,2\n")
    ended = run("count", fields, "-o", tmp_path / "c.csv", "--json")
    assert ended.status == 0, ended.err
    assert (tmp_path / "skipped.csv").read_text() == "my,precious\n1,2\n"
    assert json.loads(ended.out)["skipped_file"] == str(tmp_path / "skipped-2.csv")
    again = run("count", fields, "-o", tmp_path / "c.csv", "--json", "--overwrite")
    assert json.loads(again.out)["skipped_file"] == str(tmp_path / "skipped-2.csv")


def test_one_folder_for_voc_and_pictures_is_made_anew_as_a_whole(run, fields, tmp_path):
    both = tmp_path / "both"
    arguments = ("count", fields, "-o", tmp_path / "c.csv", "--voc", both, "--pictures", both)
    assert run(*arguments).status == 0
    (both / "mine.txt").write_text("mine")
    (fields / "P1_a.png").unlink()
    ended = run(*arguments, "--overwrite")
    assert ended.status == 0, ended.err
    assert sorted(p.name for p in both.glob("[!.]*")) == ["P0_a.jpg", "P0_a.xml", "mine.txt"]


def test_a_foreign_file_in_a_folder_of_ours_is_kept(run, fields, tmp_path):
    arguments = ("count", fields, "-o", tmp_path / "c.csv", "--pictures", tmp_path / "drawn")
    assert run(*arguments).status == 0
    (fields / "P0_a.png").rename(fields / "P7_a.png")
    (tmp_path / "drawn" / "P7_a.jpg").write_text("mine")
    ended = run(*arguments, "--overwrite")
    assert ended.status == 1
    assert "P7_a.jpg was not written by this command" in ended.err
    assert (tmp_path / "drawn" / "P7_a.jpg").read_text() == "mine"
    assert (tmp_path / "drawn" / "P0_a.jpg").exists(), "refused before anything is removed"


def test_pictures_that_are_read_are_not_cleared(run, fields, tmp_path):
    drawn = tmp_path / "drawn"
    assert run("count", fields, "-o", tmp_path / "c.csv", "--pictures", drawn).status == 0
    before = {path: path.read_bytes() for path in drawn.iterdir()}
    ended = run("count", drawn, "-o", tmp_path / "d.csv", "--pictures", drawn, "--overwrite")
    assert ended.status == 1
    assert {path: path.read_bytes() for path in drawn.iterdir()} == before
