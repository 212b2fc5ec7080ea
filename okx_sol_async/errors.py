"""Every failure, as one tree.

- `OKXError`: the root; catch it to catch all of them

  - `ConfigurationError`: a setting, a key or an argument is wrong; nothing was sent
  - `SessionClosed`: the session was or became closed
  - `Timeout`: no whole response within ``timeout``

    - `QueueTimeout`: no turn within ``max_wait``; nothing was sent

  - `TransportError`: no whole response
  - `DecodeError`: a response came and is not one of OKX's
  - `APIError`: OKX refused

    - `AuthenticationError`: key, secret, passphrase or mode are wrong
    - `PermissionDenied`: the key is right and may not do this
    - `ClockSkew`: the clock of this machine is off
    - `RateLimited`: too many calls
    - `Unavailable`: OKX is busy, down or under maintenance; later may help
    - `Rejected`: anything else OKX refuses

  - `OutcomeUnknown`: a write that may have happened
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any, Self, Unpack

from okx_sol_async._error_details import ErrorDetails
from okx_sol_async._writes import Write
from okx_sol_async.models import Order, OrderType


class OKXError(Exception):
    """The root of everything this package raises.

    Each attribute is `None` where it does not apply.
    """

    #: OKX's error code, as text: ``"50113"``.
    code: str | None
    #: The HTTP status of the response.
    status: int | None
    #: Method and path of the call: ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str | None
    #: OKX's id of the call, to name to their support.
    trace_id: str | None
    #: What to do about it.
    hint: str | None
    #: How many times the call was sent.
    attempts: int | None
    #: Seconds that the call waited in the queue of its user's rate limit.
    waited: float | None
    #: Seconds after which the same call may succeed; `None` where that is not known.
    retry_after: float | None
    #: The time in the signature of the last send (UTC), by OKX's clock as the session knows it; `None` if nothing was sent.
    sent_at: datetime | None
    #: Whether the same call may work when it is made again later. A write is another matter: see `OutcomeUnknown`.
    transient: bool = False

    def __init__(self, message: str, **details: Unpack[ErrorDetails]) -> None:
        super().__init__(message)
        self.code = details.get("code")
        self.status = details.get("status")
        self.endpoint = details.get("endpoint")
        self.trace_id = details.get("trace_id")
        self.hint = details.get("hint")
        self.attempts = details.get("attempts")
        self.waited = details.get("waited")
        self.retry_after = details.get("retry_after")
        self.sent_at = details.get("sent_at")
        if "transient" in details:
            self.transient = details["transient"]

    def with_details(self, **details: Unpack[ErrorDetails]) -> Self:
        """Return a copy of the error with other details, and without traceback and cause."""
        error = copy(self)
        error.__dict__.update(details)
        return error

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return str(self.args[0])

    @property
    def summary(self) -> str:
        """What happened and where, in one line."""
        details = ", ".join(
            text
            for text, known in (
                (f"code {self.code}", self.code),
                (f"HTTP {self.status}", self.status),
                (f"{self.endpoint}", self.endpoint),
                (f"trace {self.trace_id}", self.trace_id),
                (f"sent {self.attempts} times", self.attempts if self.attempts and self.attempts > 1 else None),
            )
            if known is not None
        )
        return f"{self.message} ({details})" if details else self.message

    def __str__(self) -> str:
        """Return one line: what happened, where, and what to do."""
        return f"{self.summary}. {self.hint}" if self.hint else self.summary


class ConfigurationError(OKXError, ValueError):
    """A setting, a credential or an argument is wrong, or the session cannot be used here. Nothing was sent."""

    #: The name of the argument or field that is wrong; `None` if it is none of them.
    argument: str | None

    def __init__(self, message: str, *, argument: str | None = None, **details: Unpack[ErrorDetails]) -> None:
        super().__init__(message, **details)
        self.argument = argument


class SessionClosed(OKXError):
    """The session is closed, or was closed during the call."""

    #: Whether the call may have been sent. A write that may have been sent ends in `OutcomeUnknown` instead.
    sent: bool

    def __init__(self, message: str, *, sent: bool = False, **details: Unpack[ErrorDetails]) -> None:
        super().__init__(message, **details)
        self.sent = sent


class Timeout(OKXError, TimeoutError):
    """No whole response within ``timeout`` seconds, or no connection within five."""

    transient = True


class QueueTimeout(Timeout):
    """No turn within ``max_wait``. Nothing was sent. `retry_after` says when this user's next turn is free."""


class TransportError(OKXError):
    """No whole response: name resolution, TLS, refused, reset or cut off."""

    transient = True


class DecodeError(OKXError):
    """A response came and is not what OKX documents. The message says where: ``$.data[0].amt``."""


class APIError(OKXError):
    """OKX refused the call."""


class AuthenticationError(APIError):
    """The key, the secret, the passphrase or the choice of demo or live is wrong. Do not repeat the call."""


class PermissionDenied(APIError):
    """The key is right and may not do this: its permissions, its IP list, or the account. Do not repeat the call."""


class ClockSkew(APIError):
    """The clock of this machine is more than 30 seconds away from OKX's."""


class RateLimited(APIError):
    """OKX counted too many calls, ten times in a row or until ``max_wait`` was over.

    `retry_after` says when this user's next turn is free, after the pause that follows a refusal.
    """

    transient = True


class Unavailable(APIError):
    """OKX is busy, down or under maintenance. The same call may work later.

    `retry_after` is what the response asks for with ``Retry-After``, and `None` without that.
    """

    transient = True


class Rejected(APIError):
    """OKX understood the call and refuses it. The same call will be refused again."""


class OutcomeUnknown(OKXError):
    """A write was sent and no response says whether it happened. Look it up before you send it again: `resolve`.

    OKX accepts it only within 30 seconds of `sent_at`, by its own clock.
    """

    #: What happened instead of a response.
    reason: OKXError | None
    #: The write, to be kept and passed to `SolStaking.resolve`, also in another process or session; `None` for a call
    #: that was not made with `SolStaking.purchase` or `SolStaking.redeem`.
    write: Write | None = None
    #: What `resolve` looks it up with; `None` in a copy or after unpickling.
    look_up: Callable[[float | None], Awaitable[Order | None]] | None = None

    def __init__(
        self,
        message: str,
        *,
        reason: OKXError | None = None,
        **details: Unpack[ErrorDetails],
    ) -> None:
        super().__init__(message, **details)
        self.reason = reason

    @property
    def type(self) -> OrderType | None:
        """Whether it is a purchase or a redemption; `None` without `write`."""
        return None if self.write is None else self.write.type

    @property
    def amt(self) -> Decimal | None:
        """The amount, in SOL for a purchase and in OKSOL for a redemption; `None` without `write`."""
        return None if self.write is None else self.write.amt

    def __reduce__(self) -> tuple[Any, ...]:
        # What looks it up belongs to a session, and to one process.
        return type(self), self.args, {name: value for name, value in vars(self).items() if name != "look_up"}

    async def resolve(self, *, wait: float | None = None) -> Order | None:
        """Look up in the history whether the purchase or redemption happened, as `SolStaking.resolve` does.

        It goes through the session that sent it. After that is closed, or in another process,
        ``await staking.resolve(error.write)`` does the same.

        Args:
            wait: the most seconds to go on looking; 0 looks once, and `None` goes on until 40 seconds after `sent_at`.

        Returns:
            the order, with what became of it: look at its ``status``. `None`: the history shows none.

        Raises:
            ConfigurationError: ``wait`` is not a number of seconds; or this is a copy, or not about a write that
                `SolStaking.purchase` or `SolStaking.redeem` has sent.
            OKXError: the history cannot be read, as `SolStaking.balance` says. Temporary failures are retried.

        """
        if self.look_up is None:
            message = "only what SolStaking.purchase and SolStaking.redeem have sent can be looked up here"
            hint = "Read the history." if self.write is None else "Use await staking.resolve(error.write)."
            raise ConfigurationError(message, hint=hint)
        return await self.look_up(wait)
