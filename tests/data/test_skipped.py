"""The list of files left out: whose rows are replaced, and what is no such list."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from hybridleuk.data.skipped import listed, readable_path, skipped_table, write_skipped


def rows_of(path):
    return pd.read_csv(path, keep_default_na=False).to_numpy().tolist()


def test_bytes_that_are_no_text_are_shown_as_such():
    assert readable_path("/smears/grün.png") == "/smears/grün.png"
    assert readable_path(os.fsdecode(b"/smears/gr\xfcn.png")) == "/smears/gr\ufffdn.png"


def test_rows_are_absolute_and_say_the_path_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = skipped_table([("a.png", "a.png: is empty.", None), ("b.png", "is odd", "P1")])
    assert listed(table) == [
        (str(tmp_path / "a.png"), "is empty."),
        (str(tmp_path / "b.png"), "is odd"),
    ]


def test_two_results_in_one_folder_keep_their_rows(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    assert write_skipped(first, [("1.png", "cut, twice"), ("2\n.png", 'a "reason"')])
    path = write_skipped(second, [("3.png", "empty")])
    assert path == tmp_path / "skipped.csv"
    of_first = [["1.png", "cut, twice", "a.parquet"], ["2\n.png", 'a "reason"', "a.parquet"]]
    assert rows_of(path) == [*of_first, ["3.png", "empty", "b.parquet"]]
    write_skipped(tmp_path, [("4.png", "in the folder")])
    write_skipped(second, [("5.png", "again")])
    assert rows_of(path)[2:] == [["4.png", "in the folder", "."], ["5.png", "again", "b.parquet"]]
    assert write_skipped(second, []) is None
    assert [row[2] for row in rows_of(path)] == ["a.parquet", "a.parquet", "."]
    assert [p.name for p in tmp_path.iterdir()] == ["skipped.csv"]


def test_nothing_left_out_makes_no_list_but_empties_an_earlier_one(tmp_path):
    assert write_skipped(tmp_path / "a.csv", []) is None
    assert list(tmp_path.iterdir()) == []
    write_skipped(tmp_path / "a.csv", [("1.png", "cut")])
    assert write_skipped(tmp_path / "a.csv", []) is None
    assert (tmp_path / "skipped.csv").read_text() == "path,reason,output\n"


def test_rows_without_output_are_kept(tmp_path):
    (tmp_path / "skipped.csv").write_text("path,reason\nold.png,cut\n")
    path = write_skipped(tmp_path / "a.csv", [("new.png", "cut")])
    assert rows_of(path) == [["old.png", "cut", ""], ["new.png", "cut", "a.csv"]]


@pytest.mark.parametrize(
    "content", [b"my,precious\n1,2\n", b"", b"path,reason\nlonely\n", b"path,reason\n\xff,b\n"]
)
def test_what_is_no_list_is_kept(tmp_path, content):
    (tmp_path / "skipped.csv").write_bytes(content)
    for _ in range(2):
        assert write_skipped(tmp_path / "a.csv", [("1.png", "cut")]) == tmp_path / "skipped-2.csv"
    assert (tmp_path / "skipped.csv").read_bytes() == content
    assert len(rows_of(tmp_path / "skipped-2.csv")) == 1


def test_a_link_is_followed_by_nothing(tmp_path):
    (tmp_path / "skipped.csv").symlink_to(tmp_path / "gone")
    assert write_skipped(tmp_path / "a.csv", [("1.png", "cut")]) == tmp_path / "skipped-2.csv"


@pytest.mark.skipif(sys.platform == "win32", reason="has no lock on folders")
def test_writers_at_once_lose_no_rows(tmp_path):
    def write_often(name):
        for k in range(40):
            write_skipped(tmp_path / name, [(f"{name}-{k}.png", "cut")])

    names = [f"{k}.csv" for k in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(write_often, names))
    found = sorted(row[0] for row in rows_of(tmp_path / "skipped.csv"))
    assert found == [f"{name}-39.png" for name in names]
