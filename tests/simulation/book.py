"""What a simulated world sees, written down as it happens and held against the laws."""

from __future__ import annotations

import contextvars
import hashlib
import logging
import math
import re
import traceback
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

import attrs

from okx_sol_async import OKXError
from okx_sol_async.emulator.gateway._gateway import ROUTES
from tests.simulation import laws

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from okx_sol_async import CallReport, Credentials, Session
    from okx_sol_async.emulator import EmulatedUser
    from okx_sol_async.emulator.faults import Fault
    from okx_sol_async.emulator.gateway._requests import ReceivedRequest
    from okx_sol_async.emulator.gateway._responses import ExchangeResponse
    from okx_sol_async.ratelimit._bucket import TokenBucket
    from okx_sol_async.ratelimit._limit import BucketKey
    from okx_sol_async.ratelimit._state import BucketState

#: The call that the code at work belongs to.
current: Final[contextvars.ContextVar[Entry | None]] = contextvars.ContextVar("current", default=None)
#: The header that identifies the call of a request to the exchange and the network.
TAG: Final = "X-Call"
_TAG: Final = re.compile(rb"X-Call: (\d+)", re.IGNORECASE)
_TIMESTAMP: Final = re.compile(rb"OK-ACCESS-TIMESTAMP: (\S+)", re.IGNORECASE)
_SIGN: Final = re.compile(rb"OK-ACCESS-SIGN: (\S+)", re.IGNORECASE)
#: One of this many failures has the locals of its frames searched for secrets, which takes a while.
LOCALS_EVERY: Final = 40


@attrs.define(eq=False)
class Broken:
    """A law that was broken."""

    law: int
    at: float
    what: str

    def __str__(self) -> str:
        return f"law {self.law} at {self.at:.3f} s: {self.what}"


@attrs.define(eq=False)
class Granted:
    """A lease and what became of it."""

    at: float
    answered_at: float | None = None
    abandoned_at: float | None = None

    def busy_until(self, seconds: float) -> float:
        """Return until when it takes one of the limit's places."""
        if self.answered_at is not None:
            return self.answered_at + seconds
        if self.abandoned_at is not None:
            return self.abandoned_at + seconds + laws.TRAVEL
        return float("inf")


@attrs.define(eq=False)
class Entry:
    """One call of the service."""

    number: int
    what: str
    endpoint: str
    #: Whose; `None` for a public endpoint.
    user: EmulatedUser | None
    credentials: Credentials | None
    read_clock: Callable[[str], float | None]
    timeout: float
    attempts: int
    max_wait: float | None
    began: float
    #: What a write moves, for its number in the books.
    amt: object = None
    sent: list[float] = attrs.field(factory=list)
    signatures: set[str] = attrs.field(factory=set, repr=False)
    leases: int = 0
    #: What the exchange held whenever it answered this call with success.
    held: list[object] = attrs.field(factory=list, repr=False)
    #: Whether something went wrong on its way.
    hit: bool = False
    #: How many calls of the session it makes, one after the other.
    rounds: int = 1
    #: From when on it is about to leave the queue, so that others may pass it.
    leaves_at: float = math.inf
    bucket_key: BucketKey | None = None
    session: Session | None = None
    #: Whether it asked OKX for its time in between, and whether it is doing so.
    asked_time: bool = False
    asking_time: bool = False
    waited_to_ask: float = 5.0
    waited: float = 0.0
    sends: int = 0
    cancelled: bool = False
    ended: bool = False
    outcome: BaseException | None = None


class Book:
    """Everything that happened, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.broken: list[Broken] = []
        #: The law at whose breaking the world ends; `None` for none, and every world ends in its time.
        self.stop_at: int | None = None
        self.stop: asyncio.Future[None] = loop.create_future()
        self.entries: dict[int, Entry] = {}
        self.calls = 0
        self.healed = 0
        self.harms: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.lost = 0
        self.slowest: tuple[float, Entry | None] = (0.0, None)
        self._digest = hashlib.blake2b(digest_size=16)
        self._arrivals: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=32))
        self._granted: defaultdict[tuple[str, str], deque[Granted]] = defaultdict(lambda: deque(maxlen=64))
        # By bucket, the calls that have come and have no lease yet.
        self._waiting: defaultdict[tuple[str, str], dict[int, Entry]] = defaultdict(dict)
        self.leases_held = 0
        #: How often each amount was moved: (uid, kind, amount).
        self._moved: Counter[tuple[str, str, object]] = Counter()
        self._failures = 0
        #: Users whose keys are taken for several users, until a time of the loop.
        self.unlabelled: dict[str, float] = {}
        self._seen_orders: Counter[str] = Counter()
        #: Whether two entries share a bucket.
        self.bucket_of: Callable[[Entry], BucketState | None] = lambda _: None

    # The record.

    def note(self, event: str) -> None:
        """Add an event to the digest."""
        self._digest.update(f"{self.loop.time():.6f} {event}\n".encode())

    @property
    def digest(self) -> str:
        """What two runs of one seed have in common."""
        return self._digest.hexdigest()

    def check(self, law: int, what: str | None, entry: Entry | None = None) -> None:
        """Write down what is wrong, if anything is."""
        if what is not None:
            whose = "" if entry is None else f" (call {entry.number}, {entry.what})"
            self.broken.append(Broken(law, self.loop.time(), what + whose))
            if law == self.stop_at and not self.stop.done():
                self.stop.set_result(None)

    # A call, from its beginning to its end.

    def begin(self, entry: Entry) -> None:
        self.calls += 1
        self.entries[entry.number] = entry
        if entry.user is not None:
            self._waiting[entry.user.uid, entry.endpoint][entry.number] = entry
        self.note(f"begin {entry.number} {entry.what}")

    def granted(self, entry: Entry | None, bucket: TokenBucket) -> Granted:
        """A lease was given to a call."""
        now = self.loop.time()
        granted = Granted(now)
        self.leases_held += 1
        if entry is None or entry.asking_time:
            return granted
        entry.leases += 1
        self.note(f"lease {entry.number}")
        if entry.user is None:
            return granted
        place = (entry.user.uid, entry.endpoint)
        if entry.leases == 1:
            self._check_order(entry, bucket)
            self.check(4, laws.max_wait_is_kept(now - entry.began, entry.max_wait), entry)
        if self._is_labelled(entry.user.uid):
            route = ROUTES[entry.endpoint]
            self._granted[place].append(granted)
            self.check(3, laws.bucket_is_shared(self._granted[place], route.requests, route.seconds, now), entry)
        return granted

    def _check_order(self, entry: Entry, bucket: TokenBucket) -> None:
        assert entry.user is not None
        waiting = self._waiting[entry.user.uid, entry.endpoint]
        waiting.pop(entry.number, None)
        ahead = [other for other in waiting.values() if other.number < entry.number]
        if ahead:
            ahead = [other for other in ahead if self.bucket_of(other) is bucket.state]
        self.check(4, laws.keeps_order(entry, ahead, self.loop.time()), entry)

    def _is_labelled(self, uid: str) -> bool:
        return self.unlabelled.get(uid, 0.0) <= self.loop.time()

    def left(self, data: bytes) -> Entry | None:
        """A call left this machine."""
        tag = _TAG.search(data)
        if tag is None or not data.startswith((b"GET ", b"POST ")):
            return None
        entry = self.entries[int(tag[1])]
        now = self.loop.time()
        self.note(f"left {entry.number} {data.split(b' ', 2)[1].decode()}")
        if entry.asking_time:
            return entry
        entry.sent.append(now)
        timestamp, sign = _TIMESTAMP.search(data), _SIGN.search(data)
        signed_at = None
        if timestamp is not None and sign is not None:
            entry.signatures.add(sign[1].decode())
            signed_at = entry.read_clock(timestamp[1].decode())
            if signed_at is None:
                self.check(1, f"the timestamp {timestamp[1]!r} is none of the clock's", entry)
            else:
                self.check(1, laws.signature_is_fresh(now - signed_at), entry)
        self.check(1, laws.every_send_has_its_own(entry, signed_at), entry)
        return entry

    def arrived(
        self,
        arrival: ReceivedRequest,
        user: EmulatedUser | None,
        faults: tuple[Fault, ...],
        answer: ExchangeResponse,
        held: object,
    ) -> None:
        """The exchange has counted a call and decided on it."""
        tag = arrival.headers.get(TAG)
        entry = None if tag is None else self.entries[int(tag)]
        caller = arrival.ip if user is None else user.uid
        self.note(f"arrived {tag} {arrival.endpoint} {answer.status} {answer.code}")
        for fault in faults:
            self.harms[type(fault).__name__] += 1
        if entry is not None and (faults or answer.code not in {"0", ""}):
            entry.hit = True
        route = ROUTES.get(arrival.endpoint)
        if route is not None and entry is not None:
            arrivals = self._arrivals[caller, arrival.endpoint]
            if self._is_labelled(caller):
                arrivals.append(arrival.at)
                self.check(2, laws.window_is_kept(arrivals, route.requests, route.seconds), entry)
            else:
                arrivals.clear()
        if entry is not None and answer.code == "0" and arrival.endpoint == entry.endpoint:
            entry.held.append(held)
        if user is not None and arrival.method == "POST":
            self._count_orders(user)

    def _count_orders(self, user: EmulatedUser) -> None:
        orders = user._ledger._orders
        for order in orders[self._seen_orders[user.uid] :]:
            key = (user.uid, order.type, order.amt)
            self._moved[key] += 1
            if self._moved[key] > 1:
                self.check(6, f"a {order.type} of {order.amt} happened {self._moved[key]} times")
        self._seen_orders[user.uid] = len(orders)

    def harmed(self, entry: Entry | None, harm: str) -> None:
        """The network has done something to a call."""
        self.harms[harm] += 1
        self.note(f"harm {harm} {entry.number if entry is not None else '-'}")
        if entry is not None:
            entry.hit = True

    def reported(self, entry: Entry, report: CallReport) -> None:
        """A call has reported itself."""
        entry.waited += report.waited
        entry.sends += report.sends
        entry.hit |= report.sends > 1 or report.refusals > 0
        self.check(4, laws.max_wait_is_kept(report.waited, entry.max_wait), entry)
        self.check(5, laws.shows_no_secret(repr(report), entry.signatures), entry)

    def end(self, entry: Entry, outcome: BaseException | None, result: object, *, own: bool) -> None:
        """A call has ended, with a result, an error, or what its caller did to it (``own``)."""
        now = self.loop.time()
        entry.ended, entry.outcome = True, outcome
        if entry.user is not None:
            self._waiting[entry.user.uid, entry.endpoint].pop(entry.number, None)
        took = now - entry.began
        if took > self.slowest[0]:
            self.slowest = (took, entry)
        name = "answered" if outcome is None else "by its caller" if own else type(outcome).__name__
        self.outcomes[name] += 1
        self.healed += outcome is None and entry.hit
        self.note(f"end {entry.number} {name} {took:.6f}")
        unnamed = laws.has_a_name(outcome, own=own)
        self.lost += unnamed is not None
        self.check(9, unnamed, entry)
        if not own:
            self.check(9, laws.ended_in_time(entry, took), entry)
        if outcome is None and entry.amt is None and entry.what not in {"identify", "synchronize_clock"}:
            self.check(7, laws.numbers_are_exact(result, entry.held), entry)
        if outcome is not None:
            self._search(entry, outcome)
        if entry.amt is None:
            # The entry stays, because its bytes may still be on their way.
            entry.held, entry.credentials, entry.session, entry.outcome = [], None, None, None
        else:
            self.check_money(entry)

    def check_money(self, entry: Entry) -> None:
        """Hold a write, of which all has arrived, against the books of the exchange."""
        assert entry.user is not None
        times = self._moved[entry.user.uid, entry.what, entry.amt]
        self.check(6, laws.money_moved_once(entry.outcome, times), entry)

    def _search(self, entry: Entry, outcome: BaseException) -> None:
        """Look for secrets in all that a failure shows."""
        self._failures += 1
        shown = [str(outcome), repr(outcome)]
        if isinstance(outcome, OKXError):
            shown += [outcome.summary, repr(vars(outcome))]
        locals_too = self._failures % LOCALS_EVERY == 1
        shown += traceback.TracebackException.from_exception(outcome, capture_locals=locals_too).format()
        self.check(5, laws.shows_no_secret("\n".join(shown), entry.signatures), entry)

    def logged(self, record: logging.LogRecord, text: str) -> None:
        """Something was written into a log."""
        entry = current.get()
        self.check(5, laws.shows_no_secret(text, () if entry is None else entry.signatures), entry)
        if record.levelno >= logging.ERROR:
            self.check(9, f"{record.name} logged: {text[:2000]}", entry)


class LogReader(logging.Handler):
    """Shows each record of any library to the book."""

    def __init__(self, book: Book) -> None:
        super().__init__(logging.DEBUG)
        self._book = book

    def emit(self, record: logging.LogRecord) -> None:
        extra: dict[str, Any] = {key: value for key, value in vars(record).items() if key not in _PLAIN}
        self._book.logged(record, f"{self.format(record)} {extra!r}")


_PLAIN: Final = frozenset(vars(logging.makeLogRecord({})))
