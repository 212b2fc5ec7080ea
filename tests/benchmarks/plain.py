"""What is written without this package: a call signed by hand, and made-up users to sign for."""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from okx_sol_async import Credentials

if TYPE_CHECKING:
    import aiohttp

PATH = "/api/v5/finance/staking-defi/sol/balance"


def sign_by_hand(credentials: Credentials) -> dict[str, str]:
    """Return the headers of a signed call of `PATH`."""
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    prehash = f"{timestamp}GET{PATH}"
    digest = hmac.new(credentials.secret_key.encode(), prehash.encode(), "sha256").digest()
    return {
        "OK-ACCESS-KEY": credentials.api_key,
        "OK-ACCESS-SIGN": base64.b64encode(digest).decode(),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": credentials.passphrase,
    }


async def balance_by_hand(http: aiohttp.ClientSession, url: str, credentials: Credentials) -> dict[str, Any]:
    """Return the whole response, as it comes out of the JSON."""
    async with http.get(url + PATH, headers=sign_by_hand(credentials)) as response:
        body = await response.read()
    answer: dict[str, Any] = json.loads(body)
    return answer


def make_credentials() -> Credentials:
    """Make up a key, of OKX's lengths, that is a user of its own."""
    return Credentials(str(uuid.uuid4()), uuid.uuid4().hex.upper(), f"Made-Up-{uuid.uuid4().hex[:12]}")
