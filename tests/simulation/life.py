"""What goes on in a world: who calls when, and what goes wrong, all drawn from the seed."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async.emulator import faults
from tests.simulation import laws
from tests.simulation.machines import ENDPOINTS, WRITES, Machine, Member, Patience, Slot
from tests.simulation.network import Weather
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from okx_sol_async import Credentials
    from okx_sol_async.emulator.faults import Fault

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
_READS: Final = ("balance", "balance", "balance", "history", "history", "product")
#: Refusals that say nothing of whether the call was done.
_BUSY: Final = ("50001", "50004", "50013", "50026", "51054")
#: Refusals that say that it was not.
_NO: Final = ("50011", "50030", "50040", "50100", "50102", "50105", "50110", "50113", "51730", "51738", "51739")
_WINDOWS: Final = ("sliding", "fixed", "token", "counter")


@attrs.frozen
class Habits:
    """How lively a world is. Times are mean seconds between two of a kind."""

    days: float
    bot: float = 15 * 60.0
    burst: float = 2 * HOUR
    episode: float = 3 * HOUR
    remake: float = 6 * HOUR
    stranger: float = 8 * HOUR
    clock: float = 12 * HOUR
    #: How long an episode lasts, about.
    lasts: tuple[float, ...] = (5.0, 60.0, 600.0)


#: Minutes in which nothing goes as it should.
STORM: Final = Habits(
    days=1 / 192,
    bot=120.0,
    burst=120.0,
    episode=12.0,
    remake=200.0,
    stranger=400.0,
    clock=400.0,
    lasts=(2.0, 10.0, 20.0),
)


class Life:
    """The actors of one world."""

    def __init__(self, world: World, habits: Habits) -> None:
        self._world = world
        self._random = world.random
        self._habits = habits
        self._until = world.loop.time() + habits.days * DAY

    def settle(self) -> None:
        """Set up machines, sessions and users."""
        world, rng = self._world, self._random
        for _ in range(rng.randint(1, 3)):
            machine = world.add_machine(pool=rng.choice((2, 8, 256, 256)))
            machine.ahead = rng.choice(
                (0.0, 0.0, rng.uniform(-3, 3), rng.uniform(-45, 45), rng.choice((-600.0, 600.0)))
            )
            machine.weather.latency = rng.choice((0.005, 0.03, 0.12))
            machine.weather.jitter = rng.choice((0.0, 0.01, 0.1))
            service = self._slot(machine)
            for _ in range(rng.randint(2, 6)):
                world.add_member(service, world.add_user(), labelled=rng.random() < 0.7)
            for _ in range(rng.randint(0, 2)):
                world.add_member(self._slot(machine), world.add_user(), labelled=rng.random() < 0.5)
            # A user of the service has a bot with a key of the same user, in a session of its own.
            shared = rng.choice(service.members)
            if shared.identified:
                world.add_member(self._slot(machine), shared.user, labelled=True)
        if rng.random() < 0.5:
            self._settle_twins(rng.choice(world.slots))

    def _slot(self, machine: Machine) -> Slot:
        rng = self._random
        return self._world.add_slot(
            machine,
            timeout=rng.choice((1.5, 4.0, 10.0)),
            max_wait=rng.choice((None, None, None, 0.0, 1.2, 5.0)),
            attempts=rng.choice((1, 2, 3, 3, 5)),
        )

    def _settle_twins(self, slot: Slot) -> None:
        """Two keys of one user, who is taken for two until both are identified."""
        user = self._world.add_user()
        self._world.book.unlabelled[user.uid] = math.inf
        for _ in range(2):
            self._world.add_member(slot, user, labelled=False)

    async def live(self) -> None:
        """Let it all happen."""
        habits = self._habits
        create = self._world.loop.create_task
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (habits.burst, self._burst),
            (habits.episode, self._episode),
            (habits.remake, self._remake),
            (habits.stranger, self._stranger),
            (habits.clock, self._move_a_clock),
            (habits.burst, self._identify),
            (4 * habits.burst, self._synchronize),
        ]
        for slot in self._world.slots:
            acts.extend((habits.bot * len(slot.members), self._poll(slot, member)) for member in slot.members)
        tasks = [create(self._now_and_then(mean, act)) for mean, act in acts]
        await asyncio.gather(*tasks)

    async def _now_and_then(self, mean: float, act: Callable[[], Awaitable[None]]) -> None:
        loop = self._world.loop
        stop = self._world.book.stop
        while True:
            # Not beyond the end, or a world would go on for as long as the most patient of them waits.
            left = max(self._until - loop.time(), 0.0)
            await asyncio.wait([stop], timeout=min(self._random.expovariate(1 / mean), left))
            if loop.time() >= self._until or stop.done():
                return
            await act()

    # The callers.

    def _poll(self, slot: Slot, member: Member) -> Callable[[], Awaitable[None]]:
        async def poll() -> None:
            await asyncio.wait([self._world.start(slot, member, self._what(), self._patience())])
            self._world.forget_ended()

        return poll

    def _what(self) -> str:
        return self._random.choice(WRITES) if self._random.random() < 0.1 else self._random.choice(_READS)

    def _patience(self) -> Patience:
        luck = self._random.random()
        after = self._random.choice((0.0, 0.001, 0.05, 0.5, 2.0, 20.0)) * self._random.random()
        if luck < 0.06:
            return Patience(cancel_after=after)
        return Patience(timeout=after) if luck < 0.12 else Patience()

    async def _burst(self, machine: Machine | None = None) -> None:
        """Many calls at once, of some users of one slot."""
        rng = self._random
        slot = rng.choice([slot for slot in self._world.slots if machine in (None, slot.machine)])
        what = rng.choice(("balance", "history", "any", "any", "purchase"))
        for member in rng.sample(slot.members, rng.randint(1, min(len(slot.members), 4))):
            for _ in range(rng.choice((3, 7, 13, 30))):
                self._world.start(slot, member, self._what() if what == "any" else what, self._patience())
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.random() * rng.choice((0.01, 0.3)))

    async def _identify(self) -> None:
        slot = self._random.choice(self._world.slots)
        member = next((member for member in slot.members if not member.identified), None)
        if member is not None:
            # In the middle of its calls, so that queues are merged.
            for _ in range(self._random.choice((0, 0, 15))):
                for one in slot.members:
                    self._world.start(slot, one, "balance")
            self._world.start(slot, member, "identify", self._patience())

    async def _synchronize(self) -> None:
        self._world.start(self._random.choice(self._world.slots), None, "synchronize_clock", self._patience())

    async def _remake(self) -> None:
        slot = self._random.choice(self._world.slots)
        if self._random.random() < 0.7:
            for member in slot.members:
                for _ in range(8):
                    self._world.start(slot, member, self._what(), self._patience())
            await asyncio.sleep(self._random.random() * self._random.choice((0.0, 0.05, 2.0)))
        await self._world.remake(slot)
        if self._random.random() < 0.7:
            for member in slot.members:
                for _ in range(8):
                    self._world.start(slot, member, self._what(), self._patience())

    async def _stranger(self) -> None:
        """Another program spends the limit of a user for a while."""
        rng = self._random
        slot = rng.choice(self._world.slots)
        member = rng.choice(slot.members)
        what = rng.choice(("balance", "history", "purchase"))
        for _ in range(rng.choice((3, 6, 40))):
            self._world.start(slot, member, what, self._patience())
            for _ in range(rng.choice((1, 3, 6))):
                self._world.spend(member.user, str(ENDPOINTS[what]))
            await asyncio.sleep(rng.random())

    # What goes wrong.

    async def _move_a_clock(self) -> None:
        """Set a clock, or let everybody sleep."""
        world, rng = self._world, self._random
        machine = rng.choice(world.machines)
        kind = rng.choice(("machine", "machine", "exchange", "sleep", "right"))
        world.book.note(f"clock {kind}")
        world.book.harms[f"clock: {kind}"] += 1
        if kind == "machine":
            machine.ahead += rng.choice((rng.uniform(-5, 5), rng.uniform(-50, 50), rng.uniform(-700, 700)))
        elif kind == "exchange":
            world.exchange_ahead += rng.choice((rng.uniform(-1, 1), rng.uniform(-50, 50)))
        elif kind == "sleep":
            world.slept += rng.uniform(1, 8 * HOUR)
        else:
            machine.ahead = world.exchange_ahead = 0.0
        if rng.random() < 0.6:
            await self._burst(machine)

    async def _episode(self) -> None:
        """For a while, one or two things go wrong, and often just when many call."""
        world, rng = self._world, self._random
        machine = rng.choice(world.machines)
        usual = attrs.evolve(machine.weather)
        wrong = [rng.choice((self._bad_network, self._bad_exchange)) for _ in range(rng.choice((1, 1, 2)))]
        endings = [begin(machine.weather) for begin in wrong]
        lasts = rng.choice(self._habits.lasts) * rng.expovariate(1.0)
        ends_at = world.loop.time() + lasts
        for _ in range(rng.choice((1, 2, 4))):
            await self._burst(machine)
            await asyncio.sleep(min(lasts / 4, 60.0))
            if rng.random() < 0.1:
                await self._remake()
        await asyncio.sleep(max(ends_at - world.loop.time(), 0.0))
        for end in endings:
            end()
        for field in attrs.fields(Weather):
            setattr(machine.weather, field.name, getattr(usual, field.name))
        world.forget_ended()

    def _bad_network(self, weather: Weather) -> Callable[[], None]:
        rng = self._random
        part = rng.choice((0.02, 0.2, 1.0))
        kind = rng.choice(("late", "reset", "swallow", "refuse", "nameless", "untrusted", "ignore", "parted", "slow"))
        self._world.book.note(f"weather {kind} {part}")
        if kind == "parted":
            weather.parted_until = self._world.loop.time() + rng.choice((0.5, 4.0, 30.0, 300.0)) * rng.random()
        elif kind == "slow":
            weather.latency = rng.choice((0.4, 2.0, 6.0)) * rng.random()
            weather.jitter = weather.latency
        else:
            setattr(weather, kind, part)
        self._world.book.harms[f"weather: {kind}"] += 1
        for wire in list(self._world.network.wires):
            if wire.weather is weather and kind == "reset" and rng.random() < part:
                self._world.network.harmed(wire, "reset")
                wire.break_off()
        return lambda: None

    def _bad_exchange(self, weather: Weather) -> Callable[[], None]:
        world, rng = self._world, self._random
        luck = rng.random()
        if luck < 0.15:
            world.book.note("outage")
            world.book.harms["outage"] += 1
            outage = world.exchange.outage()
            return outage.end
        if luck < 0.25:
            return self._no_time_source(weather)
        members = [member for slot in world.slots for member in slot.members]
        user = None if rng.random() < 0.7 else rng.choice(members).user
        endpoint = rng.choice((None, None, None, "GET /api/v5/public/time"))
        probability = rng.choice((0.05, 0.3, 1.0))
        users = [member.user for member in members]
        victim = rng.choice([member for member in members if users.count(member.user) == 1])
        faults_drawn = [_draw_fault(rng, victim.credentials) for _ in range(rng.choice((1, 1, 2, 4)))]
        world.book.note(f"faults {' '.join(type(fault).__name__ for fault in faults_drawn)} {probability}")
        if laws.MARK in repr(faults_drawn):
            # What echoes a secret knows it from a call of its owner's.
            user, endpoint = victim.user, None
        injections = [
            world.exchange.fail_sometimes(fault, probability=probability, user=user, endpoint=endpoint)
            if endpoint is None
            else world.exchange.fail_sometimes(fault, probability=probability, endpoint=endpoint)
            for fault in faults_drawn
        ]

        def stop() -> None:
            for injection in injections:
                injection.stop()

        return stop

    def _no_time_source(self, weather: Weather) -> Callable[[], None]:
        """A machine's clock is wrong, no response has a date, and OKX does not give its time."""
        world, rng = self._world, self._random
        world.book.note("no time source")
        world.book.harms["no time source"] += 1
        for machine in world.machines:
            if machine.weather is weather:
                machine.ahead += rng.choice((-400.0, 400.0))
                for slot in machine.slots:
                    slot.clock.forget()
        date = rng.choice((None, "yesterday"))
        fail = world.exchange.fail_sometimes
        silent = rng.choice((faults.NoResponse(), faults.Page(502), faults.Reset()))
        injections = (
            fail(silent, probability=rng.choice((0.5, 1.0)), endpoint=str(ENDPOINTS["synchronize_clock"])),
            fail(faults.DateHeader(date), probability=1.0),
        )

        def stop() -> None:
            for injection in injections:
                injection.stop()

        return stop


def _draw_fault(rng: random.Random, secrets: Credentials) -> Fault:
    """Return something that may go wrong at the exchange, and may show a caller its own ``secrets``."""
    done = rng.random() < 0.5
    return rng.choice(
        (
            lambda: faults.Refusal(rng.choice(_BUSY), processed=done),
            lambda: faults.Refusal(rng.choice(_NO)),
            lambda: faults.Refusal(50113, msg=f"Invalid Sign {secrets.secret_key} {secrets.passphrase}"),
            lambda: faults.Page(rng.choice((500, 502, 503, 504, 429, 408)), processed=done),
            lambda: faults.Page(rng.choice((403, 404))),
            lambda: faults.Page(200, processed=done),
            lambda: faults.Body(
                rng.choice((b"", b"{", b"[]", b'{"code":null}', b"\xff\xfe", b"[" * 3000)), processed=done
            ),
            lambda: faults.Body(
                f"<p>{secrets.secret_key} {secrets.passphrase} {secrets.api_key}",
                status=rng.choice((200, 500)),
                processed=done,
            ),
            lambda: faults.Body(b"not gzip", encoding="gzip", processed=done),
            lambda: faults.HugeBody(2_000_000, processed=done, declared=rng.random() < 0.5),
            lambda: faults.GzipBomb(3_000_000, processed=done),
            lambda: faults.Redirect(
                rng.choice(("https://evil.example/x", "http://openapi.okx.com/x")), rng.choice((301, 302, 307, 308))
            ),
            lambda: faults.Reset(processed=done),
            lambda: faults.CloseConnection(processed=done),
            lambda: faults.StaleConnection(processed=done),
            lambda: faults.NoResponse(processed=done),
            lambda: faults.TruncateResponse(rng.randint(0, 150), of="head", reset=rng.random() < 0.5),
            lambda: faults.TruncateResponse(rng.randint(0, 30), reset=rng.random() < 0.5),
            lambda: faults.SlowResponse(rng.choice((20.0, 200.0, 2000.0))),
            lambda: faults.Delay(back=rng.choice((0.5, 5.0, 20.0)) * rng.random()),
            lambda: faults.DateHeader(
                rng.choice((None, "yesterday", "", rng.uniform(-20, 20), rng.uniform(-700, 700)))
            ),
            lambda: faults.WrongClock(rng.choice((rng.uniform(-50, 50), rng.uniform(-700, 700)))),
            lambda: faults.ExtraHeader(
                *rng.choice(
                    (
                        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
                        ("Content-Length", "7"),
                        ("X-Trace-Id", secrets.passphrase),
                    )
                )
            ),
            lambda: faults.CloseIdle(rng.choice((0.0, 0.01, 5.0))),
        )
    )()


def world_of(seed: int, loop: asyncio.AbstractEventLoop, habits: Habits) -> tuple[World, Life]:
    """Return a world drawn from a seed, and what goes on in it."""
    first = random.Random(f"world {seed}")
    world = World(seed, loop, window=first.choice(_WINDOWS), latency=first.choice((0.0, 0.01)))
    return world, Life(world, habits)
