"""How Sphinx builds these pages; nothing here asks the network."""
# ruff: noqa: INP001 - Sphinx runs this file and imports nothing from here

import re

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


# Nobody makes these themselves: they are protocols, or something else returns them.
_NOT_CALLED = ("Limiter", "Bucket", "Lease", "Region", "Scope", "EmulatedUser")


def _keep_colons(_app: object, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Begin what is said of an attribute with an empty comment, because napoleon takes "words: text" there for a type."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]


def _shorten_signature(
    _app: object, what: str, name: str, _obj: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leave out private arguments, and those of errors, which are the same for all of them."""
    class_name = name.rpartition(".")[2]
    if class_name in _NOT_CALLED or (what == "exception" and class_name != "OKXError"):
        return "", None
    return signature and re.sub(r", _\w+:[^,)]*", "", signature), returns


def setup(app: Sphinx) -> None:
    """Have the last word on signatures, and the first on docstrings."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.connect("autodoc-process-signature", _shorten_signature)
