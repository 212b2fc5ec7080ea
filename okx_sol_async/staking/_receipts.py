"""What `SolStaking.purchase` and `SolStaking.redeem` return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Order, OrderType


@attrs.frozen
class Receipt:
    """A purchase or redemption that OKX has accepted. It can be pickled."""

    #: Which of the two it is.
    type: OrderType
    #: The amount, in SOL for a purchase and in OKSOL for a redemption.
    amt: Decimal
    #: The timestamp of its signature (UTC), by OKX's clock as far as the session knows it.
    sent_at: datetime
    #: OKX's id of the call, to name to their support; `None` if the response had none.
    trace_id: str | None
    _find: Callable[[float | None], Awaitable[Order | None]] | None = attrs.field(default=None, repr=False, eq=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # What finds its order belongs to a session, and to one process.
        return type(self), (self.type, self.amt, self.sent_at, self.trace_id)

    async def order(self, wait: float | None = None) -> Order | None:
        """Find its order in the history, as `SolStaking.resolve` does.

        Args:
            wait: the most seconds to go on looking; 0 looks once, and `None` goes on until 40 seconds after `sent_at`.

        Returns:
            the order, with what became of it: look at its ``status``. `None`: the history does not show it so far,
            although OKX has accepted it.

        Raises:
            ConfigurationError: ``wait`` is not a number of seconds; or this is a copy, or was unpickled.
            OKXError: the history cannot be read, as `SolStaking.balance` says. Temporary failures are retried.

        """
        if self._find is None:
            message = "a copy of a receipt has no session to find its order through"
            raise ConfigurationError(message, hint="Look for it in staking.history().")
        return await self._find(wait)
