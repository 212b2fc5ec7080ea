"""``okx-sol apy``: the annual yield of the last days, as a plot, an SVG chart or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from okx_sol_async.cli._connection import ConnectedExchange, ExchangeOptions
from okx_sol_async.cli._options import Csv, Json, WholeNumber, only_one
from okx_sol_async.cli.render._formatting import plain
from okx_sol_async.cli.render._output import CsvPrinter, new_console, print_json, width_of, write
from okx_sol_async.cli.render._progress import waiting
from okx_sol_async.models import Apy
from okx_sol_async.staking._client import apy_history

#: The width of the plot where there is no terminal.
_WIDTH: Final = 80


async def apy(
    *,
    days: WholeNumber = 90,
    svg: Path | None = None,
    exchange: ExchangeOptions | None = None,
    json_: Json = False,
    csv_: Csv = False,
) -> None:
    """Show the annual percentage yield of the last days. No key is needed.

    Args:
        days: how many days, from 1 to 365.
        svg: write a chart to this file instead of printing.
        exchange: which exchange to ask.
        json_: print one JSON object per line; the rates are fractions there.
        csv_: print CSV with a header line; the rates are fractions there.

    """
    only_one(json=json_, csv=csv_, svg=svg is not None)
    async with (exchange or ExchangeOptions()).connected() as connected:
        with waiting(f"waiting for {connected.name}"):
            found = await apy_history(days, connected.session)
        source = _source_of(connected)
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


def _source_of(connected: ConnectedExchange) -> str:
    return connected.session.origin if connected.local is None else "a local exchange, made-up numbers"


def _draw(found: tuple[Apy, ...], source: str, path: Path) -> None:
    from okx_sol_async.cli.render._apy_svg import draw  # noqa: PLC0415 - only for --svg

    path.write_text(draw(found, source), encoding="utf-8")


def _plot(found: tuple[Apy, ...]) -> None:
    from okx_sol_async.cli.render._apy_plot import plot  # noqa: PLC0415 - only for the plot

    console = new_console()
    blocks = console.encoding.lower().startswith("utf")
    write("".join(f"{line}\n" for line in plot(found, width=width_of(console, _WIDTH), unicode=blocks)))
