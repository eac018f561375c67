"""A packed folder is read as the folder is; what cannot be read says why."""

import io
import os
import shutil
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridleuk import Manifest, read_image
from hybridleuk.data.archives.opening import locate
from hybridleuk.data.cache_care import prune
from hybridleuk.data.images import image_sha256
from hybridleuk.exceptions import ImageError, ManifestError

KINDS = {"zip": ".zip", "tar": ".tar", "gztar": ".tar.gz", "bztar": ".tar.bz2", "xztar": ".tar.xz"}


def png(seed, size=(20, 24)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Draw two classes, equal names, a damaged file, hidden ones, and clutter of a Mac."""
    root = tmp_path / "packed" / "smears"
    for label in ("blast", "normal"):
        (root / label / "deeper").mkdir(parents=True)
        for number in range(3):
            (root / label / f"{number}.png").write_bytes(png(sum(label.encode()) + number))
        (root / label / "deeper" / "0.png").write_bytes(png(9 + len(label)))
    (root / "blast" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    (root / "normal" / ".DS_Store").write_bytes(b"0")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "1.png").write_bytes(png(1))
    (root / "manifest.csv").write_text("path\nblast/0.png\n")
    return root


def packed(folder, kind, top):
    """Pack a folder with its own name around it, or only what is in it."""
    source = folder.parent if top else folder
    return Path(shutil.make_archive(str(folder.parents[1] / "all"), kind, source))


def without_path(manifest):
    return manifest.frame.drop(columns="path")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", [True, False])
def test_an_archive_is_the_folder_in_it(folder, kind, top):
    archive = packed(folder, kind, top)
    assert archive.name.endswith(KINDS[kind])
    plain, read = Manifest.from_folder(folder), Manifest.from_source(archive)
    assert without_path(read).equals(without_path(plain))
    assert read.skipped["path"].tolist() == [
        str(read.root / Path(path).relative_to(folder)) for path in plain.skipped["path"]
    ]
    assert (read.ignored, read.n_found) == (plain.ignored, plain.n_found)
    assert read.root == (archive / "smears" if top else archive)
    for one, other in zip(read.paths, plain.paths, strict=True):
        assert (read_image(one) == read_image(other)).all()
        assert image_sha256(one) == image_sha256(other)


def test_a_folder_in_an_archive(folder):
    archive = packed(folder, "zip", top=True)
    inside = Manifest.from_source(archive / "smears" / "normal" / "deeper")
    assert inside.image_ids.tolist() == ["0"]
    assert len(Manifest.from_source(archive / "smears" / "manifest.csv")) == 1
    with pytest.raises(ManifestError, match="no such file or folder"):
        Manifest.from_source(archive / "smears" / "nothing")


def test_a_manifest_that_names_files_in_an_archive(folder, tmp_path):
    archive = packed(folder, "zip", top=True)
    read = Manifest.from_source(archive)
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "images.csv"
    read.write(table)
    assert "../all.zip/smears/blast/0.png" in table.read_text()
    assert Manifest.from_file(table).frame.equals(read.frame)
    table.write_text("path\n../all.zip/smears/blast/77.png\n")
    with pytest.raises(ManifestError, match="1 of 1 files do not exist"):
        Manifest.from_file(table)


def test_a_folder_that_is_called_like_an_archive(tmp_path):
    root = tmp_path / "old.zip"
    root.mkdir()
    (root / "a.png").write_bytes(png(1))
    assert locate(root / "a.png") == (str(root / "a.png"), None)
    assert len(Manifest.from_source(root)) == 1


def test_windows_packs_with_backslashes(tmp_path):
    archive = tmp_path / "win.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for label in "ab":
            info = zipfile.ZipInfo("x")
            info.filename = f"{label}\\1.png"
            file.writestr(info, png(ord(label)))
    assert Manifest.from_source(archive).image_ids.tolist() == ["a__1", "b__1"]


def test_a_changed_archive_is_read_anew(folder):
    archive = packed(folder, "gztar", top=True)
    before = Manifest.from_source(archive)
    (folder / "normal" / "3.png").write_bytes(png(77))
    (folder / "blast" / "0.png").write_bytes(png(78))
    archive = packed(folder, "gztar", top=True)
    after = Manifest.from_source(archive)
    assert len(after) == len(before) + 1
    assert after.frame["sha256"].iloc[0] != before.frame["sha256"].iloc[0]
    assert (read_image(after.paths[0]) == read_image(folder / "blast" / "0.png")).all()


def test_many_threads_read_at_once(folder):
    archive = packed(folder, "zip", top=True)
    paths = Manifest.from_source(archive).paths.tolist()
    expected = {path: read_image(path).tobytes() for path in paths}
    wrong = []

    def look():
        wrong.extend(path for path in paths * 5 if read_image(path).tobytes() != expected[path])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pruning_removes_what_was_decompressed_of_archives_that_are_gone(folder):
    cache = Path(os.environ["HYBRIDLEUK_CACHE"])
    archive = packed(folder, "gztar", top=True)
    Manifest.from_source(archive)
    assert len(list(cache.glob("archives/*/content.tar"))) == 1
    prune(cache)
    assert len(list(cache.glob("archives/*/content.tar"))) == 1
    archive.unlink()
    prune(cache)
    assert list(cache.glob("archives/*/*")) == []


def test_no_place_to_decompress_into(folder, monkeypatch, tmp_path):
    archive = packed(folder, "gztar", top=True)
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("HYBRIDLEUK_CACHE", str(tmp_path / "a file"))
    with pytest.raises(ManifestError, match="cannot be decompressed into .*HYBRIDLEUK_CACHE"):
        Manifest.from_source(archive)
    monkeypatch.setenv("HYBRIDLEUK_CACHE", str(tmp_path / "cache"))
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(ManifestError, match=r"\(no room\)"):
        Manifest.from_source(archive)


def test_what_a_killed_process_left_is_pruned(folder):
    cache = Path(os.environ["HYBRIDLEUK_CACHE"])
    Manifest.from_source(packed(folder, "gztar", top=True))
    (spool,) = cache.glob("archives/*")
    for name, age in (("content.tar.7.partial", 4000), ("content.tar.8.partial", 0)):
        (spool / name).write_bytes(b"1")
        os.utime(spool / name, (time.time() - age,) * 2)
    prune(cache)
    left = sorted(path.name for path in spool.iterdir())
    assert left == ["content.tar", "content.tar.8.partial", "origin.txt"]


def write_zip(path, members, change=None):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    content = bytearray(path.read_bytes())
    if change is not None:
        change(content)
        path.write_bytes(content)
    return path


def set_encrypted(content):
    content[content.index(b"PK\x01\x02") + 8] |= 1


def set_unknown_compression(content):
    place = content.index(b"PK\x01\x02")
    content[place + 10] = content[8] = 9


def damage(content):
    place = content.index(b"IDAT")
    content[place + 40] ^= 0xFF


def test_an_encrypted_zip(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1.png": png(1)}, set_encrypted)
    with pytest.raises(ManifestError, match="is encrypted; unpack it with its password"):
        Manifest.from_source(archive)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png"])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_name_that_leads_out_of_it(tmp_path, name, suffix):
    (tmp_path / "evil.png").write_bytes(png(1))
    archive = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        write_zip(archive, {"1.png": png(1), name: png(2)})
    else:
        with tarfile.open(archive, "w") as file:
            member = tarfile.TarInfo(name)
            member.size = len(png(2))
            file.addfile(member, io.BytesIO(png(2)))
    with pytest.raises(ManifestError, match="leads out of it; it is not to be trusted"):
        Manifest.from_source(archive)


def test_a_damaged_file_in_a_zip_is_skipped(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1.png": png(1), "2.png": png(2)}, damage)
    manifest = Manifest.from_source(archive)
    assert manifest.image_ids.tolist() == ["2"]
    assert manifest.skipped["path"].tolist() == [str(archive / "1.png")]
    assert "damaged in the archive" in manifest.skipped["reason"][0]


def test_a_compression_that_is_not_known(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1.png": png(1)}, set_unknown_compression)
    with pytest.raises(ManifestError, match="compressed in a way that is not known here"):
        Manifest.from_source(archive)


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_that_was_cut_off(folder, kind):
    archive = packed(folder, kind, top=True)
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ManifestError, match="damaged or was cut off, so download or copy it again"):
        Manifest.from_source(archive)
    assert list(Path(os.environ["HYBRIDLEUK_CACHE"]).glob("archives/*/*.partial")) == []


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.npz"])
def test_something_else_under_the_name_of_an_archive(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ManifestError, match=r"no (zip|tar|NumPy) .*that can be read"):
        Manifest.from_source(tmp_path / name)


def test_archives_that_are_made_to_fill_the_disk(tmp_path, monkeypatch):
    from hybridleuk.data.archives import archive as limits

    monkeypatch.setattr(limits, "_SMALL", 1 << 20)
    zeros = bytes(4 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.bmp", zeros)
    with pytest.raises(ManifestError, match="times its own size, as archives do that are made"):
        Manifest.from_source(bomb)
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as file:
        member = tarfile.TarInfo("a.bmp")
        member.size = len(zeros)
        file.addfile(member, io.BytesIO(zeros))
    with pytest.raises(ManifestError, match="times its own size"):
        Manifest.from_source(tmp_path / "bomb.tgz")
    assert list(Path(os.environ["HYBRIDLEUK_CACHE"]).glob("archives/*/content.tar*")) == []


def test_a_file_larger_than_any_image(tmp_path, monkeypatch):
    from hybridleuk.data.archives import archive as limits

    monkeypatch.setattr(limits, "LARGEST_MEMBER", 1000)
    archive = write_zip(tmp_path / "a.zip", {"1.png": png(1), "2.png": png(2, (16, 16))})
    assert Manifest.from_source(archive).image_ids.tolist() == ["2"]


def test_links_are_no_files(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("1.png")
        member.size = len(png(1))
        file.addfile(member, io.BytesIO(png(1)))
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    manifest = Manifest.from_source(archive)
    assert manifest.image_ids.tolist() == ["1"]
    assert "a link in an archive" in manifest.skipped["reason"][0]


def test_an_archive_in_an_archive(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"a/1.png": png(1)})
    archive = write_zip(tmp_path / "a.zip", {"inner.zip": inner.read_bytes()})
    with pytest.raises(ManifestError, match="an archive among the images; unpack what it is in"):
        Manifest.from_source(archive)


def test_kinds_that_are_not_read(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ManifestError, match="archives of this kind are not read; unpack it"):
        Manifest.from_source(tmp_path / "a.rar")


def test_an_empty_archive(tmp_path):
    with pytest.raises(ManifestError, match="no files in it"):
        Manifest.from_source(write_zip(tmp_path / "a.zip", {}))


def test_a_file_that_vanished_from_an_archive(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1.png": png(1)})
    with pytest.raises(ImageError, match="no such file in the archive"):
        read_image(archive / "2.png")


def bloodmnist(path, save, **changed):
    random = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = random.integers(0, 255, (n, 28, 28, 3)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % 8).astype(np.uint8)[:, None]
    save(path, **(arrays | changed))
    return arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_bloodmnist_is_read_without_unpacking(tmp_path, save):
    path = tmp_path / "bloodmnist.npz"
    arrays = bloodmnist(path, save)
    manifest = Manifest.from_source(path)
    assert len(manifest) == 10
    third = manifest.frame.set_index("image_id").loc["2__train_00002"]
    assert (third["label"], third["split"]) == ("erythroblast", "train")
    assert (read_image(third["path"]) == arrays["train_images"][2]).all()
    assert Manifest.from_source(tmp_path).frame.equals(manifest.frame)


def test_bloodmnist_under_another_name(tmp_path):
    bloodmnist(tmp_path / "blood.npz", np.savez)
    assert Manifest.from_source(tmp_path / "blood.npz").classes == ["0", "1", "2", "3", "4"]
    named = Manifest.from_source(tmp_path / "blood.npz", dataset="bloodmnist")
    assert named.classes == ["basophil", "eosinophil", "erythroblast", "ig", "lymphocyte"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"val_images": np.zeros((2, 28, 28, 3))}, "the type float64"),
        ({"val_images": np.zeros((2, 28, 28, 2), np.uint8)}, r"the shape \(2, 28, 28, 2\)"),
        ({"val_labels": np.zeros((3, 1), np.uint8)}, "for 2 images"),
        ({"val_labels": np.array([[print], [1]], object)}, "allow_pickle"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, changed, said):
    bloodmnist(tmp_path / "bloodmnist.npz", np.savez, **changed)
    with pytest.raises(ManifestError, match=said):
        Manifest.from_source(tmp_path / "bloodmnist.npz")


def test_other_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    with pytest.raises(ManifestError, match="holds no array train_images; expected MedMNIST's"):
        Manifest.from_source(tmp_path / "a.npz")
