"""What the exchange does with a request: authenticate it, count it, and do what it asks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from okx_sol_async.emulator.accounts._state import ExchangeState
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.gateway import _account as account
from okx_sol_async.emulator.gateway import _staking as staking
from okx_sol_async.emulator.gateway._authentication import authenticate
from okx_sol_async.emulator.gateway._parameters import RequestRefused
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import NOT_FOUND, ExchangeResponse, refusal
from okx_sol_async.emulator.gateway._routes import EndpointRoute, SignedCall, UnsignedCall
from okx_sol_async.emulator.gateway._windows import WINDOWS, CountingWindow, Window

_log: Final = logging.getLogger("okx_sol_async.emulator")

#: The endpoints of the exchange by method and path.
ROUTES: Final[Mapping[str, EndpointRoute]] = {route.endpoint: route for route in (*account.ROUTES, *staking.ROUTES)}


class Gateway:
    """Receives the requests of all users."""

    def __init__(self, state: ExchangeState, window: Window) -> None:
        self._state = state
        self._window = window
        self._windows: dict[tuple[str, str], CountingWindow] = {}
        self._stubs: dict[str, EndpointRoute] = {}
        #: By their uid.
        self.users: Final[dict[str, EmulatedUser]] = {}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Method and path of every endpoint, stubs included."""
        return (*ROUTES, *(endpoint for endpoint in self._stubs if endpoint not in ROUTES))

    def add_stub(self, route: EndpointRoute) -> None:
        """Respond with a stub, also in place of an endpoint of the exchange."""
        self._stubs[route.endpoint] = route

    def reset(self) -> None:
        """Forget stubs and what has been counted."""
        self._stubs.clear()
        self._windows.clear()

    def route_of(self, endpoint: str) -> EndpointRoute | None:
        """Return the endpoint of a method and path."""
        return self._stubs.get(endpoint) or ROUTES.get(endpoint)

    def caller(self, endpoint: str, headers: Mapping[str, str]) -> EmulatedUser | None:
        """Return whose key a request carries, signed or not; `None` for an unsigned endpoint or an unknown key."""
        route = self.route_of(endpoint)
        if route is None or route.respond_signed is None:
            return None
        key = self._state.keys.get(headers.get("OK-ACCESS-KEY", ""))
        return None if key is None else self.users[key.uid]

    def count(self, request: ReceivedRequest) -> None:
        """Count a request that a fault keeps from the exchange: it uses up the caller's limit all the same."""
        route = self.route_of(request.endpoint)
        if route is None:
            return
        user = self.caller(request.endpoint, request.headers)
        if route.respond_signed is None:
            self._accept(route, request.ip, request.at)
        elif user is not None:
            self._accept(route, user.uid, request.at)

    def respond(self, request: ReceivedRequest) -> ExchangeResponse:
        """Do what a request asks for, or refuse it."""
        with self._state.lock:
            route = self.route_of(request.endpoint)
            try:
                return self._unknown(request) if route is None else self._respond(request, route)
            except RequestRefused as refused:
                return refused.response

    def respond_unchecked(self, request: ReceivedRequest) -> ExchangeResponse:
        """Return what the first user would get for a documented read, without a check and without counting it."""
        route = ROUTES[request.endpoint]
        with self._state.lock:
            user = next(iter(self.users.values()))
            try:
                if route.respond_unsigned is not None:
                    return route.respond_unsigned(UnsignedCall(request, self._state))
                assert route.respond_signed is not None  # noqa: S101 - a route has one of the two
                return route.respond_signed(SignedCall(request, self._state, user.keys[0], user))
            except RequestRefused as refused:
                return refused.response

    def _unknown(self, request: ReceivedRequest) -> ExchangeResponse:
        if any(endpoint.partition(" ")[2] == request.path for endpoint in self.endpoints):
            return refusal("50115")
        _log.warning(
            "The emulator has no endpoint %s; Emulator.stub() or POST /_emulator/stubs adds one", request.endpoint
        )
        return NOT_FOUND

    def _respond(self, request: ReceivedRequest, route: EndpointRoute) -> ExchangeResponse:
        if route.respond_unsigned is not None:
            if not self._accept(route, request.ip, request.at):
                return refusal("50011")
            return route.respond_unsigned(UnsignedCall(request, self._state))
        key = authenticate(request, self._state.keys)
        if isinstance(key, ExchangeResponse):
            return key
        if route.permission is not None and route.permission not in key.permissions:
            return refusal("50120")
        if not self._accept(route, key.uid, request.at):
            return refusal("50011")
        assert route.respond_signed is not None  # noqa: S101 - a route has one of the two
        return route.respond_signed(SignedCall(request, self._state, key, self.users[key.uid]))

    def _accept(self, route: EndpointRoute, caller: str, at: float) -> bool:
        window = self._windows.get((caller, route.endpoint))
        if window is None:
            window = self._windows[caller, route.endpoint] = WINDOWS[self._window](route.requests, route.seconds)
        return window.accept(at)
