"""A row of a table about codes, variables or options can be linked and searched for: ``errors.html#code-50011``.

A short name in one of two or three columns is marked, so that it never breaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: The first cell of a table's head, and what the anchors of its rows begin with.
HEADS: Final = {
    "code": "code",
    "exit code": "exit-code",
    "variable": "variable",
    "option": "option",
}
#: The most characters of a name that fits on a phone into the first of two columns, or into one of two or three.
SHORT_ALONE: Final = 22
SHORT: Final = 16


class AnchorRows(SphinxTransform):
    """Gives the rows of such tables an anchor and an entry of the index."""

    default_priority = 500

    def apply(self) -> None:
        """Find the tables."""
        for table in list(self.document.findall(nodes.table)):
            head = next(iter(table.findall(nodes.thead)), None)
            kind = (
                HEADS.get(
                    next(iter(head.findall(nodes.entry))).astext().strip().lower()
                )
                if head
                else None
            )
            body = next(iter(table.findall(nodes.tbody)), None)
            if kind and body:
                for row in body.findall(nodes.row):
                    self._anchor(row, kind)

    def _anchor(self, row: nodes.row, kind: str) -> None:
        entry = next(iter(row.findall(nodes.entry)))
        paragraph = next(iter(entry.findall(nodes.paragraph)), None)
        if paragraph is None:
            return
        literals = [node.astext() for node in paragraph.findall(nodes.literal)] or [
            paragraph.astext()
        ]
        for name in literals:
            words = [word for word in re.split(r"[\s,]+", name) if word]
            anchor = f"{kind}-{nodes.make_id(words[0]) or words[0]}" if words else ""
            if kind.endswith("code") and words:
                anchor = f"{kind}-{words[0]}"
            if not anchor or anchor in self.document.ids:
                continue
            target = nodes.target("", "", ids=[anchor])
            self.document.note_explicit_target(target)
            index = addnodes.index(entries=[("single", words[0], anchor, "", None)])
            paragraph.insert(0, [index, target])


class KeepShortNames(SphinxTransform):
    """Gives short names in the first two of at most three columns the class ``short``."""

    default_priority = 500

    def apply(self) -> None:
        """Find the tables."""
        for row in self.document.findall(nodes.row):
            entries = list(row.findall(nodes.entry))
            if len(entries) > 3:
                continue
            for entry in entries[:2]:
                alone = len(entries) == 2 and entry is entries[0]
                for literal in entry.findall(nodes.literal):
                    if len(literal.astext()) <= (SHORT_ALONE if alone else SHORT):
                        literal["classes"].append("short")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(AnchorRows)
    app.add_transform(KeepShortNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
