"""What `SolStaking.purchase` and `SolStaking.redeem` return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal

import attrs

from okx_sol_async.models import Order, OrderType


@attrs.frozen
class Receipt:
    """A purchase or redemption that OKX has accepted."""

    #: Which of the two it is.
    type: OrderType
    #: The amount, in SOL for a purchase and in OKSOL for a redemption.
    amt: Decimal
    #: The timestamp of its signature (UTC), by OKX's clock as far as the session knows it.
    sent_at: datetime
    #: OKX's id of the call, to name to their support; `None` if the response had none.
    trace_id: str | None
    _find: Callable[[float | None], Awaitable[Order | None]] = attrs.field(repr=False, eq=False)

    async def order(self, wait: float | None = None) -> Order | None:
        """Find its order in the history, as `SolStaking.resolve` does.

        Args:
            wait: the most seconds to go on looking; 0 looks once, and `None` goes on until 40 seconds after `sent_at`.

        Returns:
            the order, with what became of it: look at its ``status``. `None`: the history does not show it so far,
            although OKX has accepted it.

        Raises:
            ConfigurationError: ``wait`` is not a number of seconds.
            OKXError: the history cannot be read, as `SolStaking.balance` says. Temporary failures are retried.

        """
        return await self._find(wait)
