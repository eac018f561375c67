"""Two processes on the CPU train what one would; what is missing for several is said."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hybridleuk import FineTunedCNN, load_model
from hybridleuk.exceptions import InputError
from hybridleuk.models import training_processes
from hybridleuk.models.training_processes import Processes

SCRIPT = Path(__file__).with_name("trained_together.py")
TOGETHER = runpy.run_path(str(SCRIPT))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

pytestmark = pytest.mark.usefixtures("one_thread")
needs_fabric = pytest.mark.skipif(
    importlib.util.find_spec("lightning_fabric") is None, reason="Lightning Fabric is not installed"
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Return the folder in which two processes left what they have trained."""
    folder = tmp_path_factory.mktemp("together")
    TOGETHER["draw"](folder / "smears")
    ended = subprocess.run(
        [sys.executable, *TORCHRUN, SCRIPT, folder],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    (folder / "printed.json").write_text(ended.stdout)
    assert ended.stderr.count("RANDOM WEIGHTS") == 1
    return folder


@needs_fabric
@pytest.mark.parametrize("case", TOGETHER["CASES"])
def test_two_processes_train_what_one_trains(ended, case):
    alone = TOGETHER["weights"](TOGETHER["trained"](*TOGETHER["CASES"][case]))
    first, second = (load_file(ended / f"{case}-{rank}.safetensors") for rank in (0, 1))
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5, msg=name)
        assert torch.equal(first[name], second[name]), name


@needs_fabric
def test_two_processes_that_were_killed_go_on_to_the_same_end(ended):
    unbroken = load_file(ended / "unbroken-0.safetensors")
    for rank in (0, 1):  # running statistics included, of which each process computed its own
        resumed = load_file(ended / f"resumed-{rank}.safetensors")
        assert resumed.keys() == unbroken.keys()
        assert all(torch.equal(resumed[name], value) for name, value in unbroken.items())
    assert len(list((ended / "kept").iterdir())) == 1


@needs_fabric
def test_only_the_first_process_is_heard(ended):
    heard = (ended / "heard-0.txt").read_text()
    assert heard.count("Training the network") == len(TOGETHER["CASES"]) + 3
    assert "Training goes on in epoch 2." in heard
    assert (ended / "heard-1.txt").read_text() == ""


@needs_fabric
def test_the_command_writes_and_prints_once(ended):
    assert len(json.loads((ended / "printed.json").read_text())["history"]) == 2
    assert load_model(ended / "model.hleuk").classes_.tolist() == ["class0", "class1"]


def test_shares_are_disjoint_and_complete_and_none_is_empty():
    places = np.arange(7)
    shares = []
    for rank in range(3):
        one = Processes()
        one.rank, one.count = rank, 3
        shares.append(one.share(places))
        assert one.share(places[:1]).tolist() == [0]
    assert sorted(np.concatenate(shares)) == places.tolist()


def fit():
    pixels, labels = TOGETHER["images"](4)
    FineTunedCNN(**TOGETHER["OPTIONS"]).fit(pixels, labels)


def test_several_processes_without_fabric(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(training_processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"2 processes .* pip install 'hybridleuk\[distributed\]'"):
        fit()


@needs_fabric
def test_a_world_that_torchrun_did_not_make(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE is 4 .* RANK.* unset WORLD_SIZE"):
        fit()


@needs_fabric
@pytest.mark.parametrize("name", ["cuda:1", "mps"])
def test_several_processes_cannot_share_a_device(monkeypatch, name):
    for told in ("WORLD_SIZE", *training_processes._TOLD):
        monkeypatch.setenv(told, "2")
    with pytest.raises(InputError, match=f"'{name}'; write 'cuda'"):
        Processes.started(torch.device(name))


@needs_fabric
def test_more_processes_than_gpus(monkeypatch):
    for told in ("WORLD_SIZE", *training_processes._TOLD):
        monkeypatch.setenv(told, "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes on this machine but only 1 GPUs"):
        Processes.started(torch.device("cuda"))
