"""What OKX returns, as attrs classes in Python types.

They know nothing of the wire: how a field is spelt there and which strings it takes is written in `okx_sol_async.codec._structure`.
"""

import enum
from datetime import datetime
from decimal import Decimal
from typing import Self

import attrs


class _OpenEnum(enum.StrEnum):
    """Words of OKX's. One that is not known here is kept: it is a member without a name of ours."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


class OrderType(_OpenEnum):
    """What an `Order` does. Each is equal to OKX's word for it.

    An unknown value is kept as an `OrderType` with that string, which is equal to none of these.
    """

    #: ``"purchase"``: SOL becomes OKSOL.
    PURCHASE = "purchase"
    #: ``"redeem"``: OKSOL becomes SOL.
    REDEEM = "redeem"


class OrderStatus(_OpenEnum):
    """What has become of an `Order`. Each is equal to OKX's word for it.

    An unknown value is kept as an `OrderStatus` with that string, which is equal to none of these.
    """

    #: ``"pending"``: under way.
    PENDING = "pending"
    #: ``"success"``: done.
    SUCCESS = "success"
    #: ``"failed"``: it will not be done.
    FAILED = "failed"
    #: ``"cancelled"``: called off. OKX documented it for SOL until the end of 2025 only.
    CANCELLED = "cancelled"


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
    #: What the key may do: ``"read_only"``, ``"trade"``, ``"withdraw"``. Empty where OKX leaves it out.
    perm: tuple[str, ...] = ()
    #: The IP addresses that the key is bound to; empty for a key that works from any.
    ip: tuple[str, ...] = ()
    #: The kind of account, as OKX writes it: ``"0"`` is a main account. `None` where OKX leaves it out.
    type: str | None = None


@attrs.frozen
class FundingBalance:
    """What the funding account holds of one currency. Only this can be purchased or redeemed.

    `OKX: Get balance <https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-balance>`_
    """

    #: The currency, such as ``"SOL"``.
    ccy: str
    #: All of it.
    bal: Decimal
    #: What is held back, for example by a withdrawal.
    frozen_bal: Decimal
    #: What can be used.
    avail_bal: Decimal


@attrs.frozen
class SystemStatus:
    """A maintenance of OKX's that is planned or under way.

    `OKX: Status <https://www.okx.com/docs-v5/en/#status-get-status>`_
    """

    #: What OKX calls it.
    title: str
    #: ``"scheduled"``, ``"ongoing"``, ``"pre_open"``, ``"completed"`` or ``"canceled"``.
    state: str
    #: When it begins, in UTC; `None` where OKX does not say.
    begin: datetime | None = None
    #: When it is likely to end, in UTC; `None` where OKX does not say.
    end: datetime | None = None


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
class ProductInfo:
    """The terms of SOL staking.

    `OKX: GET / Product info <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-product-info>`_
    """

    #: How much can be redeemed fast at this moment, in OKSOL.
    fast_redemption_avail: Decimal
    #: How much can be redeemed fast in a day, in OKSOL; a main account and its sub-accounts share it.
    fast_redemption_daily_limit: Decimal
    #: The annual rate, as a fraction: ``Decimal("0.0557")`` is 5.57 %. On the wire it is a percentage, ``"5.57"``.
    rate: Decimal
    #: How many days a redemption takes.
    redempt_days: int
    #: The least that can be purchased at once, in SOL.
    min_amt: Decimal


@attrs.frozen
class Order:
    """A purchase or a redemption, as OKX's history shows it.

    Two orders may be equal in every field, because OKX gives them no id; they are two orders all the same.

    `OKX: GET / Purchase&Redeem history
    <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-purchase-redeem-history>`_
    """

    #: Which of the two it is.
    type: OrderType
    #: What has become of it.
    status: OrderStatus
    #: How much was asked for, in SOL for a purchase and in OKSOL for a redemption.
    amt: Decimal
    #: When OKX took it, in UTC, with milliseconds.
    request_time: datetime
    #: When it was done, in UTC; `None` while it is not.
    completed_time: datetime | None = None
    #: When it is likely to be done, in UTC; `None` where OKX does not say.
    est_completed_time: datetime | None = None
    #: How much of it is being redeemed, in OKSOL; `None` where OKX does not say.
    redeeming_amt: Decimal | None = None
    #: OKX's id of the order; `None` where it gives none; its documentation lists none today.
    ord_id: str | None = None


@attrs.frozen
class Apy:
    """The annual percentage yield of one day.

    `OKX: GET / APY history (Public)
    <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-apy-history-public>`_
    """

    #: The yield, as a fraction: ``Decimal("0.1128")`` is 11.28 %.
    rate: Decimal
    #: Which day, by the moment at which it begins, in UTC. OKX's days begin at 16:00 UTC, midnight in UTC+8.
    ts: datetime


@attrs.frozen
class SystemTime:
    """OKX's clock.

    `OKX: Get system time <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time>`_
    """

    #: The time at OKX, in UTC, with milliseconds.
    ts: datetime
