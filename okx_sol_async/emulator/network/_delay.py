"""The latency of the network."""

from __future__ import annotations

import asyncio
import random

import attrs


@attrs.frozen
class NetworkDelay:
    """How long a request, and a response, is in flight: in seconds, each way."""

    latency: float
    #: The most seconds that are added at random to each way.
    jitter: float
    _random: random.Random

    async def wait(self, more: float) -> None:
        """Wait for one way, and ``more`` seconds."""
        seconds = self.latency + self._random.uniform(0.0, self.jitter) + more
        if seconds:
            await asyncio.sleep(seconds)
