"""SOL staking as one user sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import EllipsisType
from typing import Self, Unpack

from okx_sol_async._checks import flag, seconds, whole_number, wrong_type
from okx_sol_async._settings import SessionSettings
from okx_sol_async._writes import Write
from okx_sol_async.models import Apy, Balance, Order, OrderStatus, OrderType, ProductInfo
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.staking._arguments import (
    DAYS,
    PAGE,
    checked_amount,
    checked_session,
    checked_word,
    checked_write,
    milliseconds,
    page_bound,
)
from okx_sol_async.staking._endpoints import (
    APY_HISTORY,
    BALANCE,
    PRODUCT_INFO,
    PURCHASE_REDEEM_HISTORY,
)
from okx_sol_async.staking._pagination import read_history
from okx_sol_async.staking._polling import OnOutage, watch_balance
from okx_sol_async.staking._receipts import Receipt
from okx_sol_async.staking._writing import Writing, resolve, unresolved


class SolStaking:
    """OKX's SOL staking for one user.

    Args:
        credentials: the user's key.
        session: the session to call through; a service gives all its users the same one. `None`: one is made with
            its defaults, and closed with this object.

    Use it as an async context manager, or call `aclose` at the end.

    Raises:
        ConfigurationError: an argument is of another kind.

    """

    __slots__ = ("__weakref__", "_credentials", "_owns_session", "_session")

    def __init__(self, credentials: Credentials, session: Session | None = None) -> None:
        if not isinstance(credentials, Credentials):
            hint = "Make them with Credentials(...) or Credentials.from_env()."
            raise wrong_type(credentials, "credentials", "Credentials", hint)
        self._credentials = credentials
        self._owns_session = session is None
        self._session = Session() if session is None else checked_session(session)

    @classmethod
    def from_env(cls, **settings: Unpack[SessionSettings]) -> SolStaking:
        """Make one, with a session of its own, from the environment.

        It reads what `Credentials.from_env` and `Session.from_env` read: ``OKX_API_KEY``, ``OKX_SECRET_KEY``,
        ``OKX_PASSPHRASE``, ``OKX_USER_ID``, ``OKX_REGION``, ``OKX_BASE_URL`` and ``OKX_DEMO``.

        Args:
            settings: any keyword of `Session`, as `Session.from_env` takes them.

        Raises:
            ConfigurationError: a variable is missing or has a value that it cannot have; the message names it.

        """
        credentials = Credentials.from_env()
        staking = cls(credentials, Session.from_env(**settings))
        staking._owns_session = True
        return staking

    def with_options(
        self,
        *,
        timeout: float | EllipsisType = ...,
        max_wait: float | EllipsisType | None = ...,
        attempts: int | EllipsisType = ...,
        background: bool | EllipsisType = ...,
    ) -> SolStaking:
        """Return the same user with other options: ``await staking.with_options(timeout=2.0).balance()``.

        It calls through `Session.with_options`, which has the arguments. Closing it does nothing.

        Raises:
            ConfigurationError: as `Session.with_options` does.

        """
        session = self._session.with_options(
            timeout=timeout, max_wait=max_wait, attempts=attempts, background=background
        )
        return SolStaking(self._credentials, session)

    def __repr__(self) -> str:
        return f"<SolStaking {self._credentials!r} on {self._session!r}>"

    async def __aenter__(self) -> Self:
        """Return the object itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session if it was made here. Closing again does nothing."""
        if self._owns_session:
            await self._session.aclose()

    async def identify(self) -> str:
        """Look up the User ID, and let this key share the limits of its user's other keys.

        Returns:
            the User ID, which is the ``user_id`` of this object's calls from now on.

        Raises:
            OKXError: as `balance` does.

        See `Session.identify`.

        """
        self._credentials = await self._session.identify(self._credentials)
        return str(self._credentials.user_id)

    async def balance(self, *, max_age: float = 0.0) -> Balance:
        """Return the OKSOL that the account holds, and its interest.

        The amounts are in OKSOL, exact. An account that never staked has a balance of zero.

        Args:
            max_age: seconds. With more than 0, an equal read of this user that is in flight, or whose response came at
                most so long ago, is shared instead of made; with 0, a call of its own is made. An error is shared only
                by the callers that waited for that very call, and a caller that is cancelled cancels no other.
                What this user has purchased or redeemed in that time may be missing in it.

        Raises:
            ConfigurationError: the session is closed or another event loop's; nothing was sent.
            Timeout: no whole response within ``timeout``, or no turn within ``max_wait``.
            TransportError: no whole response.
            DecodeError: a response came and is not OKX's.
            APIError: OKX refused: `AuthenticationError`, `PermissionDenied`, `ClockSkew`, `RateLimited`,
                `Unavailable` or `Rejected`.

        `OKX: GET / Balance <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-balance>`_
        (Read permission, 6 requests a second per user).
        """
        return await self._session.shared_call(BALANCE, self._credentials, max_age)

    async def product_info(self, *, max_age: float = 0.0) -> ProductInfo:
        """Return the terms of SOL staking: the rate, the least purchase, and what can be redeemed fast.

        The amounts are in SOL and OKSOL. The rate is a fraction: ``Decimal("0.0557")`` is 5.57 %.

        Args:
            max_age: as for `balance`.

        Raises:
            OKXError: as `balance` does.

        `OKX: GET / Product info <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-product-info>`_
        (Read permission, 3 requests a second per user).
        """
        return await self._session.shared_call(PRODUCT_INFO, self._credentials, max_age)

    async def purchase(self, amt: Decimal | str) -> Receipt:
        """Stake SOL from the funding account, which becomes OKSOL.

        It is sent once. Only what OKX has certainly refused for its limit or for the clock is sent again.
        Before the first byte leaves it is in the session's ``write_log``. A purchase that is cancelled
        (`asyncio.CancelledError`) may have happened or not, and `unresolved` gives it then.

        Args:
            amt: how much, in SOL: a `Decimal`, or a string such as ``"1.5"``, above 0 and with at most nine decimals.
                A float is not exact, and an ``int`` may be meant in lamports, so neither is taken.

        Returns:
            what OKX has accepted; ``await receipt.order()`` finds it in the history.

        Raises:
            ConfigurationError: ``amt`` is not such an amount, the write log cannot be written, or as `balance` does;
                nothing was sent.
            OutcomeUnknown: it was sent, and no response says whether it happened: ``await error.resolve()``.
            APIError: OKX refused, and nothing happened: `Rejected` for an amount below the minimum, which the message
                names, or above what there is; or as `balance` does.
            Timeout: no turn within ``max_wait``, or no connection; nothing was sent.
            TransportError: no connection; nothing was sent.

        `OKX: POST / Purchase <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-post-purchase>`_
        (Trade permission, 2 requests a second per user; not in demo trading).
        """
        return await self._write(OrderType.PURCHASE, amt)

    async def redeem(self, amt: Decimal | str) -> Receipt:
        """Turn OKSOL of the funding account back into SOL.

        It is sent once. Only what OKX has certainly refused for its limit or for the clock is sent again.
        A redemption takes some days (`ProductInfo.redempt_days`). It is logged as `purchase` says.

        Args:
            amt: how much, in OKSOL, as `purchase` takes it.

        Returns:
            what OKX has accepted, as `purchase` does.

        Raises:
            OKXError: as `purchase` does.

        `OKX: POST / Redeem <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-post-redeem>`_
        (Trade permission, 2 requests a second per user; not in demo trading).
        """
        return await self._write(OrderType.REDEEM, amt)

    def unresolved(self) -> AsyncGenerator[Write, None]:
        """Give the writes whose outcome is open, oldest first: ``async for write in staking.unresolved()``.

        They are what a crash, a cancellation or a lost response has left in the session's ``write_log``, also in an
        earlier process if the log is a file. Writes that this process has in flight are not given; those that another
        process has in flight at this moment are, and `resolve` waits for them.

        Raises:
            ConfigurationError: the log cannot be read.

        """
        return unresolved(self._session, self._credentials)

    async def resolve(self, write: Write, wait: float | None = None) -> Order | None:
        """Look up in the history whether a purchase or redemption happened.

        An order of the history is taken for it if type and amount are the same, OKX accepted it within 35 seconds of
        its ``sent_at``, and no other write of this user in the log explains it. An equal one that was made elsewhere in
        that time, by a process with another log or on OKX's website, cannot be distinguished from it.

        Without an order in sight it looks again and again until OKX accepts the signature no longer, and ten seconds
        more for the history to follow. OKX does not say how late its history may be, so `None` is as near to
        certainty as one can come, and not a proof.

        Args:
            write: from `unresolved` or `OutcomeUnknown.write`.
            wait: the most seconds to go on looking; 0 looks once, and `None` goes on for as long as said above, which
                is 40 seconds after ``sent_at``.

        Returns:
            the order, with what became of it: look at its ``status``. `None`: the history shows none. The write counts
            as resolved then if ``wait`` was long enough for that.

        Raises:
            ConfigurationError: an argument is not as said above; the write is another user's, or was sent to another
                host or mode; or the log cannot be read.
            OKXError: the history cannot be read, as `balance` says. Temporary failures are retried.

        """
        return await self._look_up(checked_write(write), wait)

    async def purchase_redeem_history(
        self,
        *,
        type: OrderType | str | None = None,  # noqa: A002 - OKX's name
        status: OrderStatus | str | None = None,
        after: datetime | int | str | None = None,
        before: datetime | int | str | None = None,
        limit: int | None = None,
    ) -> tuple[Order, ...]:
        """Return one page of the purchases and redemptions, the newest first. `history` gives all of them.

        The amounts are in SOL for purchases and in OKSOL for redemptions; the times are aware datetimes in UTC, with
        milliseconds, or `None`.

        Args:
            type: ``"purchase"`` or ``"redeem"``; `None` for both.
            status: ``"pending"``, ``"success"`` or ``"failed"``; `None` for any. OKX may refuse other ones.
            after: only orders that were requested earlier than this time: an aware datetime, or milliseconds since
                1970 as OKX has them. OKX calls it so because they come after it on the page.
            before: only orders that were requested later than this time.
            limit: the most orders of the page, up to 100; `None` for 100.

        Raises:
            ConfigurationError: an argument is not as said above; or as `balance` does.
            OKXError: as `balance` does.

        `OKX: GET / Purchase&Redeem history
        <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-purchase-redeem-history>`_
        (Read permission, 6 requests a second per user).
        """
        return await self._page(
            _filters(type, status),
            after=None if after is None else page_bound("after", after, rounded_up=True),
            before=None if before is None else page_bound("before", before, rounded_up=False),
            limit=None if limit is None else whole_number("limit", limit, PAGE),
        )

    def history(
        self,
        *,
        type: OrderType | str | None = None,  # noqa: A002 - OKX's name
        status: OrderStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Order, None]:
        """Give all purchases and redemptions, one by one, the newest first: ``async for order in staking.history()``.

        It asks for page after page, and gives each order once, also where orders share a millisecond, and while new
        ones come in; those that are newer than the first page are not given. An empty page, or one that brings
        nothing new, is the end.

        Args:
            type: as `purchase_redeem_history` takes it.
            status: as `purchase_redeem_history` takes it.
            since: only orders that were requested at this time or later, as an aware datetime; `None` for all.
            until: only orders that were requested earlier than this time, as an aware datetime; `None` for all.
            limit: the most orders to give, from 1 on; `None` for all.

        Raises:
            ConfigurationError: an argument is not as said above, raised at once; or as `balance` does.
            DecodeError: a hundred orders or more share one millisecond, so that pages cannot show all of them; or OKX
                does not give the newest first; or as `balance` does.
            OKXError: as `balance` does.

        `OKX: GET / Purchase&Redeem history
        <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-purchase-redeem-history>`_
        (Read permission, 6 requests a second per user).
        """
        filters = _filters(type, status)
        return read_history(
            lambda after, size: self._page(filters, after=after, limit=size),
            since=None if since is None else milliseconds("since", since, rounded_up=True),
            until=None if until is None else milliseconds("until", until, rounded_up=True),
            limit=None if limit is None else whole_number("limit", limit),
        )

    async def apy_history(self, days: int) -> tuple[Apy, ...]:
        """Return the APY of each of the last days, the newest first; the same as `okx_sol_async.apy_history`.

        The rates are fractions: ``Decimal("0.1128")`` is 11.28 %. The times are in UTC.

        Args:
            days: how many, from 1 to 365.

        Raises:
            ConfigurationError: ``days`` is not such a number; or as `balance` does.
            OKXError: as `balance` does.

        `OKX: GET / APY history (Public)
        <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-apy-history-public>`_
        (public, 6 requests a second per IP address, of all users together).
        """
        return await apy_history(days, self._session)

    def watch(
        self, *, every: float = 60.0, changes_only: bool = True, on_outage: OnOutage | None = None
    ) -> AsyncGenerator[Balance, None]:
        """Give the balance whenever it has changed: ``async for balance in staking.watch(every=60.0)``.

        The first balance is given at once. It asks each ``every`` seconds, counted from the first time, and asks once
        where it has missed some, because a response was late or the consumer was busy.

        Its calls are made with ``background=True``: each waits behind every other call for a balance of this user, for
        up to a minute whatever ``max_wait`` says.

        Temporary failures don't stop it: `Timeout`, `TransportError`, `Unavailable`, `RateLimited`, and any other error
        that is ``transient``. It asks again after a growing pause of up to half a minute, and reports the outage and its
        end in the log and to ``on_outage``; each of its calls is reported to ``observe`` as well. All other errors are
        raised, and end it. It ends without an error when the session is closed.

        Args:
            every: seconds between two times, above 0.
            changes_only: `False` gives each balance, changed or not.
            on_outage: called with the first error of an outage, and with `None` when OKX responds again, as for a
                readiness probe. What it raises ends the watch. `None`: nothing is called.

        Raises:
            ConfigurationError: an argument is not as said above, raised at once; or as `balance` does.
            OKXError: as `balance` does, unless it is temporary.

        See `balance` for the endpoint.
        """
        if on_outage is not None and not callable(on_outage):
            raise wrong_type(on_outage, "on_outage", "callable")
        beat = seconds("every", every, positive=True)
        return watch_balance(
            self._session,
            self._credentials,
            beat,
            changes_only=flag("changes_only", changes_only),
            on_outage=on_outage,
        )

    async def _page(
        self,
        filters: dict[str, str],
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        while_draining: bool = False,
    ) -> tuple[Order, ...]:
        bounds = {"after": after, "before": before, "limit": limit}
        parameters = filters | {name: str(bound) for name, bound in bounds.items() if bound is not None}
        call = self._session.new_call(
            PURCHASE_REDEEM_HISTORY, self._credentials, parameters, while_draining=while_draining
        )
        return await call.run()

    async def _write(self, kind: OrderType, amt: object) -> Receipt:
        write = await Writing(self._session, self._credentials, kind, checked_amount(amt), self._look_up).run()
        return Receipt(write.type, write.amt, write.sent_at, write.trace_id, partial(self._look_up, write))

    async def _look_up(self, write: Write, wait: float | None) -> Order | None:
        async def read(since: datetime, until: datetime) -> list[Order]:
            orders = read_history(
                lambda after, size: self._page({"type": str(write.type)}, after=after, limit=size, while_draining=True),
                since=milliseconds("since", since, rounded_up=True),
                until=milliseconds("until", until, rounded_up=True),
                limit=None,
            )
            return [order async for order in orders]

        patience = None if wait is None else seconds("wait", wait, positive=False)
        return await resolve(self._session, self._credentials, write, read, patience)


async def apy_history(days: int, session: Session | None = None) -> tuple[Apy, ...]:
    """Return the APY of each of the last days, the newest first. It takes no key.

    The rates are fractions: ``Decimal("0.1128")`` is 11.28 %. The times are in UTC.

    Args:
        days: how many, from 1 to 365.
        session: the session to ask through. `None`: one is made with its defaults, and closed.

    Raises:
        ConfigurationError: ``days`` is not such a number; or as `SolStaking.balance` does.
        OKXError: as `SolStaking.balance` does.

    `OKX: GET / APY history (Public)
    <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-apy-history-public>`_
    (public, 6 requests a second per IP address).
    """
    parameters = {"days": str(whole_number("days", days, DAYS))}
    if session is not None:
        return await checked_session(session).call(APY_HISTORY, None, parameters)
    async with Session() as own:
        return await own.call(APY_HISTORY, None, parameters)


def _filters(kind: object, status: object) -> dict[str, str]:
    words = {"type": checked_word("type", kind, OrderType), "status": checked_word("status", status, OrderStatus)}
    return {name: str(word) for name, word in words.items() if word is not None}
