"""The fixtures and the marker, in test suites of users."""

import pytest

from tests.support.documents import NO_HYPOTHESIS

pytest_plugins = ["pytester"]

SUITE = """
import os
import urllib.request
import pytest
from okx_sol_async.emulator.faults import Reset



@pytest.mark.okx_emulator(window="fixed", latency=0.01)
def test_settings(okx_emulator):
    assert "fixed window" in repr(okx_emulator)

def test_environment(okx_emulator_env):
    assert okx_emulator_env.url == os.environ["OKX_BASE_URL"]
    assert okx_emulator_env.credentials.api_key == os.environ["OKX_API_KEY"]

@pytest.mark.parametrize("n", [1, 2])
def test_session(okx_emulator_session, n):
    assert okx_emulator_session.tally().received == 0
    urllib.request.urlopen(okx_emulator_session.url + "/api/v5/public/time").close()
    okx_emulator_session.reset()

def test_unused_fault_is_ignored(okx_emulator):
    okx_emulator.fail_next(Reset())

@pytest.mark.okx_emulator(unused_faults="error")
def test_unused_fault_fails(okx_emulator):
    okx_emulator.fail_next(Reset())

@pytest.mark.okx_emulator(state={state!r})
def test_state(okx_emulator):
    assert okx_emulator.user.sol == 5
"""


@pytest.mark.parametrize(
    "plugin", ["", "-p no:asyncio", "-p no:anyio"], ids=["all", "without asyncio", "without anyio"]
)
def test_fixtures(pytester: pytest.Pytester, plugin: str) -> None:
    """The marker sets the exchange up; a fault that was never used fails the test if it is to."""
    state = pytester.path / "state.json"
    state.write_text('{"users": [{"sol": "5"}]}', "utf-8")
    pytester.makepyfile(SUITE.format(state=str(state)))
    options = ["--strict-markers", "-p", "no:xdist", "-p", "no:randomly", *plugin.split()]
    if "asyncio" not in plugin:
        options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    result = pytester.runpytest_inprocess("-W", "error::pytest.PytestUnraisableExceptionWarning", *options)

    result.assert_outcomes(passed=7, errors=1)
    result.stdout.fnmatch_lines(["*no call has used Reset(*"])


def test_a_delayed_response_at_the_end(pytester: pytest.Pytester) -> None:
    """A response that is delayed when the test ends is cancelled quietly, and the next test sees nothing of it."""
    pytester.makepyfile(
        """
        import socket, time
        from okx_sol_async.emulator.faults import Delay

        def test_leaves_a_call(okx_emulator):
            okx_emulator.fail_next(Delay(back=60))
            host, port = okx_emulator.url.removeprefix("http://").split(":")
            client = socket.create_connection((host, int(port)))
            client.sendall(b"GET /api/v5/public/time HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            while not okx_emulator.calls:
                time.sleep(0.01)
            client.close()

        def test_next(caplog):
            import gc
            gc.collect()
            assert caplog.records == []
        """
    )
    result = pytester.runpytest_subprocess("-W", "error::pytest.PytestUnraisableExceptionWarning", *NO_HYPOTHESIS)

    result.assert_outcomes(passed=2)
    assert "Task was destroyed" not in result.stderr.str() + result.stdout.str()


def test_the_start_of_pytest_does_not_import_the_package(pytester: pytest.Pytester) -> None:
    """A suite that does not use the fixtures waits neither for the package nor for an HTTP server."""
    pytester.makepyfile(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("okx_sol_async.pytest_plugin")
            assert not {"okx_sol_async", "aiohttp"} & set(sys.modules)
        """
    )

    pytester.runpytest_subprocess("-p", "no:asyncio", *NO_HYPOTHESIS).assert_outcomes(passed=1)
