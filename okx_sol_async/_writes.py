"""Purchases and redemptions that were sent, and the protocol of the log that they are kept in."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Protocol

import attrs

from okx_sol_async.models import OrderType


class WriteOutcome(enum.StrEnum):
    """What is known of a `Write`."""

    #: It is in flight, or the process that sent it ended before the outcome was known.
    SENT = "sent"
    #: It was sent, and no response says whether it happened.
    UNKNOWN = "unknown"
    #: It happened: OKX's response says so, or the history shows its order.
    TAKEN = "taken"
    #: The history did not show its order when it was last read, which was too early to be final.
    NOT_SEEN = "not_seen"
    #: The history did not show its order after OKX had stopped accepting its signature.
    NOT_FOUND = "not_found"

    @property
    def is_open(self) -> bool:
        """Whether it remains to be resolved."""
        return self not in {WriteOutcome.TAKEN, WriteOutcome.NOT_FOUND}


def _amount(value: Decimal | str) -> Decimal:
    try:
        return Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        message = "amt is not a number"
    raise ValueError(message)


def _time(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@attrs.frozen
class Write:
    """A purchase or redemption whose first byte may have left. It holds no key and no secret.

    It can be pickled, and stored as JSON: ``Write(**json.loads(to_json(write)))`` is equal to ``write``.

    Raises:
        ValueError: ``type`` or ``outcome`` is no such word, or a text is not the amount or the time that it should be.

    """

    #: Which of the two it is.
    type: OrderType = attrs.field(converter=OrderType)
    #: The amount, in SOL for a purchase and in OKSOL for a redemption.
    amt: Decimal = attrs.field(converter=_amount)
    #: The timestamp of its signature (UTC), by OKX's clock as far as the session knows it.
    sent_at: datetime = attrs.field(converter=_time)
    #: Whose it is: `Credentials.owner`, which is the user's label or a hash of the key.
    owner: str
    #: The host that it was sent to: ``"https://openapi.okx.com"``.
    origin: str
    #: Whether it was sent to demo trading.
    demo: bool
    #: OKX's id of the call; `None` without a response that has one.
    trace_id: str | None = None
    #: What is known of it.
    outcome: WriteOutcome = attrs.field(default=WriteOutcome.UNKNOWN, converter=WriteOutcome)
    #: The ``request_time`` of the order that it was found to be; `None` while that is not known.
    ordered_at: datetime | None = attrs.field(default=None, converter=attrs.converters.optional(_time))
    #: An id of this package's, unique over all processes. OKX never sees it.
    id: str = attrs.field(factory=lambda: uuid.uuid4().hex)


class WriteLog(Protocol):
    """Keeps writes from before their first byte leaves until it is known what became of them.

    `MemoryWriteLog` keeps them in the process, `SQLiteWriteLog` in a file. One log may be used by several sessions, users
    and event loops at a time.
    Whatever `put` and `merge` raise before a write is sent keeps it from being sent.
    """

    async def put(self, write: Write) -> None:
        """Keep ``write``, in place of the one with its ``id`` if there is one. It is durable when this returns.

        Open writes (`WriteOutcome.is_open`) are kept until they are resolved. Others may be dropped after ten minutes,
        if no open write was sent within two minutes of them.
        """

    async def remove(self, write: Write) -> None:
        """Drop the write with this ``id``, because it certainly did not happen. Without one, do nothing."""

    async def read(self, owner: str, origin: str, *, demo: bool) -> Sequence[Write]:
        """Return all writes of a user, including those under the other names that `merge` has given the user."""

    async def merge(self, owner: str, into: str) -> None:
        """Remember that two owners are one user. It is durable when this returns."""
