"""The reservations of this process that may move, and the notifications that say so."""

from __future__ import annotations

from typing import Protocol


class Waiting(Protocol):
    """Whose reservation may move."""

    def moved(self, ticket: int, server_time: float, wait: float) -> None:
        """Go by the new time of the reservation."""

    def look_again(self) -> None:
        """Ask for the time of the reservation, because notifications may have been missed."""


class Notifications:
    """What waits with a reservation, by its ticket."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, ticket: int, waiting: Waiting) -> None:
        self._waiting[ticket] = waiting

    def end(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)

    def receive(self, notification: str) -> None:
        """Deliver a notification: bucket, ticket, and the server's clock and the wait in microseconds."""
        try:
            ticket, server_us, wait_us = map(int, notification.split(" ")[-3:])
        except ValueError:
            return
        waiting = self._waiting.get(ticket)
        if waiting is not None and wait_us >= 0:
            waiting.moved(ticket, server_us / 1e6, wait_us / 1e6)

    def missed(self) -> None:
        """Have all reservations looked up that may have moved."""
        for waiting in tuple(self._waiting.values()):
            waiting.look_again()
