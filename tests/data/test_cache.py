"""The cache under what happens to it: kills, company, full and closed disks."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from hybridleuk.data.cache import Cache, cache_key, default_cache_directory, open_cache
from hybridleuk.exceptions import CacheError, InputError

ROWS = 5

# Writes batch after batch of rows that can be told by their values; says when one is stored.
WRITER = """
import sys
import numpy as np
from hybridleuk.data.cache import Cache
folder, name, batches, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Cache(folder) as cache:
    print("open", flush=True)
    for batch in range(batches):
        cache.put_many({
            f"{name}-{batch}-{row}": np.full(400, 1000 * batch + row, dtype=np.float32)
            for row in range(rows)
        })
        print(batch, flush=True)
"""


def writer(folder, name, batches):
    command = [sys.executable, "-c", WRITER, str(folder), name, str(batches), str(ROWS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def batch_of(cache, name, batch):
    """Fetch one batch of a writer, and check what is there of it."""
    found = cache.get_many([f"{name}-{batch}-{row}" for row in range(ROWS)])
    for key, values in found.items():
        row = int(key.rsplit("-", 1)[1])
        assert values.shape == (400,)
        assert (values == 1000 * batch + row).all()
    return found


def pages(cache):
    return cache._connection.execute("PRAGMA page_count").fetchone()[0]


def test_arrays_come_back_as_they_were(tmp_path):
    stored = {
        "floats": np.linspace(0, 1, 7, dtype=np.float32),
        "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "none": np.zeros((0, 5)),
        "scalar": np.array(3, dtype=np.int64),
    }
    with Cache(tmp_path) as cache:
        cache.put_many(stored)
    with Cache(tmp_path) as cache:
        found = cache.get_many([*stored, "missing"])
        assert len(cache) == 4
    assert set(found) == set(stored)
    for key, values in stored.items():
        assert found[key].dtype == values.dtype
        np.testing.assert_array_equal(found[key], values)


def test_more_keys_than_one_query_takes(tmp_path):
    rows = {str(i): np.array([i]) for i in range(1700)}
    with Cache(tmp_path) as cache:
        cache.put_many(rows)
        found = cache.get_many(iter(rows))
    assert [int(found[key][0]) for key in rows] == list(range(1700))


def test_nothing_to_store_and_nothing_to_fetch(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put_many({})
        assert cache.get_many([]) == {}
        assert len(cache) == 0


def test_kinds_and_times_stand_beside_the_values(tmp_path):
    key = cache_key("cells", "a" * 64, {})
    assert key.startswith("cells:")
    with Cache(tmp_path) as cache:
        cache.put_many({key: np.arange(3), "plain": np.arange(4)})
        kinds = dict(cache.fetch("SELECT kind, key FROM entries"))
        assert kinds == {"cells": key, "other": "plain"}
        cache.store(("UPDATE entries SET used = ?", [(5,)]))
        cache.get_many([key])
        used = dict(cache.fetch("SELECT key, used FROM entries"))
    assert used["plain"] == 5
    assert used[key] == pytest.approx(time.time(), abs=60)


def test_what_is_fetched_is_the_callers_own(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put_many({"key": np.arange(3)})
        cache.get_many(["key"])["key"][:] = 7
        np.testing.assert_array_equal(cache.get_many(["key"])["key"], np.arange(3))


def test_a_later_value_replaces_the_earlier(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put_many({"key": np.array([1])})
        cache.put_many({"key": np.array([2])})
        assert cache.get_many(["key"])["key"] == [2]


def test_what_cannot_be_stored_stores_nothing(tmp_path):
    with Cache(tmp_path) as cache:
        with pytest.raises(InputError, match="type object cannot be kept.*expected numbers"):
            cache.put_many({"fine": np.arange(3), "object": np.array([object()])})
        assert len(cache) == 0


def test_the_key_depends_on_everything_but_the_order_of_the_recipe():
    key = cache_key("embedding", "a" * 64, {"layer": "x", "version": 1})
    assert key == cache_key("embedding", "a" * 64, {"version": 1, "layer": "x"})
    others = {
        cache_key("cells", "a" * 64, {"layer": "x", "version": 1}),
        cache_key("embedding", "b" * 64, {"layer": "x", "version": 1}),
        cache_key("embedding", "a" * 64, {"layer": "x", "version": 2}),
        cache_key("embedding", "a" * 64, {"layer": "x"}),
    }
    assert len(others | {key}) == 5


def test_what_the_parameter_stands_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDLEUK_CACHE", str(tmp_path / "named"))
    assert open_cache(None) is None
    assert default_cache_directory() == tmp_path / "named"
    for parameter, folder in (("default", "named"), (tmp_path / "own" / "deep", "own/deep")):
        with open_cache(parameter) as cache:
            assert cache.directory == tmp_path / folder
            assert cache.path.is_file()
    monkeypatch.delenv("HYBRIDLEUK_CACHE")
    assert default_cache_directory().name == "hybridleuk"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_at_random_moments(tmp_path):
    """What was said to be stored is there; every batch is there whole, or not at all."""
    moments = random.Random(0)
    stored = []
    for number in range(6):
        name = f"writer{number}"
        process = writer(tmp_path, name, batches=10**9)
        assert process.stdout.readline() == "open\n"
        time.sleep(moments.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        complete = [line for line in said.splitlines(keepends=True) if line.endswith("\n")]
        stored.append((name, len(complete)))
    with Cache(tmp_path) as cache:
        assert cache._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for name, count in stored:
            assert all(len(batch_of(cache, name, batch)) == ROWS for batch in range(count))
            assert len(batch_of(cache, name, count)) in (0, ROWS)
        assert cache.damaged == 0
    assert sum(count for _, count in stored) > 0


@pytest.mark.parametrize("n_processes", [2, 4])
def test_several_processes_at_once(tmp_path, n_processes):
    """All start on an empty folder, half of them writing the same keys as another."""
    names = [f"writer{i // 2}" for i in range(n_processes)]
    processes = [writer(tmp_path, name, batches=25) for name in names]
    with Cache(tmp_path) as reader:
        while any(process.poll() is None for process in processes):
            batch_of(reader, "writer0", 3)
            time.sleep(0.02)
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * n_processes
    with Cache(tmp_path) as cache:
        assert len(cache) == len(set(names)) * 25 * ROWS
        for name in names:
            assert all(len(batch_of(cache, name, batch)) == ROWS for batch in range(25))


def test_a_full_disk_keeps_what_was_stored(tmp_path):
    large = {f"large{i}": np.zeros(20_000) for i in range(20)}
    with Cache(tmp_path) as cache:
        cache.put_many({"before": np.arange(4)})
        cache._connection.execute(f"PRAGMA max_page_count = {pages(cache) + 20}")
        with pytest.raises(CacheError, match=r"is full.*stored before is kept: free some space"):
            cache.put_many(large)
        assert list(cache.get_many(["before", *large])) == ["before"]
        cache._connection.execute("PRAGMA max_page_count = 1000000")
        cache.put_many(large)
    with Cache(tmp_path) as cache:
        assert len(cache) == 21


def test_a_file_that_may_only_be_read(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put_many({"before": np.arange(4)})
        cache._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(CacheError, match=r"readonly.*--cache"):
            cache.put_many({"after": np.arange(4)})
        assert list(cache.get_many(["before", "after"])) == ["before"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere"
)
def test_a_folder_that_may_only_be_read(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(CacheError, match=r"name another folder with --cache"):
        Cache(folder)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"Cannot open the cache .*file.*HYBRIDLEUK_CACHE"):
        Cache(tmp_path / "file" / "folder")


def test_a_folder_where_the_file_should_be(tmp_path):
    (tmp_path / "cache-2.sqlite").mkdir()
    with pytest.raises(CacheError, match=r"unable to open.*another folder"):
        Cache(tmp_path)


def test_a_lock_that_is_never_released_ends_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("hybridleuk.data.cache_file._BUSY_SECONDS", 0.1)
    with Cache(tmp_path) as cache:
        other = sqlite3.connect(cache.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheError, match="locked"):
            cache.put_many({"key": np.arange(3)})
        other.execute("ROLLBACK")
        other.close()
        cache.put_many({"key": np.arange(3)})
        assert len(cache) == 1
