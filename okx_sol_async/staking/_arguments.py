"""What callers pass, checked before anything leaves, and as OKX writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from okx_sol_async._checks import is_text, shown, wrong, wrong_type
from okx_sol_async._writes import Write, WriteOutcome
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import OrderStatus, OrderType
from okx_sol_async.session import Session

W = TypeVar("W", OrderType, OrderStatus)

#: SOL has nine digits after the point: a lamport is the smallest amount there is.
DECIMALS: Final = 9
#: An amount has fewer digits before the point. There are not that many SOL.
WHOLE_DIGITS: Final = 12
#: The most rows of a page of the history.
PAGE: Final = 100
#: The most days of the APY history.
DAYS: Final = 365
_AMOUNT: Final = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}", re.ASCII)
_LATEST: Final = 10**14
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def checked_amount(amt: object) -> Decimal:
    """Return an amount of SOL or OKSOL, if it is one that can be purchased or redeemed."""
    if isinstance(amt, str) and _AMOUNT.fullmatch(amt):
        amt = Decimal(amt)
    if not isinstance(amt, Decimal):
        # A float is not the number it was written as, and a whole number may be meant as lamports.
        hint = "Write the amount as text, in SOL or OKSOL: Decimal('1.5')." if isinstance(amt, int | float) else None
        raise wrong(amt, "amt", "a Decimal, or a string such as '1.5'", hint)
    if not amt.is_finite() or amt <= 0 or amt.adjusted() >= WHOLE_DIGITS:
        raise wrong(amt, "amt", f"a number above 0 and below 10^{WHOLE_DIGITS}")
    if int(amt.as_tuple().exponent) < -DECIMALS:
        raise wrong(amt, "amt", f"a number of at most {DECIMALS} decimals", f"Round it to {DECIMALS} decimals.")
    return amt


def checked_write(write: object) -> Write:
    """Return a `Write` that can be kept in a log and looked up."""
    if not isinstance(write, Write):
        raise wrong(write, "write", "a Write")
    field = next((field for field, is_right in _checked_fields(write) if not is_right), None)
    if field is not None:
        message = f"write has a wrong {field}: {shown(getattr(write, field))}"
        raise ConfigurationError(message, argument="write")
    return write


def _checked_fields(write: Write) -> Iterator[tuple[str, bool]]:
    yield "type", write.type in list(OrderType)
    yield "amt", _is_finite(write.amt)
    yield "sent_at", _is_time(write.sent_at)
    for field in ("owner", "origin", "id"):
        yield field, is_text(getattr(write, field))
    yield "demo", isinstance(write.demo, bool)
    yield "trace_id", write.trace_id is None or is_text(write.trace_id)
    yield "outcome", isinstance(write.outcome, WriteOutcome)
    yield "ordered_at", write.ordered_at is None or _is_time(write.ordered_at)


def _is_finite(amt: object) -> bool:
    return isinstance(amt, Decimal) and amt.is_finite()


def _is_time(at: object) -> bool:
    # The first and the last year cannot be moved to another time zone.
    return isinstance(at, datetime) and at.utcoffset() is not None and MINYEAR < at.year < MAXYEAR


def checked_word(name: str, word: object, kind: type[W]) -> W | None:
    """Return a word to ask for; `None` for any."""
    if word is None or isinstance(word, kind):
        return word
    if isinstance(word, str) and word in list(kind):
        return kind(word)
    raise wrong(word, name, f"one of {', '.join(kind)}, or None")


def milliseconds(name: str, at: object, *, rounded_up: bool) -> int:
    """Return a time in whole milliseconds since 1970."""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise wrong(at, name, "an aware datetime", "Say of which time zone it is: datetime(2026, 1, 31, tzinfo=UTC).")
    if at < _EPOCH:
        message = f"{name} must not be before 1970, not {at.isoformat()}"
        raise ConfigurationError(message, argument=name)
    since = at - _EPOCH
    return -(-since // _MILLISECOND) if rounded_up else since // _MILLISECOND


def page_bound(name: str, at: object, *, rounded_up: bool) -> int:
    """Return the bound of a page in whole milliseconds since 1970, which may be written so already."""
    if type(at) is int and 0 <= at < _LATEST:
        return at
    if isinstance(at, str) and _MILLISECONDS.fullmatch(at):
        return int(at)
    if isinstance(at, datetime):
        return milliseconds(name, at, rounded_up=rounded_up)
    raise wrong(at, name, "an aware datetime, or milliseconds since 1970 as OKX writes them")


def moment(of: int) -> datetime:
    return _EPOCH + of * _MILLISECOND


def checked_session(session: object) -> Session:
    """Return ``session`` if it is a `Session`."""
    if isinstance(session, Session):
        return session
    raise wrong_type(session, "session", "a Session")
