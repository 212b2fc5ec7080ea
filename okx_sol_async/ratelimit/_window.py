"""The slots of one rate limit: how many calls are in flight, and when each slot in use becomes free.

Pure: no event loop and no clock. Each method that depends on the time takes it as an argument.
"""

from __future__ import annotations

from bisect import bisect_right


class Window:
    """As many slots as the limit has requests. A call takes one when it leaves.

    A slot is free, in flight, or waits for its release: one cooldown after the call was answered. The exchange counts
    a call before it responds, so no window of that length, at any phase, contains more calls than the limit, however
    long they take.
    """

    __slots__ = ("in_flight", "releases", "requests")

    def __init__(self, requests: int) -> None:
        self.requests: int = requests
        #: Calls that left and have not ended.
        self.in_flight: int = 0
        #: When each slot that is neither free nor in flight becomes free, in order. A tuple of numbers is not tracked
        #: by the garbage collector.
        self.releases: tuple[float, ...] = ()

    def has_room(self, now: float) -> bool:
        releases = self.releases
        if releases and releases[0] <= now:
            self.releases = releases = releases[bisect_right(releases, now) :]
        return self.in_flight + len(releases) < self.requests

    def free(self, now: float) -> int:
        """Return how many slots are free."""
        self.has_room(now)
        return max(self.requests - self.in_flight - len(self.releases), 0)

    def next_free(self, now: float, requests: int | None = None) -> float | None:
        """Return when a slot is free, `None` if that depends on the end of a call in flight.

        Args:
            now: the time.
            requests: how many slots there are, if fewer than usual.

        """
        if self.has_room(now) and requests is None:
            return now
        surplus = self.in_flight + len(self.releases) - (self.requests if requests is None else requests)
        if surplus < 0:
            return now
        return self.releases[surplus] if surplus < len(self.releases) else None

    def earliest(self, ahead: int, now: float, cooldown: float) -> float:
        """Return the earliest time at which a call can leave that ``ahead`` others precede."""
        # A call in flight may be answered at this moment, and so may each one that is still to leave.
        slots = [max(at, now) for at in self.releases] + [now + cooldown] * self.in_flight
        slots = sorted(slots + [now] * (self.requests - len(slots)))
        rounds, slot = divmod(ahead, self.requests)
        return slots[slot] + rounds * cooldown

    def release(self, at: float) -> None:
        """End a call in flight: its slot becomes free at ``at``."""
        self.in_flight -= 1
        releases = self.releases
        more = (*releases, at)
        self.releases = more if not releases or releases[-1] <= at else tuple(sorted(more))

    def release_all(self, at: float, unused: int) -> None:
        """End all calls in flight, of which ``unused`` never left: their slots are free at once."""
        self.releases = tuple(sorted(self.releases + (at,) * (self.in_flight - unused)))
        self.in_flight = 0

    def shift(self, seconds: float) -> None:
        """Go by a clock that is ahead by ``seconds``."""
        self.releases = tuple(at + seconds for at in self.releases)

    def merge(self, other: Window) -> None:
        self.releases = tuple(sorted(self.releases + other.releases))
        self.in_flight += other.in_flight
