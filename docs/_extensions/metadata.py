"""The description of each page, for search engines and previews of links, and llms.txt for language models."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LONGEST = 200


def describe(doctree: nodes.document | None) -> str:
    """Return the first paragraph of a page, on one line and not too long."""
    first = next(iter(doctree.findall(nodes.paragraph)), None) if doctree else None
    text = " ".join(first.astext().split()) if first else ""
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"


def add_metatags(
    app: Sphinx,
    page: str,
    _template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Give a page its description and the properties of Open Graph."""
    description = describe(doctree)
    title = nodes.unescape(context.get("title", "")) or app.config.project
    properties = {
        "og:title": title if page != "index" else app.config.project,
        "og:description": description,
        "og:type": "website",
        "og:site_name": app.config.project,
    }
    if app.config.html_baseurl:
        # These must be absolute, so they are left out where the address of the site is not known.
        properties["og:url"] = f"{app.config.html_baseurl}{page}.html"
        properties["og:image"] = f"{app.config.html_baseurl}_images/emulator.png"
    tags = (
        [f'<meta name="description" content="{escape(description)}">']
        if description
        else []
    )
    tags += [
        f'<meta property="{name}" content="{escape(content)}">'
        for name, content in properties.items()
        if content
    ]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def write_llms_txt(app: Sphinx, exception: Exception | None) -> None:
    """Write https://llmstxt.org's list of pages: each with its description and its source in Markdown."""
    if exception or app.builder.format != "html":
        return
    start = app.env.get_doctree("index")
    lines = [f"# {app.config.project}", "", f"> {describe(start)}", ""]
    for caption, pages in _groups(app):
        lines += [f"## {caption}", ""]
        for page in pages:
            title = app.env.titles[page].astext()
            address = f"{app.config.html_baseurl}_sources/{page}.md.txt"
            lines.append(
                f"- [{title}]({address}): {describe(app.env.get_doctree(page))}"
            )
        lines.append("")
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _groups(app: Sphinx) -> list[tuple[str, list[str]]]:
    """Return the groups of the sidebar with their pages."""
    from sphinx import addnodes  # noqa: PLC0415 - only here

    return [
        (tree["caption"] or app.config.project, list(tree["includefiles"]))
        for tree in app.env.get_doctree("index").findall(addnodes.toctree)
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("html-page-context", add_metatags)
    app.connect("build-finished", write_llms_txt)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
