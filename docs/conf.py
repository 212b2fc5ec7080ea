"""How Sphinx builds these pages; nothing here asks the network."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from okx_sol_async import __version__

project = "okx-sol-async"
author = "the okx-sol-async maintainers"
copyright = author  # noqa: A001 - Sphinx names it so
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "_extensions.complete",
    "_extensions.metadata",
    "_extensions.rows",
    "_extensions.searching",
    "_extensions.signatures",
]
exclude_patterns = ["_build"]
# The docstrings name Python objects in single backticks.
default_role = "py:obj"
# `--option` in a docstring stays as it is.
smartquotes = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
# Each field of an attrs class has an entry with its type and default, so the signature repeats neither.
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
napoleon_use_rtype = False
# So that pages can link to the headings of each other.
myst_heading_anchors = 3
# Cards and tabs; the code blocks in them stay plain blocks, which the tests run.
myst_enable_extensions = ["colon_fence"]

# The inventories are in the repository, so a build needs no network: docs/_extensions/inventories.py.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.inv"),
    "aiohttp": ("https://docs.aiohttp.org/en/stable/", "inventories/aiohttp.inv"),
}

copybutton_prompt_text = "$ "
# What a program prints is not copied.
copybutton_selector = (
    "div:not(.highlight-output):not(.highlight-text) > div.highlight > pre"
)

html_theme = "furo"
html_title = f"okx-sol-async {release}"
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
html_favicon = "images/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = True
html_search_scorer = str(Path(__file__).parent / "_extensions" / "scorer.js")
html_show_sphinx = False
