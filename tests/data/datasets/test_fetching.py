"""Fetching from a server of the test's own; archives that are damaged or lead out of a folder."""

import dataclasses
import hashlib
import http.server
import io
import sys
import tarfile
import threading
import types
import zipfile

import pytest

from hybridleuk.data.datasets.card import Download
from hybridleuk.data.datasets.cards import CARDS, find_card
from hybridleuk.data.datasets.fetching import fetch_dataset, steps_by_hand, unpack
from hybridleuk.exceptions import DownloadError, OutputError


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def serve():
    """Serve one content under any path, and count the questions."""
    servers = []

    def start(content):
        class Answer(http.server.BaseHTTPRequestHandler):
            asked = 0

            def do_GET(self):
                Answer.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", Answer

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def bccd_at(url, sha256=""):
    source = Download({"BCCD.zip": f"{url}/BCCD.zip"}, {"BCCD.zip": sha256} if sha256 else {})
    return dataclasses.replace(find_card("bccd"), source=source)


def test_fetch_and_unpack_once(serve, tmp_path):
    url, answer = serve(zipped({"BCCD/JPEGImages/BloodImage_00000.jpg": b"jpeg"}))
    (folder,) = fetch_dataset(bccd_at(url), tmp_path / "out")
    assert (folder / "BCCD/JPEGImages/BloodImage_00000.jpg").read_bytes() == b"jpeg"
    assert fetch_dataset(bccd_at(url), tmp_path / "out") == [folder]
    assert answer.asked == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["BCCD", "BCCD.zip"]


def test_another_hash_is_refused_with_the_way_by_hand(serve, tmp_path):
    url, _ = serve(zipped({"a": b"1"}))
    with pytest.raises(DownloadError, match=r"expected 1234.*By hand: \(1\) Download http"):
        fetch_dataset(bccd_at(url, sha256="1234"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_network(tmp_path):
    with pytest.raises(DownloadError, match=r"cannot be downloaded.*By hand: .*Homepage: https"):
        fetch_dataset(bccd_at("http://127.0.0.1:9"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_there_is_a_way_by_hand_to_each(card):
    assert card.homepage in steps_by_hand(card)
    assert "datasets check FOLDER" in steps_by_hand(card)


def test_what_only_a_person_can_fetch_says_the_steps(tmp_path):
    with pytest.raises(DownloadError, match=r"pbc cannot be fetched by a program\. \(1\) Open"):
        fetch_dataset(find_card("pbc"), tmp_path)


def test_kaggle(tmp_path, monkeypatch):
    kept = tmp_path / "kaggle"
    (kept / "Original").mkdir(parents=True)
    (kept / "Original" / "a.jpg").write_bytes(b"jpeg")
    asked = []

    def hand_out(slug):
        asked.append(slug)
        return str(kept)

    fake = types.SimpleNamespace(dataset_download=hand_out)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    assert fetch_dataset(find_card("all"), tmp_path / "out") == [tmp_path / "out"]
    assert asked == ["mehradaria/leukemia"]
    assert (tmp_path / "out" / "Original" / "a.jpg").is_file()
    with pytest.raises(OutputError, match="is not empty"):
        fetch_dataset(find_card("all"), tmp_path / "out")


def test_kaggle_without_an_account(tmp_path, monkeypatch):
    def refuse(slug):
        raise RuntimeError("403 Client Error\nlong page")

    fake = types.SimpleNamespace(dataset_download=refuse)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    with pytest.raises(
        DownloadError, match=r"403 Client Error\)\. By hand: \(1\) Log in to Kaggle"
    ):
        fetch_dataset(find_card("all"), tmp_path)


def test_kagglehub_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DownloadError, match=r"pip install 'hybridleuk\[kaggle\]'"):
        fetch_dataset(find_card("all"), tmp_path)


def medmnist_with(monkeypatch, url, content, kept):
    size = {"url_224": f"{url}/b.npz", "MD5_224": hashlib.md5(content).hexdigest()}
    info = types.SimpleNamespace(INFO={"bloodmnist": size}, DEFAULT_ROOT=kept)
    monkeypatch.setitem(sys.modules, "medmnist", types.SimpleNamespace(info=info))
    monkeypatch.setitem(sys.modules, "medmnist.info", info)


@pytest.mark.parametrize("kept", [None, "nowhere"])
def test_bloodmnist_comes_from_the_address_that_medmnist_knows(serve, tmp_path, monkeypatch, kept):
    url, answer = serve(b"arrays")
    medmnist_with(monkeypatch, url, b"arrays", kept)
    (file,) = fetch_dataset(find_card("bloodmnist"), tmp_path)
    assert (file.name, file.read_bytes(), answer.asked) == ("bloodmnist_224.npz", b"arrays", 1)


def test_bloodmnist_of_medmnist_is_copied_where_it_is_whole(serve, tmp_path, monkeypatch):
    url, answer = serve(b"arrays")
    kept = tmp_path / "kept"
    kept.mkdir()
    medmnist_with(monkeypatch, url, b"arrays", str(kept))
    (kept / "bloodmnist_224.npz").write_bytes(b"arrays, cut o")
    fetch_dataset(find_card("bloodmnist"), tmp_path / "one")
    assert answer.asked == 1
    (kept / "bloodmnist_224.npz").write_bytes(b"arrays")
    (file,) = fetch_dataset(find_card("bloodmnist"), tmp_path / "two")
    assert (file.read_bytes(), answer.asked) == (b"arrays", 1)


def test_bloodmnist_of_another_hash(serve, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    card = find_card("bloodmnist")
    url, _ = serve(b"something else")
    files = {"bloodmnist_224.npz": f"{url}/b.npz"}
    card = dataclasses.replace(card, source=dataclasses.replace(card.source, files=files))
    with pytest.raises(DownloadError, match=r"came with MD5 .*, expected b718ff.*By hand"):
        fetch_dataset(card, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil.jpg", "/tmp/evil.jpg", "a/../../evil.jpg"])
def test_an_archive_that_leads_out_of_its_folder(tmp_path, name):
    archive = tmp_path / "in" / "set.zip"
    archive.parent.mkdir()
    archive.write_bytes(zipped({"good.jpg": b"1", name: b"2"}))
    with pytest.raises(OutputError, match="leads out of its folder"):
        unpack(archive)
    assert [path.name for path in archive.parent.iterdir()] == ["set.zip"]
    assert not (tmp_path / "evil.jpg").exists()


def test_a_tar_that_leads_out_of_its_folder(tmp_path):
    archive = tmp_path / "in" / "set.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        member = tarfile.TarInfo("../evil.jpg")
        member.size = 1
        file.addfile(member, io.BytesIO(b"1"))
    with pytest.raises(OutputError, match="cannot be unpacked"):
        unpack(archive)
    assert not (tmp_path / "evil.jpg").exists()


def test_a_damaged_archive(tmp_path):
    archive = tmp_path / "set.zip"
    archive.write_bytes(zipped({"a.jpg": b"1" * 1000})[:-30])
    with pytest.raises(OutputError, match="cannot be unpacked.*fetch it again"):
        unpack(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]
