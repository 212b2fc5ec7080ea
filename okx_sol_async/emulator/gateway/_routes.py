"""An endpoint: its rate limit, the permission it needs, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import attrs

from okx_sol_async.emulator.accounts._state import ApiKey, ExchangeState, Permission
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse


@attrs.frozen
class UnsignedCall:
    """A request that carries no key."""

    request: ReceivedRequest
    state: ExchangeState


@attrs.frozen
class SignedCall:
    """A request whose signature is right."""

    request: ReceivedRequest
    state: ExchangeState
    key: ApiKey
    user: EmulatedUser


@attrs.frozen
class EndpointRoute:
    """An endpoint; exactly one of the two functions is set."""

    #: Method and path.
    endpoint: str
    #: How many calls are allowed in ``seconds``: of a user, or of an address without a signature.
    requests: int
    seconds: float
    respond_signed: Callable[[SignedCall], ExchangeResponse] | None
    respond_unsigned: Callable[[UnsignedCall], ExchangeResponse] | None
    permission: Permission | None

    @classmethod
    def signed(
        cls,
        endpoint: str,
        requests: int,
        seconds: float,
        respond: Callable[[SignedCall], ExchangeResponse],
        *,
        permission: Permission | None = "read_only",
    ) -> Self:
        """Return an endpoint that needs a signature and is counted by user."""
        return cls(endpoint, requests, seconds, respond, None, permission)

    @classmethod
    def unsigned(
        cls, endpoint: str, requests: int, seconds: float, respond: Callable[[UnsignedCall], ExchangeResponse]
    ) -> Self:
        """Return an endpoint that needs no signature and is counted by address."""
        return cls(endpoint, requests, seconds, None, respond, None)
