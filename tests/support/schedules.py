"""Random schedules of one user's calls on a virtual clock, checked against a model at each step.

The model is a sorted list: of all calls that wait, the one that leaves has the lowest rank, and in it the lowest number.
A refused call has rank 0, one in the foreground 1, one in the background 2; numbers count arrivals.
"""

import asyncio
import random
from dataclasses import dataclass, field

from okx_sol_async import BucketKey, LocalLimiter, PushBack, QueueTimeout, RateLimit, Scope
from tests.support.virtual_time import now, run

SIX = RateLimit(6, 1.0, Scope.USER)
OWNERS = ("a", "b")
#: What the virtual clock adds by itself.
TICKS = 1e-3


@dataclass
class Call:
    number: int
    rank: int
    owner: str
    deadline: float | None
    cancelled: bool = False


@dataclass
class Schedule:
    """What happens in one schedule, and what is wrong about it."""

    seed: int
    broken: list[str] = field(default_factory=list)
    refusals: int = 0
    merges: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.limiter = LocalLimiter()
        self.merged_at: float | None = None
        self.waiting: dict[int, Call] = {}
        # When calls left, with when they were answered, by user.
        self.left: dict[str, list[list[float]]] = {owner: [] for owner in OWNERS}
        self.paused_until: dict[str, float] = dict.fromkeys(OWNERS, 0.0)
        self.refused_at: dict[str, float] = dict.fromkeys(OWNERS, -1e9)

    def user(self, owner: str) -> str:
        return "a" if self.merges else owner

    def note(self, what: str) -> None:
        self.broken.append(f"seed {self.seed} at {now() - 1000:.6f}: {what}")

    def leave(self, call: Call) -> list[float]:
        """Check a departure against the model."""
        at, user = now(), self.user(call.owner)
        del self.waiting[call.number]
        for other in self.waiting.values():
            if self.user(other.owner) != user or other.cancelled:
                continue
            gives_up = other.deadline is not None and other.deadline <= at + TICKS
            if (other.rank, other.number) < (call.rank, call.number) and not gives_up:
                self.note(f"{call} left before {other}")
        if at < self.paused_until[user] - TICKS:
            self.note(f"{call} left in a pause")
        mine = self.left[user]
        is_paced = at - self.refused_at[user] < PushBack().clean_time and mine and mine[-1][0] > self.refused_at[user]
        if is_paced and at - mine[-1][0] < SIX.seconds / SIX.requests - TICKS:
            self.note(f"{call} left too soon after the last, at a pace")
        # Merged buckets may have had more together before.
        counted = sum(answered + SIX.seconds > at for _, answered in mine)
        if counted >= SIX.requests and (self.merged_at is None or at > self.merged_at + 3):
            self.note(f"{call} is the seventh of a window")
        times = [at, float("inf")]
        mine.append(times)
        return times

    def merge(self) -> None:
        if self.merges:
            return
        self.limiter.merge("b", "a")
        self.merges += 1
        self.merged_at = now()
        self.left["a"] = sorted(self.left["a"] + self.left["b"])
        for what in (self.paused_until, self.refused_at):
            what["a"] = max(what.values())

    async def call(self, number: int) -> None:
        rng = self.rng
        owner = rng.choice(OWNERS)
        background = rng.random() < 0.2
        deadline = now() + rng.uniform(0, 6) if rng.random() < 0.3 else None
        call = Call(number, 2 if background else 1, owner, deadline)
        self.waiting[number] = call
        key = BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")
        bucket = self.limiter.bucket(key, SIX)
        try:
            lease = await bucket.acquire(deadline, background=background)
            while True:
                times = self.leave(call)
                await asyncio.sleep(rng.uniform(0, 0.3))
                refused = rng.random() < 0.08
                times[1] = now()
                if rng.random() < 0.05:
                    lease.abandoned()
                    return
                if not refused:
                    lease.answered()
                    return
                self.refusals += 1
                user = self.user(owner)
                self.refused_at[user], self.paused_until[user] = now(), max(self.paused_until[user], now() + 1.0)
                place = lease.refused()
                call.rank = 0
                self.waiting[number] = call
                assert place is not None
                lease = await place.acquire(deadline)
        except QueueTimeout as error:
            if error.retry_after is None or error.retry_after < 0:
                self.note("an error without the seconds to wait")
            self.waiting.pop(number, None)
        except asyncio.CancelledError:
            if number not in self.waiting:
                # It was on the wire.
                times[1] = now()
                lease.abandoned()
            self.waiting.pop(number, None)

    async def main(self) -> None:
        rng, loop = self.rng, asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        merge_at = rng.randrange(40) if rng.random() < 0.5 else -1
        for number in range(rng.randrange(10, 40)):
            tasks.append(loop.create_task(self.call(number)))
            if rng.random() < 0.4:
                await asyncio.sleep(rng.choice([0.0, 0.01, 0.3, 1.0, 8.0]) * rng.random())
            if rng.random() < 0.2:
                victim = rng.randrange(len(tasks))
                if victim in self.waiting:
                    self.waiting[victim].cancelled = True
                tasks[victim].cancel()
            if number == merge_at:
                self.merge()
        done, stuck = await asyncio.wait(tasks, timeout=1000.0)
        for task in stuck:
            self.note("a call is stuck")
            task.cancel()
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                self.note(f"{task.exception()!r}")
        await asyncio.sleep(300)
        if len(self.limiter):
            self.note("a bucket is left")


def play(seed: int) -> Schedule:
    """Run one schedule."""
    schedule = Schedule(seed)
    run(schedule.main())
    return schedule
