"""What a type checker knows of the public names. Checked by mypy, never run.

A line with `type: ignore[...]` must be wrong for exactly that reason: mypy complains of one that is not needed.
"""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry

from okx_sol_async import (
    APY_HISTORY,
    BALANCE,
    Apy,
    Balance,
    Bucket,
    BucketKey,
    CallReport,
    Credentials,
    Endpoint,
    Lease,
    Limiter,
    LocalLimiter,
    Observer,
    OKXError,
    Order,
    OrderStatus,
    OrderType,
    OutcomeUnknown,
    ProductInfo,
    QueueTimeout,
    RateLimit,
    RateLimited,
    Region,
    ResendReason,
    Response,
    Scope,
    SendEvent,
    Session,
    Signer,
    SolStaking,
    TokenBucket,
    Unavailable,
    apy_history,
    balances,
    to_builtins,
    to_json,
)
from okx_sol_async.opentelemetry import OpenTelemetryObserver
from okx_sol_async.prometheus import PrometheusObserver


async def user_script() -> Balance:
    async with SolStaking(Credentials("key", "secret", "passphrase")) as staking:
        return await staking.balance()


async def call_is_as_typed_as_its_endpoint(session: Session, credentials: Credentials) -> None:
    balance: Balance = await session.call(BALANCE, credentials)
    amt: Decimal = balance.amt
    wrong: str = await session.call(BALANCE, credentials)  # type: ignore[arg-type]
    float_amt: float = balance.amt  # type: ignore[assignment]
    balance.amt = amt  # type: ignore[misc]
    assert wrong
    assert float_amt


async def session_takes_what_it_says(credentials: Credentials) -> None:
    Session(region=Region.EEA, demo=True, timeout=3, max_wait=None, limiter=LocalLimiter())
    Session(region="eea")  # type: ignore[arg-type]
    Session(Region.EEA)  # type: ignore[call-arg]
    Session(middlewares=(Signer(credentials, "https://openapi.okx.com"),))


class NoLease:
    def answered(self) -> None: ...
    def abandoned(self) -> None: ...
    def refused(self) -> None: ...


class NoBucket:
    async def acquire(self, deadline: float | None) -> NoLease:
        return NoLease()


class NoLimiter:
    def bucket(self, key: BucketKey, limit: RateLimit) -> NoBucket:
        return NoBucket()


def protocols_fit_the_least_that_implements_them() -> tuple[Limiter, Limiter, Bucket, Bucket, Lease]:
    local = LocalLimiter()
    bucket = TokenBucket(RateLimit(6, 1.0, Scope.USER))
    return local, NoLimiter(), bucket, NoBucket(), NoLease()


def an_endpoint_of_ones_own() -> Endpoint[int]:
    wrong: Endpoint[str] = BALANCE  # type: ignore[assignment]
    assert wrong is None
    return Endpoint("GET", "/api/v5/public/time", RateLimit(10, 2.0, Scope.IP), decode=lambda _: 0, signed=False)


def errors_have_details(error: OKXError) -> tuple[str | None, int | None, str | None, str | None, str | None]:
    return error.code, error.status, error.endpoint, error.trace_id, error.hint


def results_are_awaitable(staking: SolStaking) -> Awaitable[Balance]:
    return staking.balance()


async def all_of_sol_staking(staking: SolStaking, session: Session) -> None:
    product: ProductInfo = await staking.product_info()
    days: int = product.redempt_days
    page: tuple[Order, ...] = await staking.purchase_redeem_history(type="redeem", after=datetime.now(UTC), limit=days)
    kind: OrderType = page[0].type
    status: OrderStatus = page[0].status
    done: datetime = page[0].completed_time  # type: ignore[assignment]
    apys: tuple[Apy, ...] = await apy_history(7)
    apys = await session.call(APY_HISTORY, None, {"days": "7"})
    apys = await staking.apy_history(7)
    orders: AsyncIterator[Order] = staking.history(type=kind, status=status, since=done, until=None, limit=5)
    async for order in orders:
        amt: Decimal = order.amt
        assert amt
    assert apys


async def amounts_are_exact(staking: SolStaking) -> None:
    await staking.purchase("1.5")
    await staking.redeem(Decimal("0.5"))
    await staking.purchase(1.5)  # type: ignore[arg-type]
    await staking.redeem(1)  # type: ignore[arg-type]


async def a_lost_response_is_looked_up(error: OutcomeUnknown) -> Order | None:
    sent: tuple[OrderType | None, Decimal | None, datetime | None] = error.type, error.amt, error.sent_at
    assert sent[2]
    return await error.resolve(wait=5)


async def each_user_has_a_balance_or_an_error(session: Session, users: list[Credentials]) -> None:
    async for user, found in balances(session, users, concurrency=10):
        key: str = user.api_key
        known: Balance | OKXError = found
        wrong: Balance = found  # type: ignore[assignment]
        assert key
        assert known == wrong
    async for balance in SolStaking(users[0], session).watch(every=60, changes_only=False):
        amt: Decimal = balance.amt
        assert amt


class Printer(Observer):
    def sent(self, event: SendEvent) -> None:
        number: int = event.number
        assert number or event.reason is ResendReason.REFUSED

    def ended(self, report: CallReport) -> None:
        seconds: float = report.duration
        assert seconds or report.shared_limit_up


async def services_have_options_and_metadata(credentials: Credentials) -> None:
    observers = [Printer(), OpenTelemetryObserver(label_users=True), PrometheusObserver(CollectorRegistry())]
    async with Session.from_env(observe=observers, limiter=LocalLimiter(), timeout=3.0) as session:
        view: Session = session.with_options(timeout=1.0, max_wait=None, attempts=1, background=True)
        response: Response[Balance] = await view.request(BALANCE, credentials)
        amt: Decimal = response.result.amt
        wrong: Response[ProductInfo] = await view.request(BALANCE, credentials)  # type: ignore[arg-type]
        staking: SolStaking = SolStaking(credentials, session).with_options(background=True)
        shared: Balance = await staking.balance(max_age=1.0)
        text: str = to_json(shared)
        builtins: object = to_builtins(response)
        assert (amt, wrong, text, builtins)[0]
    Session(observe=lambda report: None)
    Session(observe=5)  # type: ignore[arg-type]
    SolStaking.from_env(limit=5)  # type: ignore[call-arg]


async def a_watch_reports_outages(staking: SolStaking) -> None:
    outages: list[OKXError | None] = []
    async for balance in staking.watch(on_outage=outages.append):
        assert balance.amt


def errors_say_when_to_come_back(error: QueueTimeout | RateLimited | Unavailable | OKXError) -> float | None:
    return error.retry_after
