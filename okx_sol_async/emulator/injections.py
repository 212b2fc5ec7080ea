"""Which faults befall which calls."""

from __future__ import annotations

import random
import threading
from types import TracebackType
from typing import Self

import attrs

from okx_sol_async.emulator.faults import Fault


@attrs.define(eq=False)
class Injection:
    """Faults that await their calls; `Emulator.fail_next` and `Emulator.fail_sometimes` return it.

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
    #: How many calls it has befallen.
    hits: int = attrs.field(default=0, init=False)

    @property
    def left(self) -> int | None:
        """How many more calls it may befall; `None` for any number."""
        return self._left

    def stop(self) -> None:
        """Befall no more calls."""
        self._left = 0

    def hit(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> bool:
        """Return whether it befalls this call, and count it then."""
        meant = (
            self._left != 0
            and self.endpoint in (None, endpoint)
            and self.uid in (None, uid)
            and all(fault.befalls(kept_alive=kept_alive) for fault in self.faults)
        )
        if not meant or self._random.random() >= self._probability:
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

    def draw(self, endpoint: str, uid: str | None, *, kept_alive: bool) -> tuple[Fault, ...]:
        """Return what befalls a call."""
        if not self._waiting:
            return ()
        with self._lock:
            self._waiting = [injection for injection in self._waiting if injection.left != 0]
            for injection in self._waiting:
                if injection.hit(endpoint, uid, kept_alive=kept_alive):
                    return injection.faults
        return ()

    def stop(self) -> None:
        """Let no fault befall any call any more."""
        with self._lock:
            for injection in self._waiting:
                injection.stop()
            self._waiting = []
