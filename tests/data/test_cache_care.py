"""What `cache info`, `prune` and `verify` do, as library calls."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from hybridleuk.data.cache import Cache, cache_key
from hybridleuk.data.cache_care import describe, prune, verify
from hybridleuk.exceptions import CacheError, InputError

DAY = 86_400


def keys(kind, n):
    return [cache_key(kind, f"{i:064}", {}) for i in range(n)]


@pytest.fixture
def place(tmp_path):
    """A cache of 5 embeddings (1000 values), 5 cells (10 values), used 0 to 4 days ago."""
    with Cache(tmp_path) as cache:
        for kind, size in (("embedding", 1000), ("cells", 10)):
            cache.put_many({key: np.zeros(size) for key in keys(kind, 5)})
        ages = [
            (int(time.time()) - i * DAY - 60, key)
            for kind in ("embedding", "cells")
            for i, key in enumerate(keys(kind, 5))
        ]
        cache.store(("UPDATE entries SET used = ? WHERE key = ?", ages))
    return tmp_path


def left(place):
    with Cache(place) as cache:
        there = {row[0] for row in cache.fetch("SELECT key FROM entries")}
        assert cache.fetch("SELECT COUNT(*) FROM contents")[0][0] == len(there)
    return {kind: [i for i, key in enumerate(keys(kind, 5)) if key in there]
            for kind in ("embedding", "cells")}  # fmt: skip


def test_info(place):
    found = describe(place)
    assert found.exists
    assert {name: kind.rows for name, kind in found.kinds.items()} == {"cells": 5, "embedding": 5}
    assert found.kinds["embedding"].bytes == 5 * (8000 + len(b"<f8 1000\n"))
    assert found.bytes == sum(file.stat().st_size for file in place.iterdir()) > 40_000
    assert found.kinds["cells"].created == pytest.approx(time.time(), abs=60)
    assert found.free_bytes > 0
    assert (found.files, found.damage, found.leftovers) == (0, 0, [])


def test_info_and_verify_make_nothing(tmp_path):
    found = describe(tmp_path / "nowhere")
    assert not found.exists
    assert found.kinds == {}
    assert verify(tmp_path / "nowhere").sound
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("conditions", "embeddings", "cells"),
    [
        ({}, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ({"older_than": 2.5}, [0, 1, 2], [0, 1, 2]),
        ({"older_than": 2.5, "kinds": ["cells"]}, [0, 1, 2, 3, 4], [0, 1, 2]),
        ({"kinds": ["cells"]}, [0, 1, 2, 3, 4], []),
        ({"max_bytes": 20_000}, [0, 1], [0, 1, 2]),
        ({"max_bytes": 10**9}, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ({"max_bytes": 0}, [], []),
        ({"max_bytes": 20_000, "older_than": 3.5}, [0, 1, 2, 3], [0, 1, 2, 3]),
        ({"everything": True}, [], []),
    ],
)
def test_prune(place, conditions, embeddings, cells):
    would = prune(place, dry_run=True, **conditions)
    assert left(place) == {"embedding": [0, 1, 2, 3, 4], "cells": [0, 1, 2, 3, 4]}
    freed = prune(place, **conditions)
    assert (would.rows, would.bytes, would.files) == (freed.rows, freed.bytes, freed.files)
    assert freed.rows["embedding"] == 5 - len(embeddings)
    assert freed.rows["cells"] == 5 - len(cells)
    assert left(place) == {"embedding": embeddings, "cells": cells}


def test_prune_gives_the_space_back(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put_many({key: np.zeros(20_000) for key in keys("cells", 30)})
    before = describe(tmp_path).bytes
    freed = prune(tmp_path, kinds=["cells"])
    assert freed.disk_bytes > 0.9 * before
    assert describe(tmp_path).bytes == before - freed.disk_bytes


def test_prune_removes_what_is_not_used_any_more(place):
    old = [place / "cache-1.sqlite", place / "cache-1.sqlite-wal"]
    aside = place / "cache-2.sqlite.damaged"
    others = [
        place / "cache-9.sqlite",
        place / "cache-notes.txt",
        place / "cache-2.sqlite.repair-1",
    ]
    for path in (*old, aside, *others):
        path.write_bytes(b"x" * 500)
    assert describe(place).leftovers == sorted([*old, aside])
    assert describe(place).leftover_bytes == 1500
    assert prune(place, dry_run=True).leftovers == sorted([*old, aside])
    assert all(path.exists() for path in old)
    freed = prune(place)
    assert freed.disk_bytes == 1500
    assert not any(path.exists() for path in (*old, aside))
    assert all(path.exists() for path in others)


def test_an_older_format_is_left_alone_by_a_normal_run(place):
    old = place / "cache-1.sqlite"
    old.write_bytes(b"of another version")
    with Cache(place) as cache:
        cache.put_many({"key": np.arange(3)})
    assert old.read_bytes() == b"of another version"


def test_prune_of_an_unknown_kind(place):
    with pytest.raises(InputError, match=r"no results of the kind 'cell'; it holds cells, embedd"):
        prune(place, kinds=["cell"])


def test_prune_while_another_process_uses_it(place):
    with Cache(place) as other:
        prune(place, kinds=["cells"])
        assert len(other) == 5
        other.put_many({"key": np.arange(3)})
        assert len(other) == 6


def test_verify_finds_drops_and_reports(place):
    assert verify(place).sound
    with Cache(place) as cache:
        cache.store(("UPDATE contents SET value = zeroblob(80) WHERE id = ?", [(2,), (7,), (8,)]))
        cache.store(("DELETE FROM contents WHERE id = ?", [(1,)]))
        cache.store(("INSERT INTO contents VALUES (?, ?)", [(99, b"belongs to nothing")]))
        row = (os.fspath(place / "a.png"), "1: 5 5 5 5", "0" * 64, 0, b"12345678")
        cache.store(("INSERT INTO files VALUES (?, ?, ?, ?, ?)", [row]))
    found = verify(place)
    assert not found.sound
    assert found.rows == 11
    assert found.damaged == {"embedding": 2, "cells": 2, "file": 1}
    assert left(place) == {"embedding": [2, 3, 4], "cells": [0, 3, 4]}
    assert describe(place).damage == 5
    assert verify(place).sound


def test_verify_repairs_the_file(place):
    path = describe(place).path
    content = bytearray(path.read_bytes())
    index = content.find(keys("cells", 1)[0].encode())
    content[index : index + 6] = b"zzzzzz"  # of the index or of the table: they do not agree now
    path.write_bytes(content)
    found = verify(place)
    assert not found.sound
    assert sum(map(len, left(place).values())) >= 9
    assert verify(place).sound


# Where nothing can be written


@pytest.fixture
def read_only(place, monkeypatch):
    """Say of everything in the cache's folder that it cannot be written, also to root."""
    access = os.access

    def denied(path, mode):
        return access(path, mode) and not (mode == os.W_OK and str(path).startswith(str(place)))

    monkeypatch.setattr(os, "access", denied)
    return place


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_info_and_verify_read_where_nothing_can_be_written(read_only):
    before = contents(read_only)
    found = describe(read_only)
    assert found.kinds["embedding"].rows == 5
    assert found.read_only == f"there is no permission to write {read_only}"
    assert verify(read_only).rows == 10
    file = next(read_only.glob("cache-*.sqlite")).name
    assert contents(read_only)[file] == before[file]


def test_damage_is_counted_and_stays_where_nothing_can_be_written(read_only):
    with Cache(read_only) as cache:
        cache.store(("UPDATE contents SET value = ? WHERE id = 1", [(b"<f8 1\n12345678",)]))
    for _ in range(2):
        assert verify(read_only).damaged == {"embedding": 1}
    with Cache(read_only, read_only=True) as cache:
        assert not cache.get_many(keys("embedding", 1))
        with pytest.raises(CacheError, match="cannot be written"):
            cache.put_many({"a:1": np.zeros(1)})


def test_a_broken_file_that_cannot_be_written_says_where_it_can_be_repaired(read_only):
    next(read_only.glob("cache-*.sqlite")).write_bytes(b"no database at all" * 999)
    for look in (describe, verify):
        with pytest.raises(CacheError, match=r"damaged .*no permission to write .*copy the folder"):
            look(read_only)


_ON_READ_ONLY_DISK = """
set -e
mount -t tmpfs none "$1"
"$2" -c '
import sys, numpy
from hybridleuk.data.cache import Cache
with Cache(sys.argv[1]) as cache: cache.put_many({"a:1": numpy.zeros(3)})
' "$1"
mount -o remount,ro "$1"
"$2" -c '
import sys
from hybridleuk.data.cache import Cache
from hybridleuk.data.cache_care import describe, verify
print(describe(sys.argv[1]).kinds["a"].rows, verify(sys.argv[1]).rows)
for place in (sys.argv[1], sys.argv[1] + "/new"):
    try: Cache(place)
    except OSError as error: print(error)
' "$1"
"""


def test_a_read_only_file_system_is_named(tmp_path):
    if (
        not shutil.which("unshare")
        or subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    shell = ["unshare", "-rm", "sh", "-c", _ON_READ_ONLY_DISK, "sh", str(tmp_path), sys.executable]
    ended = subprocess.run(shell, capture_output=True, text=True, check=True)
    first, *errors = ended.stdout.splitlines()
    assert first == "1 1"
    assert len(errors) == 2
    for error in errors:
        assert (
            f"{tmp_path} is on a read-only file system; name another folder with --cache" in error
        )
