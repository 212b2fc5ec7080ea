"""Which faults befall which calls."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Self

import attrs

from okx_sol_async.emulator.faults import Befallen, Fault


@attrs.define(eq=False)
class Injection:
    """Faults that await what they befall; `Emulator.fail_next` and `Emulator.fail_sometimes` return it.

    With ``with`` it stops at the end of the block.
    """

    #: What befalls a call, all of it.
    faults: tuple[Fault, ...] = attrs.field(on_setattr=attrs.setters.frozen)
    #: Method and path of the calls that it may befall; `None` for all.
    endpoint: str | None = attrs.field(on_setattr=attrs.setters.frozen)
    #: Whose calls, by the user's uid; `None` for everybody's.
    uid: str | None = attrs.field(on_setattr=attrs.setters.frozen)
    _probability: float
    _left: int | None
    _random: random.Random = attrs.field(repr=False)
    #: How many calls it has befallen, or handshakes, or look-ups.
    hits: int = attrs.field(default=0, init=False)
    _stopped: bool = attrs.field(default=False, init=False, repr=False)
    # Who waits for the stop, each in a loop.
    _waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = attrs.field(factory=list, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def left(self) -> int | None:
        """How many more calls it may befall; `None` for any number."""
        return self._left

    @property
    def befallen(self) -> Befallen:
        """What it befalls."""
        return self.faults[0].befallen

    def stop(self) -> None:
        """Befall no more calls, and let those answers go that are held."""
        with self._lock:
            self._left, self._stopped = 0, True
            for loop, stopped in self._waiting:
                loop.call_soon_threadsafe(stopped.set)

    async def wait_stopped(self) -> None:
        """Wait until it is stopped."""
        waiter = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            if self._stopped:
                return
            self._waiting.append(waiter)
        try:
            await waiter[1].wait()
        finally:
            with self._lock:
                self._waiting.remove(waiter)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to come, and nobody waits for its stop."""
        return self._left == 0 and not self._waiting

    def hit(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> bool:
        """Return whether it befalls this call, and count it then."""
        return (
            self.befallen == "call"
            and self.endpoint in (None, endpoint)
            and self.uid in (None, uid)
            and all(fault.befalls(kept_alive=kept_alive) for fault in self.faults)
            and self.strike()
        )

    def strike(self) -> bool:
        """Return whether it befalls one of those that it means, and count it then."""
        if self._left == 0 or self._random.random() >= self._probability:
            return False
        self.hits += 1
        if self._left is not None:
            self._left -= 1
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class Injections:
    """All faults that await calls; the first that means a call befalls it, and no other."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._added = 0
        self._waiting: list[Injection] = []
        # A test adds to them in another thread than the one that serves.
        self._lock = threading.Lock()

    def add(
        self, faults: tuple[Fault, ...], endpoint: str | None, uid: str | None, probability: float, times: int | None
    ) -> Injection:
        """Let faults await their calls."""
        with self._lock:
            # Each draws for itself, so that one more of them leaves the others as they were.
            seed = None if self._seed is None else f"faults {self._added} of {self._seed}"
            self._added += 1
            added = Injection(faults, endpoint, uid, probability, times, random.Random(seed))  # noqa: S311 - no secret
            self._waiting.append(added)
        return added

    def draw(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> Injection | None:
        """Return what befalls a call."""
        if not self._waiting:
            return None
        with self._lock:
            self._waiting = [injection for injection in self._waiting if not injection.is_over]
            hits = (one for one in self._waiting if one.hit(endpoint, uid, kept_alive=kept_alive))
            return next(hits, None)

    def draw_on_the_way(self, befallen: Befallen) -> Fault | None:
        """Return what befalls a handshake or a look-up."""
        with self._lock:
            hits = (one.faults[0] for one in self._waiting if one.befallen == befallen and one.strike())
            return next(hits, None)

    def stop(self) -> None:
        """Let no fault befall any call any more."""
        with self._lock:
            for injection in self._waiting:
                injection.stop()
            self._waiting = []
