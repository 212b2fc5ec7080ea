"""The bot of the page "Moving money safely" survives what the page says."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, NoResponse, Reset
from tests.support.windows import SHORT

pytestmark = pytest.mark.usefixtures("short_windows")

PAGE: Final = Path(__file__).parents[2] / "docs" / "money.md"
PURCHASE: Final = "POST /api/v5/finance/staking-defi/sol/purchase"
#: Put before the bot: it looks for an order for less than 40 seconds, because here nothing arrives so late, and its calls
#: are counted over a shorter time than OKX's.
HURRY: Final = f"""
import attrs
from okx_sol_async import LocalLimiter
from okx_sol_async.staking import _reconciliation
_reconciliation.SETTLED = 0.5
bucket = LocalLimiter.bucket
LocalLimiter.bucket = lambda self, key, limit: bucket(self, key, attrs.evolve(limit, seconds={SHORT}))
"""
#: Kills the bot at a stage of its second purchase.
KILL: Final = """
import os, signal
from okx_sol_async.staking._write_log import SQLiteWriteLog
puts, put = 0, SQLiteWriteLog.put
async def put_and_die(self, write):
    global puts
    puts += 1
    if puts == {number} and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    await put(self, write)
    if puts == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
SQLiteWriteLog.put = put_and_die
"""


@pytest.fixture(name="bot")
def _bot(tmp_path: Path, as_user: Emulator) -> Path:
    """Save the bot."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (source,) = [block for block in blocks if "__main__" in block]
    path = tmp_path / "bot.py"
    path.write_text(HURRY + source, encoding="utf-8")
    return path


def start(bot: Path, *, first: str = "") -> subprocess.Popen[str]:
    script = f"{first}\nimport runpy, sys\nrunpy.run_path(sys.argv[1], run_name='__main__')"
    environment = os.environ | {"WRITE_LOG": os.fspath(bot.with_suffix(".db"))}
    command = [sys.executable, "-c", script, os.fspath(bot)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603


def finished(bot: Path) -> list[str]:
    with start(bot) as process:
        printed, _ = process.communicate(timeout=60)
    assert 0 == process.returncode
    return printed.splitlines()


# The second purchase puts its entry for the third time, its outcome for the fourth; the receipt's order comes between.
@pytest.mark.parametrize(
    ("number", "before", "resolved"),
    [
        (4, True, []),
        (4, False, ["resolved: purchase of 1 SOL did not happen"]),
        (5, True, ["resolved: purchase of 1 SOL happened"]),
        (5, False, []),
    ],
    ids=["before the log", "before the first byte", "after the response", "settled"],
)
def test_a_bot_that_is_killed_goes_on(
    bot: Path, as_user: Emulator, number: int, *, before: bool, resolved: list[str]
) -> None:
    """It ends with three purchases, wherever it was killed."""
    with start(bot, first=KILL.format(number=number, before=before)) as process:
        process.communicate(timeout=60)
    assert -signal.SIGKILL == process.returncode

    printed = finished(bot)
    assert resolved == [line for line in printed if line.startswith("resolved")]
    assert "done" == printed[-1]
    assert 3 == len(as_user.user.orders)


@pytest.mark.parametrize("processed", [True, False])
def test_a_bot_that_is_killed_while_it_waits_for_the_response_goes_on(
    bot: Path, as_user: Emulator, *, processed: bool
) -> None:
    """Whether OKX has the order or not."""
    injection = as_user.fail_next(NoResponse(processed=processed), endpoint=PURCHASE)
    with start(bot) as process:
        while injection.left:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()

    printed = finished(bot)
    assert [f"resolved: purchase of 1 SOL {'happened' if processed else 'did not happen'}"] == printed[:1]
    assert 3 == len(as_user.user.orders)


def test_a_bot_whose_response_is_lost_goes_on(bot: Path, as_user: Emulator) -> None:
    """In the same process."""
    as_user.fail_next(Delay(), endpoint=PURCHASE)
    as_user.fail_next(Reset(processed=True), endpoint=PURCHASE)
    printed = finished(bot)

    assert printed[1].startswith("unknown: ")
    assert ["purchased 1 SOL", "resolved: purchase of 1 SOL happened", "purchased 1 SOL", "done"] == [
        line for line in printed if not line.startswith("unknown")
    ]
    assert 3 == len(as_user.user.orders)
