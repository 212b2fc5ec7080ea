"""The regions of OKX, each with a host of its own."""

import enum


class Region(enum.Enum):
    """Where the account was registered; its keys work on that host only.

    `OKX: Production Trading Services <https://www.okx.com/docs-v5/en/#overview-production-trading-services>`_
    """

    #: ``https://openapi.okx.com``, for accounts of okx.com.
    GLOBAL = "https://openapi.okx.com"
    #: ``https://us.okx.com``, for accounts of app.okx.com: the United States and Australia.
    US = "https://us.okx.com"
    #: ``https://eea.okx.com``, for accounts of my.okx.com: the European Economic Area.
    EEA = "https://eea.okx.com"
