"""A watch gives what changes, survives outages and reports them, and waits behind all other calls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise

import pytest

from okx_sol_async import (
    BALANCE,
    AuthenticationError,
    Balance,
    ConfigurationError,
    Credentials,
    DecodeError,
    LocalLimiter,
    OKXError,
    PermissionDenied,
    QueueTimeout,
    RateLimited,
    Rejected,
    Session,
    SessionClosed,
    SolStaking,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.ratelimit._bucket import TokenBucket
from okx_sol_async.staking import _polling as watching
from tests.support.virtual_time import now, run

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")


def balance(amt: int) -> Balance:
    return Balance("OKSOL", Decimal(amt), Decimal(0), Decimal(0))


class Exchange(Session):
    """A session without a wire: each call takes its lease, and is answered by a function of the virtual time."""

    def __init__(self, respond: Callable[[float], Balance | OKXError], *, took: float = 0.0) -> None:
        super().__init__(base_url="http://127.0.0.1:9", limiter=LocalLimiter())
        self.respond = respond
        self.took = took
        self.began = now()
        self.asked: list[float] = []

    async def call(self, endpoint: object, credentials: object = None, parameters: object = None) -> Balance:  # type: ignore[override]
        if self.closed:
            raise ConfigurationError("closed")
        options = self._options
        deadline = None if options.max_wait is None else now() + options.max_wait
        waiting = asyncio.ensure_future(self.six().acquire(deadline, background=options.background))
        closing = asyncio.ensure_future(self.wait_closed())
        await asyncio.wait([waiting, closing], return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        if not waiting.done():
            waiting.cancel()
            raise SessionClosed("closed")
        lease = await waiting
        at = now() - self.began
        self.asked.append(at)
        await asyncio.sleep(self.took)
        lease.answered()
        found = self.respond(at)
        if isinstance(found, OKXError):
            raise found
        return found

    def six(self) -> TokenBucket:
        bucket = self.bucket(BALANCE, CREDENTIALS)
        assert isinstance(bucket, TokenBucket)
        return bucket


def watching_for(
    seconds: float,
    respond: Callable[[float], Balance | OKXError],
    *,
    every: float,
    changes_only: bool = True,
    took: float = 0.0,
    busy: Callable[[Exchange], Awaitable[None]] | None = None,
    reading: float = 0.0,
    on_outage: Callable[[OKXError | None], object] | None = None,
) -> tuple[list[tuple[float, int]], list[float]]:
    """Watch on a virtual clock; return when which amounts were given, and when it asked."""
    seen: list[tuple[float, int]] = []

    async def scenario() -> Exchange:
        session = Exchange(respond, took=took)
        others = asyncio.create_task(busy(session)) if busy is not None else None
        try:
            async with asyncio.timeout(seconds):
                async for found in SolStaking(CREDENTIALS, session).watch(
                    every=every, changes_only=changes_only, on_outage=on_outage
                ):
                    seen.append((round(now() - session.began, 2), int(found.amt)))
                    await asyncio.sleep(reading)
        except TimeoutError:
            pass
        if others is not None:
            others.cancel()
        await session.aclose()
        return session

    session = run(scenario())
    return seen, session.asked


def test_a_watch_gives_what_changes() -> None:
    """The first balance comes at once, and then each that differs."""
    seen, asked = watching_for(100, lambda at: balance(int(at // 25)), every=10)

    assert [(0, 0), (30, 1), (50, 2), (80, 3)] == seen
    assert 10 == len(asked)


def test_a_watch_without_arguments() -> None:
    """It asks once a minute, and gives what changes."""

    async def scenario() -> tuple[list[float], list[int]]:
        session = Exchange(lambda at: balance(int(at // 100)))
        seen = []
        async for found in SolStaking(CREDENTIALS, session).watch():
            seen.append(int(found.amt))
            if len(seen) == 3:
                return session.asked, seen
        raise AssertionError

    asked, seen = run(scenario())

    assert [pytest.approx(60 * beat, abs=0.01) for beat in range(5)] == asked
    assert [0, 1, 2] == seen


def test_a_watch_can_give_every_balance() -> None:
    """With `changes_only=False` each one is given, changed or not."""
    seen, _ = watching_for(35, lambda at: balance(1), every=10, changes_only=False)

    assert [(0, 1), (10, 1), (20, 1), (30, 1)] == seen


def test_a_watch_does_not_drift() -> None:
    """However long responses take, the interval is counted from the first call."""
    _, asked = watching_for(1000, lambda at: balance(1), every=10, took=3.7)

    assert [pytest.approx(10 * beat, abs=0.01) for beat in range(100)] == asked


@pytest.mark.parametrize(("took", "reading"), [(35.0, 0.0), (0.0, 35.0)])
def test_after_a_stall_a_watch_calls_once(took: float, reading: float) -> None:
    """Intervals that were missed are not made up for, whether a response was late or the reader was busy."""
    _, asked = watching_for(200, lambda at: balance(int(at)), every=10, took=took, reading=reading)

    assert [pytest.approx(40 * beat, abs=0.01) for beat in range(5)] == asked


def page_of_html() -> DecodeError:
    error = DecodeError("not OKX's")
    error.transient = True
    return error


@pytest.mark.parametrize(
    "error", [Timeout("x"), TransportError("x"), Unavailable("x"), RateLimited("x"), page_of_html()], ids=repr
)
def test_temporary_failures_do_not_stop_a_watch(error: OKXError, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on by itself, with growing pauses, and logs the outage once."""
    caplog.set_level(logging.INFO, "okx_sol_async")
    seen, asked = watching_for(300, lambda at: error if 5 < at < 200 else balance(at > 5), every=1)

    assert [0, 1] == [amt for _, amt in seen]
    assert 200 < seen[1][0] <= 231
    pauses = [later - earlier for earlier, later in pairwise(at for at in asked if 5 < at < 200)]
    assert sorted(pauses) == pauses
    assert 30 <= pauses[-1] <= 31.01
    assert ["temporary failure", "responds again"] == [
        next(words for words in ("temporary failure", "responds again") if words in record.getMessage())
        for record in caplog.records
        if record.name == "okx_sol_async"
    ]


def test_an_interval_that_is_too_short_to_count() -> None:
    """It still pauses after a failure, twice as long after each."""
    _, asked = watching_for(20, lambda at: Unavailable("x"), every=5e-324)

    assert [0, 1, 3, 7, 15] == [round(at, 2) for at in asked]


@pytest.mark.parametrize(
    "error",
    [AuthenticationError("x"), PermissionDenied("x"), ConfigurationError("x"), Rejected("x"), DecodeError("x")],
    ids=repr,
)
def test_permanent_failures_end_a_watch(error: OKXError) -> None:
    """A person must act, so the error is raised."""
    with pytest.raises(type(error)):
        watching_for(300, lambda at: error if at > 5 else balance(1), every=1)


def test_an_awaited_call_goes_first() -> None:
    """While calls wait for the limit, the watch does not stand among them; it calls when the last one has left."""
    left: list[float] = []

    async def busy(session: Exchange) -> None:
        async def one() -> None:
            lease = await session.six().acquire()
            left.append(now() - session.began)
            lease.answered()

        await asyncio.sleep(9)
        await asyncio.gather(*(one() for _ in range(60)))

    _, asked = watching_for(40, lambda at: balance(1), every=10, busy=busy)

    assert 60 == len(left)
    assert [at < left[0] or at > left[-1] for at in asked] == [True] * len(asked)
    assert [pytest.approx(0, abs=0.1), pytest.approx(19.1, abs=1.2)] == asked[:2]
    assert [20, 30] == [round(at) for at in asked[2:]]


def test_a_watch_takes_the_last_slot_but_waits_behind_all() -> None:
    """A call that comes after the watch has begun to wait is sent before it."""
    waits: list[float] = []

    async def busy(session: Exchange) -> None:
        await asyncio.sleep(9.5)
        for lease in [await session.six().acquire() for _ in range(6)]:
            lease.answered()
        await asyncio.sleep(0.6)
        began = now()
        for lease in await asyncio.gather(*(session.six().acquire() for _ in range(6))):
            waits.append(now() - began)
            lease.answered()

    _, asked = watching_for(15, lambda at: balance(1), every=10, busy=busy)

    assert [0.4] * 6 == [pytest.approx(wait, abs=0.01) for wait in waits]
    assert 11.5 == pytest.approx(asked[1], abs=0.05)


def test_a_pace_does_not_stop_a_watch() -> None:
    """After a refusal there is one slot at a time for half a minute, and it takes one."""

    async def busy(session: Exchange) -> None:
        await asyncio.sleep(5)
        (await session.six().acquire()).refused()  # type: ignore[attr-defined]

    _, asked = watching_for(35, lambda at: balance(1), every=10, busy=busy)

    assert [0, 10, 20, 30] == [round(at) for at in asked]


def test_a_minute_without_a_turn_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """While other calls use the whole limit, the log and `on_outage` say why nothing comes."""
    reported: list[tuple[float, OKXError | None]] = []
    began: list[float] = []

    async def busy(session: Exchange) -> None:
        began.append(now())

        async def again_and_again() -> None:
            while now() - session.began < 80:
                (await session.six().acquire()).answered()

        await asyncio.gather(*(again_and_again() for _ in range(12)))

    watching_for(
        100,
        lambda at: balance(1),
        every=10,
        busy=busy,
        on_outage=lambda error: reported.append((now() - began[0], error)),
    )

    assert [QueueTimeout, type(None)] == [type(error) for _, error in reported]
    # The first call was made at once, and the second one began to wait ten seconds later.
    assert 10 + 60 == pytest.approx(reported[0][0], abs=0.5)
    assert "no turn within max_wait" in caplog.text


def test_an_outage_and_its_end_are_reported() -> None:
    """`on_outage` has the first error of each outage, and `None` when OKX responds again."""
    reported: list[tuple[int, OKXError | None]] = []

    first, second = Unavailable("first"), Timeout("second")

    def respond(at: float) -> Balance | OKXError:
        return first if 15 < at < 35 else second if 65 < at < 75 else balance(1)

    began: list[float] = []

    def report(error: OKXError | None) -> None:
        reported.append((round(now() - began[0]), error))

    async def note(session: Exchange) -> None:
        began.append(session.began)

    watching_for(100, respond, every=10, busy=note, on_outage=report)

    assert [(20, first), (40, None), (70, second), (80, None)] == reported


def test_what_on_outage_raises_ends_a_watch() -> None:
    """An error of the caller's own function is not swallowed."""

    def report(error: OKXError | None) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        watching_for(100, lambda at: Unavailable("x"), every=10, on_outage=report)


def test_on_outage_is_callable() -> None:
    """Anything else is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        SolStaking(CREDENTIALS, Session()).watch(on_outage=5)  # type: ignore[arg-type]
    assert "on_outage" == caught.value.argument


@pytest.mark.parametrize("moment", ["asleep", "asking", "crowded", "reading"])
def test_closing_the_session_ends_a_watch(moment: str) -> None:
    """It ends at once and without an error, wherever it is."""

    async def scenario() -> float:
        session = Exchange(lambda at: balance(int(at)), took=5.0 if moment == "asking" else 0.0)
        leases = [await session.six().acquire() for _ in range(6)] if moment == "crowded" else []
        watch = SolStaking(CREDENTIALS, session).watch(every=100)

        async def read() -> None:
            async for _ in watch:
                if moment == "reading":
                    await session.aclose()

        reading = asyncio.create_task(read())
        await asyncio.sleep(2)
        closed_at = now()
        await session.aclose()
        await reading
        for lease in leases:
            lease.answered()
        return now() - closed_at

    assert run(scenario()) <= (3.1 if moment == "asking" else 0.01)


def test_a_watch_on_a_closed_session_raises() -> None:
    """Beginning with a closed session is a mistake."""

    async def scenario() -> None:
        session = Exchange(lambda at: balance(1))
        await session.aclose()
        await anext(SolStaking(CREDENTIALS, session).watch())

    with pytest.raises(ConfigurationError, match="closed"):
        run(scenario())


@pytest.mark.parametrize("every", [0, -1, float("inf"), float("nan"), "5", None, True])
def test_every_is_a_number_of_seconds(every: object) -> None:
    """The error is raised at once."""
    with pytest.raises(ConfigurationError, match=r"^every must "):
        SolStaking(CREDENTIALS, Session()).watch(every=every)  # type: ignore[arg-type]


def test_the_pauses_are_bounded() -> None:
    """They stop growing, however long an outage lasts."""
    outage = watching._Outage()

    assert [1, 2, 4, 8, 16, 30, 30] == [outage.note(Unavailable("x")) for _ in range(7)]
    for _ in range(5000):
        outage.note(Unavailable("x"))
    assert 30 == outage.note(Unavailable("x"))
