"""Runs worlds, one seed after the other."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter

import attrs

from tests.simulation.book import Broken
from tests.simulation.life import DAY, Habits, world_of
from tests.support.virtual_time import VirtualLoop


@attrs.frozen
class WorldReport:
    """What happened in one world."""

    seed: int
    days: float
    seconds: float
    calls: int
    healed: int
    named: int
    lost: int
    broken: tuple[Broken, ...]
    outcomes: Counter[str]
    harms: Counter[str]
    slowest: float
    slowest_call: str
    digest: str

    @property
    def leaked(self) -> int:
        """How often something was shown or sent that must not be."""
        return sum(broken.law == 5 for broken in self.broken)


def simulate(seed: int, habits: Habits, *, until_broken: int | None = None) -> WorldReport:
    """Run the world of a seed, and return its report.

    Args:
        seed: which world.
        habits: how lively it is, and how long it lasts.
        until_broken: the number of a law at whose breaking it ends early.

    """
    state = random.getstate()
    random.seed(seed)
    began = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(_simulate(seed, habits, until_broken, began))
    finally:
        gc.enable()
        random.setstate(state)


async def _simulate(seed: int, habits: Habits, until_broken: int | None, began: float) -> WorldReport:
    loop = asyncio.get_running_loop()
    world, life = world_of(seed, loop, habits)
    book = world.book
    book.stop_at = until_broken
    began_at = loop.time()
    with world.patched():
        life.settle()
        await world.exchange.__aenter__()
        await life.live()
        lived = loop.time() - began_at
        await world.finish()
    took, slowest = book.slowest
    return WorldReport(
        seed=seed,
        days=lived / DAY,
        seconds=time.perf_counter() - began,
        calls=book.calls,
        healed=book.healed,
        named=sum(count for name, count in book.outcomes.items() if name not in {"answered", "by its caller"})
        - book.lost,
        lost=book.lost,
        broken=tuple(book.broken),
        outcomes=book.outcomes,
        harms=book.harms,
        slowest=took,
        slowest_call=""
        if slowest is None
        else f"{slowest.what}, {slowest.waited:.1f} s in the queue, sent {slowest.sends} times",
        digest=book.digest,
    )
