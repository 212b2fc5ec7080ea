"""Which exchange a command asks, and for which user."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import attrs
from cyclopts import Parameter

from okx_sol_async.cli.render._messages import log_level, log_resends
from okx_sol_async.config import Region
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.staking._client import SolStaking
from okx_sol_async.transport._events import CallReport

if TYPE_CHECKING:
    from okx_sol_async.emulator import Emulator

_DAY: Final = timedelta(days=1)

Observe = Callable[[CallReport], None]


@attrs.frozen
class ConnectedExchange:
    """A session with the exchange that was chosen."""

    session: Session
    #: The local exchange inside this process, if it is that.
    local: Emulator | None = None

    def staking(self) -> SolStaking:
        """Return the staking of the user in the environment, or of the local exchange's first user.

        Raises:
            ConfigurationError: the environment names no user.

        """
        return SolStaking(self.credentials(), self.session)

    def credentials(self) -> Credentials:
        """Return that user's key.

        Raises:
            ConfigurationError: the environment names no user.

        """
        if self.local is not None:
            return self.local.credentials
        try:
            return Credentials.from_env()
        except ConfigurationError as error:
            if error.argument is not None:
                raise
            hint = f"{error.hint} To try it without an account, add --emulator."
            raise ConfigurationError(error.message, hint=hint) from None

    @property
    def name(self) -> str:
        """What the exchange is called in texts for people."""
        place = self.session.origin if self.local is None else "the local exchange, no real money"
        return f"{place}, demo trading" if self.session.demo else place

    @property
    def account(self) -> str:
        """Which account it is, by the end of its key and the user's label; no secret is in it."""
        credentials = self.credentials()
        user = "" if credentials.user_id is None else f" of user {credentials.user_id}"
        return f"key {credentials.redact(credentials.api_key)}{user}"

    def now(self) -> datetime:
        """Return the exchange's time, as far as it is known."""
        if self.local is not None:
            return self.local.now()
        return datetime.now(UTC) + timedelta(seconds=self.session.clock_offset or 0.0)

    def advance_a_day(self) -> None:
        """Move the clock of a local exchange by a day, so that interest accrues."""
        if self.local is not None:
            self.local.advance(_DAY)


@Parameter(name="*")
@attrs.frozen
class ExchangeOptions:
    """Which exchange to ask, and how much to show of it.

    Args:
        region: where the account was registered.
        base_url: another host, as https://host.
        demo: demo trading, with a key of demo trading.
        emulator: ask an exchange inside this process, without an account or a network.
        verbose: show the log, with each call and how long it took.

    """

    region: Region | None = None
    base_url: str | None = None
    # A shell would complete a value, which an optional boolean might have.
    demo: Annotated[bool | None, Parameter(n_tokens=0)] = None
    emulator: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    verbose: Annotated[bool, Parameter(negative=(), show_default=False)] = False

    @asynccontextmanager
    async def connected(self, observe: Observe | None = None) -> AsyncIterator[ConnectedExchange]:
        """Open a session with OKX or with a local exchange."""
        with self._log():
            if self.emulator:
                async with self._emulated(observe) as exchange:
                    yield exchange
                return
            async with Session.from_env(
                region=self.region, base_url=self.base_url, demo=self.demo, observe=observe
            ) as session:
                yield ConnectedExchange(session)

    def _log(self) -> AbstractContextManager[None]:
        if self.verbose:
            return log_level(logging.DEBUG)
        return log_resends() if sys.stderr is not None and sys.stderr.isatty() else log_level(logging.WARNING)

    @asynccontextmanager
    async def _emulated(self, observe: Observe | None) -> AsyncIterator[ConnectedExchange]:
        if self.region is not None or self.base_url is not None:
            message = "--emulator is an exchange of its own: leave out --region and --base-url"
            raise ConfigurationError(message)
        # It brings an HTTP server along, which no other command needs.
        from okx_sol_async.cli._demo_exchange import with_history  # noqa: PLC0415
        from okx_sol_async.emulator import Emulator  # noqa: PLC0415

        demo = bool(self.demo)
        async with (
            with_history(Emulator(demo=demo, now=time.time)) as exchange,
            Session(base_url=exchange.url, demo=demo, observe=observe) as session,
        ):
            yield ConnectedExchange(session, exchange)
