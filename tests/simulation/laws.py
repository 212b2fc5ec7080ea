"""The laws of the design, as checks of what a simulated world sees. The numbers are those of the laws.

Each returns what is wrong, or `None`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from okx_sol_async import ConfigurationError, OKXError, OutcomeUnknown
from okx_sol_async.transport._resend import FIRST_WAIT, LONGEST_WAIT

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Iterable, Mapping, Sequence

    from tests.simulation.book import Entry, Granted

#: No signature is older when its bytes leave, in seconds.
OLDEST: Final = 5.0
#: How long an abandoned call is taken to be in flight, in seconds.
TRAVEL: Final = 0.5
#: Whatever takes a turn of the loop, and rounding, in seconds.
MOMENT: Final = 0.01
#: It is in every secret of a simulated world, repeated so that each eight characters of one hold it.
MARK: Final = "zQx"
_PIECE: Final = re.compile(MARK, re.IGNORECASE)


def signature_is_fresh(age: float) -> str | None:
    """Law 1: no signature is older than five seconds when its bytes leave."""
    return None if -MOMENT <= age <= OLDEST + MOMENT else f"a signature was {age:.3f} s old when it left"


def every_send_has_its_own(entry: Entry, signed_at: float | None) -> str | None:
    """Law 1: each time a call leaves, it has a lease of its own, and was signed after the last time."""
    if len(entry.sent) > entry.leases:
        return f"left {len(entry.sent)} times with {entry.leases} leases"
    if signed_at is not None and len(entry.sent) > 1 and signed_at < entry.sent[-2]:
        return "left with the timestamp of the last time"
    return None


def window_is_kept(arrivals: deque[float], requests: int, seconds: float) -> str | None:
    """Law 2: no window of the limit's seconds sees more calls than the limit. The last arrival is the newest."""
    if len(arrivals) > requests and arrivals[-1] - arrivals[-1 - requests] < seconds:
        return f"{requests + 1} calls arrived within {arrivals[-1] - arrivals[-1 - requests]:.4f} s"
    return None


def bucket_is_shared(granted: Iterable[Granted], requests: int, seconds: float, now: float) -> str | None:
    """Law 3: at no moment more leases are held or were ended less than a period ago than the limit has."""
    busy = sum(one.busy_until(seconds) > now for one in granted)
    return None if busy <= requests else f"{busy} leases of {requests} are taken, over all sessions"


def keeps_order(granted: Entry, waiting: Iterable[Entry], now: float) -> str | None:
    """Law 4: the first lease goes to the first call. ``waiting`` are the calls of the same bucket, in their order."""
    for entry in waiting:
        if entry.number >= granted.number:
            return None
        if entry.leaves_at > now:
            return f"call {granted.number} passed call {entry.number}, which came first"
    return None


def max_wait_is_kept(waited: float, max_wait: float | None) -> str | None:
    """Law 4: no call stands in the queue for longer than it may."""
    if max_wait is None or waited <= max_wait + MOMENT:
        return None
    return f"waited {waited:.3f} s, and may wait {max_wait:.3f}"


def shows_no_secret(text: str, signatures: Iterable[str] = ()) -> str | None:
    """Law 5: no text that people may see holds a piece of a secret, or a signature."""
    found = _PIECE.search(text)
    if found is not None:
        return f"a secret is shown: {text[max(found.start() - 60, 0) : found.start() + 30]!r}"
    shown = next((signature for signature in signatures if signature in text), None)
    return None if shown is None else f"a signature is shown: {text[:120]!r}"


def money_moved_once(outcome: BaseException | None, times: int) -> str | None:
    """Law 6: what returned happened once, what is unknown at most once, and any other failure never."""
    if outcome is None:
        allowed: tuple[int, ...] = (1,)
    elif isinstance(outcome, OKXError) and not isinstance(outcome, OutcomeUnknown):
        allowed = (0,)
    else:
        allowed = (0, 1)
    if times in allowed:
        return None
    return f"a write that ended with {type(outcome).__name__} happened {times} times"


def numbers_are_exact(result: object, held: Sequence[object]) -> str | None:
    """Law 7: the result is one of those that the exchange held while the call was on its way."""
    return None if result in held else f"{result!r} is none of {held!r}"


def has_a_name(outcome: BaseException | None, *, own: bool) -> str | None:
    """Law 9: a call ends with a result, an `OKXError`, or what its caller has done to it."""
    if outcome is None or own:
        return None
    if isinstance(outcome, OKXError) and (not isinstance(outcome, ConfigurationError) or "closed" in outcome.message):
        # Nothing is wrong with the settings of a simulated world, so they cannot be the reason.
        return None
    return f"ended with {type(outcome).__name__}: {outcome}"


def ended_in_time(entry: Entry, took: float) -> str | None:
    """Law 9: a call ends within its wait in the queue, its attempts, and the waits between them."""
    backoff = sum(min(FIRST_WAIT * 2**n, LONGEST_WAIT) for n in range(entry.attempts - 1))
    allowed = entry.waited + entry.sends * entry.timeout + entry.rounds * backoff
    if entry.asked_time:
        # It asked OKX for its time in between, which is a call of its own, or waited for another one that did.
        allowed += entry.attempts * entry.timeout + backoff + entry.waited_to_ask
    return None if took <= allowed + 0.1 else f"took {took:.3f} s, of which {allowed:.3f} are accounted for"


def closing_ends_all(took: float, under_way: int) -> str | None:
    """Law 9: a session that closes ends its calls, at once."""
    if took <= MOMENT and not under_way:
        return None
    return f"closing took {took:.3f} s, and {under_way} calls were still under way after it"


def nothing_is_left(
    tasks: Iterable[asyncio.Task[object]], timers: Iterable[asyncio.TimerHandle], counts: Mapping[str, int]
) -> str | None:
    """Laws 8 and 9: at the end no task, timer, lease, bucket or connection is left."""
    left = [f"{count} {what}" for what, count in counts.items() if count]
    left += [f"task {task.get_name()} {task.get_coro()}" for task in tasks]
    left += [f"timer {timer!r}" for timer in timers]
    return f"left at the end: {'; '.join(left)}" if left else None
