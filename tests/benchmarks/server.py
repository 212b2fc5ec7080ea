"""A server in a process of its own that responds to every request with one balance and does nothing else.

What it costs is not measured, and it leaves the processor to the client. It checks no signature and counts no call.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BODY = (
    b'{"code":"0","data":[{"amt":"0.01100012","ccy":"OKSOL",'
    b'"latestInterestAccrual":"0.00000012","totalInterestAccrual":"0.00000012"}],"msg":""}'
)
_HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Date: Sat, 22 Nov 2025 08:00:00 GMT\r\n"
    "Content-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n"
    "x-trace-id: 5d5bd5a0f1c14fbcb29f1d2d4c8e1a7b\r\n"
    "\r\n"
)
ANSWER = _HEAD.encode() + BODY


class _Balances(asyncio.Protocol):
    """Responds whenever the head of a request has ended. Requests have no body."""

    _transport: asyncio.Transport
    _head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._head = (self._head + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(requests))


@contextlib.contextmanager
def light_server(certificate: str | None = None) -> Iterator[str]:
    """Serve in another process for as long as the block runs, and return the URL.

    Args:
        certificate: the PEM file with certificate and key for TLS.

    """
    command = [sys.executable, "-m", "tests.benchmarks.server", *([certificate] if certificate else [])]
    # It ends when its input does, so that it does not outlive its parent.
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603 - our own code
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


async def _serve(certificate: str | None = None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(_Balances, "127.0.0.1", 0, backlog=1024, ssl=tls)
    host, port = server.sockets[0].getsockname()
    print(f"{'http' if tls is None else 'https'}://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
