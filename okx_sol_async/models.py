"""What OKX answers, as attrs classes in Python types.

They know nothing of the wire: how a field is spelt there and which strings it takes is written in `okx_sol_async.wire`.
"""

from datetime import datetime
from decimal import Decimal

import attrs


@attrs.frozen
class AccountConfig:
    """Whose key it is.

    `OKX: Get account configuration
    <https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration>`_
    """

    #: The User ID that OKX counts calls by; a sub-account has one of its own.
    uid: str
    #: The User ID of the main account; the same as ``uid`` for the main account itself.
    main_uid: str


@attrs.frozen
class Balance:
    """The staked SOL of one account, held as the token OKSOL.

    It is the total over the trading account, the funding account and what is being redeemed,
    so it overlaps OKX's other balances: do not add them up.

    `OKX: GET / Balance <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-balance>`_
    """

    #: The token, ``"OKSOL"``.
    ccy: str
    #: The amount held, in OKSOL.
    amt: Decimal
    #: The interest of the latest day, in OKSOL. Zero where OKX leaves it blank.
    latest_interest_accrual: Decimal
    #: All the interest accrued so far, in OKSOL. Zero where OKX leaves it blank.
    total_interest_accrual: Decimal


@attrs.frozen
class SystemTime:
    """OKX's clock.

    `OKX: Get system time <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time>`_
    """

    #: The time at OKX, in UTC, with milliseconds.
    ts: datetime
