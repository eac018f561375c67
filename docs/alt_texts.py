"""Figures of the tutorials with a text for readers who do not see them."""

import re

from sphinx_gallery.py_source_parser import extract_file_config
from sphinx_gallery.scrapers import matplotlib_scraper


def described_figure(block, block_vars, gallery_conf):
    """Scrape the figure of a block; ``# sphinx_gallery_alt = "..."`` in it becomes the alt text."""
    rst = matplotlib_scraper(block, block_vars, gallery_conf)
    text = extract_file_config(block[1]).get("alt")
    return rst if text is None else re.sub(r":alt: .*", lambda _: f":alt: {text}", rst)
