import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from okx.Finance.SolStaking import SolStakingAPI  # type: ignore[import-untyped]
from sybil import Document
from sybil.example import SybilFailure

import okx_sol_async
from okx_sol_async.cli._exit_codes import EXIT_CODES
from okx_sol_async.emulator import Emulator
from tests.support import documents
from tests.support.documents import ROOT, SET_UP

SCRIPT = ["import asyncio", "print(6 * 7)"]


def block(language: str, *lines: str) -> str:
    """Return a code block of Markdown."""
    return "\n".join([f"```{language}", *lines, "```", "", ""])


def evaluate(text: str) -> int:
    """Evaluate each block of a document, as the plugin does, and return how many there were."""
    document = Document(text, "a document")
    for region in documents.parse(document):
        document.add(region)
    examples = list(document)
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.mark.parametrize(
    "text",
    [
        block("python", *SCRIPT) + block("output", "42"),
        block("python", *SCRIPT) + block("output", "..."),
        block("python", "number = 42") + block("python", "assert number == 42"),
        block("python", "assert __name__ == '__main__'"),
        block("python", "def test_passes():", "    assert True"),
        block("python", "import pytest", "@pytest.mark.asyncio", "async def test_passes(okx_emulator):", "    pass"),
        block("console", "$ echo one; echo two", "one", "two", "$ echo three", "three"),
        block("console", "$ echo one and two", "one ... two"),
        block("console", "$ NAME=value", "$ echo $NAME", "value"),
        block("console", "$ (exit 3)", "$ echo $?", "3"),
        block("sh", "test 1 = 1"),
        block("sh", "echo one") + block("output", "one"),
        block("sh", f"{SET_UP}.venv/bin/pip install nothing && .venv/bin/python -c 'print(42)'")
        + block("output", "42"),
        block("text", "anything"),
        block("{toctree}", "anything"),
        block("{eval-rst}", ".. autoclass:: okx_sol_async.Session", "   :members:"),
        "- in a list\n\n  ```python\n  assert True\n  ```\n",
    ],
)
def test_a_block_that_is_right_passes(text: str) -> None:
    """What a document shows passes if it is so."""
    assert evaluate(text) == text.count("```") // 2


@pytest.mark.parametrize(
    "text",
    [
        block("python", *SCRIPT) + block("output", "43"),
        block("python", *SCRIPT) + block("output"),
        block("python", "number = 42") + block("output", "42"),
        block("output", "42"),
        block("python", *SCRIPT) + block("output", "42") + block("output", "42"),
        block("python", "def test_fails():", "    assert False"),
        block("python", "import warnings", "def test_warns():", "    warnings.warn('soon')"),
        block("python", "class TestThis:", "    def test_fails(self):", "        assert False"),
        block("console", "$ echo one", "two"),
        block("console", "$ echo one", "$ echo two", "two"),
        block("console", "$ echo one; echo two", "one"),
        block("console", "$ false", "$ echo one", "one"),
        block("console", "$ echo one", "one", "$ false"),
        block("console", "$ exit 0"),
        block("console", "echo one"),
        block("console"),
        block("sh", "false", "true"),
        block("sh", "echo one") + block("output", "two"),
        block("sh", f"{SET_UP}.venv/bin/pip install nothing && .venv/bin/python -c 'raise SystemExit(1)'"),
        block("py", "assert True"),
        block("json", "{}"),
        block("", "assert True"),
        block("{code-block} python", "assert True"),
        block("{eval-rst}", ".. code-block:: python", "", "   assert True"),
        block("python skip", "assert True"),
        "~~~bash\nfalse\n~~~\n",
    ],
)
def test_a_block_that_is_wrong_fails(text: str) -> None:
    """What a document shows fails if it is not so, or if that cannot be checked."""
    with pytest.raises(SybilFailure):
        evaluate(text)


@pytest.mark.parametrize("line", ["assert 6 * 7 == 43", "import no_such_module", "await nothing", "1 +"])
def test_a_block_that_raises_fails(line: str) -> None:
    """An exception in a block is not lost."""
    with pytest.raises((AssertionError, ImportError, SyntaxError)):
        evaluate(block("python", line))


def test_a_wrong_page_fails_the_run(tmp_path: Path) -> None:
    """A run of pytest fails when a page has one wrong block, and names its line."""
    for folder in ("tests/support", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "tests" / "support" / "documents.py").write_text(Path(documents.__file__).read_text())
    (tmp_path / "README.md").write_text(block("python", "assert True"))
    (tmp_path / "docs" / "page.md").write_text(block("python", *SCRIPT) + block("output", "43"))
    options = ["-q", "-p", "tests.support.documents", *documents.NO_HYPOTHESIS]
    command = [sys.executable, "-m", "pytest", *options, "README.md", "docs"]

    # What the plugin itself imports is in the project, which need not be on the path.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 1
    assert "FAILED docs/page.md::line:6,column:1" in done.stdout
    assert "1 failed, 2 passed" in done.stdout


def test_every_page_is_run() -> None:
    """The run takes its pages from the settings, and they name the README and the folder of the others."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]

    assert {"README.md", "docs"} <= set(settings["testpaths"])
    assert not [path for path in ROOT.glob("docs/*/**/*.md") if "_build" not in path.parts]


def test_the_readme_has_two_set_up_commands() -> None:
    """The README's sh blocks are the two commands that set up a fresh clone, each in one line."""
    scripts = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)

    assert len(scripts) == 2
    assert all(script.startswith(SET_UP) and script.count("\n") == 1 for script in scripts)


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    """The page on errors lists the exit code of each kind of error."""
    rows = re.findall(r"(\d+): `(\w+)`", (ROOT / "docs" / "errors.md").read_text())

    assert {kind.__name__: str(code) for kind, code in EXIT_CODES.items()} == {name: code for code, name in rows}


def test_the_tree_of_errors_is_the_real_one() -> None:
    """The page on errors draws each error below its parent."""
    kinds = [kind for kind in vars(okx_sol_async).values() if isinstance(kind, type)]
    errors = {kind.__name__: kind for kind in kinds if issubclass(kind, okx_sol_async.OKXError)}
    drawn = re.findall(r"^([│├└─ ]*)(\w+)  ", (ROOT / "docs" / "errors.md").read_text(), flags=re.MULTILINE)
    parents = ["OKXError"]
    found = {}
    for branch, name in drawn:
        del parents[len(branch) // 4 :]
        found[name] = parents[-1]
        parents.append(name)

    assert {name: kind.__bases__[0].__name__ for name, kind in errors.items() if name != "OKXError"} == found


def test_the_reference_has_every_public_name() -> None:
    """A public name that the reference forgets does not exist for its readers."""
    page = "\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("api-*.md")))
    named = {name.rpartition(".")[2] for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page, flags=re.MULTILINE)}

    assert set(okx_sol_async.__all__) - {"__version__"} <= named


def test_every_dependency_has_its_reason() -> None:
    """The page on design gives each dependency of the project one line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[<>=\[]", name)[0] for name in wanted} - {project["name"]}
    page = (ROOT / "docs" / "design.md").read_text().partition("## Dependencies")[2].partition("## Words")[0]

    assert names == set(re.findall(r"^- ([a-z][a-z-]*): ", page, flags=re.MULTILINE))


def test_every_task_is_explained() -> None:
    """`poe` shows a sentence for each task of the project."""
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["poe"]["tasks"]

    assert [] == [name for name, task in tasks.items() if not task.get("help")]


def test_every_link_between_pages_leads_somewhere() -> None:
    """A link from one page of the project to another names a file that is there."""
    broken = [
        (page.name, target)
        for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert not broken


# python-okx asks for the time in a way that Python 3.12 began to warn of.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:okx.utils")
def test_what_the_readme_says_of_python_okx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client returns a refusal as it returns any other response, and does not keep the limit."""
    with Emulator() as exchange:
        key = exchange.credentials
        assert exchange._server._background is not None
        loop, _ = exchange._server._background
        second = loop.time()
        with (
            SolStakingAPI(key.api_key, key.secret_key, key.passphrase, flag="0", domain=exchange.url) as client,
            monkeypatch.context() as standing_still,
        ):
            # However slow this machine is, the exchange sees all of them in one second.
            standing_still.setattr(loop, "time", lambda: second)
            codes = {client.sol_balance()["code"] for _ in range(7)}

    assert {"0", "50011"} == codes
