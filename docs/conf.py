"""Sphinx configuration: numpydoc API pages and a gallery of tutorials that are run."""

import importlib.metadata
import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HYBRIDLEUK_CACHE", tempfile.mkdtemp(prefix="hybridleuk-docs-"))

project = "hybridleuk"
author = "the hybridleuk developers"
copyright = f"2026, {author}"
release = version = importlib.metadata.version("hybridleuk")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "tutorials"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "hybridleuk"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/tutorial_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "image_scrapers": ("alt_texts.described_figure",),
    "image_srcset": ["2x"],
    "remove_config_comments": True,
}


def write_catalogue(app):
    """Write the tables of all morphology features from the catalogue itself."""
    import pandas as pd

    from hybridleuk.morphology.catalogue import IMAGE_COLUMNS, catalogue_table

    target = Path(app.srcdir, "api", "generated")
    target.mkdir(parents=True, exist_ok=True)
    catalogue_table().map(as_text).to_csv(target / "catalogue.csv", index=False)
    rows = [(name, *described) for name, described in IMAGE_COLUMNS.items()]
    columns = pd.DataFrame(rows, columns=["name", "unit", "formula"])
    columns.map(as_text).to_csv(target / "image_columns.csv", index=False)


def write_flags(app):
    """List all flags from the code that raises them."""
    from hybridleuk.segmentation.fields import FIELD_FLAGS
    from hybridleuk.segmentation.records import FLAGS, UNUSABLE

    lines = []
    for flag, described in {**FLAGS, **FIELD_FLAGS}.items():
        of, text = described.split(": ", 1)
        of += ", unusable" if flag in UNUSABLE else ", when counting" if flag in FIELD_FLAGS else ""
        text = as_text(text).replace("image: ", "of an image: ")
        lines.append(f"``{flag}`` ({of})\n    {text}\n")
    target = Path(app.srcdir, "api", "generated", "flags.txt")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(lines))


def write_commands(app):
    """Write the options of every command from the program itself."""
    import typer

    from hybridleuk_cli.app import app as program

    target = Path(app.srcdir, "api", "generated", "commands.txt")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = typer.main.get_command(program)
    target.write_text("\n".join(command_lines("hybridleuk", command)))


def command_lines(name, command):
    """Describe a command and those below it in reStructuredText."""
    if hasattr(command, "commands"):
        for below, inner in command.commands.items():
            yield from command_lines(f"{name} {below}", inner)
        return
    yield from [name, "-" * len(name), "", as_text(command.help or "").replace("\b", ""), ""]
    yield from [".. list-table::", "   :widths: 35 65", ""]
    for option in command.params:
        spelled = ", ".join(option.opts) if option.param_type_name == "option" else option.metavar
        yield f"   * - ``{spelled}``"
        yield f"     - {as_text(' '.join((getattr(option, 'help', '') or '').split()))}"
    yield ""


def as_text(value):
    """Escape what reStructuredText would read as markup."""
    return re.sub(r"([*|`_\\])", r"\\\1", value) if isinstance(value, str) else value


def setup(app):
    app.connect("builder-inited", write_catalogue)
    app.connect("builder-inited", write_flags)
    app.connect("builder-inited", write_commands)
