"""Search finds numbers, such as the error code 50011 and the HTTP status 429, which Sphinx leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sphinx.errors import ExtensionError
from sphinx.search import languages
from sphinx.search.en import SearchEnglish

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: How the script of Sphinx drops a number from a query.
_DROPS_NUMBERS: Final = " || queryTerm.match(/^\\d+$/)"


class SearchNumbersToo(SearchEnglish):
    """English, with numbers of three digits and more in the index."""

    def word_filter(self, word: str) -> bool:
        """Return whether a word is in the index."""
        return super().word_filter(word) or (word.isdigit() and len(word) > 2)


def keep_numbers(app: Sphinx, exception: Exception | None) -> None:
    """Let the search page look for numbers."""
    if exception or app.builder.name not in {"html", "dirhtml"}:
        return
    script = Path(app.outdir) / "_static" / "searchtools.js"
    text = script.read_text(encoding="utf-8")
    if _DROPS_NUMBERS not in text and "keeps numbers" not in text:
        message = (
            "Sphinx's searchtools.js has changed: see docs/_extensions/searching.py"
        )
        raise ExtensionError(message)
    script.write_text(
        text.replace(_DROPS_NUMBERS, " /* keeps numbers */"), encoding="utf-8"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    languages["en"] = SearchNumbersToo
    app.connect("build-finished", keep_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
