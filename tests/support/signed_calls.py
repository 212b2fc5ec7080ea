"""Signed requests that our own signer had no part in, for judging the local exchange."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from okx_sol_async.emulator import Emulator
from okx_sol_async.signing.credentials import Credentials

STAKING = "/api/v5/finance/staking-defi/sol"


def iso(seconds: float) -> str:
    """Write a time as OKX's documentation does: 2020-12-08T09:08:57.715Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def signature(secret: str, prehash: str) -> str:
    """Sign as OKX's documentation says, and not with `okx_sol_async.signing.signer.sign`."""
    return base64.b64encode(hmac.new(secret.encode(), prehash.encode(), hashlib.sha256).digest()).decode()


def signed(
    credentials: Credentials, path: str, *, method: str = "GET", body: str = "", timestamp: str = ""
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
        return await self._send("GET", target, "")

    async def post(self, path: str, body: object, *, content_type: str | None = "application/json") -> tuple[int, Any]:
        """Return the status and the JSON of a write; text is sent as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        return await self._send("POST", f"{STAKING}/{path}", text, content_type)

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

    async def _send(
        self, method: str, target: str, body: str, content_type: str | None = None
    ) -> tuple[int, Mapping[str, Any]]:
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
