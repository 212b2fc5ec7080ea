"""Which error a code or a status of OKX is, and what to do about it."""

from __future__ import annotations

from typing import Final, Unpack

import attrs

from okx_sol_async._error_details import CallDetails
from okx_sol_async.errors import (
    APIError,
    AuthenticationError,
    ClockSkew,
    PermissionDenied,
    RateLimited,
    Rejected,
    Unavailable,
)

MESSAGE_LIMIT: Final = 200


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
    "50103": CodeRule(AuthenticationError, "A proxy or middleware removes the header that the message names."),
    "50104": CodeRule(AuthenticationError, "A proxy or middleware removes the header that the message names."),
    "50105": CodeRule(
        AuthenticationError,
        "Check the passphrase (OKX_PASSPHRASE): the one chosen when this key was made, not the account's password.",
    ),
    "50106": CodeRule(AuthenticationError, "A proxy or middleware removes the header that the message names."),
    "50107": CodeRule(AuthenticationError, "A proxy or middleware removes the header that the message names."),
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
    if len(text) <= limit and text.isprintable() and " " not in text:
        return text
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(text) <= 4 * limit else f"{shown[: limit - 1]}…"
