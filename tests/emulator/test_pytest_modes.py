"""The fixtures work however a test suite runs its coroutines."""

from __future__ import annotations

import pytest

from tests.support.documents import NO_HYPOTHESIS

pytest_plugins = ["pytester"]

#: The body of a test that calls twice and looks at what was received.
BODY = """
    async with Session(base_url=okx_emulator.url) as session:
        await SolStaking(okx_emulator.credentials, session).balance()
        assert (await SolStaking(okx_emulator.credentials, session).balance()).amt > 0
    assert okx_emulator.tally().accepted == 2
"""
HEAD = """
import asyncio
import unittest
import pytest
from okx_sol_async import Session, SolStaking
"""
PLAIN = HEAD + "".join(f"\nasync def test_{n}(okx_emulator):{BODY}" for n in "ab")
MARKED = PLAIN.replace("async def", "@pytest.mark.asyncio\nasync def")
ANYIO = HEAD + "pytestmark = pytest.mark.anyio\n" + PLAIN.removeprefix(HEAD)
ANYIO += "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
UNITTEST = (
    HEAD
    + """
class Case(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _serve(self, okx_emulator):
        self.exchange = okx_emulator

    async def test_a(self):
        okx_emulator = self.exchange
"""
    + BODY.replace("\n    ", "\n        ")
)
#: A fixture of the suite's own that lives as long as the loop.
SESSION_LOOP = (
    HEAD
    + """
@pytest.fixture(scope="session")
async def session(okx_emulator_session):
    async with Session(base_url=okx_emulator_session.url) as session:
        yield session

@pytest.mark.parametrize("n", range(3))
async def test_one_session(session, okx_emulator_session, n):
    await SolStaking(okx_emulator_session.credentials, session).balance()
    assert okx_emulator_session.tally().accepted == 1
    okx_emulator_session.reset()
"""
)
COMMON = ["-W", "error", "-p", "no:xdist", "-p", "no:randomly"]
#: What pytest-asyncio wants to be said, and other plugins do not know.
FUNCTION_LOOPS = ["-o", "asyncio_default_fixture_loop_scope=function"]
LOOPS = ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
SESSION_LOOPS = [word for name in LOOPS for word in ("-o", f"{name}=session")]


@pytest.mark.parametrize(
    ("suite", "options", "passed"),
    [
        pytest.param(MARKED, ["--asyncio-mode=strict"], 2, id="strict"),
        pytest.param(PLAIN, ["--asyncio-mode=auto"], 2, id="auto"),
        pytest.param(PLAIN, ["--asyncio-mode=auto", *SESSION_LOOPS], 2, id="session loop"),
        pytest.param(SESSION_LOOP, ["--asyncio-mode=auto", *SESSION_LOOPS], 3, id="session fixtures"),
        pytest.param(ANYIO, ["-p", "no:asyncio"], 2, id="anyio"),
        pytest.param(ANYIO, ["--asyncio-mode=strict"], 2, id="anyio beside asyncio"),
        pytest.param(UNITTEST, [], 1, id="unittest"),
        pytest.param(UNITTEST, ["-p", "no:asyncio", "-p", "no:anyio"], 1, id="unittest alone"),
    ],
)
def test_modes(pytester: pytest.Pytester, suite: str, options: list[str], passed: int) -> None:
    """Strict and auto mode, loops for a session, anyio and unittest; no warning, and nothing is left behind."""
    pytester.makepyfile(suite)

    said = [] if "no:asyncio" in options else FUNCTION_LOOPS
    pytester.runpytest_inprocess(*COMMON, *said, *options).assert_outcomes(passed=passed)


def test_xdist(pytester: pytest.Pytester) -> None:
    """Each worker has exchanges of its own."""
    pytester.makepyfile(test_a=PLAIN, test_b=PLAIN, test_c=SESSION_LOOP)
    result = pytester.runpytest_subprocess(
        "-W", "error", "-n", "2", "--asyncio-mode=auto", *SESSION_LOOPS, *NO_HYPOTHESIS
    )

    result.assert_outcomes(passed=7)


def test_a_process_of_its_own(pytester: pytest.Pytester) -> None:
    """The fixture serves in another process, without a marker the same one for all tests; a marker sets it up."""
    pytester.makepyfile(
        """
        import os
        import urllib.request
        import pytest

        URLS = []

        @pytest.mark.parametrize("n", [1, 2])
        def test_it(okx_emulator_process, n):
            URLS.append(okx_emulator_process.url)
            assert okx_emulator_process.control("GET", "/tally")["received"] == 0
            urllib.request.urlopen(okx_emulator_process.url + "/api/v5/public/time").close()
            assert okx_emulator_process.control("GET", "/tally")["received"] == 1

        @pytest.mark.okx_emulator(demo=True, unused_faults="error")
        def test_marked(okx_emulator_process):
            assert okx_emulator_process.environment["OKX_DEMO"] == "1"
            okx_emulator_process.control("POST", "/faults", {"fault": "Page"})

        def test_same():
            assert len(set(URLS)) == 1
        """
    )
    result = pytester.runpytest_inprocess(*COMMON, *FUNCTION_LOOPS)

    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*no call has used*Page*"])
