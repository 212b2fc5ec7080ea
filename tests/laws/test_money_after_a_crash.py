"""Money moves once, and what is said of it is true, also after the process was killed in the middle of a purchase."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from okx_sol_async import Credentials, LocalLimiter, Order, Session, SolStaking, SQLiteWriteLog
from okx_sol_async.emulator import EmulatedUser, Emulator
from okx_sol_async.emulator.faults import NoResponse
from okx_sol_async.staking import _reconciliation as reconciliation
from tests.support.crashing import STAGES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PURCHASE = "POST /api/v5/finance/staking-defi/sol/purchase"
#: Where a process ends, and whether OKX has the order then.
CASES = {
    "before the log": False,
    "before the first byte": False,
    "lost": False,
    "sent": True,
    "after the response": True,
    "before settling": True,
    "settled": True,
}


@pytest.fixture(name="children", scope="module")
def _children() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.crashing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield process
        process.communicate()


def purchase_and_crash(children: subprocess.Popen[str], user: EmulatedUser, exchange: Emulator, *what: str) -> None:
    """Let a process be killed by SIGKILL at a stage of its purchase."""
    assert children.stdin is not None
    assert children.stdout is not None
    stage, key = what[1], user.credentials
    is_killed_here = stage in {"lost", "sent"}
    if is_killed_here:
        exchange.fail_next(NoResponse(processed=stage == "sent"), endpoint=PURCHASE, user=user)
    children.stdin.write("\t".join([exchange.url, *what, key.api_key, key.secret_key, key.passphrase]) + "\n")
    children.stdin.flush()
    child = int(children.stdout.readline())
    if is_killed_here:
        # It is in the journal once everything that it asks for was done.
        while not exchange.count(endpoint=PURCHASE, uid=user.uid):
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    assert "ended\n" == children.stdout.readline()


async def resolved(exchange: Emulator, credentials: Credentials, path: Path) -> list[Order | None]:
    """Do what a bot does after a restart: resolve what is open, and purchase if that did not happen."""
    limiter, log = LocalLimiter(), SQLiteWriteLog(path)
    async with Session(base_url=exchange.url, limiter=limiter, write_log=log) as session:
        staking = SolStaking(credentials, session)
        found = [await staking.resolve(write) async for write in staking.unresolved()]
        assert [] == [write async for write in staking.unresolved()]
        if not [order async for order in staking.history()]:
            await staking.purchase("1.5")
        return found


@pytest.mark.parametrize("stage", CASES)
async def test_what_a_crash_left_is_known_after_the_restart(
    background_exchange: Emulator,
    children: subprocess.Popen[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    """A write that may have left is in the log, and resolving it says whether it happened; nothing is done twice."""
    # OKX would accept the signature for half a minute more; the exchange here has ended the call with its connection.
    monkeypatch.setattr(reconciliation, "SETTLED", 0.0)
    happened = CASES[stage]
    for number in range(15):
        user = background_exchange.add_user()
        path = tmp_path / f"{number}.db"
        purchase_and_crash(children, user, background_exchange, str(path), stage)

        assert happened == bool(user.orders)
        found = await resolved(background_exchange, user.credentials, path)
        logged = stage not in {"before the log", "settled"}
        assert [happened] * logged == [order is not None for order in found]
        assert [Decimal("1.5")] == [order.amt for order in user.orders]


def test_every_stage_is_covered() -> None:
    """Those of the process that is killed, and two in which the test kills it."""
    assert set(STAGES) <= set(CASES)
