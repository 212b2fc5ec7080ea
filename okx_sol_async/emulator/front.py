"""What the exchange does with a request: it checks it, counts it, and does what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from okx_sol_async.emulator import answers
from okx_sol_async.emulator.arrivals import Arrival, verify
from okx_sol_async.emulator.routes import ROUTES, PublicRoute, SignedRoute
from okx_sol_async.emulator.windows import WINDOWS, CountingWindow, Window

if TYPE_CHECKING:
    from okx_sol_async.emulator.answers import Answer
    from okx_sol_async.emulator.users import EmulatedUser, World


class Front:
    """Where the requests of all users come in."""

    def __init__(self, world: World, window: Window) -> None:
        self._world = world
        self._window = window
        self._windows: dict[tuple[str, str], CountingWindow] = {}

    def caller(self, endpoint: str, headers: Mapping[str, str]) -> EmulatedUser | None:
        """Return whose key a request carries, signed or not; `None` for a public endpoint and for an unknown key."""
        if not isinstance(ROUTES.get(endpoint), SignedRoute):
            return None
        key = self._world.keys.get(headers.get("OK-ACCESS-KEY", ""))
        return None if key is None else key.user

    def count(self, arrival: Arrival) -> None:
        """Count a request that is kept from the exchange: whoever sent it has used up its limit all the same."""
        route = ROUTES.get(arrival.endpoint)
        user = self.caller(arrival.endpoint, arrival.headers)
        if isinstance(route, PublicRoute):
            self._accept(route, arrival.ip, arrival.at)
        elif route is not None and user is not None:
            self._accept(route, user.uid, arrival.at)

    def answer(self, arrival: Arrival) -> Answer:
        """Do what a request asks for, or refuse it."""
        with self._world.lock:
            route = ROUTES.get(arrival.endpoint)
            if route is None:
                return answers.NOT_FOUND
            if isinstance(route, SignedRoute):
                return self._answer_signed(arrival, route)
            if not self._accept(route, arrival.ip, arrival.at):
                return answers.TOO_MANY
            return route.answer(arrival, self._world.product)

    def _answer_signed(self, arrival: Arrival, route: SignedRoute) -> Answer:
        for header, missing in answers.MISSING.items():
            if not arrival.headers.get(header):
                return missing
        key = self._world.keys.get(arrival.headers["OK-ACCESS-KEY"])
        if key is None:
            return answers.UNKNOWN_KEY
        refusal = verify(arrival, key)
        if refusal is not None:
            return refusal
        if route.permission not in key.permissions:
            return answers.NO_PERMISSION
        if not self._accept(route, key.user.uid, arrival.at):
            return answers.TOO_MANY
        return route.answer(arrival, self._world.product, key)

    def _accept(self, route: PublicRoute | SignedRoute, caller: str, now: float) -> bool:
        window = self._windows.get((caller, route.endpoint))
        if window is None:
            window = self._windows[caller, route.endpoint] = WINDOWS[self._window](route.requests, route.seconds)
        return window.accept(now)
