"""An unofficial asyncio client for OKX's SOL staking API."""

from okx_sol_async._checkup import Checkup, Finding, Level
from okx_sol_async._writes import Write, WriteLog, WriteOutcome
from okx_sol_async.codec._builtins import to_builtins, to_json
from okx_sol_async.config import Region
from okx_sol_async.endpoint import ACCOUNT_CONFIG, ASSET_BALANCES, SYSTEM_STATUS, SYSTEM_TIME, Endpoint
from okx_sol_async.errors import (
    APIError,
    AuthenticationError,
    ClockSkew,
    ConfigurationError,
    DecodeError,
    OKXError,
    OutcomeUnknown,
    PermissionDenied,
    QueueTimeout,
    RateLimited,
    Rejected,
    SessionClosed,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.models import (
    AccountConfig,
    Apy,
    Balance,
    FundingBalance,
    Order,
    OrderStatus,
    OrderType,
    ProductInfo,
    SystemStatus,
    SystemTime,
)
from okx_sol_async.ratelimit._bucket import TokenBucket
from okx_sol_async.ratelimit._limit import Bucket, BucketKey, Lease, Limiter, RateLimit, Scope
from okx_sol_async.ratelimit._local import LocalLimiter
from okx_sol_async.ratelimit._pacing import PushBack
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.signing._signer import Signer, sign
from okx_sol_async.staking._bulk import balances
from okx_sol_async.staking._client import SolStaking, apy_history
from okx_sol_async.staking._endpoints import (
    APY_HISTORY,
    BALANCE,
    PRODUCT_INFO,
    PURCHASE,
    PURCHASE_REDEEM_HISTORY,
    REDEEM,
)
from okx_sol_async.staking._receipts import Receipt
from okx_sol_async.staking._write_log import MemoryWriteLog, SQLiteWriteLog
from okx_sol_async.transport._events import CallInfo, CallReport, Observer, ResendReason, ResponseEvent, SendEvent
from okx_sol_async.transport._metrics import Counters
from okx_sol_async.transport._response import Response
from okx_sol_async.version import __version__

__all__ = [
    "ACCOUNT_CONFIG",
    "APY_HISTORY",
    "ASSET_BALANCES",
    "BALANCE",
    "PRODUCT_INFO",
    "PURCHASE",
    "PURCHASE_REDEEM_HISTORY",
    "REDEEM",
    "SYSTEM_STATUS",
    "SYSTEM_TIME",
    "APIError",
    "AccountConfig",
    "Apy",
    "AuthenticationError",
    "Balance",
    "Bucket",
    "BucketKey",
    "CallInfo",
    "CallReport",
    "Checkup",
    "ClockSkew",
    "ConfigurationError",
    "Counters",
    "Credentials",
    "DecodeError",
    "Endpoint",
    "Finding",
    "FundingBalance",
    "Lease",
    "Level",
    "Limiter",
    "LocalLimiter",
    "MemoryWriteLog",
    "OKXError",
    "Observer",
    "Order",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "PermissionDenied",
    "ProductInfo",
    "PushBack",
    "QueueTimeout",
    "RateLimit",
    "RateLimited",
    "Receipt",
    "Region",
    "Rejected",
    "ResendReason",
    "Response",
    "ResponseEvent",
    "SQLiteWriteLog",
    "Scope",
    "SendEvent",
    "Session",
    "SessionClosed",
    "Signer",
    "SolStaking",
    "SystemStatus",
    "SystemTime",
    "Timeout",
    "TokenBucket",
    "TransportError",
    "Unavailable",
    "Write",
    "WriteLog",
    "WriteOutcome",
    "__version__",
    "apy_history",
    "balances",
    "sign",
    "to_builtins",
    "to_json",
]
