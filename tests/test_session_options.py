"""Views of a session with other options, and sessions whose keywords come with keys from the environment."""

import asyncio
import gc

import pytest

from okx_sol_async import (
    BALANCE,
    ConfigurationError,
    LocalLimiter,
    QueueTimeout,
    Session,
    SessionClosed,
    SolStaking,
    Timeout,
    Unavailable,
)
from okx_sol_async.emulator import Emulator
from tests.support.scripted import CREDENTIALS, READ, Script, coded, good, hang, session_of


@pytest.mark.virtual_clock
async def test_a_view_has_its_own_timeout() -> None:
    """Calls of a view end after its timeout, and those of the session after the session's."""
    loop = asyncio.get_running_loop()
    async with session_of(Script(hang), attempts=1, timeout=2.0) as session:
        view = session.with_options(timeout=0.5)
        for caller, seconds in ((view, 0.5), (session, 2.0)):
            began = loop.time()
            with pytest.raises(Timeout, match=f"within {seconds:g} s"):
                await caller.call(READ, CREDENTIALS)
            assert loop.time() - began == pytest.approx(seconds, abs=0.1)


@pytest.mark.virtual_clock
async def test_a_view_has_its_own_attempts() -> None:
    """A view with one attempt sends once, and the session three times."""
    script = Script(coded("50001", 503))
    async with session_of(script, attempts=3) as session:
        for caller, sends in ((session.with_options(attempts=1), 1), (session, 3)):
            with pytest.raises(Unavailable) as caught:
                await caller.call(READ, CREDENTIALS)
            assert sends == caught.value.attempts


@pytest.mark.virtual_clock
async def test_a_view_has_its_own_max_wait_over_the_same_limit(exchange: Emulator) -> None:
    """A full bucket refuses the view that does not wait, and the session's own call waits for its turn."""
    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        staking = SolStaking(exchange.credentials, session)
        await asyncio.gather(*(staking.balance() for _ in range(6)))
        with pytest.raises(QueueTimeout):
            await staking.with_options(max_wait=0).balance()
        await staking.balance()
        # `None` is no limit, also over a view that has one.
        await staking.with_options(max_wait=0).with_options(max_wait=None).balance()


async def test_what_is_not_given_is_kept() -> None:
    """A view of a view has the options of both."""
    async with session_of(Script(coded("50001", 503)), attempts=3) as session:
        view = session.with_options(attempts=1).with_options(timeout=3.0, max_wait=2.0)
        with pytest.raises(Unavailable) as caught:
            await view.call(READ, CREDENTIALS)
    assert 1 == caught.value.attempts


async def test_a_view_shares_counters_and_connections() -> None:
    """What a view does is counted with the session, over the same connections."""
    async with session_of(Script(good)) as session:
        await session.with_options(timeout=3.0).call(READ, CREDENTIALS)
        await session.call(READ, CREDENTIALS)
        assert 2 == session.counters.calls == session.with_options(attempts=2).counters.calls
        assert session.with_options(attempts=2).bucket(READ, CREDENTIALS) is session.bucket(READ, CREDENTIALS)


async def test_closing_a_view_closes_nothing() -> None:
    """A view may be used as a context manager, and the session works on."""
    async with session_of(Script(good)) as session:
        async with session.with_options(timeout=3.0) as view:
            await view.call(READ, CREDENTIALS)
        async with SolStaking(CREDENTIALS, session).with_options(timeout=3.0):
            pass
        assert not view.closed
        await view.call(READ, CREDENTIALS)
        await session.call(READ, CREDENTIALS)


async def test_a_view_is_closed_with_its_session() -> None:
    """When the session is closed, its views are, and who waits for that is woken."""
    async with session_of(Script(good)) as session:
        view = session.with_options(timeout=3.0)
        waiting = asyncio.create_task(view.wait_closed())
        await view.call(READ, CREDENTIALS)
    await waiting
    assert view.closed
    with pytest.raises(SessionClosed):
        await view.call(READ, CREDENTIALS)


async def test_closing_cancels_the_timers_of_all_views() -> None:
    """No timer outlives the session, and no timeout that is not in use is kept."""
    async with session_of(Script(good)) as session:
        views = [session.with_options(timeout=60.0 + n) for n in range(3)]
        for view in views:
            await view.call(READ, CREDENTIALS)
        timers = [view._options.timeouts._timer for view in views]
        assert 4 == len(session._state.timeouts)
        await session.aclose()
        assert all(timer is not None and timer.cancelled() for timer in timers)
        del views, view
        gc.collect()
        assert 1 == len(session._state.timeouts)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"max_wait": -1}, "max_wait"),
        ({"attempts": 0}, "attempts"),
    ],
)
async def test_wrong_options_are_named(options: dict[str, object], argument: str) -> None:
    """A view refuses what a session refuses, by the name of the argument."""
    async with Session(limiter=LocalLimiter()) as session:
        with pytest.raises(ConfigurationError) as caught:
            session.with_options(**options)  # type: ignore[arg-type]
        assert argument == caught.value.argument


@pytest.mark.usefixtures("as_user")
async def test_any_keyword_comes_with_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` passes each keyword on, and a keyword wins over its variable."""
    limiter, reports = LocalLimiter(), []
    monkeypatch.setenv("OKX_DEMO", "1")
    async with SolStaking.from_env(
        limiter=limiter, timeout=3.0, max_wait=None, attempts=1, demo=False, observe=reports.append, middlewares=()
    ) as staking:
        await staking.balance()
        bucket = limiter.bucket(staking._session._state.bucket_key(BALANCE, staking._credentials), BALANCE.limit)
        assert 5 == bucket.free
    assert 1 == len(reports)
    assert staking._session.closed


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"attempts": "3"}, {"limiter": 5}])
def test_wrong_keywords_of_from_env_are_named(settings: dict[str, object]) -> None:
    """`from_env` refuses what `Session` refuses."""
    with pytest.raises(ConfigurationError) as caught:
        Session.from_env(**settings)  # type: ignore[arg-type]
    assert set(settings) == {caught.value.argument}
