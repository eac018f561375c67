"""The same command again does only what is missing: after kills, beside others, after damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybridleuk import DeepEmbeddings, progress
from hybridleuk.data.cache import Cache
from hybridleuk.embeddings import runtime

WORKER = Path(__file__).with_name("resume_worker.py")
N_IMAGES, N_ROWS = 4, 5 * 4  # decoded, cells, morphology, and two blocks of the embedding

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def worker(folder, what, number):
    command = [sys.executable, str(WORKER), str(folder), what, str(number)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@needs_fork
def test_killed_at_100_random_moments(tmp_path):
    """No row is lost, doubled or different from an unbroken run; the file written is the same."""
    ended = worker(tmp_path, "kill", 100)
    assert ended["killed"] == 100
    assert ended["rows"] == N_ROWS
    assert ended["states"] > 4  # the kills did fall into the work


@needs_fork
def test_four_processes_on_one_cache(tmp_path):
    assert worker(tmp_path, "together", 4) == {"processes": 4, "rows": N_ROWS}


@pytest.fixture
def paths(tmp_path):
    from PIL import Image

    made = []
    for number in range(3):
        made.append(tmp_path / f"{number}.png")
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made[-1])
    return made


def refuse(*_, **__):
    raise AssertionError("a second run does this again")


def test_a_second_run_decodes_nothing_and_needs_no_network(tmp_path, paths, monkeypatch):
    def embeddings():
        return DeepEmbeddings("squeezenet1_1", weights="random", cache=tmp_path / "cache")

    first = embeddings().fit_transform(paths)
    monkeypatch.setattr("hybridleuk.embeddings.extraction.read_image", refuse)
    monkeypatch.setattr("hybridleuk.embeddings.extractor._frozen", refuse)
    np.testing.assert_array_equal(embeddings().fit_transform(paths), first)


def test_a_damaged_row_is_computed_again_and_said(tmp_path, paths):
    class Notes(progress.Listener):
        texts: list[str] = []  # noqa: RUF012

        def noted(self, text):
            self.texts.append(text)

    def embeddings():
        return DeepEmbeddings("squeezenet1_1", weights="random", cache=tmp_path / "cache")

    first = embeddings().fit_transform(paths)
    with Cache(tmp_path / "cache") as cache:
        cache.store(("UPDATE contents SET value = zeroblob(LENGTH(value)) WHERE id = ?", [(2,)]))
    with progress.report_to(Notes()) as notes:
        again = embeddings().fit_transform(paths)
    np.testing.assert_array_equal(again[[0, 2]], first[[0, 2]])
    np.testing.assert_allclose(again[1], first[1], rtol=1e-3, atol=1e-5)  # in a batch of its own
    assert sum("damaged results (1 of embedding)" in text for text in notes.texts) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_precision_without_torch_is_what_torch_says(precision, device):
    guessed = runtime.precision_without_torch(precision, device)
    resolved = runtime.resolve_precision(precision, runtime.resolve_device(device))
    assert guessed in (resolved, None)


def test_torch_is_asked_where_there_may_be_a_gpu(monkeypatch):
    monkeypatch.setattr(runtime, "_may_have_gpu", lambda: True)
    assert runtime.precision_without_torch("auto", "auto") is None
    assert runtime.precision_without_torch("auto", "cuda") is None
    assert runtime.precision_without_torch("fp16", "cpu") is None
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: None)
    assert runtime.precision_without_torch("auto", "cpu") is None
    assert runtime.precision_without_torch("bf16", "cuda") == "bf16"
