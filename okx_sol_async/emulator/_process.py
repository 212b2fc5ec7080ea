"""A local exchange in a process of its own, for tests that must not share theirs with it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from okx_sol_async.emulator._emulator import Emulator
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.signing._credentials import Credentials

#: Seconds until a process that does not end by itself is killed.
_PATIENCE = 5.0


class EmulatorProcess:
    """A local exchange in another process, which serves for the length of a ``with`` block.

    It is controlled over HTTP, and ends with the process that has started it.

    Args:
        state: a state file, in TOML or JSON; `None` for a new exchange.
        arguments: arguments of `Emulator` that can be written as JSON: ``window``, ``latency``, ``jitter``, ``seed``,
            ``demo``, ``host``, ``port``, ``token`` and ``upstream``.

    Raises:
        ConfigurationError: an argument or the state file is wrong, and `ConfigurationError.argument` names it.

    """

    def __init__(self, *, state: Path | str | None = None, **arguments: Any) -> None:  # noqa: ANN401 - Emulator checks them
        # What is wrong is raised here and not in the other process.
        checked = Emulator(**arguments)
        if state is not None:
            checked.restore(state)
        self._settings = json.dumps({"state": None if state is None else str(state), "arguments": arguments})
        self._token = arguments.get("token")
        self._process: subprocess.Popen[str]
        self._environment: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a program to the exchange and its first user; empty before it serves."""
        return dict(self._environment)

    @property
    def url(self) -> str:
        """Where it serves.

        Raises:
            ConfigurationError: it does not serve.

        """
        if not self._environment:
            message = "the emulator has no url before it serves"
            raise ConfigurationError(message, hint="Serve it with `with`.")
        return self._environment["OKX_BASE_URL"]

    @property
    def credentials(self) -> Credentials:
        """The first key of the first user.

        Raises:
            ConfigurationError: it does not serve.

        """
        found = self.environment if self.url else {}
        return Credentials(found["OKX_API_KEY"], found["OKX_SECRET_KEY"], found["OKX_PASSPHRASE"], found["OKX_USER_ID"])

    def control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return what the control API responds, such as that of ``control("POST", "/clock", {"advance": 3600})``.

        Raises:
            ConfigurationError: it does not serve, or it refuses; `ConfigurationError.argument` names the wrong field.

        """
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self._token}"} if self._token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator{path}", data, headers, method=method)  # noqa: S310
        try:
            with _opener.open(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                refused = json.load(error)
            raise ConfigurationError(refused["error"], argument=refused["field"]) from None

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()", self._settings]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        first = self._process.stdout.readline()
        if not first:
            self._end()
            message = "the emulator has ended at once; standard error says why"
            raise ConfigurationError(message, hint="If a port was set, it may be in use.")
        self._environment = json.loads(first)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        try:
            # The end of its input ends it.
            self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


# A proxy of the environment is not for this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def serve() -> None:
    """Serve as the first argument says until the end of the input, and print the variables."""
    settings = json.loads(sys.argv[1])
    exchange = Emulator(**settings["arguments"])
    if settings["state"] is not None:
        exchange.restore(settings["state"])
    with exchange:
        sys.stdout.write(json.dumps(exchange.environment) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
