"""Worlds in which nothing goes as it should, and the laws that hold in them all the same.

`python -m tests.benchmarks simulation` runs months of them. Each seed is one world, so a failure is replayed with its
seed: `python -m tests.benchmarks.months --storm --seed N`.
"""

import logging
from contextlib import ExitStack
from decimal import Decimal
from typing import Any
from unittest import mock

import aiohttp
import attrs
import pytest

import okx_sol_async.ratelimit._bucket
import okx_sol_async.signing._signer
import okx_sol_async.transport._call
import okx_sol_async.transport._resend
from okx_sol_async import Balance, LocalLimiter, Session, Signer
from okx_sol_async.ratelimit._state import BucketState
from okx_sol_async.ratelimit._waiters import Waiter, Waiters
from okx_sol_async.ratelimit._window import Window
from okx_sol_async.transport._call import Call
from okx_sol_async.transport._in_flight import AttemptTimeouts
from tests.simulation.life import STORM, Habits
from tests.simulation.run import simulate

SEEDS = (1, 8)


def test_no_law_is_broken() -> None:
    """Calls are recovered or end in a named error, none is lost, and nothing leaks."""
    worlds = [simulate(seed, STORM) for seed in SEEDS]

    for report in worlds:
        assert () == report.broken, f"seed {report.seed}"
        assert report.calls == sum(report.outcomes.values())
        assert 0 == report.lost == report.leaked
    assert sum(report.healed for report in worlds)
    assert sum(report.named for report in worlds)


def test_one_seed_is_one_run() -> None:
    """Two runs of a seed see the same events at the same times; another seed sees others."""
    short = attrs.evolve(STORM, days=STORM.days / 4)

    first, second, other = simulate(7, short), simulate(7, short), simulate(8, short)

    assert first.digest == second.digest != other.digest


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_world_lasts_for_its_days(seed: int) -> None:
    """Nothing in it waits beyond its end; only faults that are active at the end run on for some minutes."""
    report = simulate(seed, Habits(days=0.05))

    assert 0.05 <= report.days < 0.06


# Each breaks one law in the system under simulation.


def _slow_connections(_: object) -> object:
    return aiohttp.ClientTimeout(total=None, connect=60.0)


def _lets_seven_pass(_: object) -> object:
    def has_room(window: Window, now: float) -> bool:
        window.releases = tuple(at for at in window.releases if at > now)
        return window.in_flight + len(window.releases) <= window.requests

    return has_room


def _counts_from_the_sending(_: object) -> object:
    def answered(state: BucketState, since: float, _slot: object) -> None:
        state.window.release(since + state.rules.limit.seconds)
        state.serve()

    return answered


def _limits_each_session(init: Any) -> object:
    def make(session: Session, **settings: Any) -> None:
        init(session, **settings | {"limiter": LocalLimiter()})

    return make


def _last_come_first_served(join: Any) -> object:
    def join_in_front(waiters: Waiters, waiter: Waiter) -> None:
        join(waiters, waiter)
        waiters._ranks[waiter.rank].move_to_end(waiter.number, last=False)

    return join_in_front


def _logs_headers(sign_request: Any) -> object:
    def sign(request: Any, content: bytes, signer: Signer) -> None:
        sign_request(request, content, signer)
        passphrase = signer.credentials.passphrase
        logging.getLogger("okx_sol_async").debug("signed", extra={"headers": {"passphrase": passphrase}})

    return sign


def _signs_for_anybody(sign_request: Any) -> object:
    def sign(request: Any, content: bytes, signer: Signer) -> None:
        sign_request(request, content, Signer(signer.credentials, request.url.origin(), now=signer.now))

    return sign


def _follows_redirects(request: Any) -> object:
    async def follow(http: Any, method: str, url: Any, **settings: Any) -> object:
        return await request(http, method, url, **settings | {"allow_redirects": True})

    return follow


def _sends_writes_again(decide: Any) -> object:
    return lambda kind, **known: decide(kind, **known | {"is_read": True})


def _is_sure(_: object) -> object:
    return lambda call, failure: False


def _reads_floats(read: Any) -> object:
    def imprecise(*response: Any) -> object:
        outcome = read(*response)
        if not isinstance(outcome, Balance):
            return outcome
        return attrs.evolve(outcome, amt=Decimal(float(outcome.amt)))

    return imprecise


def _never_ends_an_attempt(_: object) -> object:
    return lambda *_: None


def _raises_what_came(_: object) -> object:
    def failure(call: Call[Any], error: BaseException) -> BaseException:
        return error

    return failure


MUTATIONS = {
    "connects for as long as it takes": (1, [(okx_sol_async.transport._call, "CLIENT_TIMEOUT", _slow_connections)]),
    "lets seven pass": (2, [(Window, "has_room", _lets_seven_pass)]),
    "counts from the sending": (2, [(BucketState, "answered", _counts_from_the_sending)]),
    "limits each session": (3, [(Session, "__init__", _limits_each_session)]),
    "last come, first served": (4, [(Waiters, "join", _last_come_first_served)]),
    "logs a header": (5, [(okx_sol_async.signing._signer, "sign_request", _logs_headers)]),
    "goes where it is sent": (
        5,
        [
            (okx_sol_async.signing._signer, "sign_request", _signs_for_anybody),
            (aiohttp.ClientSession, "request", _follows_redirects),
        ],
    ),
    "sends writes again": (6, [(okx_sol_async.transport._resend, "decide", _sends_writes_again)]),
    "is sure of what it does not know": (6, [(Call, "_may_have_happened", _is_sure)]),
    "reads floats": (7, [(okx_sol_async.transport._call, "outcome_of", _reads_floats)]),
    "never ends an attempt": (9, [(AttemptTimeouts, "begin", _never_ends_an_attempt)]),
    "raises what came": (9, [(Call, "_failed", _raises_what_came)]),
}
#: A world that finds each soon.
FOUND_BY = {
    "connects for as long as it takes": 2,
    "goes where it is sent": 16,
    "sends writes again": 4,
    "is sure of what it does not know": 2,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_law_is_found(mutation: str) -> None:
    """The simulation can fail: each way to break the package breaks a law here."""
    law, replacements = MUTATIONS[mutation]
    found: set[int] = set()
    with ExitStack() as stack:
        for target, name, make in replacements:
            stack.enter_context(mock.patch.object(target, name, make(getattr(target, name))))
        # Another world finds it when what goes on in the worlds changes.
        for seed in (FOUND_BY.get(mutation, 1), *range(1, 60)):
            found |= {broken.law for broken in simulate(seed, STORM, until_broken=law).broken}
            if law in found:
                return

    pytest.fail(f"only the laws {found} are broken")
