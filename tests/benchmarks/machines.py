"""Four processes that share one user's limit through Valkey: ours beside limits and ratelimit-io.

Each process has 20 tasks that call without pause, over TCP, an exchange with a sliding log and 20 to 40 ms each way.
Refusals are counted from the first call on, and the rest when all have begun, because connecting is not calling.
At last one process is killed. A call of theirs that is refused is lost; ours is sent again.
Then callers give up (`giving_up`), and the server is away (`away`).
Then 10,000 users, each with few calls: what one server and one processor do at most. The exchange is left out there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import threading
import time
from typing import TYPE_CHECKING, Final

import attrs
import redis

from okx_sol_async.emulator import Emulator
from tests.benchmarks import away, giving_up
from tests.benchmarks.machine import LIMITERS, REQUESTS, Place, Run, saturate, serve_many
from tests.benchmarks.report import Figure, Line, Note
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from tests.support.valkey import Valkey

PROCESSES: Final = 4
TASKS: Final = 20
#: Seconds in which all begin, of calls that are measured, and after one process was killed.
BEGINNING: Final = 5.0
MEASURED: Final = 20.0
AFTERWARDS: Final = 8.0
#: Seconds in which a process ends, however busy the machine is, unless its limiter swallows the cancellation.
ENDS_WITHIN: Final = 90.0
#: Of six a second.
GOAL_SHARE: Final = 0.93
GOAL_OPERATIONS: Final = 1.1
GOAL_FAIRNESS: Final = 0.8
#: The killed process is made up for when calls arrive at this part of the rate before, over two seconds.
MADE_UP: Final = 0.9
USERS: Final = 10_000
MANY_FOR: Final = 5.0
MODULES: Final = {"limits": "limits", "ratelimit-io": "ratelimit_io"}

_spawn = multiprocessing.get_context("spawn")


@attrs.frozen
class Outcome:
    """What one limiter did."""

    calls: int
    refused: int
    used: float
    most: int
    operations: float
    fairness: float
    cpu: float
    recovery: float


def run() -> Iterator[Line]:
    """Measure each limiter without pause, with callers that give up, and without its server; then many users."""
    names = []
    for name in LIMITERS:
        module = MODULES.get(name)
        if module is not None and importlib.util.find_spec(module) is None:
            yield Note(f"without {name}, which is not installed; to have it: pip install -e '.[benchmarks]'")
        else:
            names.append(name)
    for name in names:
        yield from _figures(name, _measure(name))
    yield from giving_up.run(names)
    yield from away.run()
    yield from _many_users()


def _figures(name: str, outcome: Outcome) -> Iterator[Figure]:
    ours = name == "ours"
    detail = f"{outcome.calls} calls, at most {outcome.most} in a second"
    yield Figure("machines", outcome.refused, f"refusals (50011), {name}", 0 if ours else None, detail, digits=0)
    # Smaller is better, so what is unused is shown.
    unused, goal = 1 - outcome.used, round(1 - GOAL_SHARE, 2)
    detail = f"{outcome.used:.1%} is used"
    yield Figure("machines", unused, f"of 6 a second is unused, {name}", goal if ours else None, detail)
    goal = GOAL_OPERATIONS if ours else None
    yield Figure("machines", outcome.operations, f"operations on the server a call, {name}", goal)
    detail = f"the least busy process over the busiest: {outcome.fairness:.2f}"
    goal = round(1 / GOAL_FAIRNESS, 2) if ours else None
    yield Figure("machines", 1 / max(outcome.fairness, 1e-3), f"x the calls of the least busy, {name}", goal, detail)
    yield Figure("machines", outcome.recovery, f"s until a killed process is made up for, {name}", 3 if ours else None)
    yield Figure("machines", outcome.cpu * 1e3, f"ms of the processor a call, {name}")


def _measure(name: str) -> Outcome:
    with valkey() as server, Emulator(window="sliding", latency=0.02, jitter=0.02, seed=1) as exchange:
        key = exchange.credentials
        place = Place(exchange.url, server.url, key.api_key, key.secret_key, key.passphrase)
        with _counting(server) as asked:
            processes = _Processes(saturate, PROCESSES, BEGINNING + MEASURED + AFTERWARDS, name, place, TASKS)
            time.sleep(BEGINNING)
            before = _Seen.of(exchange, asked, processes)
            time.sleep(MEASURED)
            seen = _Seen.of(exchange, asked, processes)
            processes.kill(0)
            killed_at = time.monotonic()
            processes.join()
        calls, accepted = seen.calls - before.calls, seen.accepted - before.accepted
        answered = [now - then for now, then in zip(seen.answered, before.answered, strict=True)]
        later = [at - killed_at for at in exchange.arrivals() if at > killed_at]
        return Outcome(
            exchange.tally().received,
            exchange.tally().refused,
            accepted / (seen.at - before.at) / REQUESTS,
            exchange.most_within(1.0),
            (seen.operations - before.operations) / calls,
            min(answered) / max(answered),
            sum(processes.spent) / sum(processes.answered[1:]),
            _made_up_after(later, accepted / MEASURED),
        )


@attrs.frozen
class _Seen:
    """What there was at a moment."""

    at: float
    calls: int
    accepted: int
    operations: int
    answered: list[int]

    @classmethod
    def of(cls, exchange: Emulator, asked: list[str], processes: _Processes) -> _Seen:
        tally = exchange.tally()
        return cls(time.monotonic(), tally.received, tally.accepted, len(asked), [*processes.answered])


def _made_up_after(later: Sequence[float], rate: float) -> float:
    """Return after how many seconds calls arrived as often as before, for two seconds."""
    steps = [step / 10 for step in range(int(10 * (AFTERWARDS - 2)))]
    often = (at for at in steps if sum(at <= other < at + 2 for other in later) >= MADE_UP * rate * 2)
    return next(often, AFTERWARDS)


def _many_users() -> Iterator[Figure]:
    with valkey() as server:
        shared = _Processes(serve_many, PROCESSES, MANY_FOR, server.url, USERS).join()
        with server.client as client:
            stats = client.info("commandstats")["cmdstat_evalsha"]
    local = _Processes(serve_many, PROCESSES, MANY_FOR, None, USERS).join()
    calls = sum(shared.answered)
    per_call = sum(shared.spent) / calls
    detail = f"{USERS:,} users, {PROCESSES} processes, {stats['calls'] / calls:.2f} operations a call"
    yield Figure("machines", calls / MANY_FOR, "calls a second in all, on this machine", detail=detail, digits=0)
    detail = f"{stats['usec_per_call']:.1f} us each, when nothing else uses its processor"
    yield Figure(
        "machines",
        1e6 / stats["usec_per_call"],
        "reservations a second that one server has time for",
        detail=detail,
        digits=0,
    )
    ours = sum(local.spent) / sum(local.answered)
    detail = f"{per_call * 1e6:.0f} us a call, {ours * 1e6:.0f} us in the process"
    yield Figure("machines", per_call / ours, "x the processor of a bucket in the process", detail=detail)


class _Processes:
    """So many processes that do the same, from the moment at which all are ready."""

    def __init__(self, target: Callable[..., None], count: int, seconds: float, *arguments: object) -> None:
        self.answered = _spawn.Array("q", count)
        self.spent = _spawn.Array("d", count)
        begin = _spawn.Barrier(count + 1)
        self._processes = [
            _spawn.Process(target=target, args=(Run(number, seconds, begin, self.answered, self.spent), *arguments))
            for number in range(count)
        ]
        for process in self._processes:
            process.start()
        begin.wait()

    def kill(self, number: int) -> None:
        """End one at once."""
        self._processes[number].kill()

    def join(self) -> Self:
        """Wait until all have ended; one that does not is killed."""
        for process in self._processes:
            process.join(ENDS_WITHIN)
            process.kill()
        return self


@contextlib.contextmanager
def _counting(server: Valkey) -> Iterator[list[str]]:
    """Yield what clients ask of the server, while the block runs; what scripts do is theirs."""
    asked: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        with contextlib.suppress(redis.ConnectionError), server.client as client, client.monitor() as monitor:
            ready.set()
            asked.extend(seen["command"] for seen in monitor.listen() if seen["client_type"] != "lua")

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait()
    yield asked
    server.kill()
    thread.join()
