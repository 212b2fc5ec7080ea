"""Maintenance of the exchange, as ``GET /api/v5/system/status`` lists it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import attrs

from okx_sol_async.emulator._arguments import check_choice, check_text, check_time, checked

#: Whether a maintenance is planned, going on, before its announced begin, over or called off.
MaintenanceState = Literal["scheduled", "ongoing", "pre_open", "completed", "canceled"]


def _check_state(name: str, value: object) -> None:
    check_choice(name, value, get_args(MaintenanceState))


@attrs.frozen(kw_only=True)
class Maintenance:
    """One maintenance of the local exchange.

    Raises:
        ConfigurationError: a value is wrong, and `ConfigurationError.argument` names it.

    """

    #: What OKX writes about it.
    title: str = attrs.field(validator=checked(check_text))
    #: When it begins, as an aware datetime.
    begin: datetime = attrs.field(validator=checked(check_time))
    #: When it ends, as an aware datetime.
    end: datetime = attrs.field(validator=checked(check_time))
    #: Whether it is planned, ongoing, before its announced begin, completed or canceled.
    state: MaintenanceState = attrs.field(default="scheduled", validator=checked(_check_state))
