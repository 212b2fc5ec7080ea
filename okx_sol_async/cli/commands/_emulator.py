"""``okx-sol emulator``: a local exchange for other programs."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from okx_sol_async.cli._options import WholeNumber
from okx_sol_async.cli.render._output import write
from okx_sol_async.errors import ConfigurationError

if TYPE_CHECKING:
    from okx_sol_async.emulator import Emulator


async def emulator(
    *,
    host: str = "127.0.0.1",
    port: WholeNumber = 0,
    window: Literal["sliding", "fixed", "token", "counter"] = "sliding",
    latency: float = 0.0,
    jitter: float = 0.0,
    seed: WholeNumber | None = None,
    state: Path | None = None,
    log: Literal["text", "json"] = "text",
    token: str | None = None,
    demo: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    upstream: str | None = None,
    record: Path | None = None,
) -> None:
    """Serve a local exchange until Ctrl-C, and print the variables that point a bot to it.

    Each request is a line on stderr. The page at /_emulator/ shows the calls against the limit, and the control API
    below it (/_emulator/openapi.json) sets users, terms, the clock and faults.

    Args:
        host: the address to serve on; one that other machines can reach needs --token.
        port: the port; 0 takes a free one.
        window: how calls are counted.
        latency: seconds that a request and a response are in flight.
        jitter: the most seconds that are added at random to each of them.
        seed: a number that makes jitter and random faults repeatable.
        state: a file with users, terms, clock and faults, in TOML or JSON; /_emulator/snapshot writes one.
        log: how the lines on stderr are written.
        token: what the control API asks for, as a bearer token.
        demo: give its user a key of demo trading.
        upstream: pass documented reads through to this exchange, such as https://www.okx.com; writes are refused.
        record: write what came from --upstream to this state file in JSON, without secrets, after each response.

    """
    # It brings an HTTP server along, which no other command needs.
    from okx_sol_async.cli._demo_exchange import with_history  # noqa: PLC0415
    from okx_sol_async.emulator import Emulator, RequestLog  # noqa: PLC0415

    if record is not None and upstream is None:
        message = "record needs an upstream to record from"
        raise ConfigurationError(message, argument="record")
    exchange = with_history(
        Emulator(
            demo=demo,
            host=host,
            port=port,
            window=window,
            latency=latency,
            jitter=jitter,
            seed=seed,
            token=token,
            upstream=upstream,
            now=time.time,
        )
    )
    if state is not None:
        exchange.restore(state)
    if record is not None:
        _record_to(record, exchange)
    exchange.journal.listeners.append(RequestLog(_write_line, log).write_entry)
    with _warnings_in_json() if log == "json" else nullcontext():
        async with exchange:
            # The keys for an exchange upstream are the user's own.
            names = exchange.environment if upstream is None else ("OKX_BASE_URL",)
            write("".join(f"export {name}={exchange.environment[name]}\n" for name in names))
            sys.stdout.flush()
            if log == "text":
                _write_line(
                    f"Set these variables where your bot runs. Page and control API: {exchange.url}/_emulator/\n"
                )
            await asyncio.Event().wait()


def _write_line(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


class _JsonLines(logging.Handler):
    """Writes a record as a line of JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        _write_line(json.dumps({"time": time, "level": record.levelname, "message": record.getMessage()}) + "\n")


@contextmanager
def _warnings_in_json() -> Iterator[None]:
    """Write the emulator's own warnings, such as those of unknown endpoints, as JSON too."""
    logger, handler = logging.getLogger("okx_sol_async.emulator"), _JsonLines(logging.WARNING)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def _record_to(path: Path, exchange: Emulator) -> None:
    """Write what is recorded to a file, now and after each response; the file is always whole."""

    def write_file() -> None:
        written = path.with_name(f"{path.name}.part")
        written.write_text(json.dumps(exchange.recorded(), indent=2) + "\n", "utf-8")
        written.replace(path)

    try:
        write_file()
    except OSError as error:
        message = f"record {path} can't be written: {error}"
        raise ConfigurationError(message, argument="record") from None
    exchange.recording.listeners.append(write_file)
