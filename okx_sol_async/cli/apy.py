"""``okx-sol apy``: the yield of the last days, as a plot, a picture or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from okx_sol_async.cli.exchange import Connection, Exchange
from okx_sol_async.cli.forms import plain
from okx_sol_async.cli.options import Csv, Json, WholeNumber, only_one
from okx_sol_async.cli.output import CsvPrinter, new_console, print_json, width_of, write
from okx_sol_async.models import Apy
from okx_sol_async.staking.client import apy_history

#: Rows of the plot.
_HEIGHT: Final = 15
#: Where there is no terminal, the plot is as wide as most of them are.
_WIDTH: Final = 80


async def apy(
    *,
    days: WholeNumber = 90,
    svg: Path | None = None,
    exchange: Exchange | None = None,
    json_: Json = False,
    csv_: Csv = False,
) -> None:
    """Show the annual percentage yield of the last days. It takes no key.

    Args:
        days: how many, from 1 to 365.
        svg: draw a chart into this file, and print nothing.
        exchange: which exchange to ask.
        json_: print one JSON object a line; the rates are fractions there.
        csv_: print CSV, with a line of names first; the rates are fractions there.

    """
    only_one(json=json_, csv=csv_, svg=svg is not None)
    async with (exchange or Exchange()).connected() as connection:
        found = await apy_history(days, connection.session)
        source = _source_of(connection)
    if json_:
        for one in found:
            print_json(plain(one))
    elif csv_:
        printer = CsvPrinter([field.name for field in attrs.fields(Apy)])
        for one in found:
            printer.print(plain(one))
    elif svg is not None:
        _draw(found, source, svg)
    else:
        _plot(found)


def _source_of(connection: Connection) -> str:
    return connection.session.origin if connection.local is None else "a local exchange, made up"


def _draw(found: tuple[Apy, ...], source: str, path: Path) -> None:
    from okx_sol_async.cli.chart import draw  # noqa: PLC0415 - few want a picture

    path.write_text(draw(found, source), encoding="utf-8")


def _plot(found: tuple[Apy, ...]) -> None:
    from okx_sol_async.cli.plot import plot  # noqa: PLC0415 - as above

    console = new_console()
    blocks = console.encoding.lower().startswith("utf")
    write("".join(f"{line}\n" for line in plot(found, width=width_of(console, _WIDTH), height=_HEIGHT, unicode=blocks)))
