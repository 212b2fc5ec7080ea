"""The logs of writes: what they keep, for how long, and what happens when a file cannot be used."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from okx_sol_async import ConfigurationError, OrderType
from okx_sol_async._writes import Write, WriteLog, WriteOutcome
from okx_sol_async.staking import _write_log as write_log
from okx_sol_async.staking._write_log import MemoryWriteLog, SQLiteWriteLog

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ORIGIN = "https://openapi.okx.com"


def write(
    at: float = 0,
    *,
    owner: str = "user:x",
    outcome: WriteOutcome = WriteOutcome.SENT,
    amt: str = "1.5",
    demo: bool = False,
) -> Write:
    sent_at = NOW + timedelta(seconds=at)
    return Write(OrderType.PURCHASE, Decimal(amt), sent_at, owner, ORIGIN, demo, outcome=outcome)


@pytest.fixture(name="log", params=["memory", "file"])
def _log(request: pytest.FixtureRequest, tmp_path: Path) -> WriteLog:
    return MemoryWriteLog() if request.param == "memory" else SQLiteWriteLog(tmp_path / "writes.db")


async def read(log: WriteLog, owner: str = "user:x") -> list[Write]:
    return list(await log.read(owner, ORIGIN, demo=False))


async def test_a_log_keeps_writes_as_they_are(log: WriteLog) -> None:
    """Each field of them is exact, in the order of their time."""
    late = write(1, amt="0.000000001")
    found = attrs.evolve(
        write(),
        trace_id="a1b2",
        outcome=WriteOutcome.TAKEN,
        ordered_at=NOW + timedelta(seconds=1),
        type=OrderType.REDEEM,
    )
    await log.put(late)
    await log.put(found)

    assert [found, late] == await read(log)


async def test_a_write_that_is_kept_again_takes_its_own_place(log: WriteLog) -> None:
    """It was sent again after a refusal, or its outcome is known now."""
    first = write()
    await log.put(first)
    again = attrs.evolve(first, sent_at=NOW + timedelta(seconds=3), outcome=WriteOutcome.TAKEN, trace_id="a1b2")
    await log.put(again)

    assert [again] == await read(log)
    await log.remove(first)
    await log.remove(first)
    assert [] == await read(log)


async def test_each_account_has_its_own_writes(log: WriteLog) -> None:
    """Those of a user, a host and a mode."""
    mine = write()
    for one in (mine, write(owner="user:y"), write(demo=True), attrs.evolve(write(), origin="https://us.okx.com")):
        await log.put(one)

    assert [mine] == await read(log)


async def test_owners_that_are_one_user_share_their_writes(log: WriteLog) -> None:
    """Whichever was merged into which, in any order, and whenever they wrote."""
    by_key, by_label, by_id = write(0, owner="key:1"), write(1, owner="user:me"), write(2, owner="user:17")
    others = write(3, owner="user:18")
    await log.put(by_key)
    await log.merge("key:1", "user:me")
    await log.put(by_label)
    await log.merge("key:2", "user:17")
    await log.merge("user:17", "user:me")
    await log.merge("key:1", "user:17")
    for one in (by_id, others):
        await log.put(one)

    for owner in ("key:1", "key:2", "user:me", "user:17"):
        assert [by_key, by_label, by_id] == await read(log, owner)
    assert [others] == await read(log, "user:18")


async def test_old_writes_are_dropped(log: WriteLog) -> None:
    """After ten minutes, so that a service may write for ever; but none that is open."""
    lost = write(-5000, outcome=WriteOutcome.UNKNOWN)
    await log.put(lost)
    for second in range(0, 6000, 100):
        await log.put(write(second, outcome=WriteOutcome.TAKEN))
    kept = await read(log)

    assert lost == kept[0]
    assert 7 <= len(kept) - 1 <= 8


async def test_a_write_is_dropped_after_ten_minutes(log: WriteLog) -> None:
    """By the first write after them, but no more often than once a minute."""
    old = write(outcome=WriteOutcome.TAKEN)
    kept = []
    for at in (0, 600, 659, 660):
        await log.put(attrs.evolve(old, sent_at=NOW) if at == 0 else write(at))
        kept.append(old in await read(log))

    assert [True, True, True, False] == kept


async def test_only_writes_are_kept_and_removed(log: WriteLog) -> None:
    """Anything else is a mistake that is reported at once."""
    for use in (log.put, log.remove):
        with pytest.raises(ConfigurationError, match=r"^write must be a Write"):
            await use("a write")  # type: ignore[arg-type]


async def test_a_write_that_may_explain_an_order_of_an_open_one_is_kept(log: WriteLog) -> None:
    """Or it would be missing when the open one is resolved, perhaps days later."""
    near, far, lost = write(105, outcome=WriteOutcome.TAKEN), write(105.001, outcome=WriteOutcome.TAKEN), write(0)
    for one in (near, far, lost, write(100_000)):
        await log.put(one)

    assert [lost, near] == (await read(log))[:-1]


# The file.


def printed_by(script: str, *arguments: object) -> str:
    """Run a script in another interpreter, and return what it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603


def test_another_process_finds_what_was_written(tmp_path: Path) -> None:
    """Also while this one has it open."""
    path = tmp_path / "writes.db"
    mine = write()
    asyncio.run(SQLiteWriteLog(path).put(mine))
    script = (
        "import asyncio, sys; from okx_sol_async import SQLiteWriteLog;"
        f"print(asyncio.run(SQLiteWriteLog(sys.argv[1]).read('user:x', {ORIGIN!r}, demo=False))[0].id)"
    )

    assert mine.id == printed_by(script, path).strip()


async def test_several_logs_may_write_to_one_file(tmp_path: Path) -> None:
    """Each log has a thread of its own, as another process has."""
    logs = [SQLiteWriteLog(tmp_path / "writes.db") for _ in range(8)]
    await asyncio.gather(*(logs[number % 8].put(write(number)) for number in range(80)))

    assert 80 == len(await read(logs[0]))


async def test_a_log_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """Whatever else the program does in threads, a write waits for none of it."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(busy := ThreadPoolExecutor(1))
    done = threading.Event()
    busy.submit(done.wait)
    try:
        await asyncio.wait_for(SQLiteWriteLog(tmp_path / "writes.db").put(write()), 60)
    finally:
        done.set()

    assert "okx-sol-write-log_0" in {thread.name for thread in threading.enumerate()}


async def test_operations_keep_their_order_also_when_they_are_cancelled(tmp_path: Path) -> None:
    """A write that was cancelled while it was being logged is not in the log after it was removed."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    for _ in range(20):
        one = write()
        task = asyncio.create_task(log.put(one))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await log.remove(one)

    assert [] == await read(log)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_process_may_go_on_writing(tmp_path: Path) -> None:
    """It does not use the thread of its parent."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    await log.put(write())
    script = f"""
import asyncio, os
from datetime import datetime, UTC
from decimal import Decimal
from okx_sol_async import OrderType, SQLiteWriteLog, Write
log = SQLiteWriteLog({os.fspath(log.path)!r})
def put():
    asyncio.run(log.put(Write(OrderType.PURCHASE, Decimal(1), datetime.now(UTC), "user:x", {ORIGIN!r}, False)))
put()
child = os.fork()
put()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    await asyncio.to_thread(printed_by, script)

    assert 4 == len(await read(log))


async def test_what_fails_leaves_nothing_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is refused by the log is not sent, so it must not be there later."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    with monkeypatch.context() as patch:
        patch.setattr(write_log, "expendable", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await log.put(write())

    assert [] == await read(log)


async def test_owners_are_merged_once(tmp_path: Path) -> None:
    """Each call introduces its user, and does not wait for the disk to do so."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    await log.merge("key:1", "user:me")
    log.path.unlink()
    await log.merge("key:1", "user:me")

    assert not log.path.exists()
    assert log._executor() is log._executor()


def test_what_is_written_is_on_the_disk(tmp_path: Path) -> None:
    """SQLite waits for the file and, because the end of its journal is the commit, for the folder."""
    with closing(SQLiteWriteLog(tmp_path / "writes.db")._open()) as file:
        assert (3,) == file.execute("PRAGMA synchronous").fetchone()


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """It shows who stakes how much; and when it is closed no other file is left beside it."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    asyncio.run(log.put(write()))

    assert 0o600 == stat.S_IMODE(log.path.stat().st_mode)
    assert [log.path] == list(tmp_path.iterdir())


def _folder(path: Path) -> None:
    path.mkdir()


def _something_else(path: Path) -> None:
    path.write_bytes(b"what is this? " * 100)


def _newer(path: Path) -> None:
    file = sqlite3.connect(path)
    file.execute(f"PRAGMA user_version = {write_log.SCHEMA + 1}")
    file.close()


def _damaged(path: Path) -> None:
    asyncio.run(SQLiteWriteLog(path).put(write()))
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("UPDATE writes SET sent_at = 'tomorrow'")
    file.close()


def _missing(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_folder, "directory"),
        (_something_else, "not a database"),
        (_newer, "a newer version of this package"),
        (_damaged, "tomorrow"),
        (_missing, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_raises(tmp_path: Path, spoil: Callable[[Path], None], reason: str) -> None:
    """The error names the file and the reason."""
    path = tmp_path / "folder" / "writes.db"
    path.parent.mkdir()
    spoil(path)
    log = SQLiteWriteLog(path)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        asyncio.run(read(log))

    assert "write_log" == caught.value.argument
    assert str(path) in str(caught.value)


async def test_a_file_that_stays_locked_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes after some seconds."""
    monkeypatch.setattr(write_log, "BUSY_TIMEOUT", 0.05)
    log = SQLiteWriteLog(tmp_path / "writes.db")
    await log.put(write())
    other = sqlite3.connect(log.path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match="locked"):
            await log.put(write(1))
    finally:
        other.close()
    await log.put(write(1))


@pytest.mark.parametrize("path", [None, 5, "", b"writes.db", ":memory:"])
def test_the_path_is_that_of_a_file(path: object) -> None:
    """Anything else is a mistake that is reported at once."""
    with pytest.raises(ConfigurationError, match=r"^path must ") as caught:
        SQLiteWriteLog(path)  # type: ignore[arg-type]

    assert "path" == caught.value.argument


async def test_the_repr_of_a_log_shows_no_owner() -> None:
    """It says how many writes it holds."""
    log = MemoryWriteLog()
    await log.put(write(owner="user:secret"))

    assert "<MemoryWriteLog of 1 writes>" == repr(log)


@pytest.mark.parametrize(
    ("field", "value"), [("owner", 5), ("amt", Decimal("NaN")), ("type", OrderType("gift")), ("demo", None)]
)
async def test_a_write_with_a_wrong_field_is_not_kept(log: WriteLog, field: str, value: object) -> None:
    """The error names the field, and the log stays as it was."""
    wrong: Any = attrs.evolve(write(), **{field: value})

    with pytest.raises(ConfigurationError, match=f"write has a wrong {field}") as caught:
        await log.put(wrong)

    assert "write" == caught.value.argument
    assert [] == await read(log)
