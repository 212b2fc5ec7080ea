"""Which exchange a command asks, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import attrs
from cyclopts import Parameter

from okx_sol_async.config import Region
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.session import Session
from okx_sol_async.signing.credentials import Credentials
from okx_sol_async.staking.client import SolStaking
from okx_sol_async.transport.metrics import CallReport

if TYPE_CHECKING:
    from okx_sol_async.emulator import Emulator

_DAY: Final = timedelta(days=1)

Observe = Callable[[CallReport], None]


@attrs.frozen
class Connection:
    """A session with the exchange that was chosen."""

    session: Session
    #: The local exchange, if it is that.
    local: Emulator | None = None

    def staking(self) -> SolStaking:
        """Return the staking of the user that the environment names, or of the local exchange's first user.

        Raises:
            ConfigurationError: the environment names nobody.

        """
        return SolStaking(self.credentials(), self.session)

    def credentials(self) -> Credentials:
        """Return that user's key.

        Raises:
            ConfigurationError: the environment names nobody.

        """
        return Credentials.from_env() if self.local is None else self.local.credentials

    @property
    def name(self) -> str:
        """Where it leads, for people."""
        place = self.session.origin if self.local is None else "the local exchange, no real money"
        return f"{place}, demo trading" if self.session.demo else place

    @property
    def account(self) -> str:
        """Whose account it is, as far as the key tells: no secret is in it."""
        credentials = self.credentials()
        user = "" if credentials.user_id is None else f" of user {credentials.user_id}"
        return f"key {credentials.redact(credentials.api_key)}{user}"

    def now(self) -> datetime:
        """Return the time there, as far as it is known."""
        if self.local is not None:
            return self.local.now()
        return datetime.now(UTC) + timedelta(seconds=self.session.clock_offset or 0.0)

    def pass_a_day(self) -> None:
        """Let a day pass at a local exchange, so that there is something to see."""
        if self.local is not None:
            self.local.advance(_DAY)


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
    emulator: Annotated[bool, Parameter(negative=(), show_default=False)] = False

    @asynccontextmanager
    async def connected(self, observe: Observe | None = None) -> AsyncIterator[Connection]:
        """Open a session with OKX or with a local exchange."""
        if self.emulator:
            async with self._emulated(observe) as connection:
                yield connection
            return
        async with Session.from_env(
            region=self.region, base_url=self.base_url, demo=self.demo, observe=observe
        ) as session:
            yield Connection(session)

    @asynccontextmanager
    async def staking(self) -> AsyncIterator[SolStaking]:
        """Open the SOL staking of the user that the environment names, or of the local exchange's."""
        async with self.connected() as connection:
            yield connection.staking()

    @asynccontextmanager
    async def _emulated(self, observe: Observe | None) -> AsyncIterator[Connection]:
        if self.region is not None or self.base_url is not None:
            message = "--emulator is an exchange of its own: leave out --region and --base-url"
            raise ConfigurationError(message)
        # It brings an HTTP server along, which no other command needs.
        from okx_sol_async.cli.emulated import new_emulator  # noqa: PLC0415

        demo = bool(self.demo)
        async with (
            new_emulator(demo=demo) as exchange,
            Session(base_url=exchange.url, demo=demo, observe=observe) as session,
        ):
            yield Connection(session, exchange)
