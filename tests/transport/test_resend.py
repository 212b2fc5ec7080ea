"""What is sent again, after what, and what is not."""

import asyncio
import gc
import logging
import weakref
from decimal import Decimal

import pytest

from okx_sol_async import (
    BALANCE,
    APIError,
    DecodeError,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    Rejected,
    Session,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async._error_codes import CODES
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Refusal
from okx_sol_async.transport import _recovery as recovery
from okx_sol_async.transport import _resend as resend
from tests.support.scripted import (
    CREDENTIALS,
    GOOD,
    READ,
    WRITE,
    Script,
    coded,
    cut,
    hang,
    page,
    reset,
    session_of,
)
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

PASSING = {
    "reset": reset,
    "cut": cut,
    "hang": hang,
    "html 200": page(200, b"<html>just a moment</html>"),
    "html 502": page(502, b"<html>Bad gateway</html>"),
    "empty 503": page(503, b""),
    **{code: coded(code) for code, rule in CODES.items() if rule.exception is Unavailable},
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_read_is_resent_after_a_temporary_failure(name: str) -> None:
    """Two failures are recovered unseen, each attempt with a fresh timestamp and a lease of its own."""
    script = Script(PASSING[name], PASSING[name], page(200, GOOD, "application/json"))
    async with session_of(script) as session:
        balance = await session.call(READ, CREDENTIALS)
        resends = session.counters.resends

    assert Decimal(1) == balance.amt
    assert 2 == resends
    assert 3 == len(script.timestamps)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reset", TransportError),
        ("hang", Timeout),
        ("html 200", DecodeError),
        ("html 502", Unavailable),
        ("50001", Unavailable),
    ],
)
async def test_a_failure_that_lasts_is_raised_with_its_attempts(name: str, kind: type[OKXError]) -> None:
    """After as many attempts as were allowed, the last failure says how often the call was sent."""
    script = Script(PASSING[name])
    async with session_of(script, timeout=0.1, attempts=2) as session:
        with pytest.raises(kind) as caught:
            await session.call(READ, CREDENTIALS)

    assert 2 == len(script.timestamps) == caught.value.attempts
    assert caught.value.waited is not None
    assert "sent 2 times" in str(caught.value)
    assert caught.value.transient


@pytest.mark.parametrize("code", sorted(code for code, rule in CODES.items() if not rule.exception.transient))
async def test_a_permanent_failure_is_sent_once(code: str) -> None:
    """Wrong keys, missing permissions and bad input are raised at once; a timestamp is signed again."""
    script = Script(coded(code, 401))
    async with session_of(script) as session:
        with pytest.raises(APIError) as caught:
            await session.call(READ, CREDENTIALS)

    # It has no Date to learn from, so OKX is asked for its time, which is not signed.
    assert (2 if code == "50102" else 1) == len([stamp for stamp in script.timestamps if stamp])
    assert not caught.value.transient


async def test_a_row_that_is_broken_is_not_asked_for_again() -> None:
    """OKX responded, and would respond the same."""
    script = Script(page(200, b'{"code":"0","msg":"","data":[{}]}', "application/json"))
    async with session_of(script) as session:
        with pytest.raises(DecodeError, match=r"data\[0\].amt is missing.*newer version"):
            await session.call(READ, CREDENTIALS)

    assert 1 == len(script.timestamps)


async def test_one_attempt_is_one() -> None:
    """With ``attempts=1`` nothing is tried again."""
    script = Script(coded("50001", 503))
    async with session_of(script, attempts=1) as session:
        with pytest.raises(Unavailable):
            await session.call(READ, CREDENTIALS)

    assert 1 == len(script.timestamps)


@pytest.mark.parametrize("name", PASSING)
async def test_a_write_is_never_sent_again_after_what_may_have_happened(name: str) -> None:
    """It ends in `OutcomeUnknown`, which has the time it was sent and what came instead of a response."""
    script = Script(PASSING[name])
    async with session_of(script, timeout=0.1) as session:
        with pytest.raises(OutcomeUnknown) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1.5"})

    assert [b'{"amt":"1.5"}'] == script.bodies
    assert isinstance(caught.value.reason, OKXError)
    assert caught.value.sent_at is not None
    assert caught.value.sent_at.isoformat(timespec="milliseconds")[:-6] + "Z" == script.timestamps[0]


@pytest.mark.parametrize(("code", "sends"), [("50011", 2), ("50102", 3), ("51736", 1)])
async def test_a_write_is_sent_again_when_it_was_certainly_refused(code: str, sends: int) -> None:
    """A full bucket and a wrong clock are recovered, with the same body; a refusal of the write itself is raised."""
    script = Script(*[coded(code, 429)] * (sends - 1), coded("51736" if sends == 1 else "0"))
    async with session_of(script) as session:
        if sends == 1:
            with pytest.raises(Rejected):
                await session.call(WRITE, CREDENTIALS, {"amt": "1"})
        else:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert {b'{"amt":"1"}'} == {body for body in script.bodies if body}


@pytest.mark.parametrize("status", [408, 429, 499])
async def test_a_write_that_a_gateway_gave_up_may_have_happened(status: int) -> None:
    """It may have passed the call on before it lost its patience."""
    async with session_of(Script(page(status, b"<html>"))) as session:
        with pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 429, 502])
async def test_a_page_that_is_not_okxs_says_what_to_do(status: int) -> None:
    """A person gets a hint with every status."""
    async with session_of(Script(page(status, b"<html>")), attempts=1) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(WRITE if status == 429 else READ, CREDENTIALS)

    assert caught.value.hint


@pytest.mark.parametrize("name", ["reset", "html 502", "html 200", "hang"])
async def test_a_failure_keeps_nothing_alive(name: str) -> None:
    """An error without references is gone at once, with its frames, and needs no garbage collector."""
    gone = []
    async with session_of(Script(PASSING[name]), timeout=0.1, attempts=1) as session:
        gc.disable()
        try:
            try:
                await session.call(READ, CREDENTIALS)
            except OKXError as error:
                gone.append(weakref.ref(error))
            [reference] = gone
            assert reference() is None
        finally:
            gc.enable()


async def test_a_failure_after_retries_shows_no_frames_of_theirs() -> None:
    """Its traceback leads to the call, and not through the libraries that made it again."""
    async with session_of(Script(coded("50001", 503))) as session:
        with pytest.raises(Unavailable) as caught:
            await session.call(READ, CREDENTIALS)

    assert ["call", "run"] == [entry.name for entry in caught.traceback[1:]]


async def test_closing_ends_a_call_between_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for its next attempt."""
    monkeypatch.setattr(recovery.random, "uniform", lambda low, high: 60.0)
    script = Script(coded("50001", 503))
    async with session_of(script) as session:
        call = asyncio.ensure_future(session.call(READ, CREDENTIALS))
        await script.asked.wait()
        await asyncio.sleep(0.05)
        began = now()
        await session.aclose()
        with pytest.raises(OKXError, match="closed"):
            await call

        assert now() - began < 0.5


@pytest.mark.virtual_clock
async def test_waits_grow_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait is drawn from nothing up to twice the last bound."""
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.5)
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(recovery.random, "uniform", uniform)

    async with (
        Emulator() as exchange,
        Session(base_url=exchange.url, limiter=LocalLimiter(), attempts=8) as session,
    ):
        exchange.fail_next(Refusal("50001"), times=None)
        began = now()
        with pytest.raises(Unavailable):
            await session.call(BALANCE, exchange.credentials)
        took = now() - began

    assert [(0.0, bound) for bound in (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0)] == bounds
    assert took == pytest.approx(35.5, abs=0.5)


async def test_a_retry_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no logging is set up, as pytest's is not for this one logger here, a resend is silent."""
    monkeypatch.setattr(logging.getLogger("okx_sol_async"), "propagate", False)
    script = Script(coded("50001", 503), page(200, GOOD, "application/json"))
    async with session_of(script) as session:
        await session.call(READ, CREDENTIALS)

    assert ("", "") == capsys.readouterr()
