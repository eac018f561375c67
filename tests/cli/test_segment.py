"""``hybridleuk segment``: the folder it writes, and when it refuses to."""

import json

import pandas as pd


def test_writes_masks_and_tables(run, smears, tmp_path):
    ended = run("segment", smears, "-o", tmp_path / "out", "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    index = pd.read_csv(tmp_path / "out" / "index.csv", keep_default_na=False)
    assert document["n_images"] == len(index) == 16
    assert document["n_cells"] == index["n_cells"].sum() > 0
    for name in ("regions", "instances", "overlay"):
        assert all((tmp_path / "out" / path).is_file() for path in index[name])
    assert len(pd.read_parquet(tmp_path / "out" / "cells.parquet")) == document["n_cells"]


def test_existing_folder(run, smears, tmp_path):
    arguments = ("segment", smears / "blast", "-o", tmp_path / "out", "--workers", 1)
    assert run(*arguments).status == 0
    again = run(*arguments)
    assert again.status == 1
    assert "--overwrite" in again.err
    (tmp_path / "out" / "index.csv").unlink()
    assert run(*arguments).status == 0, "an unfinished folder is taken up again"
    assert run(*arguments, "--overwrite").status == 0


def test_skipped_files_are_listed_inside_the_folder(run, smears, tmp_path):
    (smears / "blast" / "empty.png").write_bytes(b"")
    ended = run("segment", smears, "-o", tmp_path / "out", "--workers", 1)
    assert ended.status == 0, ended.err
    skipped = pd.read_csv(tmp_path / "out" / "skipped.csv")
    assert skipped["path"].tolist() == [str(smears / "blast" / "empty.png")]


def test_a_spacing_that_is_no_length_is_wrong_usage(run, smears, tmp_path):
    for command, name in (("segment", "out"), ("extract", "f.parquet")):
        for spacing in ("0", "-1", "nan", "inf"):
            ended = run(command, smears, "-o", tmp_path / name, "--spacing", spacing)
            assert ended.status == 2, (command, spacing, ended.err)
    assert not (tmp_path / "out").exists()
