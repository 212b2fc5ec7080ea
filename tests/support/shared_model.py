"""What the script on the server does, as simply as possible: a list of calls in order of arrival."""

import bisect
from dataclasses import dataclass, field


@dataclass
class Call:
    ticket: int
    hold: int
    #: When it left or will leave, and when its slot is free.
    at: int = 0
    left: bool = False
    free_at: int = 0


@dataclass
class Model:
    """A bucket without a pace. All times are microseconds."""

    requests: int
    apart: int
    now: int = 0
    paused: int = 0
    calls: list[Call] = field(default_factory=list)

    def reserve(self, ticket: int, hold: int, *, waits: bool = True) -> int:
        """Return when a new call leaves."""
        self._leave()
        call = Call(ticket, hold)
        self.calls.append(call)
        self._schedule()
        if not waits and not call.left:
            self.calls.remove(call)
        return call.at

    def give_back(self, ticket: int) -> None:
        self._leave()
        self.calls = [call for call in self.calls if call.ticket != ticket]
        self._schedule()

    def settle(self, ticket: int, ahead: int) -> None:
        self._leave()
        self._find(ticket).free_at = self.now + ahead
        self._schedule()

    def pause(self, seconds: int) -> None:
        self._leave()
        self.paused = max(self.paused, self.now + seconds)
        self._schedule()

    def waiting(self) -> list[int]:
        self._leave()
        return [call.ticket for call in self.calls if not call.left]

    def in_use(self) -> list[int]:
        self._leave()
        return [call.ticket for call in self.calls if call.left and call.free_at > self.now]

    def time_of(self, ticket: int) -> int:
        self._schedule()
        return self._find(ticket).at

    def reserved_at(self, ticket: int) -> int | None:
        """Return when a call leaves as of the last command, `None` if it is not known."""
        return next((call.at for call in self.calls if call.ticket == ticket), None)

    def forget(self) -> None:
        """Drop the calls whose slots are free again, as the script does."""
        self._leave()
        self.calls = [call for call in self.calls if not call.left or call.free_at > self.now]

    def most_within_a_window(self, window: int) -> int:
        """Return the most calls whose slots were used within less than ``window``."""
        self._leave()
        times = sorted(call.at for call in self.calls)
        return max((sum(first <= at < first + window for at in times) for first in times), default=0)

    def _find(self, ticket: int) -> Call:
        return next(call for call in self.calls if call.ticket == ticket)

    def _leave(self) -> None:
        """Let those leave whose time has come. The others keep theirs until a command has changed something."""
        for call in self.calls:
            if not call.left and call.at and call.at <= self.now:
                call.left, call.free_at = True, call.at + call.hold

    def _schedule(self) -> None:
        """Compute when each waiting call leaves, as at the end of a command."""
        self._leave()
        last = max((call.at for call in self.calls if call.left), default=0)
        free = sorted(call.free_at for call in self.calls if call.left)
        for call in self.calls:
            if call.left:
                continue
            # The call may leave once fewer slots are in use than there are.
            at = max(self.now, self.paused, free[-self.requests] if len(free) >= self.requests else 0)
            if at > self.now:
                at = max(at, last + self.apart)
            call.at = last = at
            bisect.insort(free, at + call.hold)
            if at == self.now:
                call.left, call.free_at = True, at + call.hold
