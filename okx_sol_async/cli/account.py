"""``okx-sol balance`` and ``okx-sol product``: what the account holds, and the terms."""

from __future__ import annotations

from okx_sol_async.cli.exchange import Exchange
from okx_sol_async.cli.forms import number, percent, plain
from okx_sol_async.cli.options import Json
from okx_sol_async.cli.output import print_fields, print_json


async def balance(*, exchange: Exchange | None = None, json_: Json = False) -> None:
    """Show the OKSOL that the account holds, and its interest.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object, with exact decimal strings.

    """
    async with (exchange or Exchange()).staking() as staking:
        found = await staking.balance()
    fields = plain(found)
    if json_:
        print_json(fields)
    else:
        print_fields((name, str(value), "") for name, value in fields.items())


async def product(*, exchange: Exchange | None = None, json_: Json = False) -> None:
    """Show the terms: the yearly rate, the least purchase, and how long a redemption takes.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object, with exact decimal strings; the rate is a fraction there.

    """
    async with (exchange or Exchange()).staking() as staking:
        found = await staking.product_info()
    if json_:
        print_json(plain(found))
        return
    rate, _, per_cent = percent(found.rate).partition(" ")
    print_fields(
        [
            ("rate", rate, f"{per_cent} a year"),
            ("min_amt", number(found.min_amt), "SOL"),
            ("redempt_days", f"{found.redempt_days}", "days"),
            ("fast_redemption_avail", number(found.fast_redemption_avail), "OKSOL"),
            ("fast_redemption_daily_limit", number(found.fast_redemption_daily_limit), "OKSOL"),
        ]
    )
