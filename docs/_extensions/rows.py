"""A row of a table about codes, variables or options can be linked and searched for: ``errors.html#code-50011``.

A short name is marked, so that it never breaks; in a table only where there are two or three columns.
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
#: The most characters of a name that fits on a phone: into a line, the first of two columns, one of two or three.
IN_LINE: Final = 28
ALONE: Final = 22
IN_COLUMN: Final = 16


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
    """Gives short names the class ``short``."""

    default_priority = 500

    def apply(self) -> None:
        """Find the names."""
        for literal in self.document.findall(nodes.literal):
            if len(literal.astext()) <= _longest(literal):
                literal["classes"].append("short")


def _longest(literal: nodes.literal) -> int:
    """Return how long a name may be at this place."""
    entry = literal.parent
    while entry is not None and not isinstance(entry, nodes.entry):
        entry = entry.parent
    if entry is None:
        return IN_LINE
    columns, column = len(entry.parent), entry.parent.index(entry)
    if columns == 2 and column == 0:
        return ALONE
    return IN_COLUMN if columns <= 3 and column < 2 else 0


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(AnchorRows)
    app.add_transform(KeepShortNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
