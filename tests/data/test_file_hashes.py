"""Files are read again only when they may have changed; what that notices, and what it cannot."""

import os
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hybridleuk.data import file_hashes, scan
from hybridleuk.data.cache import Cache
from hybridleuk.data.cache_care import describe, prune
from hybridleuk.data.file_hashes import remembering_files
from hybridleuk.data.images import image_sha256
from hybridleuk.data.scan import inspect_files

LONG_AGO = 1_000_000_000


@pytest.fixture
def settled(monkeypatch):
    """The time of change of status of a file that was just made cannot be set back: look later."""
    real = time.time_ns
    monkeypatch.setattr(file_hashes.time, "time_ns", lambda: real() + 3_000_000_000)


@pytest.fixture
def paths(tmp_path):
    made = []
    for number in range(3):
        path = tmp_path / f"{number}.bmp"  # of equal size, whatever is in it
        Image.fromarray(np.full((20, 20), number, dtype=np.uint8)).save(path)
        os.utime(path, (LONG_AGO, LONG_AGO))
        made.append(str(path))
    return made


@pytest.fixture
def reads(monkeypatch):
    """Forget what this process knows, and list the files that are read from now on."""
    file_hashes._in_process.clear()
    listed = []
    real = file_hashes._read

    def read(name, digest):
        listed.append(os.path.basename(name))
        return real(name, digest)

    monkeypatch.setattr(file_hashes, "_read", read)
    return listed


def inspect(cache, paths):
    """Inspect as a new process would."""
    file_hashes._in_process.clear()
    with remembering_files(cache):
        return inspect_files(paths)


def test_an_unchanged_file_is_read_once(tmp_path, paths, reads, settled):
    first = inspect(tmp_path / "cache", paths)
    assert sorted(reads) == ["0.bmp", "1.bmp", "2.bmp"]
    assert inspect(tmp_path / "cache", paths) == first
    assert image_sha256(paths[0]) == first[0][0]
    assert len(reads) == 3
    assert len(set(first[0])) == 3


def test_without_a_cache_it_is_remembered_within_the_process(paths, reads, settled):
    first = [image_sha256(path) for path in paths]
    assert [image_sha256(path) for path in paths] == first
    assert len(reads) == 3
    assert inspect(None, paths)[0] == first
    assert len(reads) == 6


def test_a_new_size_or_time_is_noticed(tmp_path, paths, reads, settled):
    before = inspect(tmp_path / "cache", paths)[0]
    Image.fromarray(np.full((24, 20), 9, dtype=np.uint8)).save(paths[0])
    os.utime(paths[0], (LONG_AGO, LONG_AGO))
    Image.fromarray(np.full((20, 20), 9, dtype=np.uint8)).save(paths[1])
    after = inspect(tmp_path / "cache", paths)[0]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    assert sorted(reads[3:]) == ["0.bmp", "1.bmp"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no time of change of status")
def test_same_size_and_restored_time_are_noticed(tmp_path, paths, settled):
    """The time of change of status cannot be set back, as that of modification can."""
    before = inspect(tmp_path / "cache", paths)[0]
    change_in_place(paths[0])
    assert os.stat(paths[0]).st_mtime == LONG_AGO
    assert inspect(tmp_path / "cache", paths)[0][0] != before[0]


def test_another_file_under_the_name_is_noticed(tmp_path, paths, settled):
    before = inspect(tmp_path / "cache", paths)[0]
    os.replace(paths[1], paths[0])
    assert inspect(tmp_path / "cache", paths[:1])[0] == [before[1]]


def test_what_changes_neither_size_nor_times_is_not_noticed(tmp_path, paths, settled, monkeypatch):
    """As by a failing disk, or on a system without a time of change of status: documented."""
    real = file_hashes._identity
    monkeypatch.setattr(file_hashes, "_identity", lambda status: real(without_ctime(status)))
    before = inspect(tmp_path / "cache", paths)[0]
    change_in_place(paths[0])
    assert inspect(tmp_path / "cache", paths)[0] == before
    file_hashes._in_process.clear()
    assert image_sha256(paths[0]) != before[0]  # read without the cache


def test_a_file_that_changed_just_now_is_always_read_anew(tmp_path, paths, reads):
    """Within the resolution of the clock it could change again without a new time."""
    for path in paths:
        os.utime(path)
    inspect(tmp_path / "cache", paths)
    inspect(tmp_path / "cache", paths)
    image_sha256(paths[0])
    assert len(reads) == 7
    assert describe(tmp_path / "cache").files == 0


def test_a_file_that_changes_while_it_is_read(tmp_path, paths, settled):
    def digest(file):
        content = file.read()
        change_in_place(paths[0])
        return content.hex()

    assert file_hashes._read(paths[0], digest).identity == ""


def test_a_file_that_is_no_image_is_looked_at_every_time(tmp_path, reads, settled):
    path = tmp_path / "text.png"
    path.write_text("no image")
    for _ in range(2):
        digests, reasons = inspect(tmp_path / "cache", [str(path)])
        assert len(digests[0]) == 64
        assert "not an image" in reasons[0]
    assert len(reads) == 2


def test_other_rules_are_applied_again(tmp_path, paths, reads, settled, monkeypatch):
    inspect(tmp_path / "cache", paths)
    monkeypatch.setattr(scan, "_RULES", 2)
    inspect(tmp_path / "cache", paths)
    assert len(reads) == 6


def test_a_damaged_hash_is_computed_again(tmp_path, paths, reads, settled):
    first = inspect(tmp_path / "cache", paths)
    with Cache(tmp_path / "cache") as cache:
        cache.store(("UPDATE files SET sha256 = ? WHERE path = ?", [("0" * 64, paths[0])]))
    assert inspect(tmp_path / "cache", paths) == first
    assert reads[3:] == ["0.bmp"]
    assert describe(tmp_path / "cache").damage == 1


def test_a_file_that_is_gone_is_forgotten_by_prune(tmp_path, paths, settled):
    inspect(tmp_path / "cache", paths)
    os.remove(paths[0])
    assert prune(tmp_path / "cache").files == 1
    assert describe(tmp_path / "cache").files == 2
    _, reasons = inspect(tmp_path / "cache", paths)
    assert "cannot be read" in reasons[0]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text exist on Linux only")
def test_a_name_that_is_no_text(tmp_path, paths, settled):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.bmp")
    os.rename(paths[0], name)
    for _ in range(2):
        refused, sound = inspect(tmp_path / "cache", [name, paths[1]])[1]
        assert "not valid UTF-8" in refused
        assert sound is None


def change_in_place(path):
    """Other content of the same size in the same file, and the time of modification restored."""
    with open(path, "r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(bytes(range(10)))
    os.utime(path, (LONG_AGO, LONG_AGO))


def without_ctime(status):
    kept = ("st_size", "st_mtime_ns", "st_ino")
    return SimpleNamespace(**{name: getattr(status, name) for name in kept}, st_ctime_ns=0)
