"""Help, versions and exit statuses: what holds for every command."""

import json
import subprocess
import sys

import pytest
import typer.main

from hybridleuk_cli.app import app

COMMANDS = [
    ("demo",),
    ("audit",),
    ("extract",),
    ("fit",),
    ("predict",),
    ("compare",),
    ("pretrain",),
    ("segment",),
    ("count",),
    ("doctor",),
    ("backbones", "list"),
    ("backbones", "fetch"),
    ("backbones", "bundle"),
    ("backbones", "export"),
    ("datasets", "list"),
    ("datasets", "map"),
    ("datasets", "describe"),
    ("datasets", "fetch"),
    ("datasets", "check"),
    ("cache", "info"),
    ("cache", "prune"),
    ("cache", "verify"),
]
IMAGE_COMMANDS = ["audit", "extract", "fit", "compare", "pretrain", "segment", "count"]
FEATURE_OPTIONS = [
    "--features",
    "--backbone",
    "--view",
    "--weights",
    "--device",
    "--precision",
    "--cache",
    "--workers",
]


def options_of(*names):
    command = typer.main.get_command(app)
    for name in names:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


def test_every_command_is_listed_here():
    root = typer.main.get_command(app)
    found = {
        (name, *rest)
        for name, command in root.commands.items()
        for rest in ([(n,) for n in command.commands] if hasattr(command, "commands") else [()])
    }
    assert found == set(COMMANDS)


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_has_a_description_and_an_example(run, names):
    ended = run(*names, "--help")
    assert ended.status == 0
    assert "Example" in ended.out
    assert ended.out.count(f"hybridleuk {' '.join(names)}") >= 2, "usage and example"
    assert {"--json", "--quiet", "--debug"} <= options_of(*names)


@pytest.mark.parametrize("name", ["extract", "fit", "compare"])
def test_feature_options_are_shared(name):
    assert set(FEATURE_OPTIONS) <= options_of(name)


@pytest.mark.parametrize("name", [*IMAGE_COMMANDS, "predict"])
def test_image_options_are_shared(name):
    shared = {"--group-column", "--group-regex", "--strict", "--overwrite", "--output", "-o"}
    assert shared <= options_of(name)


def test_version(run):
    ended = run("--version")
    assert ended.status == 0
    assert ended.out.startswith("hybridleuk ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("extract",),
        ("extract", "images", "-o", "f.parquet", "--no-such-option"),
        ("extract", "images", "-o", "f.csv"),
        ("extract", "images", "-o", "f.parquet", "--features", "everything"),
        ("extract", "images", "-o", "f.parquet", "--backbone", "alexnet2"),
        ("extract", "images", "-o", "f.parquet", "--workers", "0"),
        ("predict", "m.hleuk", "images", "-o", "p.txt"),
        ("compare", "images", "-o", "d", "--candidate", "hybrid+forest"),
        ("compare", "images", "-o", "d", "--folds", "1"),
        ("fit", "images", "-o", "m.hleuk", "--classifier", "forest"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_one_line(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run(*arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert "--help" in ended.err
    assert not list(tmp_path.iterdir()), "wrong usage writes nothing"


def test_unknown_candidate_lists_the_known(run):
    ended = run("compare", "images", "-o", "d", "--candidate", "hybrid+forest")
    assert "hybrid+forest" in ended.err
    assert "hybrid+svm" in ended.err
    assert "finetuned" in ended.err


def test_no_command_shows_help(run):
    ended = run()
    assert "Commands" in ended.out + ended.err


def test_error_with_json_is_one_object(run, tmp_path):
    ended = run("segment", tmp_path / "nothing", "-o", tmp_path / "out", "--json")
    assert ended.status == 1
    assert "nothing" in json.loads(ended.out)["error"]
    assert ended.err.startswith("Error: ")


def test_debug_shows_the_traceback(run, tmp_path):
    arguments = ("segment", tmp_path / "nothing", "-o", tmp_path / "out")
    assert "Traceback" not in run(*arguments).err
    assert "Traceback" in run(*arguments, "--debug").err


def test_help_imports_no_heavy_library():
    code = (
        "import sys; from hybridleuk_cli.app import run; status = run(['compare', '--help']);"
        "heavy = {'torch', 'pandas', 'numpy', 'sklearn', 'xgboost', 'matplotlib'};"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else status)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
