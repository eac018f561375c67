"""What the documents say of the code is still so."""

import re
from pathlib import Path

import pytest

from hybridleuk.morphology.catalogue import CATALOGUE, PORTABLE
from hybridleuk.segmentation import stain
from hybridleuk.segmentation.cells import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = sorted(DOCS.glob("tutorials/*.py"))


def read(path):
    return path.read_text(encoding="utf-8")


def test_stated_number_of_portable_measurements():
    inner = [f for f in CATALOGUE.values() if f.family != "background"]
    portable = [f for f in inner if all(getattr(f, name) for name in PORTABLE)]
    stated = set()
    for path in (ROOT / "README.md", DOCS / "architecture.rst", DOCS / "user_guide/features.rst"):
        found = re.findall(r"(\d+) of (\d{3})\b", read(path))
        found += [pair[::-1] for pair in re.findall(r"Of (\d{3}) measurements (\d+)", read(path))]
        assert found, path
        stated |= {(int(a), int(b)) for a, b in found}
    assert stated == {(len(portable), len(inner))}


def test_architecture_names_every_room():
    text = read(DOCS / "architecture.rst")
    rooms = {path.stem for path in (ROOT / "hybridleuk").iterdir() if path.suffix in ("", ".py")}
    missing = [room for room in rooms - {"__init__", "__pycache__"} if f"``{room}``" not in text]
    assert not missing


def test_segmentation_page_names_methods_and_stain_functions():
    text = read(DOCS / "user_guide/segmentation.rst")
    named = set(re.findall(r"``([a-z_]+)``", text))
    assert set(METHODS) <= named
    assert set(stain.__all__) - {"paint_void", "void_mask"} <= named


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_every_figure_of_a_tutorial_has_an_alt_text(path):
    blocks = [block for block in read(path).split("# %%") if re.search(r"= plt\.(fig|sub)", block)]
    without = [block[:80] for block in blocks if "# sphinx_gallery_alt = " not in block]
    assert blocks
    assert not without


def test_one_spelling_of_color():
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.rst"), *DOCS.glob("user_guide/*.rst"), *TUTORIALS]
    code = [path for part in ("hybridleuk", "cli") for path in (ROOT / part).rglob("*.py")]
    assert [str(path) for path in pages + code if "colour" in read(path).lower()] == []
