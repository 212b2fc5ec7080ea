"""One user's limit shared by many processes whose callers give up: how much of the limit is used all the same.

Twelve calls a second are offered for six, evenly over the processes, and each caller gives up after two seconds: by
cancellation, by `max_wait`, or by each in turn. Then sixty processes wait with one call each, and all but the last are
cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from okx_sol_async.ratelimit.shared._store import window_of
from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.turns import SIX, TAKES, Processes, give_up, wait_once
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROCESSES: Final = (1, 4, 8, 16, 40, 100)
#: Those that are measured beside them, at these numbers.
OTHERS: Final = (1, 16, 40)
WAYS: Final = ("cancellation", "max_wait", "in turn")
OFFERED: Final = 12.0
PATIENCE: Final = 2.0
SECONDS: Final = 13.0
#: The first seconds do not count: a burst leaves at once, and the queue is filled.
WARM_UP: Final = 3.0
MARGIN: Final = 0.05
#: What is unused of six calls a second.
GOAL_UNUSED: Final = 0.07
#: Milliseconds until a slot that is free is used.
GOAL_IDLE: Final = 50.0
SIXTY: Final = 60
ROUNDS: Final = 3
APART: Final = 0.01
CANCELLED_AT: Final = 0.8
#: Seconds from the cancellation on.
GOAL_LAST: Final = 1.2


def run(names: Sequence[str]) -> Iterator[Line]:
    """Measure each limiter."""
    for name in names:
        for number in PROCESSES if name == "ours" else OTHERS:
            yield from _throughput(name, number)
    for name in names:
        yield _sixtieth(name)


def _throughput(name: str, number: int) -> Iterator[Line]:
    ours = name == "ours"
    ways = WAYS if ours else WAYS[:1]
    with valkey() as server:
        # Users do not wait for each other, so all ways are measured at once.
        group = Processes(give_up, number, name, server.url, ways, OFFERED, PATIENCE, SECONDS)
        left = [[at - group.began for times in group.times(user) for at in times] for user in range(len(ways))]
        with server.client as client:
            commands = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    calls = sum(map(len, left))
    idle: list[float] = []
    for way, times in zip(ways, left, strict=True):
        counted = sorted(at for at in times if WARM_UP <= at < SECONDS)
        used = _used(counted)
        detail = f"{number} processes, callers give up by {way}: {used:.1%} is used"
        yield Figure("machines", 1 - used, f"of 6 a second is unused, {name}", GOAL_UNUSED if ours else None, detail)
        busy = window_of(SIX) + MARGIN
        idle += [after - before - busy for before, after in zip(counted, counted[SIX.requests :], strict=False)]
    if ours:
        idle.sort()
        half, most = 1e3 * idle[len(idle) // 2], 1e3 * idle[-1]
        detail = (
            f"{number} processes; half within {half:.0f}, all within {most:.0f}; {commands / calls:.1f} commands a call"
        )
        value = max(1e3 * idle[len(idle) * 95 // 100], 0.0)
        yield Figure("machines", value, "ms until 95 of 100 free slots are used", GOAL_IDLE, detail, digits=0)


def _used(times: Sequence[float]) -> float:
    """Return the part of the limit that was used, over as many whole windows as there are: calls leave in bursts."""
    windows = (len(times) - 1) // SIX.requests
    return windows * SIX.seconds / (times[windows * SIX.requests] - times[0]) if windows > 0 else 0.0


def _sixtieth(name: str) -> Line:
    waits, late = [], []
    with valkey() as server:
        for round_ in range(ROUNDS):
            group = Processes(wait_once, SIXTY, name, server.url, f"user {round_}", APART, CANCELLED_AT)
            times = group.times()
            if not times[-1]:
                return Note(f"the last of {SIXTY} processes does not leave within two seconds, {name}")
            at = times[-1][0] - group.began
            # If none of the others has left, a slot was free when they were cancelled.
            first = min((at for each in times[:-1] for at in each), default=group.began) - group.began
            waits.append(at - CANCELLED_AT)
            late.append(at - max(first + TAKES + window_of(SIX), CANCELLED_AT))
    ours = name == "ours"
    what = f"s until the last of {SIXTY} leaves, the others give up, {name}"
    return Figure(
        "machines",
        max(waits),
        what,
        GOAL_LAST if ours else None,
        f"{1e3 * max(late):.0f} ms after a slot is free; the most of {ROUNDS}",
    )
