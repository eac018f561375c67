"""Imports point downwards, the screen belongs to the command line, and importing is silent."""

import ast
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import hybridleuk

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hybridleuk"
# From the bottom up. A file may import from its own line and from those above it in this list.
LAYERS = (
    ("exceptions", "progress"),
    ("data",),
    ("segmentation",),
    ("morphology", "embeddings"),
    ("features", "scaling", "conformal"),
    ("hybrid",),
    ("models",),
    ("report",),
    ("evaluation",),
    ("candidates", "explanation", "persistence", "prediction"),
    ("counting",),
    ("audit",),
    ("cli",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
NEVER = {("morphology", "embeddings"), ("embeddings", "morphology"), ("evaluation", "models")}
SCREEN = {"typer", "rich", "click"}
HEAVY = {"torch", "torchvision", "xgboost", "matplotlib", "sklearn", "skimage", "pandas"}


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *(ROOT / "cli").glob("*.py")])


def part_of(path: Path) -> str:
    """Name the line of the layout that a file belongs to."""
    relative = path.relative_to(ROOT).parts
    return "cli" if relative[0] == "cli" else relative[1].removesuffix(".py")


def module_of(path: Path) -> str:
    names = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return names.removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """List the modules a file imports, wherever it does so, under their full names."""
    found = set()
    package = module_of(path).split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def inner(path: Path) -> set[str]:
    """List the lines of the layout that a file imports from."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("hybridleuk.")}
    return {name for name in names if name in LEVEL or (PACKAGE / f"{name}.py").is_file()}


def test_every_file_has_its_place():
    placed = {part_of(path) for path in sources()} - {"__init__"}
    assert placed <= set(LEVEL), "add new parts to LAYERS, where they belong"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_imports_point_downwards(path):
    part = part_of(path)
    if part == "__init__":
        pytest.skip("the package itself names what lies in any part, and loads it when used")
    for other in inner(path):
        assert LEVEL[other] < LEVEL[part] or other == part, f"{part} imports {other}"
        assert (part, other) not in NEVER, f"{part} imports {other}"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_only_the_command_line_knows_the_screen(path):
    if part_of(path) != "cli":
        assert not {name.split(".")[0] for name in imported(path)} & SCREEN


def test_the_library_does_not_import_the_command_line():
    for path in PACKAGE.rglob("*.py"):
        assert not any(name.startswith("hybridleuk_cli") for name in imported(path)), path


def test_this_test_sees_a_wrong_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    wrong = tmp_path / "hybridleuk" / "morphology" / "wrong.py"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("def f():\n    from hybridleuk.embeddings import extractor\n    import rich\n")
    assert inner(wrong) == {"embeddings"}
    with pytest.raises(AssertionError, match="morphology imports embeddings"):
        test_imports_point_downwards(wrong)
    with pytest.raises(AssertionError):
        test_only_the_command_line_knows_the_screen(wrong)


def test_importing_is_silent_and_light():
    code = (
        "import sys, hybridleuk\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)), end='')\n"
        "assert 'Manifest' in dir(hybridleuk)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("name", hybridleuk.__all__)
def test_every_public_name_resolves(name):
    assert getattr(hybridleuk, name) is not None
    assert name in dir(hybridleuk)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Manifesto'"):
        _ = hybridleuk.Manifesto


def test_public_names_are_few():
    assert len(hybridleuk.__all__) <= 21


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_cli_is_installed_under_its_own_name():
    assert importlib.util.find_spec("hybridleuk_cli") is not None
    entry = importlib.metadata.entry_points(group="console_scripts")["hybridleuk"]
    assert entry.value == "hybridleuk_cli.app:main"
