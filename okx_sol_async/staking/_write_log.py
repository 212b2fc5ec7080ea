"""The log of writes in memory, and the one in a file that outlives the process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from okx_sol_async._checks import text, wrong
from okx_sol_async._writes import Write, WriteLog
from okx_sol_async.codec._builtins import Builtin, to_builtins
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.signing._owners import OwnerRegistry
from okx_sol_async.staking._arguments import checked_write
from okx_sol_async.staking._reconciliation import RELATED

T = TypeVar("T")

#: How long writes are kept whose outcome is known.
MEMORY: Final = timedelta(minutes=10)
#: How often those that are older are dropped.
SWEEP_EVERY: Final = timedelta(minutes=1)
#: Seconds to wait for another process that is writing to the file.
BUSY_TIMEOUT: Final = 5.0
#: The version of the tables.
SCHEMA: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS writes (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    origin TEXT NOT NULL,
    demo INTEGER NOT NULL,
    type TEXT NOT NULL,
    amt TEXT NOT NULL,
    sent_at TEXT NOT NULL,
    trace_id TEXT,
    outcome TEXT NOT NULL,
    ordered_at TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS writes_of_owner ON writes (owner, origin, demo);
CREATE TABLE IF NOT EXISTS owners (name TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT: Final = """
INSERT INTO writes VALUES (:id, :owner, :origin, :demo, :type, :amt, :sent_at, :trace_id, :outcome, :ordered_at)
ON CONFLICT (id) DO UPDATE SET
    sent_at = excluded.sent_at, trace_id = excluded.trace_id, outcome = excluded.outcome, ordered_at = excluded.ordered_at
"""
_READ: Final = """
SELECT id, owner, origin, demo, type, amt, sent_at, trace_id, outcome, ordered_at FROM writes
WHERE origin = :origin AND demo = :demo AND owner IN (
    SELECT :owner UNION
    SELECT name FROM owners WHERE owner = (SELECT owner FROM owners WHERE name = :owner)
)
ORDER BY sent_at
"""


class MemoryWriteLog:
    """Keeps writes in this process: what it holds ends with the process. Every `Session` without ``write_log`` shares one.

    Writes whose outcome is known are dropped after ten minutes; open ones are kept until they are resolved.
    """

    def __init__(self) -> None:
        self._writes: dict[str, Write] = {}
        self._owners = OwnerRegistry()
        self._swept_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<MemoryWriteLog of {len(self)} writes>"

    def __len__(self) -> int:
        """How many writes it holds."""
        return len(self._writes)

    async def put(self, write: Write) -> None:
        """Keep ``write``, in place of the one with its ``id`` if there is one."""
        self._writes[checked_write(write).id] = write
        if self._swept_at is None or write.sent_at >= self._swept_at + SWEEP_EVERY:
            self._swept_at = write.sent_at
            # Event loops of several threads may write: copying a dict and changing one key are atomic.
            for old in expendable(tuple(self._writes.values()), write.sent_at):
                self._writes.pop(old.id, None)

    async def remove(self, write: Write) -> None:
        """Drop the write with this ``id``. Without one, do nothing."""
        self._writes.pop(checked_write(write).id, None)

    async def read(self, owner: str, origin: str, *, demo: bool) -> Sequence[Write]:
        """Return all writes of a user, under all names of the user, in the order of their time."""
        names = self._owners.names(text("owner", owner))
        writes = tuple(self._writes.values())
        found = [write for write in writes if write.owner in names and (write.origin, write.demo) == (origin, demo)]
        return sorted(found, key=lambda write: write.sent_at)

    async def merge(self, owner: str, into: str) -> None:
        """Remember that two owners are one user."""
        self._owners.merge(text("owner", owner), text("into", into))


#: The log of every `Session` that is given no other: another client of the same user finds what the last one wrote.
PROCESS_LOG: Final = MemoryWriteLog()


class SQLiteWriteLog:
    """Keeps writes in a file, which survives a crash of the process and of the machine.

    Several processes on one machine may share the file; it must not lie on a network drive. It is made if there is none,
    readable by its owner only; SQLite's journal lies beside it while something is being written.
    It holds labels or hashes of keys, amounts and times, and no keys. SQLite runs in a thread, so the event loop never
    waits for the disk. There is nothing to close.

    Args:
        path: the file.

    Raises:
        ConfigurationError: ``path`` is no path of a file. A file that cannot be used raises it later, from each write,
            which is not sent then.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            name: object = os.fspath(path)
        except TypeError:
            name = None
        if not isinstance(name, str) or not name:
            raise wrong(path, "path", "the path of a file")
        if name == ":memory:":
            message = "path must be the path of a file: a log in memory is MemoryWriteLog"
            raise ConfigurationError(message, argument="path")
        self._path = Path(name)
        # One thread, so that what was begun first is done first, even if its task is cancelled meanwhile.
        self._thread: tuple[int, ThreadPoolExecutor] | None = None
        self._swept_at: datetime | None = None
        # Pairs of owners that are in the file as one user.
        self._merged: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<SQLiteWriteLog {os.fspath(self._path)!r}>"

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    async def put(self, write: Write) -> None:
        """Keep ``write``, in place of the one with its ``id`` if there is one. It is on the disk when this returns.

        Raises:
            ConfigurationError: the file cannot be written.

        """
        checked_write(write)
        await self._run(lambda file: self._put(file, write))

    async def remove(self, write: Write) -> None:
        """Drop the write with this ``id``. Without one, do nothing.

        Raises:
            ConfigurationError: the file cannot be written.

        """
        checked_write(write)
        await self._run(lambda file: _delete(file, [write]))

    async def read(self, owner: str, origin: str, *, demo: bool) -> Sequence[Write]:
        """Return all writes of a user, under all names of the user, in the order of their time.

        Raises:
            ConfigurationError: the file cannot be read.

        """
        text("owner", owner)
        return await self._run(lambda file: _rows(file, _READ, {"owner": owner, "origin": origin, "demo": demo}))

    async def merge(self, owner: str, into: str) -> None:
        """Remember that two owners are one user. It is on the disk when this returns.

        Raises:
            ConfigurationError: the file cannot be written.

        """
        if (text("owner", owner), text("into", into)) not in self._merged:
            await self._run(lambda file: _merge(file, owner, into))
            self._merged.add((owner, into))

    async def _run(self, use: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor(), self._in_transaction, use)

    def _executor(self) -> ThreadPoolExecutor:
        # A fork has no threads of its parent.
        if self._thread is None or self._thread[0] != os.getpid():
            self._thread = os.getpid(), ThreadPoolExecutor(1, "okx-sol-write-log")
        return self._thread[1]

    def _in_transaction(self, use: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(self._open()) as file:
                file.execute("BEGIN IMMEDIATE")
                # It commits, or rolls back what has failed.
                with file:
                    return use(file)
        except (sqlite3.Error, OSError, ValueError) as error:
            message = f"the write log {os.fspath(self._path)!r} cannot be used: {error}"
        raise ConfigurationError(message, argument="write_log", hint="Check the file, its folder and the disk.")

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        file = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            # EXTRA, because a commit that ends with the removal of the journal is on the disk when the folder is.
            file.execute("PRAGMA synchronous = EXTRA")
            _prepare(file)
        except BaseException:
            file.close()
            raise
        return file

    def _put(self, file: sqlite3.Connection, write: Write) -> None:
        file.execute(_PUT, _row(write))
        if self._swept_at is None or write.sent_at >= self._swept_at + SWEEP_EVERY:
            self._swept_at = write.sent_at
            _delete(file, expendable(_rows(file, "SELECT * FROM writes", {}), write.sent_at))


def _prepare(file: sqlite3.Connection) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        message = f"a newer version of this package has written it (its tables have version {version})"
        raise ValueError(message)
    if version < SCHEMA:
        file.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")


def expendable(writes: Sequence[Write], now: datetime) -> list[Write]:
    """Return the writes that may be dropped: old ones whose outcome is known, and that explain no order of an open one."""
    open_at = [write.sent_at for write in writes if write.outcome.is_open]
    return [
        write
        for write in writes
        if not write.outcome.is_open
        and write.sent_at < now - MEMORY
        and not any(abs(write.sent_at - other) <= RELATED for other in open_at)
    ]


def _delete(file: sqlite3.Connection, writes: Iterable[Write]) -> None:
    file.executemany("DELETE FROM writes WHERE id = ?", [(write.id,) for write in writes])


def _merge(file: sqlite3.Connection, owner: str, into: str) -> None:
    for name in (owner, into):
        file.execute("INSERT INTO owners VALUES (?, ?) ON CONFLICT DO NOTHING", (name, name))
    file.execute(
        "UPDATE owners SET owner = (SELECT owner FROM owners WHERE name = :into)"
        " WHERE owner = (SELECT owner FROM owners WHERE name = :owner)",
        {"owner": owner, "into": into},
    )


def _row(write: Write) -> dict[str, Builtin]:
    # The time has one length always, so that the order of the texts is that of the times.
    sent_at = write.sent_at.astimezone(UTC).isoformat(timespec="microseconds")
    return to_builtins(write) | {"sent_at": sent_at}


def _rows(file: sqlite3.Connection, query: str, parameters: dict[str, object]) -> list[Write]:
    rows = file.execute(query, parameters)
    names = [name for name, *_ in rows.description]
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [Write(**{**row, "demo": bool(row["demo"])}) for row in found]


# mypy checks here that both are what the protocol asks for.
_BOTH: Final[tuple[type[WriteLog], ...]] = (MemoryWriteLog, SQLiteWriteLog)
