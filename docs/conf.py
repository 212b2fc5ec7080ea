"""How Sphinx builds these pages; nothing here asks the network."""
# ruff: noqa: INP001 - Sphinx runs this file and imports nothing from here

from sphinx.application import Sphinx

from okx_sol_async import __version__

project = "okx-sol-async"
author = "the okx-sol-async maintainers"
copyright = author  # noqa: A001 - Sphinx names it so
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# The docstrings name Python objects in single backticks.
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_rtype = False
# So that pages can link to the headings of each other.
myst_heading_anchors = 2

html_theme = "furo"
html_title = f"okx-sol-async {release}"


def _keep_colons(_app: object, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Begin what is said of an attribute with an empty line, because napoleon takes "words: text" there for a type."""
    if what in {"attribute", "data", "property"}:
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Run before napoleon does."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
