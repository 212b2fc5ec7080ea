"""Every failure, as one tree, with the table that says which code is which.

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
from typing import Any, Final, Self, TypedDict, Unpack

import attrs

from okx_sol_async._writes import Write
from okx_sol_async.models import Order, OrderType

MESSAGE_LIMIT: Final = 200


class CallDetails(TypedDict, total=False):
    """What an error knows of its call. Each is an attribute of `OKXError`, `None` where it is not given."""

    endpoint: str | None
    trace_id: str | None
    attempts: int | None
    waited: float | None
    retry_after: float | None
    sent_at: datetime | None


class ErrorDetails(CallDetails, total=False):
    """What every error takes besides its message."""

    code: str | None
    status: int | None
    hint: str | None
    transient: bool


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


@attrs.frozen
class CodeRule:
    """What one of OKX's codes means to the caller."""

    exception: type[APIError]
    hint: str | None = None


_REGIONS: Final = "global (https://openapi.okx.com), us (https://us.okx.com) or eea (https://eea.okx.com)"

#: The codes that are not `Rejected`, and those that deserve a hint.
#: https://www.okx.com/docs-v5/en/#error-code
CODES: Final[dict[str, CodeRule]] = {
    "500": CodeRule(Unavailable, "Internal error at OKX; try again later."),
    "50001": CodeRule(Unavailable, "OKX is unavailable; look at its status page."),
    "50004": CodeRule(Unavailable, "OKX timed out internally; try again."),
    "50007": CodeRule(PermissionDenied, "OKX has blocked this user; ask its support."),
    "50011": CodeRule(RateLimited, "Another program uses this user's limit: share the limit, or call less often."),
    "50013": CodeRule(Unavailable, "OKX is busy; try again in some seconds."),
    "50026": CodeRule(Unavailable, "Internal error at OKX; try again later."),
    "50030": CodeRule(PermissionDenied, "Give the key the permission that this endpoint needs (Read or Trade)."),
    "50035": CodeRule(Rejected, "Bind the key to an IP address in OKX's key settings."),
    "50038": CodeRule(Rejected, "Demo trading has no staking writes; use a live key, without OKX_DEMO=1."),
    "50040": CodeRule(Unavailable, "OKX asks this user to wait; try again later."),
    "50053": CodeRule(Rejected, "Only in demo trading: use a demo key and OKX_DEMO=1."),
    "50061": CodeRule(RateLimited, "A limit on orders, not on staking; call less often."),
    "50100": CodeRule(PermissionDenied, "OKX has frozen this key; ask its support."),
    "50101": CodeRule(
        AuthenticationError,
        "A demo key needs demo trading switched on (OKX_DEMO=1), and a live key needs it switched off.",
    ),
    "50102": CodeRule(
        ClockSkew,
        "This machine's clock differs from OKX's by more than 30 s: synchronise it (NTP).",
    ),
    "50103": CodeRule(AuthenticationError, "A proxy or middleware removes this header."),
    "50104": CodeRule(AuthenticationError, "A proxy or middleware removes this header."),
    "50105": CodeRule(
        AuthenticationError,
        "Check the passphrase (OKX_PASSPHRASE): the one chosen when this key was made, not the account's password.",
    ),
    "50106": CodeRule(AuthenticationError, "A proxy or middleware removes this header."),
    "50107": CodeRule(AuthenticationError, "A proxy or middleware removes this header."),
    "50108": CodeRule(AuthenticationError, "Check the API key (OKX_API_KEY) and the region (OKX_REGION)."),
    "50109": CodeRule(AuthenticationError, "Check the API key (OKX_API_KEY) and the region (OKX_REGION)."),
    "50110": CodeRule(
        PermissionDenied,
        "Add the IP address of this machine to the key's IP list in OKX's key settings.",
    ),
    "50111": CodeRule(AuthenticationError, "Check the API key (OKX_API_KEY): OKX does not recognise its form."),
    "50112": CodeRule(AuthenticationError, "A proxy or middleware changes the header OK-ACCESS-TIMESTAMP."),
    "50113": CodeRule(
        AuthenticationError,
        "Check the secret key (OKX_SECRET_KEY): it does not belong to this key, or the passphrase was pasted in its place.",
    ),
    "50114": CodeRule(AuthenticationError, "Check OKX_API_KEY, OKX_SECRET_KEY and OKX_PASSPHRASE."),
    "50118": CodeRule(PermissionDenied, "The key's broker must add its IP address."),
    "50119": CodeRule(
        AuthenticationError,
        "This host does not know the key. A key works only in the region where its account was registered (OKX_REGION):"
        f" {_REGIONS}; and a demo key only in demo trading (OKX_DEMO=1).",
    ),
    "50120": CodeRule(PermissionDenied, "Give the key the permission that this endpoint needs (Read or Trade)."),
    "50121": CodeRule(PermissionDenied, "OKX does not serve this machine's IP address."),
    "51054": CodeRule(Unavailable, "OKX timed out internally; try again."),
    "51149": CodeRule(Unavailable, "OKX timed out internally; try again."),
    "51720": CodeRule(Rejected, "Read the history before you repeat it."),
    "51727": CodeRule(Rejected, "The amount is below the minimum (min_amt of the product info)."),
    "51728": CodeRule(Rejected, "The amount is above the maximum."),
    "51735": CodeRule(Rejected, "Use a key of the main account."),
    "51736": CodeRule(Rejected, "Move the amount to the funding account first."),
    "51739": CodeRule(Unavailable, "Try again in some minutes."),
    "51759": CodeRule(Unavailable, "Try again in some minutes."),
    "51764": CodeRule(Rejected, "Move the amount to the funding account first."),
    "51767": CodeRule(Unavailable, "OKX is under maintenance; try again in some minutes."),
    "51774": CodeRule(Unavailable, "OKX is under maintenance; try again in some minutes."),
    "58006": CodeRule(Unavailable, "Try again in some minutes."),
    "58007": CodeRule(Unavailable, "Try again in some minutes."),
}


def api_error(*, status: int, code: str | None = None, msg: str = "", **details: Unpack[CallDetails]) -> APIError:
    """Return the error for a refusal: by its code, or by the HTTP status where there is no envelope with a code.

    A code may carry a sub-code (``51008_1000``); the part before the underscore decides.
    """
    rule = CODES.get(code.partition("_")[0]) if code is not None else None
    if rule is None:
        rule = _rule_by_status(status, coded=code is not None)
    message = one_line(msg) or f"OKX answered HTTP {status}"
    return rule.exception(message, code=code, status=status, hint=rule.hint, **details)


#: What a response without a code of OKX's means, by its HTTP status.
STATUSES: Final[dict[int, CodeRule]] = {
    403: CodeRule(Rejected, "The network in front of OKX refuses this machine: check its country, proxy and IP."),
    408: CodeRule(Unavailable, "The server closed an idle connection, or waited too long for the request; try again."),
    429: CodeRule(RateLimited, "OKX or the network in front of it asks for fewer calls."),
}


def _rule_by_status(status: int, *, coded: bool) -> CodeRule:
    if status >= 500:
        return CodeRule(Unavailable, "OKX or the network in front of it is down; try again later.")
    if coded:
        return CodeRule(Rejected)
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return CodeRule(
            Rejected,
            "Redirects are not followed, because they would carry signatures away: check the base URL (OKX_BASE_URL).",
        )
    return CodeRule(
        Rejected,
        "This is no response of OKX's API: check the base URL (OKX_BASE_URL) and what is between this machine and OKX.",
    )


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return ``text`` on one printable line of at most ``limit`` characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(text) <= 4 * limit else f"{shown[: limit - 1]}…"
