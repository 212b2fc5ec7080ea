"""The asyncio SDK for OKX's SOL staking API."""

from okx_sol_async.bucket import TokenBucket
from okx_sol_async.endpoints import (
    ACCOUNT_CONFIG,
    APY_HISTORY,
    BALANCE,
    PRODUCT_INFO,
    PURCHASE,
    PURCHASE_REDEEM_HISTORY,
    REDEEM,
    Endpoint,
)
from okx_sol_async.errors import (
    APIError,
    AuthenticationError,
    ClockSkew,
    ConfigurationError,
    DecodeError,
    OKXError,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    Rejected,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.limiter import LocalLimiter
from okx_sol_async.models import AccountConfig, Apy, Balance, Order, OrderStatus, OrderType, ProductInfo
from okx_sol_async.pushback import PushBack
from okx_sol_async.ratelimit import Bucket, BucketKey, Lease, Limiter, RateLimit, Scope
from okx_sol_async.session import Region, Session
from okx_sol_async.signing import Credentials, Signer, sign
from okx_sol_async.staking import SolStaking, apy_history
from okx_sol_async.telemetry import CallReport, Counters
from okx_sol_async.users import balances
from okx_sol_async.version import __version__

__all__ = [
    "ACCOUNT_CONFIG",
    "APY_HISTORY",
    "BALANCE",
    "PRODUCT_INFO",
    "PURCHASE",
    "PURCHASE_REDEEM_HISTORY",
    "REDEEM",
    "APIError",
    "AccountConfig",
    "Apy",
    "AuthenticationError",
    "Balance",
    "Bucket",
    "BucketKey",
    "CallReport",
    "ClockSkew",
    "ConfigurationError",
    "Counters",
    "Credentials",
    "DecodeError",
    "Endpoint",
    "Lease",
    "Limiter",
    "LocalLimiter",
    "OKXError",
    "Order",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "PermissionDenied",
    "ProductInfo",
    "PushBack",
    "RateLimit",
    "RateLimited",
    "Region",
    "Rejected",
    "Scope",
    "Session",
    "Signer",
    "SolStaking",
    "Timeout",
    "TokenBucket",
    "TransportError",
    "Unavailable",
    "__version__",
    "apy_history",
    "balances",
    "sign",
]
