"""A pytest plugin that runs every code block of README.md and docs/, with the local exchange as OKX.

The language of a block says what is done with it:

- ``python`` is run in the namespace of its document; a block that defines tests is run by pytest, as a file of its own
- ``console`` holds commands (``$ command``), each followed by exactly what it prints; one that fails must be followed
  by one that shows ``$?``
- ``sh`` is run and must succeed; of a set-up command only the last part is run, with the interpreter of this run
- ``output`` is what the ``python`` or ``sh`` block before it prints
- a block that names ccxt or pybotters is skipped where that is not installed; CI installs both
- ``text`` and ``{toctree}`` hold no code, and ``{eval-rst}`` may hold nothing but directives of autodoc

A block in any other language fails, so nothing can hide. ``...`` stands for any text in what is printed.
"""

from __future__ import annotations

import ast
import doctest
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest
from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from okx_sol_async.emulator import Emulator
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sybil import Document, Example, Region
    from sybil.typing import Evaluator

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
#: How a command begins that sets up a fresh clone. Its installing parts are run by CI, on a fresh clone.
SET_UP: Final = "python3 -m venv .venv && "

_BLOCKS: Final = FencedCodeBlockLexer(language=".*")
_PRINTED: Final = "_printed_by_the_block_before"
#: Clients by others that the test extra does not install; a block that names one is run where it is installed.
_OPTIONAL: Final = ("ccxt", "pybotters")
_MISSING: Final = "needs the extra clients, which CI installs"
_STATUS: Final = "[status of the command above]"
#: No block uses Hypothesis, whose import takes as long as all the rest of a run.
NO_HYPOTHESIS: Final = ("-p", "no:hypothesispytest")
_TEST_SETTINGS: Final = "[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
_FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_AUTODOC: Final = re.compile(r"\.\. auto[a-z]+:: \S+|   :[a-z-]+:.*|")


@pytest.fixture(scope="module")
def document_environment() -> Iterator[None]:
    """Serve a local exchange and a Valkey for the length of one document, and name them in the environment."""
    with (
        Emulator() as exchange,
        valkey() as server,
        TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        for variable in ("OKX_REGION", "OKX_DEMO", "FORCE_COLOR", "PYTEST_ADDOPTS"):
            environment.delenv(variable, raising=False)
        for variable, value in {
            "OKX_API_KEY": exchange.credentials.api_key,
            "OKX_SECRET_KEY": exchange.credentials.secret_key,
            "OKX_PASSPHRASE": exchange.credentials.passphrase,
            "OKX_USER_ID": exchange.user.uid,
            "OKX_BASE_URL": exchange.url,
            "REDIS_URL": server.url,
            "WRITE_LOG": str(Path(folder, "writes.db")),
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }.items():
            environment.setenv(variable, value)
        environment.setenv("PATH", str(BIN), prepend=os.pathsep)
        yield


def parse(document: Document) -> Iterable[Region]:
    """Find the blocks of a document, and for each the evaluator of its language."""
    for region in _BLOCKS(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = EVALUATORS.get(region.lexemes["language"].strip(), refuse)
        yield region


def run_python(example: Example) -> str | None:
    """Run a block; what it prints is kept for an ``output`` block."""
    named = [name for name in _OPTIONAL if name in example.parsed]
    if any(find_spec(name) is None for name in named):
        # The output block that follows reads it.
        example.namespace[_PRINTED] = None
        pytest.skip(_MISSING)
    for name in named:
        # They log the headers that they send.
        logging.getLogger(name).setLevel(logging.INFO)
    nodes = ast.walk(ast.parse(example.parsed))
    if any(isinstance(node, _FUNCTION) and node.name.startswith("test_") for node in nodes):
        return run_tests(example.parsed)
    example.namespace["__name__"] = "__main__"
    with redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        if named:
            # Theirs, and not ours to fix.
            warnings.simplefilter("ignore", DeprecationWarning)
        PythonEvaluator()(example)
    example.namespace[_PRINTED] = printed.getvalue()
    return None


def run_tests(source: str) -> str | None:
    """Run a block as a test module, in a folder of its own; a block without any test that runs fails."""
    with TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text(_TEST_SETTINGS, encoding="utf-8")
        Path(folder, "test_block.py").write_text(source, encoding="utf-8")
        options = ("-q", "-p", "no:cacheprovider", *NO_HYPOTHESIS)
        status, printed = _run(sys.executable, "-m", "pytest", *options, cwd=folder)
    return printed if status else None


def run_console(example: Example) -> str | None:
    """Run the commands of a block in one shell, and compare what each of them prints."""
    steps = [step.partition("\n") for step in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)]
    if len(steps) < 2 or any(steps[0]):
        return "a console block begins with '$ command'"
    commands, wanted = [step[0] for step in steps[1:]], [step[2] for step in steps[1:]]
    keep_status = f"status=$?; echo '{_STATUS}' $status; (exit $status)"
    _, printed = _run("sh", "-c", "".join(f"{command}\n{keep_status}\n" for command in commands))
    found = re.findall(rf"(.*?){re.escape(_STATUS)} (\d+)\n", printed, flags=re.DOTALL)
    if len(found) != len(commands):
        return f"the shell ended early:\n{printed}"
    for index, (got, status) in enumerate(found):
        difference = _difference(commands[index], wanted[index], got)
        if difference:
            return difference
        if status != "0" and "$?" not in "".join(commands[index + 1 : index + 2]):
            return f"{commands[index]!r} ended with status {status}, which the block does not show"
    return None


def run_sh(example: Example) -> str | None:
    """Run a block; what it prints is kept for an ``output`` block."""
    script = example.parsed.rstrip()
    if script.startswith(SET_UP):
        script = script.rpartition(" && ")[2].replace(".venv/bin/", f"{shlex.quote(str(BIN))}/")
        if script.endswith("-m pytest"):
            # Twice quiet: the names of tests hold what the tests made up as secrets. One folder shows that pytest begins.
            script += " -n 0 --collect-only -qq tests/signing"
    status, example.namespace[_PRINTED] = _run("sh", "-e", "-c", script)
    return f"status {status}:\n{example.namespace[_PRINTED]}" if status else None


def compare_output(example: Example) -> str | None:
    """Compare a block with what the block before it printed."""
    if _PRINTED not in example.namespace:
        return "an output block comes after the python or sh block that prints it"
    if example.namespace[_PRINTED] is None:
        del example.namespace[_PRINTED]
        pytest.skip(_MISSING)
    return _difference("the block above", example.parsed, example.namespace.pop(_PRINTED))


def check_autodoc(example: Example) -> str | None:
    """See that a block is left to Sphinx alone: it holds directives of autodoc, and no code."""
    strange = [line for line in example.parsed.splitlines() if not _AUTODOC.fullmatch(line)]
    return f"not a directive of autodoc: {strange}" if strange else None


def pass_by(_: Example) -> None:
    """Take a block for what holds no code."""


def refuse(example: Example) -> str:
    """Fail on a block in a language without a check."""
    return f"no check for blocks in {example.region.lexemes['language']!r}: write one, or mark the block as text"


EVALUATORS: Final[dict[str, Evaluator]] = {
    "python": run_python,
    "console": run_console,
    "sh": run_sh,
    "output": compare_output,
    "text": pass_by,
    "{toctree}": pass_by,
    "{eval-rst}": check_autodoc,
}


def _run(*command: str, cwd: str | Path = ROOT) -> tuple[int, str]:
    """Return the status of a command and all that it printed."""
    done = subprocess.run(  # noqa: S603 - the documents are ours
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout


def _difference(source: str, want: str, got: str) -> str | None:
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS
    if checker.check_output(want, got, flags):
        return None
    return f"{source}\n{checker.output_difference(doctest.Example(source, want), got, flags)}"


pytest_collect_file = Sybil(
    parsers=[parse],
    patterns=["README.md", "docs/*.md"],
    path=str(ROOT),
    fixtures=["document_environment"],
).pytest()
