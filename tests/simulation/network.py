"""A network without sockets: connections that delay, stall, reset and lose what they carry.

It stands between the real client and the real emulator, which know it only as asyncio transports.
"""

from __future__ import annotations

import asyncio
import functools
import math
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from aiohttp.client_proto import ResponseHandler

    from tests.simulation.connector import SimulatedPort


#: An abandoned call is in flight no longer than this, in seconds: law 2 promises nothing beyond.
AFTERMATH: Final = 0.5
#: So long after the client has gone without a word, the exchange forgets a connection, in seconds.
FORGOTTEN: Final = 60.0
#: Seconds after which a system gives up connecting.
SYN_TIMEOUT: Final = 127.0
_END: Final = b""


@attrs.define
class Weather:
    """What the network does to one machine at the moment; as it stands, little."""

    #: Seconds that a message takes one way.
    latency: float = 0.03
    #: A time between 0 and this is added.
    jitter: float = 0.01
    #: This part of the messages is 0.2 to 1.5 s late.
    late: float = 0.0
    #: This part of the messages resets its connection instead of arriving.
    reset: float = 0.0
    #: This part of the messages is lost with all that follows on its connection, and no end is notified.
    swallow: float = 0.0
    #: This part of the connections is refused.
    refuse: float = 0.0
    #: This part of the names is not found.
    nameless: float = 0.0
    #: This part of the TLS handshakes fails.
    untrusted: float = 0.0
    #: This part of the connections is never made.
    ignore: float = 0.0
    #: No message arrives before this time of the loop.
    parted_until: float = 0.0


class Options:
    """Takes the options of a socket, which mean nothing here."""

    family = socket.AF_UNIX

    def setsockopt(self, *_: object) -> None:
        """Do nothing."""


class End(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, wire: Wire, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._wire = wire
        self._protocol: Any = None
        self._paused = False
        self._unread: deque[bytes] = deque()
        self._closing = False
        #: Whether the protocol was notified of the end.
        self.lost = False

    def __repr__(self) -> str:
        return f"<End {'lost' if self.lost else 'closing' if self._closing else 'open'}>"

    # What protocols ask of a transport.

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._wire.loop.call_soon(self._read)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self._wire.send(self, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._wire.closed(self)
            self._wire.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        if not self.lost and not self._closing:
            self._closing = True
            self._wire.reset_by(self)
            self._wire.loop.call_soon(self.lose, None)

    # What the network does.

    def receive(self, data: bytes) -> None:
        """Let the protocol have what arrived."""
        self._unread.append(data)
        self._read()

    def _read(self) -> None:
        while self._unread and not self._paused and not self._closing:
            data = self._unread.popleft()
            if data is not _END:
                self._protocol.data_received(data)
            elif not self._protocol.eof_received():
                self.close()

    def lose(self, error: Exception | None) -> None:
        """Notify the protocol of the end of the connection."""
        if self.lost:
            return
        self._closing = self.lost = True
        self._unread.clear()
        protocol, self._protocol = self._protocol, None
        self._wire.ended(self)
        protocol.connection_lost(error)


class _Way:
    """The messages in flight from one end to the other, in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self.in_flight: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, data: bytes, at: float) -> None:
        if self.in_flight:
            at = max(at, self.in_flight[-1][0])
        self.in_flight.append((at, data))
        if len(self.in_flight) == 1:
            self._set_timer()

    def arrive_by(self, latest: float, first: float) -> None:
        """Let what is in flight arrive between ``first`` and ``latest``, and nothing after it."""
        self.in_flight = deque((max(at, first), data) for at, data in self.in_flight if at <= latest)
        self._set_timer()

    def stop(self) -> None:
        self.in_flight.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.in_flight and self.in_flight[0][0] < math.inf:
            self._timer = self._loop.call_at(self.in_flight[0][0], self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        # The protocol may end the connection, and empty the way, as it reads.
        while self.in_flight and self.in_flight[0][0] <= now:
            self._deliver(self.in_flight.popleft()[1])
        if self._timer is None:
            self._set_timer()


class Wire:
    """A connection between the client and the exchange."""

    def __init__(self, network: Network, weather: Weather, address: tuple[str, int]) -> None:
        self.network = network
        self.weather = weather
        self.loop = network.loop
        self.client = End(self, {"peername": ("203.0.113.1", 443), "sockname": address})
        self.server = End(self, {"peername": address, "sockname": ("203.0.113.1", 443), "socket": Options()})
        self._there = _Way(self.loop, functools.partial(self._arrive, self.server))
        self._back = _Way(self.loop, functools.partial(self._arrive, self.client))
        self._swallowed = False
        self._given_up = False
        self._forget: asyncio.TimerHandle | None = None

    def _way_from(self, end: End) -> _Way:
        return self._there if end is self.client else self._back

    def _other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def send(self, end: End, data: bytes) -> None:
        """Carry ``data`` to the other end, or let it come to harm."""
        network, weather = self.network, self.weather
        if end is self.client:
            network.left(self, data)
        luck = network.random.random()
        if luck < weather.reset:
            network.harmed(self, "reset")
            self.break_off()
        elif self._swallowed or luck < weather.reset + weather.swallow:
            if not self._swallowed:
                self._swallowed = True
                network.harmed(self, "swallow")
        else:
            self._way_from(end).send(data, self.loop.time() + network.latency(weather))

    def break_off(self) -> None:
        """Reset the connection somewhere on the way, which both ends hear of."""
        self._back.stop()
        self._aftermath()
        self.loop.call_soon(self.client.lose, _reset())
        self.loop.call_later(self.network.random.uniform(0, 2 * AFTERMATH), self.server.lose, _reset())

    def closed(self, end: End) -> None:
        """Let the other end know, behind what is still in flight, that ``end`` sends no more (FIN)."""
        if end is self.client:
            self._aftermath()
        if not self._swallowed:
            delay = min(self.network.latency(self.weather), AFTERMATH)
            self._way_from(end).send(_END, self.loop.time() + delay)

    def reset_by(self, end: End) -> None:
        """Let the other end know that ``end`` has broken off (RST)."""
        if end is self.client:
            self._aftermath()
        elif self.network.random.random() < 0.5:
            self._back.stop()
        if not self._swallowed:
            delay = min(self.network.latency(self.weather), 2 * AFTERMATH)
            self.loop.call_later(delay, self._other(end).lose, _reset())

    def _aftermath(self) -> None:
        """Let what the client has sent and given up arrive soon, or never."""
        if self._given_up:
            return
        self._given_up = True
        now = self.loop.time()
        if self.network.random.random() < 0.3:
            self._there.stop()
        else:
            # It may be as late as it can be, which is the worst for the limit.
            first = now + self.network.random.choice((0.0, AFTERMATH, self.network.random.uniform(0, AFTERMATH)))
            self._there.arrive_by(now + AFTERMATH, first)

    def _arrive(self, end: End, data: bytes) -> None:
        if not end.lost and not end.is_closing():
            end.receive(data)
        elif data is not _END and not self._other(end).lost:
            # The other end is closed.
            self.loop.call_later(self.weather.latency, self._other(end).lose, _reset())

    def ended(self, end: End) -> None:
        """Count an end that is over; when the other one is not notified, it notices some time later."""
        if end is self.client:
            self._back.stop()
            self._aftermath()
        if self._other(end).lost:
            if self._forget is not None:
                self._forget.cancel()
            self._there.stop()
            self.network.wires.pop(self, None)
        elif self._forget is None:
            self._forget = self.loop.call_later(FORGOTTEN, self._other(end).lose, _reset())


def _reset() -> ConnectionResetError:
    return ConnectionResetError(104, "Connection reset by peer")


class Network:
    """All connections, and what happens to them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        host: str,
        left: Callable[[Wire, bytes], None],
        harmed: Callable[[Wire | None, str], None],
        foreign: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.random = rng
        self._host = host
        #: Is notified of each piece that the client sends, and of each harm.
        self.left = left
        self.harmed = harmed
        self._foreign = foreign
        #: The exchange's side; `None` while it does not serve.
        self.port: SimulatedPort | None = None
        # In the order in which they were made, so that one seed is one run.
        self.wires: dict[Wire, None] = {}
        self._ports = 1024

    def latency(self, weather: Weather) -> float:
        """Return how long a message takes one way, in seconds."""
        seconds = weather.latency + self.random.random() * weather.jitter
        if weather.late and self.random.random() < weather.late:
            seconds += self.random.uniform(0.2, 1.5)
        parted = weather.parted_until - self.loop.time()
        # TCP sends again what was lost, after growing waits.
        return seconds if parted <= 0 else parted + self.random.uniform(0.0, 0.2 + parted / 2)

    async def connect(
        self, weather: Weather, ip: str, request: aiohttp.ClientRequest, factory: Callable[[], ResponseHandler]
    ) -> ResponseHandler:
        """Connect to the host of a request."""
        key = request.connection_key
        if key.host != self._host:
            self._foreign(key.host)
            raise aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused"))
        luck = self.random.random()
        await asyncio.sleep(min(2 * self.latency(weather), SYN_TIMEOUT))
        for part, name, error in (
            (
                weather.nameless,
                "nameless",
                aiohttp.ClientConnectorDNSError(key, socket.gaierror(-3, "Temporary failure in name resolution")),
            ),
            (
                weather.refuse,
                "refuse",
                aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused")),
            ),
            (weather.untrusted, "untrusted", aiohttp.ClientConnectorSSLError(key, OSError(1, "handshake failure"))),
        ):
            luck -= part
            if luck < 0:
                self.harmed(None, name)
                raise error
        luck -= weather.ignore
        if luck < 0:
            self.harmed(None, "ignore")
            await asyncio.sleep(SYN_TIMEOUT)
        port = self.port
        if luck < 0 or port is None or not port.listens:
            raise aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused"))
        self._ports += 1
        wire = Wire(self, weather, (ip, self._ports))
        self.wires[wire] = None
        server, client = port.accept(), factory()
        wire.server.set_protocol(server)
        server.connection_made(wire.server)
        wire.client.set_protocol(client)
        client.connection_made(wire.client)
        return client
