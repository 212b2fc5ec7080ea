"""The words of the command line, for what the package says in those of Python."""

from __future__ import annotations

import re
from typing import Final

from okx_sol_async.errors import APIError, OKXError

#: What is said in Python, and what it is here; one after the other.
_WORDS: Final = tuple(
    (re.compile(said), here)
    for said, here in (
        (r"(where its account was registered):", r"\1, by --region or OKX_REGION:"),
        (r"\bRegion\.([A-Z]+)", lambda region: region[1].lower()),
        (r"\band the region\.", "and --region (OKX_REGION)."),
        (r"\bdemo=True(?: \(OKX_DEMO=1(?:, --demo)?\))?", "--demo (OKX_DEMO=1)"),
        (r"\bbase_url\b", "--base-url (OKX_BASE_URL)"),
        (r"\b(?:api_key|secret_key|passphrase|user_id) \((OKX_\w+)\)", r"\1"),
        (r"^(?:api_key|secret_key|passphrase|user_id) (.*) \((OKX_\w+)\)$", r"\2 \1"),
        (r"\bapi_key, secret_key and passphrase\b", "OKX_API_KEY, OKX_SECRET_KEY and OKX_PASSPHRASE"),
        (r"\bproduct_info\(\)", "okx-sol product"),
        (r" \(timeout\)", ""),
        (r"\bTry again, or allow more\.", "Try again."),
        (r"\bwith since and until\b", "with --since and --until"),
        (r"^(since|until|limit|every|days|port) must", r"--\1 must"),
        (r"^amt must be a Decimal, or a string such as '1\.5',", "amt must be a number such as 1.5,"),
        (r"\bnot Decimal\('(.*)'\)", r"not \1"),
        (r": amt\.quantize\(.*\)\.$", "."),
    )
)


def summary_of(error: OKXError) -> str:
    """Return what happened and where. What OKX says is in its own words, and stays so."""
    return error.summary if isinstance(error, APIError) else of_the_command_line(error.summary)


def of_the_command_line(text: str) -> str:
    """Return what is said of arguments of Python as it is said of options and the environment."""
    for said, here in _WORDS:
        text = said.sub(here, text)
    return text
