"""``okx-sol emulator``: a local exchange for programs."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from okx_sol_async.cli.options import WholeNumber
from okx_sol_async.cli.output import write


async def emulator(
    *, port: WholeNumber = 0, demo: Annotated[bool, Parameter(negative=(), show_default=False)] = False
) -> None:
    """Serve a local exchange until it is interrupted, and print the settings with which a bot finds it.

    Args:
        port: the port on 127.0.0.1; 0 takes any that is free.
        demo: make its user one of demo trading.

    """
    # It brings an HTTP server along, which no other command needs.
    from okx_sol_async.cli.emulated import new_emulator  # noqa: PLC0415

    async with new_emulator(port=port, demo=demo) as exchange:
        made_up = exchange.credentials
        settings = {
            "OKX_BASE_URL": exchange.url,
            "OKX_API_KEY": made_up.api_key,
            "OKX_SECRET_KEY": made_up.secret_key,
            "OKX_PASSPHRASE": made_up.passphrase,
            "OKX_USER_ID": made_up.user_id,
            "OKX_DEMO": "1" if demo else "0",
        }
        write("".join(f"export {name}={value}\n" for name, value in settings.items()))
        sys.stdout.flush()
        await asyncio.Event().wait()
