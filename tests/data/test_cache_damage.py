"""Bytes that flip in the cache's file: never a wrong value, never an error, always a report."""

import os
import random
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from hybridleuk import progress
from hybridleuk.data import cache_repair
from hybridleuk.data.cache import Cache, cache_key
from hybridleuk.data.cache_care import verify
from hybridleuk.exceptions import CacheError

ROWS = {
    cache_key("embedding", f"{i:064}", {}): np.random.default_rng(i).normal(size=60)
    for i in range(80)
}


class Notes(progress.Listener):
    def __init__(self):
        self.texts = []

    def noted(self, text):
        self.texts.append(text)


@pytest.fixture
def notes():
    with progress.report_to(Notes()) as listening:
        yield listening.texts


@pytest.fixture
def filled(tmp_path):
    """Return the file of a closed cache that holds ROWS."""
    with Cache(tmp_path) as cache:
        cache.put_many(ROWS)
    return cache.path


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def test_a_damaged_value_counts_as_missing_and_is_reported(filled, notes):
    key = list(ROWS)[7]
    flip(filled, filled.read_bytes().find(ROWS[key].tobytes()) + 5)
    with Cache(filled.parent) as cache:
        assert set(cache.get_many(ROWS)) == set(ROWS) - {key}
        assert cache.damaged == 1
        cache.put_many({key: ROWS[key]})
        np.testing.assert_array_equal(cache.get_many([key])[key], ROWS[key])
        assert (cache.damaged, cache.repaired) == (1, False)
    assert len(notes) == 1
    assert "damaged results (1 of embedding); they were dropped and are computed again" in notes[0]
    with Cache(filled.parent) as cache:
        assert len(cache.get_many(ROWS)) == len(ROWS)
    assert len(notes) == 1  # said once, not in every later run


def test_damage_that_another_process_found_is_reported_too(filled, notes):
    key = next(iter(ROWS))
    flip(filled, filled.read_bytes().find(ROWS[key].tobytes()))
    with Cache(filled.parent):
        with progress.report_to(progress.Listener()), Cache(filled.parent) as other:
            other.get_many([key])
        assert notes == []
    assert len(notes) == 1


def test_an_index_that_leads_to_another_row_is_noticed(filled):
    """A row that is whole, with its right checksum, but is not the one that was asked for."""
    first, second = list(ROWS)[:2]
    with Cache(filled.parent) as cache:
        one = " WHERE id = ?"
        other = "(SELECT {0} FROM {1} WHERE id = 2)"
        cache.store(
            ("UPDATE entries SET checksum = " + other.format("checksum", "entries") + one, [(1,)]),
            ("UPDATE contents SET value = " + other.format("value", "contents") + one, [(1,)]),
        )
        assert set(cache.get_many([first, second])) == {second}
        assert cache.damaged == 1


@pytest.mark.parametrize("seed", range(4))
def test_bytes_flipped_anywhere(filled, seed):
    """Every array that comes back is right, whatever byte of the file was hit."""
    sound = filled.read_bytes()
    places = random.Random(seed)
    lost = 0
    for _ in range(25):
        for other in filled.parent.iterdir():
            other.unlink()
        filled.write_bytes(sound)
        flip(filled, places.randrange(len(sound)), bit=1 << places.randrange(8))
        with Cache(filled.parent) as cache:
            found = cache.get_many(ROWS)
            for key, values in found.items():
                np.testing.assert_array_equal(values, ROWS[key])
            lost += len(ROWS) - len(found)
            cache.put_many({key: values for key, values in ROWS.items() if key not in found})
            stored = cache.get_many(ROWS)
        if len(stored) < len(ROWS):  # a damaged index hides a row until somebody looks for it
            assert verify(filled.parent).repaired
            with Cache(filled.parent) as cache:
                cache.put_many(ROWS)
                assert len(cache.get_many(ROWS)) == len(ROWS)
        assert verify(filled.parent).sound or verify(filled.parent).sound
    assert lost > 0


def test_a_broken_page_costs_the_rows_on_it(filled, notes):
    page = filled.read_bytes().find(next(iter(ROWS.values())).tobytes()) // 8192
    content = bytearray(filled.read_bytes())
    content[page * 8192 : page * 8192 + 64] = b"\xff" * 64
    filled.write_bytes(content)
    with Cache(filled.parent) as cache:
        found = cache.get_many(ROWS)
        assert cache.repaired
        assert cache.fetch("PRAGMA integrity_check") == [("ok",)]
    assert len(ROWS) // 2 < len(found) < len(ROWS)
    assert "was damaged" in notes[0]
    assert f"{len(found)} sound results were kept" in notes[0]
    assert [file.name for file in filled.parent.iterdir()] == [filled.name]


def test_others_see_the_repaired_file(filled):
    with Cache(filled.parent) as other:
        assert len(other) == len(ROWS)
        kept = cache_repair.rebuild(filled)
        assert kept == len(ROWS)
        other.put_many({"after": np.arange(3)})
        assert set(other.get_many([*ROWS, "after"])) == {*ROWS, "after"}


def test_a_file_that_is_no_database_is_set_aside(filled, notes):
    filled.write_bytes(b"This is no database at all. " * 1000)
    with Cache(filled.parent) as cache:
        assert len(cache) == 0
        cache.put_many({"key": np.arange(3)})
    assert "0 sound results were kept" in notes[0]
    aside = filled.with_name(f"{filled.name}.damaged")
    assert aside.read_bytes().startswith(b"This is no database")


def test_all_pages_but_the_first_are_garbage(filled):
    content = bytearray(filled.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    filled.write_bytes(content)
    with Cache(filled.parent) as cache:
        assert cache.get_many(ROWS) == {}
        cache.put_many(ROWS)
        assert len(cache) == len(ROWS)


# Stores batch after batch until a limit on the size of files, as of a full disk, is met.
FILLER = """
import resource, sys
import numpy as np
from hybridleuk.data.cache import Cache
from hybridleuk.data.cache_care import verify
from hybridleuk.exceptions import CacheError
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
with Cache(sys.argv[1]) as cache:
    try:
        for batch in range(100):
            cache.put_many({f"{batch}-{row}": np.full(1000, batch) for row in range(5)})
            print(batch, flush=True)
    except CacheError as error:
        sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_limit_on_the_size_of_files(tmp_path):
    """What was stored before the disk was full is there, whole, and the rest can follow."""
    command = [sys.executable, "-c", FILLER, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "is full or fails" in ended.stderr
    assert "stored before is kept: free some space" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    stored = len(ended.stdout.splitlines())
    assert 2 < stored < 99
    with Cache(tmp_path) as cache:
        for batch in range(stored):
            found = cache.get_many(f"{batch}-{row}" for row in range(5))
            assert len(found) == 5
            assert all((values == batch).all() for values in found.values())
        assert len(cache) == 5 * stored
        cache.put_many({"after": np.arange(5)})
    assert not cache.damaged


def test_a_repair_without_space_is_one_sentence(filled, monkeypatch):
    content = bytearray(filled.read_bytes())
    content[2 * 8192 :] = b"\xff" * (len(content) - 2 * 8192)
    filled.write_bytes(content)

    def full(*_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(cache_repair, "_save_rows", full)
    with (
        pytest.raises(CacheError, match=r"is full or fails .*: free some space"),
        Cache(filled.parent) as cache,
    ):
        cache.get_many(ROWS)
    assert os.listdir(filled.parent) == [filled.name]
