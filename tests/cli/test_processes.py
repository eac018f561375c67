"""The program started by ``torchrun``: a network is trained together, all else refuses."""

import pytest

from hybridleuk.models.training_processes import Processes
from hybridleuk_cli import processes
from hybridleuk_cli.errors import explain

QUICK = ("--weights", "random", "--image-size", "32", "--epochs", "1", "--workers", "1")


def test_only_the_first_process_writes_and_prints(run, monkeypatch, smears, tmp_path):
    monkeypatch.setattr(Processes, "started", classmethod(lambda cls, device, unused: cls()))
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = ("fit", smears, "-o", tmp_path / "m.hleuk", "--classifier", "finetuned", *QUICK)
    for rank, texts, files in (("1", 0, set()), ("0", 1, {"m.hleuk"})):
        monkeypatch.setenv("RANK", rank)
        ended = run(*command, "--checkpoint", tmp_path / "kept", "--json")
        assert ended.status == 0
        assert ended.out.count('"history"') == ended.err.count("RANDOM WEIGHTS") == texts
        assert {path.name for path in tmp_path.iterdir()} == {"smears", "kept"} | files


@pytest.mark.parametrize(
    "command",
    [("compare", "x", "-o", "y"), ("doctor",), ("cache", "info"), ("fit", "x", "-o", "y.hleuk")],
)
def test_other_commands_refuse_several_processes(run, monkeypatch, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    ended = run(*command)
    assert (ended.status, ended.out) == (1, "")
    assert "runs in one process, and torchrun has started 2" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_process_that_was_left_alone_does_not_call_it_a_mistake(monkeypatch):
    lost = RuntimeError("[pair.cc] Connection closed by peer [127.0.0.1]:1920")
    assert "mistake in hybridleuk" in explain(lost)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "Another process of this training has ended" in explain(lost)


def test_the_other_processes_wait_before_they_say_the_same(run, monkeypatch):
    waits = []
    monkeypatch.setattr(processes.time, "sleep", waits.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    ended = run("doctor")
    assert (ended.status, ended.out, ended.err) == (1, "", "")
    assert waits == [processes._PATIENCE]
