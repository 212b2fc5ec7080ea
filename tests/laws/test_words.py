"""The project is written in the plain English of the field, and one name means one thing (docs/design.md, "Words")."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from pathlib import Path
from typing import Final

import okx_sol_async

PACKAGE: Final = Path(okx_sol_async.__file__).parent
TESTS: Final = Path(__file__).parents[1]
#: Words that are not used, each with what is used instead.
BANNED: Final = {
    r"tell(?:s|ing)?|told": "report, say, inform",
    r"befall(?:s|en)?|befell": "happen to, apply to",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"meet(?:s|ing)?": "have, find, see",
    r"those who": "the callers, the users",
    r"so many times|so often|so many seconds": "how many times, a number of seconds",
    r"nobody": "no one, or who does not",
    r"whoever": "the caller that",
    r"let(?:s|ting)? go": "drop, evict, release",
    r"travel(?:s|led|ling)?": "be in flight, arrive",
    r"onlookers?": "observer",
    r"of course|course": "response plan, certainly",
    r"journeys?": "request, latency",
    r"what passes": "temporary failures",
    # `answered` stays: it is a public method of a lease.
    r"answers?|answering": "response, respond",
}
_WORDS: Final = {re.compile(rf"\b(?:{pattern})\b"): instead for pattern, instead in BANNED.items()}
#: The most lines of a test file: a page or two of tests, about one module.
LONGEST: Final = 420


def plain(text: str) -> str:
    """Return a text in lower case on one line, with the names in it taken apart: ``_readBody`` is ``read body``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ").replace("#", " ")
    return " ".join(apart.lower().split())


def banned_in(text: str) -> set[str]:
    """Return the banned words of a text."""
    found = plain(text)
    return {match.group() for word in _WORDS for match in word.finditer(found)}


def sources(root: Path) -> dict[str, str]:
    """Return the modules below a folder, by their paths."""
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def test_the_search_finds_banned_words() -> None:
    """The check can fail: it finds names, comments, and sentences over two lines."""
    assert {"told"} == banned_in("def _toldBy(): ...")
    assert {"so often", "nobody"} == banned_in("# It is sent so\n    # often that nobody waits.")
    assert set() == banned_in("amendments of intellect, and lease.answered()")


def test_the_package_uses_no_banned_word() -> None:
    """Not in a name, a docstring, a comment, a log message, an error message or a hint."""
    found = {name: banned_in(text) for name, text in sources(PACKAGE).items()}

    assert {} == {name: words for name, words in found.items() if words}


def names_and_docstrings(source: str) -> str:
    """Return the names of the functions and classes of a module, and all its docstrings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            found.append(ast.get_docstring(node) or "")
    return "\n".join(found)


def comments(source: str) -> str:
    """Return the comments of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(token.string for token in tokens if token.type == tokenize.COMMENT)


def test_the_comments_of_tests_use_no_banned_word() -> None:
    """A comment may name the response by the name of a variable, as in answered leases."""
    found = {name: banned_in(comments(text)) for name, text in sources(TESTS).items()}
    named = {name: {word for word in words if not word.startswith("answer")} for name, words in found.items()}

    assert {} == {name: words for name, words in named.items() if words and name != "laws/test_words.py"}


def test_the_tests_use_no_banned_word() -> None:
    """The names and docstrings of tests are read as the list of requirements."""
    modules = sources(TESTS)
    found = {name: banned_in(names_and_docstrings(text)) for name, text in modules.items()}

    assert {} == {name: words for name, words in found.items() if words}


def prose(text: str) -> str:
    """Return a page without its code, and without what it quotes as code."""
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


def test_the_pages_use_no_banned_word() -> None:
    """README.md and docs/ are written in the words of the code."""
    root = TESTS.parent
    found = {
        page.name: banned_in(prose(page.read_text("utf-8"))) for page in [root / "README.md", *root.glob("docs/*.md")]
    }

    assert {} == {name: words for name, words in found.items() if words}


def test_no_class_name_is_used_twice() -> None:
    """One name means one thing, in the whole package."""
    modules = defaultdict(list)
    for module, text in sources(PACKAGE).items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                modules[node.name].append(module)

    assert {} == {name: places for name, places in modules.items() if len(places) > 1}


def test_no_test_file_is_long() -> None:
    """A test is found by the name of its file, so a file is about one thing."""
    found = sources(TESTS)

    assert {} == {name: lines for name, text in found.items() if (lines := text.count("\n")) > LONGEST}
