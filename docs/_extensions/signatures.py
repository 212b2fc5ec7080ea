"""Signatures and docstrings as the reference shows them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Protocols, and classes whose objects something else returns: their arguments are of no interest.
_NOT_CALLED: Final = (
    *("Limiter", "Bucket", "Lease", "Observer"),
    *("Region", "Scope", "EmulatedUser"),
)


#: Members that other parts of the package use, and no user, by the page that leaves them out.
_INTERNAL: Final = {
    "api-client": {"key_owner", "redact"},
    "api-emulator": {
        *{"ledger", "purchase", "quota", "redeem", "replace", "fast_redemption_left"},
        *{"apy_of", "fast_redemption_limit_of", "quota_day", "write_entry"},
    },
    "api-errors": {"look_up", "with_details"},
    "api-faults": {"apply", "matches", "replace", "target"},
    "api-limits": {
        "begin_in_child",
        "intervals",
        "listen",
        "node_of",
        "run",
        "wait_again",
    },
    "api-session": {"activity", "new_call", "okx_time", "pause", "shared_call"},
}


def skip_internal(
    app: Sphinx, _what: str, name: str, _obj: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out what only other parts of the package use."""
    return True if name in _INTERNAL.get(app.env.docname, ()) else None


#: Defaults that are made for each object, or that read badly.
_DEFAULTS: Final = {
    "NOTHING": "...",
    " | ~types.EllipsisType": "",
    "Ellipsis": "...",
    "<built-in function time>": "time.time",
}


def describe_values(
    _app: Sphinx,
    what: str,
    name: str,
    _obj: object,
    _options: object,
    lines: list[str],
) -> None:
    """Describe an exported value by its comment, which Sphinx looks for only in the module that exports it."""
    if what == "data":
        for module in [
            name for name in sys.modules if name.startswith("okx_sol_async.")
        ]:
            comments = ModuleAnalyzer.for_module(module).find_attr_docs()
            lines[:] = comments.get(("", name.rpartition(".")[2]), lines)


def keep_colons(
    _app: Sphinx,
    what: str,
    _name: str,
    _obj: object,
    _options: object,
    lines: list[str],
) -> None:
    """Begin the text of an attribute with an empty comment, because napoleon takes "words: text" there for a type."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]


def shorten_signature(
    _app: Sphinx,
    what: str,
    name: str,
    _obj: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Leave out private arguments, and those of errors, which are the same for all of them."""
    class_name = name.rpartition(".")[2]
    if class_name in _NOT_CALLED or (what == "exception" and class_name != "OKXError"):
        return "", None
    if signature:
        signature = re.sub(r", _\w+:[^,)]*", "", signature)
        for shown, instead in _DEFAULTS.items():
            signature = signature.replace(shown, instead)
    return signature, returns


def replace_hyphens(_app: Sphinx, doctree: nodes.document) -> None:
    """Put a dash between an argument and what it means, where Sphinx writes two hyphens."""
    for text in list(doctree.findall(nodes.Text)):
        if " -- " in text and not isinstance(
            text.parent, nodes.literal | nodes.literal_block
        ):
            text.parent.replace(text, nodes.Text(text.replace(" -- ", " – ")))


def hide_private_modules(_app: Sphinx, doctree: nodes.document) -> None:
    """Show a class that is only inherited from without its private module."""
    for node in doctree.findall(addnodes.desc_addname):
        if "._" in node.astext():
            node[:] = [nodes.Text(node.astext().partition("._")[0] + ".")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("doctree-read", replace_hyphens)
    app.connect("doctree-read", hide_private_modules)
    app.connect("autodoc-skip-member", skip_internal)
    app.connect("autodoc-process-docstring", describe_values, priority=300)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
