"""``okx-sol purchase`` and ``okx-sol redeem``."""

import asyncio
import json
import os
import pty
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import attrs
import pytest

from okx_sol_async.cli._app import run
from okx_sol_async.cli.commands import _write as write
from okx_sol_async.emulator import Emulator, faults
from okx_sol_async.staking import _reconciliation as outcomes
from okx_sol_async.staking._client import SolStaking
from okx_sol_async.staking._receipts import Receipt
from tests.support.terminals import set_of, terminal

PURCHASE = "POST /api/v5/finance/staking-defi/sol/purchase"
HISTORY = "GET /api/v5/finance/staking-defi/sol/purchase-redeem-history"


#: Runs a command; returns its exit code and what it wrote to stderr.
Runs = Callable[..., tuple[int, str]]


@pytest.fixture(name="person")
def _person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """Return what runs a command in a terminal, and returns its exit code and what it wrote to stderr."""
    master, slave = pty.openpty()
    # What is typed shall not come back between the lines of the command.
    mode = termios.tcgetattr(slave)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, mode)

    def runs(*arguments: str, typing: str = "") -> tuple[int, str]:
        # What is typed early waits in the terminal.
        os.write(master, typing.encode())
        with monkeypatch.context() as streams:
            # pytest has put its own there between the fixture and the test.
            streams.setattr(sys, "stdin", reads)
            streams.setattr(sys, "stderr", writes)
            code = run(list(arguments))
        writes.write("\0")
        writes.flush()
        text = b""
        while not text.endswith(b"\0"):
            text += os.read(master, 65536)
        return code, text.decode().replace("\r\n", "\n").removesuffix("\0")

    with os.fdopen(slave, "r") as reads, os.fdopen(os.dup(slave), "w") as writes:
        yield runs
    os.close(master)


@pytest.mark.parametrize("command", ["purchase", "redeem"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_without_a_terminal_nothing_is_sent(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], command: str, form: list[str]
) -> None:
    """Without a terminal and without --yes nothing is sent at all."""
    assert 2 == run([command, "0.01", *form])

    assert "--yes" in capsys.readouterr().err
    assert 0 == as_user.tally().received


@pytest.mark.parametrize("command", ["purchase", "redeem"])
@pytest.mark.parametrize("yes", ["--yes", "-y"])
def test_yes_skips_the_question(as_user: Emulator, capsys: pytest.CaptureFixture[str], command: str, yes: str) -> None:
    """With --yes the order is sent, once."""
    assert 0 == run([command, "0.010", yes, "--json"])

    shown = json.loads(capsys.readouterr().out)
    assert (command, "0.010", "accepted") == (shown["type"], shown["amt"], shown["outcome"])
    assert as_user.calls[0].trace_id == shown["trace_id"]
    assert (command, "0.01000000") == (shown["order"]["type"], shown["order"]["amt"])
    assert [(command, "0.010")] == [(order.type, f"{order.amt}") for order in as_user.user.orders]
    assert 1 == as_user.tally(endpoint=f"POST /api/v5/finance/staking-defi/sol/{command}").received


@pytest.mark.parametrize("reply", ["y\n", "Y\n", "yes\n", " YES \n"])
def test_yes_sends_once(as_user: Emulator, person: Runs, capsys: pytest.CaptureFixture[str], reply: str) -> None:
    """What was agreed to is sent, once."""
    assert 0 == person("purchase", "1.5", typing=reply)[0]

    accepted, order, trace = capsys.readouterr().out.splitlines()
    assert "accepted: purchase of 1.5 SOL" == accepted
    assert order.startswith("order     success, 20")
    assert f"trace     {as_user.calls[1].trace_id}" == trace
    assert ["1.5"] == [f"{order.amt}" for order in as_user.user.orders]


@pytest.mark.parametrize("fault", [faults.Refusal("50030"), faults.Body('{"code":"0","msg":"","data":[]}')])
def test_an_order_that_is_not_shown_was_accepted_all_the_same(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: faults.Fault
) -> None:
    """Whatever becomes of looking it up."""
    monkeypatch.setattr(write, "ORDER_WAIT", 0.2)
    as_user.fail_next(fault, endpoint=HISTORY, times=None)

    assert 0 == run(["purchase", "1.5", "--yes"])

    accepted, order, _ = capsys.readouterr().out.splitlines()
    assert ["accepted: purchase of 1.5 SOL", "order     not in the history yet"] == [accepted, order]


@pytest.mark.parametrize("reply", ["\n", "n\n", "no\n", "yo\n", "1.5\n", "\x04"])
def test_anything_but_yes_sends_nothing(
    as_user: Emulator, person: Runs, capsys: pytest.CaptureFixture[str], reply: str
) -> None:
    """Anything but yes is no, the end of the input too."""
    code, text = person("purchase", "1.5", typing=reply)

    assert 1 == code
    assert text.endswith("nothing was sent\n")
    assert "" == capsys.readouterr().out
    assert () == as_user.user.orders


def test_what_a_purchase_will_do(as_user: Emulator, person: Runs) -> None:
    """The question names the amount, the rate, the account and the host, and no secret."""
    _, text = person("purchase", "1.50", typing="n\n")

    key = as_user.credentials
    assert "purchase  1.50 SOL, which becomes OKSOL\n" in text
    assert "5.57 % a year" in text
    assert "minimum purchase is 0.01 SOL" in text
    assert f"key …{key.api_key[-4:]}\n" in text
    assert f"at        {as_user.url}\n" in text
    assert not [secret for secret in (key.api_key, key.secret_key, key.passphrase) if secret in text]


def test_what_a_redemption_will_do(person: Runs) -> None:
    """The question shows when the SOL is likely to be there."""
    _, text = person("redeem", "0.01", "--emulator", "--demo", typing="n\n")

    assert "redeem    0.01 OKSOL, which becomes SOL\n" in text
    assert "in about 2 days, 20" in text
    assert "the local exchange, no real money, demo trading" in text


@pytest.mark.parametrize("amt", ["0", "-1", "1e3", "1,5", "NaN", "0.0000000001", "one", ""])
def test_an_amount_that_is_none(as_user: Emulator, person: Runs, amt: str) -> None:
    """It is refused before anybody is asked and before anything is sent."""
    code, text = person("purchase", amt, typing="y\n")

    assert 2 == code
    assert "the amount must " in text
    assert "Go ahead" not in text
    assert 0 == as_user.tally().received


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("purchase 0.001 --yes", 8, "0.01 SOL"),
        ("purchase 1000000 --yes", 8, "funding account"),
        ("redeem 1 --yes", 8, "0.01100012"),
        ("redeem 0.01 --yes --emulator --demo", 8, "demo"),
    ],
)
def test_what_okx_refuses(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], arguments: str, code: int, words: str
) -> None:
    """A refusal is text in OKX's words, and nothing has happened."""
    assert code == run(arguments.split())

    assert words in capsys.readouterr().err
    assert () == as_user.user.orders


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_unknown_outcome_that_the_history_shows(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    """The response was lost: it is looked up, the finding is reported, and nothing is sent twice."""
    as_user.fail_next(faults.Reset(processed=True), endpoint=PURCHASE)

    assert 12 == run(["purchase", "1.5", "--yes", *form])

    output = capsys.readouterr()
    assert "It may have happened" in output.err
    assert "the history shows it: purchase of 1.50000000 SOL" in output.err
    assert bool(form) == bool(output.out)
    if form:
        text = json.loads(output.out)
        assert ("found", "1.50000000", "success") == (text["outcome"], text["order"]["amt"], text["order"]["status"])
    assert 1 == len(as_user.user.orders)
    assert 1 == as_user.tally(endpoint=PURCHASE).received


def test_an_unknown_outcome_that_the_history_does_not_show(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The request was lost: that it most likely did not happen is text, and nothing is sent again."""
    monkeypatch.setattr(outcomes, "SETTLED", 0.2)
    as_user.fail_next(faults.Reset(), endpoint=PURCHASE)

    assert 12 == run(["purchase", "1.5", "--yes", "--json"])

    output = capsys.readouterr()
    assert "the history shows no such purchase" in output.err
    assert "not found" == json.loads(output.out)["outcome"]
    assert () == as_user.user.orders
    assert 1 == as_user.tally(endpoint=PURCHASE).received


def test_an_unknown_outcome_that_cannot_be_looked_up(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Both failures are text, and where to look."""
    as_user.fail_next(faults.Reset(processed=True), endpoint=PURCHASE)
    as_user.fail_next(faults.Refusal("50030"), endpoint=HISTORY)

    assert 12 == run(["purchase", "1.5", "--yes", "--json"])

    output = capsys.readouterr()
    assert "the history cannot be read" in output.err
    assert output.err.endswith("Check okx-sol history before you do it again.\n")
    assert "unknown" == json.loads(output.out)["outcome"]


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_at_the_question(ending: signal.Signals, code: int) -> None:
    """Nothing is sent, and nothing more is said."""
    with Emulator() as exchange, terminal("purchase", "1.5", **set_of(exchange)) as shown:
        shown.wait_for("Go ahead? [y/N] ")
        shown.process.send_signal(ending)

        assert code == shown.end()
        assert shown.text.endswith("Go ahead? [y/N] \r\n")
        assert () == exchange.user.orders


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_an_order_is_on_its_way(ending: signal.Signals) -> None:
    """It may have happened, and the message says so."""
    with Emulator() as exchange:
        # However late it is interrupted, no response has come.
        exchange.fail_next(faults.NoResponse(), endpoint=PURCHASE)
        with terminal("purchase", "1.5", "--yes", **set_of(exchange)) as shown:
            while not exchange.calls:
                assert shown.process.poll() is None
                time.sleep(0.01)
            shown.process.send_signal(ending)

            assert 12 == shown.end()
        assert "it may have happened" in shown.text
        assert "Traceback" not in shown.text


async def interrupted(happens: Callable[[], object]) -> int:
    """Interrupt a purchase as Ctrl-C does, as soon as something has happened, and return its exit code."""
    sending = asyncio.create_task(write.purchase("1.5", yes=True))
    while not happens():  # noqa: ASYNC110 - the exchange is in another thread
        await asyncio.sleep(0.001)
    sending.cancel()
    return await sending


async def test_ctrl_c_before_an_order_is_sent(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it waits for its turn nothing has happened, and the message says so."""
    waits: list[Decimal] = []

    async def purchase(_: SolStaking, amt: Decimal) -> None:
        waits.append(amt)
        await asyncio.Event().wait()

    monkeypatch.setattr(SolStaking, "purchase", purchase)

    assert 130 == await interrupted(lambda: waits)
    expected = ["okx-sol: interrupted before the purchase was sent", "Nothing happened."]
    assert expected == capsys.readouterr().err.splitlines()
    assert () == as_user.user.orders


async def test_ctrl_c_while_an_order_is_looked_up(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """It may have happened, and the message says where to look."""
    as_user.fail_next(faults.Reset(processed=True), endpoint=PURCHASE)
    as_user.fail_next(faults.NoResponse(), endpoint=HISTORY)

    assert 130 == await interrupted(lambda: as_user.tally(endpoint=HISTORY).received)
    *_, interrupted_, advice = capsys.readouterr().err.splitlines()
    assert "okx-sol: interrupted before it was found" == interrupted_
    assert "Check okx-sol history before you do it again." == advice


def test_an_accepted_order_without_a_trace_id(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A response without OKX's id of the call is a response all the same."""
    purchase = SolStaking.purchase

    async def without_trace_id(staking: SolStaking, amt: Decimal) -> Receipt:
        return attrs.evolve(await purchase(staking, amt), trace_id=None)

    monkeypatch.setattr(SolStaking, "purchase", without_trace_id)

    assert 0 == run(["purchase", "1.5", "--yes"])
    accepted, order = capsys.readouterr().out.splitlines()
    assert "accepted: purchase of 1.5 SOL" == accepted
    assert order.startswith("order     success")
