"""``okx-sol doctor``: what is wrong between this machine, OKX and a key."""

from __future__ import annotations

from typing import Final

from okx_sol_async._checkup import Checkup, Finding, Level
from okx_sol_async.cli._argument_names import summary_of
from okx_sol_async.cli._connection import ConnectedExchange, ExchangeOptions
from okx_sol_async.cli._exit_codes import NOTHING_DONE, exit_code_of
from okx_sol_async.cli._options import Json
from okx_sol_async.cli.render._output import new_console, print_json, write
from okx_sol_async.cli.render._progress import waiting
from okx_sol_async.errors import ConfigurationError

#: How each level is marked, with and without Unicode, and in which colour; all are readable on black and on white.
_MARKS: Final = {
    Level.OK: ("✓", "ok  ", "green"),
    Level.SKIPPED: ("-", "-   ", ""),
    Level.WARNING: ("!", "WARN", "bold magenta"),
    Level.ERROR: ("✗", "FAIL", "bold red"),
}


async def doctor(*, exchange: ExchangeOptions | None = None, json_: Json = False) -> int:
    """Check the connection, the clock, the key and what it may do, and show what to do. It only reads.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object.

    """
    async with (exchange or ExchangeOptions()).connected() as connected:
        with waiting(f"asking {connected.name}"):
            checkup = await _check(connected)
    if json_:
        print_json({"worst": checkup.worst, "findings": [_plain(finding) for finding in checkup.findings]})
    else:
        _print(checkup)
    return _exit_code(checkup)


async def _check(connected: ConnectedExchange) -> Checkup:
    """Run the checkup; a key that is missing or malformed is a finding too."""
    try:
        credentials = connected.credentials()
    except ConfigurationError as error:
        checkup = await connected.session.check()
        missing = Finding("key", Level.ERROR, summary_of(error), error.hint, error)
        return Checkup(tuple(missing if finding.name == "key" else finding for finding in checkup.findings))
    return await connected.session.check(credentials)


def _exit_code(checkup: Checkup) -> int:
    """Return the exit code of the first error, else 1 if there is a warning, else 0."""
    for finding in checkup.findings:
        if finding.level is Level.ERROR and finding.error is not None:
            return exit_code_of(finding.error)
    return NOTHING_DONE if checkup.worst is Level.WARNING else 0


def _plain(finding: Finding) -> dict[str, str | None]:
    return {
        "name": finding.name,
        "level": finding.level,
        "message": finding.message,
        "advice": finding.advice,
        "code": None if finding.error is None else finding.error.code,
    }


def _print(checkup: Checkup) -> None:
    from rich.table import Table  # noqa: PLC0415 - only for people
    from rich.text import Text  # noqa: PLC0415 - as above

    console = new_console()
    unicode = console.encoding.lower().startswith("utf")
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in checkup.findings:
        mark, ascii_mark, style = _MARKS[finding.level]
        message = Text().append(finding.message, "dim" if finding.level is Level.SKIPPED else "")
        if finding.advice is not None:
            message.append(f"\n{finding.advice}", "italic")
        table.add_row(Text(mark if unicode else ascii_mark, style), Text(finding.name, "bold"), message)
    with console.capture() as captured:
        console.print(table)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
