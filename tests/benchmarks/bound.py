"""The cheapest program that keeps what this package promises about ``staking.balance()``, on aiohttp's public interface.

It is what `cpu` compares our call with: how much the promises cost at least. Everything that happens in a call that
succeeds is in one function, `Bound.balance`; what can fail is in `_failure_of` and `_again`, which such a call never
enters. It knows one endpoint, one event loop and one kind of limit, which is why no one would want to maintain it.

`tests/laws/test_bound.py` holds it to its promises.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import random
import re
from binascii import b2a_base64
from bisect import bisect_right
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final, NoReturn

import aiohttp
from multidict import istr
from yarl import URL

from okx_sol_async import (
    BALANCE,
    Balance,
    ConfigurationError,
    Counters,
    OKXError,
    SessionClosed,
    Timeout,
)
from okx_sol_async.codec._envelope import MAX_BODY
from okx_sol_async.signing._redaction import SecretHeader
from okx_sol_async.transport import _failures as failures
from okx_sol_async.transport._clock import RoundTrip, ServerClock
from okx_sol_async.transport._http import CLIENT_TIMEOUT, MAX_CONNECTIONS, USER_AGENT, _Connector, read_body
from okx_sol_async.transport._metrics import NOTICEABLE_WAIT
from okx_sol_async.transport._resend import Step, decide, kind_of, longest_wait
from okx_sol_async.transport._response import outcome_of
from tests.benchmarks.bound_bucket import REQUESTS, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from okx_sol_async import Credentials

#: Seconds for which a slot is in use after the response: a thousandth because clocks drift, and a step of uvloop's.
COOLDOWN: Final = BALANCE.limit.seconds * 1.001 + 0.002
#: Seconds for which a call that has no response may still be on its way.
LATENCY: Final = 0.5
ATTEMPTS: Final = 3
#: Buckets that are looked at in one go.
SWEEP_SIZE: Final = 512
KEPT: Final = 256
RESERVE: Final = 50.0
CLOSED: Final = "the session is closed"
WRONG_URL: Final = "refused to sign a request for another URL"

_SIGNED: Final = f"GET{BALANCE.path}".encode()
_KEY, _SIGN, _TIMESTAMP, _PASSPHRASE, _USER_AGENT, _DATE, _AGE = map(
    istr,
    ("OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE", "User-Agent", "Date", "Age"),
)
_NUMBER: Final = r"-?[0-9]{1,128}(?:\.[0-9]{1,128})?"
#: An amount and two accruals, which may be blank.
_are_amounts: Final = re.compile(f"{_NUMBER} (?:{_NUMBER})? (?:{_NUMBER})?", re.ASCII).fullmatch


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_read_json: Final = json.JSONDecoder(parse_constant=_refuse).raw_decode


class User:
    """A user's key, as it is sent."""

    __slots__ = ("credentials", "key", "owner", "passphrase", "secret")

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.owner = credentials.owner
        self.key = SecretHeader(credentials.api_key)
        self.passphrase = SecretHeader(credentials.passphrase)
        self.secret = credentials.secret_key.encode()


class _NoCookies(aiohttp.DummyCookieJar):
    _empty: Final[SimpleCookie] = SimpleCookie()

    def filter_cookies(self, _: URL) -> SimpleCookie:
        return self._empty


class Bound:
    """A session for balances. To be made in its event loop."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        observers: Sequence[Callable[[float, float, int, OKXError | None], None]] = (),
        tls: aiohttp.TCPConnector | None = None,
    ) -> None:
        self.url = URL(url).with_path(BALANCE.path, encoded=True)
        self.loop = asyncio.get_running_loop()
        self.time = self.loop.time
        self.timeout = timeout
        self.observers = observers
        self.counters = Counters()
        self.http = aiohttp.ClientSession(
            connector=tls or _Connector(limit=MAX_CONNECTIONS, force_close=False),
            cookie_jar=_NoCookies(),
            timeout=CLIENT_TIMEOUT,
        )
        self.closed = False
        self.buckets: dict[str, Bucket] = {}
        self.unchecked: list[str] = []
        self.sweeping = False
        # When each task that calls must have its response; infinity while it waits for a slot.
        self.due: dict[asyncio.Task[Any], float] = {}
        self.timer: asyncio.TimerHandle | None = None
        # Why a task was cancelled from here.
        self.reasons: dict[asyncio.Task[Any], type[Exception]] = {}
        self.retries = RESERVE
        self.kept = 0
        self.clock = ServerClock()
        self.steady = self.clock.steady
        self.ahead = self.clock.at(0.0)
        self.second = 0
        self.second_text = ""

    async def balance(self, user: User, earlier: Sequence[BaseException] = ()) -> Balance:  # noqa: C901, PLR0915 - see above
        """Return the balance of a user.

        Args:
            user: whose.
            earlier: why the call is sent again.

        Raises:
            OKXError: as `okx_sol_async.SolStaking.balance` does.

        """
        if self.closed:
            raise SessionClosed(CLOSED, sent=False)
        task = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        sends = len(earlier)
        waited = since = signed_at = 0.0
        signature = ""
        response: ClientResponse | None = None
        # The retry budget.
        self.retries += 0.1

        async def send(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:  # noqa: PLR0915 - as above
            """Take a lease and sign: aiohttp runs this for each send, also for one that it repeats by itself."""
            nonlocal sends, waited, since, signed_at, signature
            if request.url is not self.url and request.url != self.url:
                raise ConfigurationError(WRONG_URL)
            if sends > len(earlier) and not self._spend_on_kept():
                raise aiohttp.ServerDisconnectedError
            bucket = self.buckets.get(user.owner)
            if bucket is None:
                bucket = self._keep(user.owner)
            since = self.time()
            releases = bucket.releases
            if releases and releases[0] <= since:
                bucket.releases = releases = releases[bisect_right(releases, since) :]
            if bucket.waiters is None and bucket.in_flight + len(releases) < REQUESTS:
                bucket.in_flight += 1
            else:
                self.due[task] = math.inf
                began = since
                await bucket.wait(first=bool(earlier))
                since = self.time()
                waited += since - began
                del self.due[task]
            self.due[task] = due = since + self.timeout
            if self.timer is None:
                self.timer = self.loop.call_at(due, self._end_late_calls)
            sends += 1
            # The signature, by OKX's clock.
            signed_at = self.steady() + self.ahead
            microseconds = int(signed_at * 1e6 + 0.5)
            second = microseconds // 1_000_000
            if second != self.second:
                self.second = second
                self.second_text = datetime.fromtimestamp(second, UTC).isoformat()[:-6]
            timestamp = f"{self.second_text}.{microseconds // 1000 % 1000:03}Z"
            digest = hmac.new(user.secret, timestamp.encode() + _SIGNED, sha256).digest()
            signature = SecretHeader(b2a_base64(digest, newline=False).decode())
            headers = request.headers
            headers[_USER_AGENT] = USER_AGENT
            headers[_KEY] = user.key
            headers[_SIGN] = signature
            headers[_TIMESTAMP] = timestamp
            headers[_PASSPHRASE] = user.passphrase
            try:
                response = await handler(request)
            except BaseException:
                bucket.release(self.time() + LATENCY + COOLDOWN)
                raise
            # The window counts from the response.
            at = self.time() + COOLDOWN
            releases = bucket.releases
            if bucket.waiters is None and (not releases or releases[-1] <= at):
                bucket.in_flight -= 1
                bucket.releases = (*releases, at)
            else:
                bucket.release(at)
            return response

        body = b""
        try:
            response = await self.http.request("GET", self.url, allow_redirects=False, middlewares=(send,))
            content = response.content
            if content.is_eof() and not content.at_eof():
                body = content.read_nowait()
            else:
                body = await read_body(response)
            if self.kept < KEPT:
                self.kept += 1
            date = response.headers.get(_DATE)
            if date != self.clock.last_date:
                self._note_date(response, signed_at)
            text = body.decode()
            answer, end = _read_json(text)
            (row,) = answer["data"]
            ccy, amounts = row["ccy"], (row["amt"], row["latestInterestAccrual"], row["totalInterestAccrual"])
            # Of what is not as usual in the least `_outcome_of` says what it means. A join refuses what is no string.
            if (
                answer["code"] != "0"
                or response.status != 200
                or not end == len(text) <= MAX_BODY
                or type(ccy) is not str
                or not ccy.isascii()
                or _are_amounts(" ".join(amounts)) is None
            ):
                raise ValueError  # noqa: TRY301 - the usual way on is not to be a call deeper
            amt, latest, total = amounts
            outcome: Balance | BaseException = Balance(ccy, Decimal(amt), Decimal(latest or 0), Decimal(total or 0))
        except BaseException as error:  # noqa: BLE001 - raised again by `_again`, without the frames of aiohttp
            context = failures.FailureContext(
                str(BALANCE), sends, waited, user.credentials, signature, self.clock.offset
            )
            outcome = self._outcome_of(error, task, cancellations, response, body, context)
        finally:
            self.due.pop(task, None)
        if type(outcome) is not Balance:
            return await self._again(user, outcome, earlier, response, signed_at)
        counters = self.counters
        counters.calls += 1
        if sends > 1:
            counters.resends += sends - 1
        if waited > NOTICEABLE_WAIT:
            counters.waits += 1
        for observe in self.observers:
            observe(waited, self.time() - since, sends, None)
        return outcome

    # What a call that succeeds at once never enters.

    def _outcome_of(
        self,
        error: BaseException,
        task: asyncio.Task[Any],
        cancellations: int,
        response: ClientResponse | None,
        body: bytes,
        context: failures.FailureContext,
    ) -> Balance | BaseException:
        """Return what came in place of the usual response: a balance after all, or what went wrong."""
        reason = self.reasons.pop(task, None)
        if reason is not None and isinstance(error, asyncio.CancelledError) and task.uncancel() <= cancellations:
            if reason is SessionClosed:
                return failures.session_closed(context, sent=context.attempts > 0)
            return failures.timed_out(self.timeout, context)
        if body and response is not None and isinstance(error, Exception):
            return outcome_of(BALANCE, response.status, response.headers, body, lambda: context)
        if isinstance(error, Exception):
            return failures.of_exception(error, context)
        return error.with_traceback(None)

    async def _again(
        self,
        user: User,
        failure: BaseException,
        earlier: Sequence[BaseException],
        response: ClientResponse | None,
        signed_at: float,
    ) -> Balance:
        """Send the call again where that may help, or raise its failure."""
        kind = kind_of(failure, is_read=True, clock_is_known=False)
        alike = 1 + sum(kind_of(each, is_read=True, clock_is_known=False) is kind for each in earlier)
        step = decide(kind, is_read=True, leased=signed_at > 0, failures=alike, attempts=ATTEMPTS)
        if step is Step.RESEND_FIRST_IN_QUEUE:
            self.counters.refusals += 1
            self._keep(user.owner).releases = (self.time() + COOLDOWN,) * REQUESTS
        elif step is Step.SYNCHRONIZE_CLOCK and response is not None:
            times = RoundTrip(signed_at - self.ahead, self.steady())
            self.clock.correct_by_date(response.headers.get(_DATE), signed_at, times)
            self.ahead = self.clock.at(0.0)
        elif step is Step.BACK_OFF and self.retries >= 1:
            self.retries = min(self.retries, RESERVE) - 1
            await asyncio.sleep(random.uniform(0, longest_wait(alike)))
        else:
            self.counters.calls += 1
            for observe in self.observers:
                observe(0.0, 0.0, len(earlier) + 1, failure)
            raise failure
        return await self.balance(user, (*earlier, failure))

    def _note_date(self, response: ClientResponse, signed_at: float) -> None:
        if _AGE not in response.headers:
            times = RoundTrip(signed_at - self.ahead, self.steady())
            self.clock.note_date(response.headers.get(_DATE), times)
            self.ahead = self.clock.at(0.0)

    def _spend_on_kept(self) -> bool:
        self.kept -= 1
        return self.kept >= 0

    # Buckets.

    def _keep(self, owner: str) -> Bucket:
        if not self.sweeping:
            self.sweeping = True
            self.loop.call_later(BALANCE.limit.seconds, self._sweep)
        return self.buckets.setdefault(owner, Bucket(self.loop))

    def _sweep(self) -> None:
        """Drop the buckets whose history does not matter any more, a few at a time."""
        if not self.buckets:
            self.buckets, self.sweeping = {}, False
            return
        self.unchecked = self.unchecked or list(self.buckets)
        now = self.time()
        for _ in range(min(SWEEP_SIZE, len(self.unchecked))):
            owner = self.unchecked.pop()
            bucket = self.buckets.get(owner)
            if (
                bucket is not None
                and not bucket.in_flight
                and not bucket.waiters
                and max(bucket.releases, default=0) <= now
            ):
                del self.buckets[owner]
        self.loop.call_later(0.01 if self.unchecked else BALANCE.limit.seconds, self._sweep)

    # The ends of calls.

    def _end_late_calls(self) -> None:
        now = self.time()
        for task, due in tuple(self.due.items()):
            if due <= now:
                self._end(task, Timeout)
        next_due = min((due for due in self.due.values() if now < due < math.inf), default=None)
        self.timer = None if next_due is None else self.loop.call_at(next_due, self._end_late_calls)

    def _end(self, task: asyncio.Task[Any], reason: type[OKXError]) -> None:
        if task not in self.reasons:
            self.reasons[task] = reason
            task.cancel()

    async def aclose(self) -> None:
        """End the calls in flight, and close the connections."""
        self.closed = True
        for task in tuple(self.due):
            self._end(task, SessionClosed)
        while self.due:  # noqa: ASYNC110 - each is at its last step, and an event would cost each call
            await asyncio.sleep(0)
        if self.timer is not None:
            self.timer.cancel()
        await self.http.close()
