"""Signed requests that our own signer had no part in, for judging the local exchange."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from okx_sol_async.emulator import Emulator
from okx_sol_async.models import Balance
from okx_sol_async.signing._credentials import Credentials

STAKING = "/api/v5/finance/staking-defi/sol"
BALANCE_PATH = f"{STAKING}/balance"
CONFIG_PATH = "/api/v5/account/config"
TIME_PATH = "/api/v5/public/time"

#: Two hours before interest accrues.
NOON = datetime(2026, 1, 15, 14, 0, 0, 149_000, tzinfo=UTC)
NOW = NOON.timestamp()
NOON_MS = 1_768_485_600_149

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing-vectors.json").read_text("utf-8"))
VECTOR_KEY = Credentials(VECTORS["key"], VECTORS["secret"], VECTORS["passphrase"])
VECTOR_TIME = datetime(2026, 1, 15, 23, 28, 5, 149_000, tzinfo=UTC).timestamp()
[BALANCE_VECTOR] = [vector for vector in VECTORS["vectors"] if vector["request_path"] == BALANCE_PATH]

#: The row of a new user's balance.
ROW = {
    "amt": "0.01100012",
    "ccy": "OKSOL",
    "latestInterestAccrual": "0.00000012",
    "totalInterestAccrual": "0.00000012",
}
#: How a purchase or redemption is accepted.
DONE = (200, {"code": "0", "msg": "", "data": []})
ZERO = Decimal(0)


def ms(at: datetime) -> str:
    """Write a time as OKX does in rows: milliseconds since 1970."""
    return str(round(at.timestamp() * 1000))


def okso(amt: str) -> Balance:
    """Return a balance without interest."""
    return Balance("OKSOL", Decimal(amt), ZERO, ZERO)


def iso(seconds: float) -> str:
    """Write a time as OKX's documentation does: 2020-12-08T09:08:57.715Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def signature(secret: str, prehash: str) -> str:
    """Sign as OKX's documentation says, and not with `okx_sol_async.signing._signer.sign`."""
    return base64.b64encode(hmac.new(secret.encode(), prehash.encode(), hashlib.sha256).digest()).decode()


def signed(
    credentials: Credentials, path: str = BALANCE_PATH, *, method: str = "GET", body: str = "", timestamp: str = ""
) -> dict[str, str]:
    """Return the headers that OKX's documentation asks for."""
    timestamp = timestamp or iso(time.time())
    return {
        "OK-ACCESS-KEY": credentials.api_key,
        "OK-ACCESS-SIGN": signature(credentials.secret_key, f"{timestamp}{method}{path}{body}"),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": credentials.passphrase,
    }


class Staker:
    """One user of one exchange, who calls its staking endpoints with plain aiohttp."""

    def __init__(self, http: aiohttp.ClientSession, exchange: Emulator, credentials: Credentials | None = None) -> None:
        self.http = http
        self.exchange = exchange
        self.credentials = credentials or exchange.credentials
        self.extra: dict[str, str] = {}
        self.timestamp = ""

    async def get(self, path: str, **parameters: object) -> tuple[int, Any]:
        """Return the status and the JSON of a read."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        target = f"{STAKING}/{path}" + (f"?{query}" if query else "")
        return await self.send("GET", target, "")

    async def post(self, path: str, body: object, *, content_type: str | None = "application/json") -> tuple[int, Any]:
        """Return the status and the JSON of a write; text is sent as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        return await self.send("POST", f"{STAKING}/{path}", text, content_type)

    async def code(self, path: str, body: object | None = None, **parameters: object) -> str:
        """Return the code of a call."""
        _, answer = await (self.get(path, **parameters) if body is None else self.post(path, body))
        code: str = answer["code"]
        return code

    async def data(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - whatever the JSON is
        """Return the data of a read that succeeds."""
        status, answer = await self.get(path, **parameters)
        assert (200, "0", "") == (status, answer["code"], answer["msg"])
        return answer["data"]

    async def send(
        self, method: str, target: str, body: str = "", content_type: str | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Return the status and the JSON of any signed call."""
        headers = signed(self.credentials, target, method=method, body=body, timestamp=self.timestamp) | self.extra
        if content_type is not None:
            headers["Content-Type"] = content_type
        async with self.http.request(
            method,
            URL(self.exchange.url + target, encoded=True),
            headers=headers,
            data=body.encode() if method == "POST" else None,
            skip_auto_headers=["Content-Type"],
            allow_redirects=False,
        ) as response:
            return response.status, await response.json()


class Caller:
    """Sends a request and returns its HTTP status and its body."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def __call__(
        self, exchange: Emulator, headers: Mapping[str, str] | None = None, path: str = BALANCE_PATH
    ) -> tuple[int, Any]:
        headers = signed(exchange.credentials, path) if headers is None else headers
        async with self.http.get(URL(exchange.url + path, encoded=True), headers=headers) as response:
            return response.status, await response.json()

    async def codes(self, exchange: Emulator, how_many: int, *users: Credentials) -> list[str]:
        """Return the codes of a number of calls in turn, made by the users in turn."""
        users = users or (exchange.credentials,)
        return [(await self(exchange, signed(users[n % len(users)])))[1]["code"] for n in range(how_many)]


async def raw_call(exchange: Emulator, headers: Mapping[str, str], path: str = BALANCE_PATH) -> str:
    """Send what aiohttp's client would tidy up, and return the code of the response."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *map(": ".join, headers.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(exchange.url).port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    code: str = json.loads(answer.partition(b"\r\n\r\n")[2])["code"]
    return code


def success(*rows: object) -> tuple[int, object]:
    return 200, {"code": "0", "msg": "", "data": list(rows)}
