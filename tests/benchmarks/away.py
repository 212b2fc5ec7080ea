"""Processes that share one user's limit while its server is away: how many calls leave in a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.turns import SIX, Processes, go_on
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES: Final = (1, 6, 12, 40)
TASKS: Final = 3
#: Seconds before the server goes: at six a second each of forty has left twice, and has heard of all others, although
#: they begin while the machine is busy with that.
BEFORE: Final = 20.0
#: Seconds from then on that do not count, and seconds that do.
GRACE: Final = 2.0
AWAY: Final = 20.0


def run() -> Iterator[Line]:
    """Measure each number of processes, with a server that is killed and one that is frozen."""
    for number in PROCESSES:
        for how in ("killed", "frozen"):
            yield _most_in_a_second(number, how)
    yield Note("limits and ratelimit-io raise the error of their client while the server is away")


def _most_in_a_second(number: int, how: str) -> Line:
    with valkey() as server:
        group = Processes(go_on, number, server.url, TASKS, BEFORE + GRACE + AWAY)
        time.sleep(max(group.began + BEFORE - time.monotonic(), 0.0))
        gone_at = time.monotonic()
        (server.kill if how == "killed" else server.freeze)()
        left = group.times()
        if how == "frozen":
            server.thaw()
    alone = sorted(at for times in left for at in times if gone_at + GRACE <= at < gone_at + GRACE + AWAY)
    most = max((sum(first <= at < first + SIX.seconds for at in alone) for first in alone), default=0)
    some = sum(any(at >= gone_at + GRACE for at in times) for times in left)
    detail = f"{number} processes, {how}: {len(alone) / AWAY:.1f} calls a second, {some} of them call"
    return Figure("machines", most, "calls in a second, the server is away", SIX.requests, detail, digits=0)
