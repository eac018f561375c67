"""``hybridleuk cache info|prune|verify``: what they print, their JSON, their exit statuses."""

import json

import numpy as np
import pytest

from hybridleuk.data.cache import Cache, cache_key


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "cache"
    with Cache(folder) as cache:
        for kind, size in (("embedding", 1000), ("cells", 10)):
            cache.put_many({cache_key(kind, f"{i:064}", {}): np.arange(size) + i for i in range(5)})
    return folder


def damage(place):
    path = next(place.glob("cache-*.sqlite"))
    content = bytearray(path.read_bytes())
    content[content.find(np.arange(1000).tobytes()) + 8] ^= 1
    path.write_bytes(content)


def test_info(run, place):
    (place / "cache-1.sqlite").write_bytes(b"x" * 2000)
    ended = run("cache", "info", "--cache", place)
    assert ended.status == 0
    assert str(place) in ended.out.replace("\n", "")
    assert "cache-1.sqlite (2.0 kB); 'cache prune' removes it" in ended.out
    rows = {line.split()[0]: line.split()[1:4] for line in ended.out.splitlines() if line}
    assert rows["embedding"] == ["5", "40.0", "kB"]
    assert rows["cells"][:1] == ["5"]
    document = json.loads(run("cache", "info", "--cache", place, "--json").out)
    assert document["kinds"]["embedding"]["rows"] == 5
    assert document["kinds"]["embedding"]["used"].endswith("Z")
    assert document["bytes"] > 40_000


def test_info_of_no_cache(run, tmp_path):
    ended = run("cache", "info", "--cache", tmp_path / "none")
    assert ended.status == 0
    assert "not there yet" in ended.out
    assert not (tmp_path / "none").exists()


def test_the_users_cache_by_default(run, place, monkeypatch):
    monkeypatch.setenv("HYBRIDLEUK_CACHE", str(place))
    assert json.loads(run("cache", "info", "--json").out)["path"].startswith(str(place))
    assert json.loads(run("cache", "verify", "--json").out)["rows"] == 10


def test_prune_says_what_it_frees(run, place):
    would = run("cache", "prune", "--kind", "cells", "--dry-run", "--cache", place)
    assert would.status == 0
    assert "Would remove 5 of cells" in would.out
    assert "would be freed" in would.out
    done = run("cache", "prune", "--kind", "cells", "--cache", place)
    assert "Removed 5 of cells" in done.out
    document = json.loads(run("cache", "prune", "--all", "--cache", place, "--json").out)
    assert document["rows"] == {"embedding": 5}
    assert document["disk_bytes"] > 40_000
    assert list(place.iterdir()) == []
    assert "Nothing to remove" in run("cache", "prune", "--cache", place).out


@pytest.mark.parametrize(("size", "kept"), [("100MB", 10), ("20.5 kB", 7), ("8500", 6), ("0", 0)])
def test_prune_to_a_size(run, place, size, kept):
    assert run("cache", "prune", "--max-size", size, "--cache", place).status == 0
    with Cache(place) as cache:
        assert len(cache) == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "--kind", "cells"), "--all leaves nothing to choose"),
        (("--max-size", "huge"), "'huge' is no size; expected one such as 500MB"),
        (("--older-than", "-1"), "older-than"),
    ],
)
def test_prune_refuses_with_nothing_removed(run, place, arguments, message):
    ended = run("cache", "prune", *arguments, "--cache", place)
    assert ended.status == 2
    assert message in ended.err
    with Cache(place) as cache:
        assert len(cache) == 10


def test_prune_of_an_unknown_kind(run, place):
    ended = run("cache", "prune", "--kind", "cell", "--cache", place)
    assert ended.status == 1
    assert "it holds cells, embedding" in ended.err


def test_verify(run, place):
    ended = run("cache", "verify", "--cache", place)
    assert ended.status == 0
    assert "10 rows" in ended.out
    assert "All are sound" in ended.out
    damage(place)
    ended = run("cache", "verify", "--cache", place)
    assert ended.status == 1
    assert "1 of embedding damaged and dropped" in ended.out
    document = json.loads(run("cache", "verify", "--cache", place, "--json").out)
    assert document["sound"]
    assert document["rows"] == 9
    assert "1 rows found damaged" in run("cache", "info", "--cache", place).out


def test_verify_as_json_of_a_damaged_cache(run, place):
    damage(place)
    ended = run("cache", "verify", "--cache", place, "--json")
    assert ended.status == 1
    document = json.loads(ended.out)
    assert (document["sound"], document["damaged"]) == (False, {"embedding": 1})


def test_damage_met_by_a_command_is_said(run, smears, tmp_path):
    """The command goes on, ends well, and says that a result was computed again."""
    arguments = ("extract", smears, "--features", "morphology", "--cache", tmp_path / "cache")
    assert run(*arguments, "-o", tmp_path / "a.parquet").status == 0
    with Cache(tmp_path / "cache") as cache:
        damaged = "UPDATE contents SET value = zeroblob(9) WHERE id = (SELECT MAX(id) FROM entries)"
        cache.store((damaged, [()]))
    ended = run(*arguments, "-o", tmp_path / "b.parquet")
    assert ended.status == 0
    assert "held damaged results (1 of morphology)" in ended.err
    assert ended.err.count("Note:") == 1
    again = run(*arguments, "-o", tmp_path / "c.parquet")
    assert "damaged" not in again.err
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
