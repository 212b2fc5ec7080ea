"""The command line: ``okx-sol balance`` and its kin.

Keys come from the environment only, because arguments show in the list of processes and in the history of the shell.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

import attrs
import cattrs
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table

from okx_sol_async import errors
from okx_sol_async.emulator import Emulator
from okx_sol_async.session import Region, Session
from okx_sol_async.signing import Credentials
from okx_sol_async.staking import SolStaking
from okx_sol_async.version import __version__

if TYPE_CHECKING:
    from okx_sol_async.models import Balance

#: The exit code of each kind of error; 0 is success, and 2 is also what a mistyped command ends with.
EXIT_CODES: Final[dict[type[errors.OKXError], int]] = {
    errors.ConfigurationError: 2,
    errors.AuthenticationError: 3,
    errors.PermissionDenied: 4,
    errors.ClockSkew: 5,
    errors.RateLimited: 6,
    errors.Unavailable: 7,
    errors.Rejected: 8,
    errors.Timeout: 9,
    errors.TransportError: 10,
    errors.DecodeError: 11,
    errors.OutcomeUnknown: 12,
}
_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141
_NO_OUTPUT: Final = 1

app = App(
    name="okx-sol",
    help=(
        "OKX's SOL staking in a terminal.\n\n"
        "Keys come from the environment: OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE, and OKX_USER_ID if several keys"
        " belong to one user. OKX_REGION, OKX_BASE_URL and OKX_DEMO are read where the options below are not given."
    ),
    version=__version__,
    suppress_keyboard_interrupt=False,
)


@Parameter(name="*")
@attrs.frozen
class Exchange:
    """Which exchange to ask.

    Args:
        region: where the account was registered.
        base_url: another host, as https://host.
        demo: demo trading, with a key of demo trading.
        emulator: an exchange inside this process, without an account and without a network.

    """

    region: Region | None = None
    base_url: str | None = None
    demo: bool | None = None
    emulator: Annotated[bool, Parameter(negative=())] = False

    @asynccontextmanager
    async def staking(self) -> AsyncIterator[SolStaking]:
        """Open the SOL staking of the user that the environment names, or of the emulator's."""
        if self.emulator:
            async with self._emulated() as staking:
                yield staking
            return
        credentials = Credentials.from_env()
        async with Session.from_env(region=self.region, base_url=self.base_url, demo=self.demo) as session:
            yield SolStaking(credentials, session)

    @asynccontextmanager
    async def _emulated(self) -> AsyncIterator[SolStaking]:
        if self.region is not None or self.base_url is not None:
            message = "--emulator is an exchange of its own: leave out --region and --base-url"
            raise errors.ConfigurationError(message)
        demo = bool(self.demo)
        async with Emulator(demo=demo) as exchange, Session(base_url=exchange.url, demo=demo) as session:
            yield SolStaking(exchange.credentials, session)


@app.command
async def balance(
    *,
    exchange: Exchange | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show the OKSOL that the account holds, and its interest.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object, with exact decimal strings.

    """
    async with (exchange or Exchange()).staking() as staking:
        found = await staking.balance()
    if json_:
        sys.stdout.write(f"{json.dumps(_plain(found))}\n")
    else:
        _print_table(found)


@app.command
async def emulator(*, port: int = 0, demo: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Serve a local exchange until it is interrupted, and print the settings with which a bot finds it.

    Args:
        port: the port on 127.0.0.1; 0 takes any that is free.
        demo: make its user one of demo trading.

    """
    # With a clock that it was given, interest accrues as the days go by.
    async with Emulator(port=port, demo=demo, now=time.time) as exchange:
        made_up = exchange.credentials
        settings = {
            "OKX_BASE_URL": exchange.url,
            "OKX_API_KEY": made_up.api_key,
            "OKX_SECRET_KEY": made_up.secret_key,
            "OKX_PASSPHRASE": made_up.passphrase,
            "OKX_USER_ID": made_up.user_id,
            "OKX_DEMO": "1" if demo else "0",
        }
        sys.stdout.writelines(f"export {name}={value}\n" for name, value in settings.items())
        sys.stdout.flush()
        await asyncio.Event().wait()


def _plain(balance: Balance) -> dict[str, str]:
    return _CONVERTER.unstructure(balance)  # type: ignore[no-any-return]


def _print_table(balance: Balance) -> None:
    fields = _plain(balance)
    console = Console(highlight=False)
    # A number that does not fit is not cut: it would be another number.
    console.width = max(console.width, max(map(len, fields)) + 2 + max(map(len, fields.values())))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in fields.items():
        table.add_row(name, value)
    with console.capture() as captured:
        console.print(table)
    # rich would end the process by itself if nobody reads any more.
    sys.stdout.write(captured.get())


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows ``okx-sol``; `None` takes them from the process.

    """
    if sys.stdout is None:
        return _fail("there is no standard output to write to", None, _NO_OUTPUT)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(f"{error}".strip(), "okx-sol --help shows what there is.", EXIT_CODES[errors.ConfigurationError])
    except errors.OKXError as error:
        return _fail(error.summary, error.hint, EXIT_CODES.get(type(error), 1))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _INTERRUPTED
    except OSError as error:
        _drop_output()
        # Whoever read the output has enough, or it could not be written.
        return _BROKEN_PIPE if isinstance(error, BrokenPipeError) else _fail(_cannot_write(error), None, _NO_OUTPUT)
    return 0


def _drop_output() -> None:
    """Let nobody write what is left of the output: Python would try, and complain, when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cannot_write(error: OSError) -> str:
    return f"cannot write the output: {error.strerror or error}"


def _fail(summary: str, hint: str | None, code: int) -> int:
    if sys.stderr is not None:
        lines = [f"okx-sol: {summary}", *([hint] if hint else [])]
        sys.stderr.writelines(f"{line}\n" for line in lines)
    return code


_CONVERTER: Final = cattrs.Converter()
_CONVERTER.register_unstructure_hook(Decimal, lambda number: format(number, "f"))
