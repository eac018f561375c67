"""Fetching weight files from a server of the test's own: complete, cut short, resumed, damaged."""

import dataclasses
import hashlib
import http.server
import io
import os
import threading

import pytest
import torch

from hybridleuk.data import download
from hybridleuk.data.download import unfinished_downloads
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.weights import resolve_weights, trunk_state
from hybridleuk.exceptions import WeightsError

SQUEEZENET = backbone("squeezenet1_0")


class Server(http.server.ThreadingHTTPServer):
    """Serves one content under any path; may cut answers short, or ignore what is asked for."""

    content = b""
    cut_after = None
    resumes = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked = []

    def handle_error(self, request, client_address):
        pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.content
        start = int(wanted[6:-1]) if wanted and self.server.resumes else 0
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = self.server.cut_after or len(content)
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def published(server, content, digits=None):
    """Let the server hold `content`, and a record say where it is and how its hash begins."""
    server.content = content
    digits = digits or hashlib.sha256(content).hexdigest()[:8]
    file = f"squeezenet1_0-{digits}.pth"
    return dataclasses.replace(
        SQUEEZENET, weights_file=file, sha256=digits, url=f"{server.url}/{file}"
    )


@pytest.fixture
def content(squeezenet_state):
    buffer = io.BytesIO()
    torch.save(squeezenet_state, buffer)
    return buffer.getvalue()


def test_download_into_torch_hubs_cache(hub, server, content, squeezenet_state):
    record = published(server, content)
    found = resolve_weights(record, "default")
    assert found.path == hub / record.weights_file
    assert found.path.read_bytes() == content
    assert list(hub.iterdir()) == [found.path]
    assert found.description == "torchvision IMAGENET1K_V1 (ImageNet)"
    assert set(trunk_state(found)) < set(squeezenet_state)
    resolve_weights(record, "default")
    assert server.asked == [None]


def test_a_download_that_broke_off_goes_on_where_it_stopped(hub, server, content):
    record = published(server, content)
    server.cut_after = 1_000_000
    with pytest.raises(WeightsError, match=r"squeezenet1_0 are not in .* cannot be downloaded"):
        resolve_weights(record, "default")
    (left,) = unfinished_downloads(hub)
    assert left.name == f"{record.weights_file}.partial"
    assert left.read_bytes() == content[:1_000_000]
    server.cut_after = None
    assert resolve_weights(record, "default").path.read_bytes() == content
    assert server.asked == [None, "bytes=1000000-"]
    assert unfinished_downloads(hub) == []


def test_a_server_that_cannot_resume_sends_it_all_again(hub, server, content):
    record = published(server, content)
    server.resumes = False
    hub.mkdir(parents=True)
    (hub / f"{record.weights_file}.partial").write_bytes(content + b"and much more")
    assert resolve_weights(record, "default").path.read_bytes() == content
    assert [path.name for path in hub.iterdir()] == [record.weights_file]


def test_nothing_is_left_to_resume(hub, server, content):
    record = published(server, content)
    hub.mkdir(parents=True)
    (hub / f"{record.weights_file}.partial").write_bytes(content)
    assert resolve_weights(record, "default").path.read_bytes() == content
    assert server.asked == [f"bytes={len(content)}-", None]


def test_only_a_download_that_nobody_writes_to_is_taken_over(hub, server, content):
    record = published(server, content)
    hub.mkdir(parents=True)
    busy, dead = (hub / f"{record.weights_file}.{pid}.partial" for pid in (1, 2))
    for path in (busy, dead):
        path.write_bytes(content[:1000])
    os.utime(dead, (1, 1))
    resolve_weights(record, "default")
    assert server.asked == ["bytes=1000-"]
    assert busy.exists()
    assert not dead.exists()


def test_a_download_with_another_hash_is_thrown_away(hub, server):
    record = published(server, b"not what was expected", digits="12345678")
    with pytest.raises(WeightsError, match=r"expected 12345678.*changed or cut it off"):
        resolve_weights(record, "default")
    assert list(hub.iterdir()) == []


def test_a_file_that_is_not_there(hub, server):
    record = dataclasses.replace(published(server, b"x" * 10), url="http://127.0.0.1:9/none.pth")
    with pytest.raises(WeightsError, match=r"cannot be downloaded from http.*refused.*'random'"):
        resolve_weights(record, "default")
    assert list(hub.iterdir()) == []


def test_a_full_disk_while_downloading(hub, server, monkeypatch):
    record = published(server, b"content")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "replace", full)
    with pytest.raises(WeightsError, match="No space left on device"):
        resolve_weights(record, "default")
    assert list(hub.iterdir()) == []


def test_interrupted_by_hand(hub, server, content, monkeypatch):
    record = published(server, content)
    pieces = download._pieces

    def stopped(file, length=None):
        for i, piece in enumerate(pieces(file, length)):
            if i == 2:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(download, "_pieces", stopped)
    with pytest.raises(KeyboardInterrupt):
        resolve_weights(record, "default")
    (left,) = unfinished_downloads(hub)
    assert content.startswith(left.read_bytes())
    assert left.stat().st_size > 0
