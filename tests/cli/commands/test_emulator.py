"""``okx-sol emulator``: what is printed, logged and recorded, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from okx_sol_async.cli._app import app, run
from okx_sol_async.cli.commands._emulator import emulator
from okx_sol_async.emulator import Emulator
from okx_sol_async.signing._credentials import Credentials
from tests.support.forked import Piped
from tests.support.signed_calls import BALANCE_PATH, Staker, okso, signed
from tests.support.terminals import lines_of_stderr, running

NAMES = ["OKX_BASE_URL", "OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE", "OKX_USER_ID", "OKX_DEMO"]
FIELDS = ["time", "user", "method", "endpoint", "status", "code", "in_last_second", "trace_id"]


def exported(line: str) -> tuple[str, str]:
    """Return the name and the value of a line that a shell would read."""
    command, setting = shlex.split(line)
    assert "export" == command
    name, _, value = setting.partition("=")
    return name, value


def fetch(variables: dict[str, str]) -> dict[str, object]:
    """Call for the balance as a bot would that has only these variables."""
    key = Credentials(variables["OKX_API_KEY"], variables["OKX_SECRET_KEY"], variables["OKX_PASSPHRASE"])
    request = urllib.request.Request(variables["OKX_BASE_URL"] + BALANCE_PATH, headers=signed(key))  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310 - loopback
        row: dict[str, object] = json.load(response)["data"][0]
        return row


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[Piped, dict[str, str]]]:
    """Serve in a process, and give the variables that it prints."""
    with running("emulator", *arguments) as process:
        yield process, dict(exported(process.stdout.readline()) for _ in NAMES)


def test_state_token_and_a_log_in_json(tmp_path: Path) -> None:
    """A bot that has the variables gets the balance of the state file; SIGTERM ends it, with nothing else on stderr."""
    state = tmp_path / "state.json"
    state.write_text('{"users": [{"balance": {"amt": "3.25"}}]}', "utf-8")
    options = ["--host", "127.0.0.2", "--token", "t", "--state", str(state), "--log", "json", "--latency", "0.001"]
    with serving(*options, "--jitter", "0.001", "--seed", "1", "--window", "fixed") as (process, variables):
        row = fetch(variables)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(variables["OKX_BASE_URL"] + "/_emulator/users")  # noqa: S310 - loopback
        refused.value.close()
        with pytest.raises(urllib.error.HTTPError) as unknown:
            urllib.request.urlopen(variables["OKX_BASE_URL"] + "/api/v5/trade/order")  # noqa: S310 - loopback
        unknown.value.close()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate()

    assert (NAMES, "http://127.0.0.2") == (list(variables), variables["OKX_BASE_URL"].rpartition(":")[0])
    assert ("3.25000000", 401, 143) == (row["amt"], refused.value.code, process.returncode)
    line, warning, _ = map(json.loads, log.splitlines())
    assert ("WARNING", True) == (warning["level"], "no endpoint GET /api/v5/trade/order" in warning["message"])
    assert [*FIELDS, "faults"] == list(line)
    assert (variables["OKX_USER_ID"], "GET", BALANCE_PATH, 200, "0", 1) == tuple(line[name] for name in FIELDS[1:7])


def test_a_hint_and_a_log_in_text() -> None:
    """The hint says where the page is; each request is a line; Ctrl-C ends it with nothing else on stderr."""
    with serving() as (process, variables):
        fetch(variables)
        with pytest.raises(urllib.error.HTTPError) as unknown:
            urllib.request.urlopen(variables["OKX_BASE_URL"] + "/api/v5/trade/order")  # noqa: S310 - loopback
        unknown.value.close()
        process.send_signal(signal.SIGINT)
        _, written = process.communicate()

    url = variables["OKX_BASE_URL"]
    hint, line, warning, _ = written.splitlines()
    assert warning.startswith("okx-sol: The emulator has no endpoint GET /api/v5/trade/order; ")
    assert f"Set these variables where your bot runs. Page and control API: {url}/_emulator/" == hint
    assert [variables["OKX_USER_ID"], "GET", BALANCE_PATH, "200", "0", "1/s"] == line.split()[1:7]
    assert (8, 130) == (len(line.split()), process.returncode)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--window token", "window", "token"),
        ("--latency 0.03", "latency", 0.03),
        ("--jitter 0.01", "jitter", 0.01),
        ("--seed 7", "seed", 7),
        ("--port 8080", "port", 8080),
        ("--host ::1", "host", "::1"),
        ("--demo", "demo", True),
        ("--upstream https://www.okx.com", "upstream", "https://www.okx.com"),
        ("--record x.json", "record", Path("x.json")),
    ],
)
def test_options(words: str, name: str, value: object) -> None:
    """Each option is an argument of the command."""
    _, bound, _ = app.parse_args(["emulator", *words.split()], print_error=False, exit_on_error=False)

    assert {name: value} == bound.arguments


@asynccontextmanager
async def in_process(capsys: pytest.CaptureFixture[str], **options: object) -> AsyncIterator[dict[str, str]]:
    """Run the command in this loop, and give the variables that it prints."""
    task = asyncio.create_task(emulator(**options))  # type: ignore[arg-type]
    output = ""
    while "export" not in output:
        await asyncio.sleep(0.001)
        output += capsys.readouterr().out
        assert not task.done()
    yield dict(map(exported, output.splitlines()))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.shows_secrets("it prints the keys that it has made up")
async def test_the_arguments_reach_the_exchange(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Window, latency, jitter, seed, demo and the rest are those of the exchange that serves."""
    given: dict[str, object] = {}
    begin = Emulator.__init__
    monkeypatch.setattr(Emulator, "__init__", lambda self, **more: (given.update(more), begin(self, **more))[1])
    options = {"window": "counter", "latency": 0.001, "jitter": 0.002, "seed": 3, "demo": True, "token": "t", "port": 0}
    async with in_process(capsys, **options) as variables:
        assert "1" == variables["OKX_DEMO"]

    assert options == {name: given[name] for name in options}


async def test_a_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path, exchange: Emulator) -> None:
    """The file is a state file from the start and after each read; the user's own key stays, and is not printed."""
    path = tmp_path / "okx.json"
    exchange.user.balance = okso("4")
    async with (
        in_process(capsys, upstream=exchange.url, record=path) as variables,
        aiohttp.ClientSession() as http,
    ):
        assert ["OKX_BASE_URL"] == list(variables)
        assert [] == json.loads(path.read_text("utf-8"))["recorded"]
        bot = Staker(http, Emulator(), exchange.credentials)
        bot.exchange._url = variables["OKX_BASE_URL"]
        assert "0" == await bot.code("balance")
        replayed = Emulator()
        replayed.restore(path)

    assert okso("4") == replayed.user.balance
    assert exchange.credentials.api_key not in path.read_text("utf-8")
    assert [path.name] == os.listdir(tmp_path)  # noqa: PTH208 - no file but the one that was asked for


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--host 0.0.0.0", "--host"),
        ("--host example.com", "--host"),
        ("--state /nowhere.toml", "--state"),
        ("--latency -1", "--latency"),
        ("--window round", "--window"),
        ("--record x.json", "--record"),
        ("--upstream https://127.0.0.1:9 --record /nowhere/x.json", "--record"),
        ("--upstream http://www.okx.com", "--upstream"),
    ],
)
def test_wrong_options_are_named(capsys: pytest.CaptureFixture[str], words: str, option: str) -> None:
    """Nothing is served, the exit code is that of wrong arguments, and the message names the option."""
    assert 2 == run(["emulator", *words.split()])

    assert option in " ".join(lines_of_stderr(capsys))
