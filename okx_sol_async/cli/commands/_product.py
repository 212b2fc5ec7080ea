"""``okx-sol product``: the terms of SOL staking."""

from __future__ import annotations

from okx_sol_async.cli._connection import ExchangeOptions
from okx_sol_async.cli._options import Json
from okx_sol_async.cli.render._formatting import number, percent, plain
from okx_sol_async.cli.render._output import print_fields, print_json
from okx_sol_async.cli.render._progress import waiting


async def product(*, exchange: ExchangeOptions | None = None, json_: Json = False) -> None:
    """Show the terms: the annual rate, the minimum purchase, and how long a redemption takes.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object, with exact decimal strings; the rate is a fraction there.

    """
    async with (exchange or ExchangeOptions()).connected() as connected:
        staking = connected.staking()
        with waiting(f"waiting for {connected.name}"):
            found = await staking.product_info()
    if json_:
        print_json(plain(found))
        return
    rate, _, per_cent = percent(found.rate).partition(" ")
    print_fields(
        [
            ("Annual rate", rate, per_cent),
            ("Minimum purchase", number(found.min_amt), "SOL"),
            ("Redemption takes", f"{found.redempt_days}", "days"),
            ("Fast redemption left", number(found.fast_redemption_avail), "OKSOL"),
            ("Fast redemption a day", number(found.fast_redemption_daily_limit), "OKSOL"),
        ]
    )
