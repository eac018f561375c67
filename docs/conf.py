"""Sphinx configuration: numpydoc API pages and a gallery of tutorials that are run."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from sphinx_gallery.sorting import FileNameSortKey

os.environ.setdefault("HYBRIDLEUK_CACHE", tempfile.mkdtemp(prefix="hybridleuk-docs-"))

project = "hybridleuk"
author = "the hybridleuk developers"
copyright = f"2026, {author}"
release = version("hybridleuk")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "tutorials/*.rst", "tutorials/*.py"]
nitpicky = False
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "hybridleuk"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "tutorials/gallery",
    "filename_pattern": r"/tutorial_",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
}


def write_catalogue(app):
    """Write the page of all morphology features from the catalogue itself."""
    from hybridleuk.morphology.catalogue import catalogue_table

    target = Path(app.srcdir, "api", "generated", "catalogue.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    catalogue_table().to_csv(target, index=False)


def setup(app):
    app.connect("builder-inited", write_catalogue)
