"""Which faults apply to which calls."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Self

import attrs

from okx_sol_async.emulator.faults._base import Fault, FaultTarget


@attrs.frozen
class FaultRule:
    """Which calls faults apply to."""

    #: What applies to a call, all of it.
    faults: tuple[Fault, ...]
    #: Method and path of the calls; `None` for all.
    endpoint: str | None = None
    #: Whose calls, by the user's uid; `None` for everyone's.
    uid: str | None = None
    #: The probability, from 0 to 1, with which they apply to each of these calls.
    probability: float = 1.0
    #: The number of calls; `None` for all until it is stopped.
    times: int | None = 1
    #: How many of these calls are left alone first.
    after: int = 0


@attrs.define(eq=False)
class Injection:
    """Faults that wait for their calls; `Emulator.fail_next` and `Emulator.fail_sometimes` return it.

    With ``with`` it stops at the end of the block.
    """

    #: Which calls its faults apply to.
    rule: FaultRule = attrs.field(on_setattr=attrs.setters.frozen)
    _random: random.Random = attrs.field(repr=False)
    #: How many calls, or handshakes, its faults have applied to.
    hits: int = attrs.field(default=0, init=False)
    _skipped: int = attrs.field(default=0, init=False, repr=False)
    _stopped: bool = attrs.field(default=False, init=False, repr=False)
    # Responses that are held, each in a loop.
    _waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = attrs.field(factory=list, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What applies to a call, all of it."""
        return self.rule.faults

    @property
    def endpoint(self) -> str | None:
        """Method and path of the calls; `None` for all."""
        return self.rule.endpoint

    @property
    def uid(self) -> str | None:
        """Whose calls, by the user's uid; `None` for everyone's."""
        return self.rule.uid

    @property
    def left(self) -> int | None:
        """How many more calls they apply to; `None` for any number."""
        if self._stopped:
            return 0
        return None if self.rule.times is None else self.rule.times - self.hits

    @property
    def is_over(self) -> bool:
        """Whether it applies to no further call, and no response is held for it."""
        return self.left == 0 and not self._waiting

    def stop(self) -> None:
        """Apply to no further call, and release the responses that are held."""
        with self._lock:
            self._stopped = True
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

    def take(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> bool:
        """Return whether it applies to a call, and count the call if so."""
        rule = self.rule
        return (
            rule.faults[0].target == "call"
            and rule.endpoint in (None, endpoint)
            and rule.uid in (None, uid)
            and all(fault.matches(kept_alive=kept_alive) for fault in rule.faults)
            and self.count()
        )

    def count(self) -> bool:
        """Return whether it applies to the next of its calls or handshakes, and count it if so."""
        if self.left == 0:
            return False
        if self._skipped < self.rule.after:
            self._skipped += 1
            return False
        if self._random.random() >= self.rule.probability:
            return False
        self.hits += 1
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class FaultQueue:
    """All faults that wait for calls; the first one that matches a call applies to it, and no other."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._added = 0
        self._waiting: list[Injection] = []
        self._unused: list[Injection] = []
        # A test adds to them in another thread than the one that serves.
        self._lock = threading.Lock()

    def add(self, rule: FaultRule) -> Injection:
        """Wait for calls."""
        with self._lock:
            # Each has its own random numbers, so that one more of them does not change the others.
            seed = None if self._seed is None else f"faults {self._added} of {self._seed}"
            self._added += 1
            added = Injection(rule, random.Random(seed))  # noqa: S311 - no secret
            self._waiting.append(added)
            self._unused.append(added)
        return added

    @property
    def waiting(self) -> tuple[Injection, ...]:
        """Those that may still apply to a call."""
        with self._lock:
            return tuple(injection for injection in self._waiting if injection.left != 0)

    @property
    def unused(self) -> tuple[Injection, ...]:
        """Those that were certain to apply to a call, and have applied to none."""
        with self._lock:
            self._unused = [one for one in self._unused if one.hits == 0]
            return tuple(one for one in self._unused if one.rule.probability == 1)

    def draw(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> Injection | None:
        """Return what applies to a call."""
        if not self._waiting:
            return None
        with self._lock:
            self._waiting = [injection for injection in self._waiting if not injection.is_over]
            return next((one for one in self._waiting if one.take(endpoint, uid, kept_alive=kept_alive)), None)

    def draw_for(self, target: FaultTarget) -> Fault | None:
        """Return what applies to a handshake."""
        with self._lock:
            return next(
                (one.faults[0] for one in self._waiting if one.faults[0].target == target and one.count()), None
            )

    def stop(self) -> None:
        """Apply to no further call."""
        with self._lock:
            for injection in self._waiting:
                injection.stop()
            self._waiting = []

    def reset(self) -> None:
        """Stop, and forget which faults were never used."""
        self.stop()
        with self._lock:
            self._unused = []
