"""The asyncio SDK for OKX's SOL staking API."""

from okx_sol_async.endpoints import ACCOUNT_CONFIG, BALANCE, Endpoint
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
from okx_sol_async.models import AccountConfig, Balance
from okx_sol_async.pushback import PushBack
from okx_sol_async.ratelimit import (
    Bucket,
    BucketKey,
    Lease,
    Limiter,
    LocalLimiter,
    RateLimit,
    Scope,
    TokenBucket,
)
from okx_sol_async.session import Region, Session
from okx_sol_async.signing import Credentials, Signer, sign
from okx_sol_async.staking import SolStaking
from okx_sol_async.telemetry import CallReport, Counters
from okx_sol_async.version import __version__

__all__ = [
    "ACCOUNT_CONFIG",
    "BALANCE",
    "APIError",
    "AccountConfig",
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
    "OutcomeUnknown",
    "PermissionDenied",
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
    "sign",
]
