"""The commands that reserve shared slots, how long they and the calls take, and the check of the replies."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Final, Literal

import attrs

from okx_sol_async.ratelimit._latency import LEAST_LATENCY, MEMORY, MinLatency
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from okx_sol_async.ratelimit.shared._commands import CommandRunner, Commands
from okx_sol_async.ratelimit.shared._moves import Notifications
from okx_sol_async.ratelimit.shared._outage import Outages, StoreUnavailable

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._pacing import PushBack

#: Calls that wait leave a period, over the requests, over this apart.
SLOT_SPACING: Final = 16
#: The ticket of calls that left without one.
UNKNOWN: Final = 1
#: How many tickets a process draws before it begins anew; the script divides by it.
PER_PROCESS: Final = 2**20
#: The longest wait for a slot that is believed, in periods of the limit.
LONGEST_WAIT: Final = 1000


@attrs.frozen
class Reservation:
    """A slot that this process may use. All times are the event loop's."""

    #: The name of its bucket in the store.
    bucket: str
    #: Its name there.
    ticket: int
    #: It may be used from then on.
    at: float
    #: When the reply came.
    received: float
    #: The earliest time for which it can have been reserved: the reply may have taken no time, or all of it.
    since: float
    #: For how many seconds from then on it is in use.
    hold: float
    #: Whether nothing was known of how long calls take when it was reserved.
    blind: bool
    #: Whether more than half of the slots are in use with it. Otherwise being late is harmless.
    crowded: bool
    #: The time for which it was reserved, by the server's clock in seconds.
    server_at: float


@attrs.frozen
class Place:
    """What else a reply says: this process among all that used the bucket lately, and the server's clock."""

    #: How many processes used the bucket lately.
    processes: int
    #: How many of them come before this one.
    rank: int
    #: What to add to the server's clock for that of the event loop, at least and most likely, in seconds.
    least_offset: float
    offset: float
    #: The server's clock, in seconds.
    server_time: float


class SlotStore:
    """Reserves slots, and measures how long that and the calls take."""

    def __init__(
        self,
        commands: Commands,
        *,
        margin: float,
        push_back: PushBack,
        on_failure: Literal["local", "raise"],
        local_share: float,
    ) -> None:
        self._margin = margin
        self._push_back = push_back
        self._local_share = local_share
        #: Whether calls go on without the store while it is unavailable.
        self.goes_on_alone: bool = on_failure == "local"
        self.outages: Outages = Outages(
            "Until it is back, this process spends its part of each limit by itself"
            if self.goes_on_alone
            else "Until it is back, calls fail"
        )
        self.commands: CommandRunner = CommandRunner(commands, self.outages)
        #: The reservations of this process that may move.
        self.notifications: Notifications = Notifications()
        self.begin_in_child()
        self._count = itertools.cycle(range(PER_PROCESS))
        # How long calls take, from their slot on, and reservations.
        self._latency = MinLatency()
        self._round_trip = MinLatency()
        self._answered_at: float | None = None
        # The most exact measurement of the server's clock: how exact it is, and the offset.
        self._clock: tuple[float, float] | None = None

    def begin_in_child(self) -> None:
        """Take part as another process."""
        #: This process, in its tickets.
        self.process: int = random.SystemRandom().getrandbits(31) + 1

    def alone(self, limit: RateLimit, processes: int) -> int:
        """Return how many requests this process may spend by itself, at least one.

        Args:
            limit: what the exchange allows.
            processes: how many share it, 0 if that was never said.

        """
        share = 1 / processes if processes else self._local_share
        return max(int(limit.requests * share + 1e-9), 1)

    def hold(self, limit: RateLimit) -> float:
        """Return for how many seconds a slot is in use, in every process whose calls take equally long."""
        return window_of(limit) + self._margin

    def draw(self) -> int:
        return self.process * PER_PROCESS + next(self._count)

    async def reserve(
        self,
        bucket: str,
        limit: RateLimit,
        ticket: int,
        dropped: Reservation | None,
        used: int,
        *,
        waits: bool,
        more: bool = False,
    ) -> tuple[Reservation, Place]:
        """Reserve the next slot, or look how far away it is by now.

        Args:
            bucket: its name.
            limit: what the exchange allows.
            ticket: what to call it.
            dropped: an earlier reservation that was not used.
            used: a ticket that the store knows unless its history was lost, or 0 for none; below 0, how many calls
                this process may have sent by itself.
            waits: whether to reserve a slot that is not free yet. Otherwise it is only said when it is.
            more: whether further calls wait that are not in the background. Calls in the background of other processes leave after them.

        """
        loop = asyncio.get_running_loop()
        sent = loop.time()
        blind = self._answered_at is None or not 0 <= sent - self._answered_at < 2 * MEMORY
        hold = window_of(limit) + max(self._margin, self._latency.spread()) + (LEAST_LATENCY if blind else 0.0)
        apart = limit.seconds / limit.requests / SLOT_SPACING
        command = (
            "reserve",
            ticket,
            limit.requests,
            _us(hold),
            _us(apart),
            0 if dropped is None else dropped.ticket,
            used,
            int(waits) + int(waits and more),
        )
        reply = await self.commands.run(bucket, *command)
        numbers = self._check(bucket, reply, ticket, LONGEST_WAIT * limit.seconds)
        # Other commands may be done by a server that is full.
        self.commands.reached(bucket)
        wait, in_use, processes, rank, server_us = numbers
        now = loop.time()
        self._round_trip.note(now - sent, now)
        server_time = server_us / 1e6
        least, offset = self._offset(sent - server_time, now - server_time)
        place = Place(processes, rank, least, offset, server_time)
        crowded = 2 * in_use > limit.requests
        at, since = now + wait / 1e6, sent + wait / 1e6
        server_at = server_time + wait / 1e6
        return Reservation(bucket, ticket, at, now, since, hold, blind, crowded, server_at), place

    def _offset(self, least: float, most: float) -> tuple[float, float]:
        """Return what to add to the server's clock, at least and most likely.

        This is by the given measurement, or by a more exact one that agrees with it: a reply that took long says little.
        """
        best = self._clock
        if best is None or most - least <= best[0] or not least <= best[1] <= most:
            self._clock = best = most - least, (least + most) / 2
        return max(least, best[1] - best[0] / 2), best[1]

    def _check(self, bucket: str, reply: object, ticket: int, longest: float) -> list[int]:
        """Return the numbers of a reply, or raise if they are not those of a reservation."""
        if type(reply) is list and len(reply) == 6 and all(type(number) is int for number in reply):
            echo, *numbers = reply
            wait, _, processes, rank, _ = numbers
            if echo == ticket and 0 <= wait <= longest * 1e6 and 0 <= rank < processes <= PER_PROCESS:
                return numbers
        message = "the reply is not that of a reservation"
        error = StoreUnavailable(message, bucket)
        self.outages.begin(error)
        raise error

    async def refused(self, bucket: str, limit: RateLimit) -> None:
        """Report a refusal: what a bucket does then, all processes do together."""
        policy = self._push_back
        arguments: list[float] = [_us(policy.pause * limit.seconds), _us(limit.seconds)]
        if policy.paced:
            first, longest, even = policy.intervals(limit.requests, limit.seconds)
            arguments += [_us(first), _us(longest), policy.step, _us(policy.clean_time), _us(even)]
        await self.commands.run(bucket, "refused", *arguments)

    async def look(self, bucket: str, limit: RateLimit) -> None:
        """Check whether the store is back, and count there what this process has sent by itself."""
        await self.commands.run(bucket, "settle", UNKNOWN, _us(window_of(limit)), 1)
        self.commands.reached_node(bucket)
        if bucket in self.outages:
            # Only a reservation shows that the bucket itself can be used again.
            reservation, _ = await self.reserve(bucket, limit, self.draw(), None, 0, waits=False)
            self.give_back(reservation)

    def give_back(self, reservation: Reservation) -> None:
        """Give a slot that is not needed to the next waiter of all processes."""
        self.commands.send(reservation.bucket, "settle", reservation.ticket, 0)

    def answered(self, bucket: str, limit: RateLimit, reservation: Reservation, now: float) -> None:
        """Count a slot from its response, if it was not known how long that takes, or if it took too long."""
        took = now - reservation.since
        # A first call opens a connection, and the next ones do not.
        if not reservation.blind:
            self._latency.note(took, now)
        self._answered_at = now
        # What all calls take is the same for all, and only what is beyond counts.
        surplus = took - self._latency.shortest()
        if reservation.blind or surplus > reservation.hold - window_of(limit):
            later = took + window_of(limit) > reservation.hold
            self.commands.send(bucket, "settle", reservation.ticket, _us(window_of(limit)), int(later))

    def abandoned(self, bucket: str, limit: RateLimit, reservation: Reservation, latency: float) -> None:
        """Count a slot for as long as its call may still be on its way."""
        self.commands.send(bucket, "settle", reservation.ticket, _us(window_of(limit) + latency), 1)

    def is_late(self, reservation: Reservation, now: float) -> bool:
        """Return whether a call that leaves now would leave so late that the margin may not cover it."""
        return reservation.crowded and now - reservation.since - self._round_trip.shortest() > self._margin / 2


def window_of(limit: RateLimit) -> float:
    """Return the period of a limit by a clock that may be slow, in seconds."""
    return limit.seconds * (1 + CLOCK_DRIFT)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
