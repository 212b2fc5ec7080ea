"""Whatever is passed to a public call, what is raised is an `OKXError`, and it names the argument."""

from __future__ import annotations

import asyncio
import enum
import inspect
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import okx_sol_async
from okx_sol_async import (
    APY_HISTORY,
    BALANCE,
    PURCHASE,
    ConfigurationError,
    Credentials,
    Endpoint,
    LocalLimiter,
    MemoryWriteLog,
    OKXError,
    OrderType,
    OutcomeUnknown,
    PushBack,
    RateLimit,
    Region,
    Scope,
    Session,
    Signer,
    SolStaking,
    SQLiteWriteLog,
    TokenBucket,
    Write,
    apy_history,
    balances,
    sign,
    to_builtins,
    to_json,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Reset
from tests.support.virtual_time import run_with_sockets

#: For this package, as their docstrings say.
INTERNAL: Final = {"Session.pause", "TokenBucket.wait_again"}
LIMIT: Final = RateLimit(1000, 1.0, Scope.USER)


class Unusable:
    """An object that nothing can be done with."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


class Passed:
    """What is passed to a call. Hypothesis shows it, and not all of it can be shown."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return object.__repr__(self.value) if isinstance(self.value, Unusable) else ascii(self.value)


def _odd() -> list[object]:
    return [
        *(None, True, 0, -1, 2**63, 10**400, -(10**400), 5e-324, 1e308, math.nan, math.inf, -math.inf, 1j),
        *("", "x", "1.5", "\x00", "\ud800", "é", "https://][", "http://[::1", "https://a:99999", "x" * 10_000, b"x"),
        *([], ["x"], (), {}, {1: 2}, {"a": 1}, {"a": "\ud800"}, {"amt": None}, {"days": "\x00"}),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e-400"), Decimal("1e400")),
        *(datetime.min, datetime.max, datetime.now(UTC)),  # noqa: DTZ901 - they are meant to be wrong
        *(datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), datetime.max.replace(tzinfo=timezone.min)),
        *(object(), Unusable(), print, int, ..., asyncio, enum.Enum, OrderType.PURCHASE, Scope.IP, ValueError("x")),
    ]


def _anything() -> st.SearchStrategy[Passed]:
    drawn = st.floats() | st.integers() | st.text() | st.binary() | st.decimals() | st.datetimes()
    return st.sampled_from([Passed(value) for value in _odd()]) | drawn.map(Passed)


class Client:
    """A client of an emulator, and each public call as a function with valid arguments."""

    def __init__(self, exchange: Emulator) -> None:
        self.exchange = exchange
        self.key = exchange.credentials
        self.session = self._session()
        self.staking = SolStaking(self.key, self.session)
        self.write = Write(
            OrderType.PURCHASE,
            Decimal(1),
            datetime.now(UTC) - timedelta(days=1),
            self.key.owner,
            exchange.url,
            demo=False,
        )

    def _session(self) -> Session:
        return Session(base_url=self.exchange.url, limiter=LocalLimiter(), write_log=MemoryWriteLog())

    def calls(self) -> Mapping[str, tuple[Callable[..., Awaitable[object]], Mapping[str, Any]]]:
        """Return each call by its name, with arguments that are right."""
        key, session, staking, url = self.key, self.session, self.staking, self.exchange.url
        user = {"endpoint": BALANCE, "credentials": key, "parameters": None}
        options = {"timeout": 1.0, "max_wait": None, "attempts": 1}
        view = options | {"background": False}
        page = {"type": None, "status": None}
        settings_ = options | {"region": Region.GLOBAL, "base_url": url, "demo": False, "http": None}
        settings_ |= {"middlewares": (), "limiter": None, "observe": None, "write_log": None}
        endpoint = {"method": "GET", "path": BALANCE.path, "limit": BALANCE.limit, "decode": BALANCE.decode}
        names = {"owner": "a", "into": "b"}
        return {
            "Session.call": (session.call, user),
            "Session.call of a write": (session.call, user | {"endpoint": PURCHASE, "parameters": {"amt": "1"}}),
            "Session.call, public": (
                session.call,
                {"endpoint": APY_HISTORY, "credentials": None, "parameters": {"days": "1"}},
            ),
            "Session.request": (session.request, user),
            "Session.identify": (session.identify, {"credentials": key}),
            "Session.check": (session.check, {"credentials": key}),
            "Session.synchronize_clock": (session.synchronize_clock, {"samples": 1}),
            "Session.bucket": (_made(session.bucket), {"endpoint": BALANCE, "credentials": key}),
            "Session.with_options": (_made(session.with_options), view),
            "Session.aclose": (lambda **args: self._session().aclose(**args), {"drain": 0.0}),
            "Session": (_closed(Session), settings_),
            "Session.from_env": (_closed(Session.from_env), settings_ | {"region": None}),
            "SolStaking": (_closed(SolStaking), {"credentials": key, "session": session}),
            "SolStaking.with_options": (_made(staking.with_options), view),
            "SolStaking.balance": (staking.balance, {"max_age": 0.0}),
            "SolStaking.product_info": (staking.product_info, {"max_age": 0.0}),
            "SolStaking.purchase": (staking.purchase, {"amt": "0.01"}),
            "SolStaking.redeem": (staking.redeem, {"amt": "0.01"}),
            "SolStaking.resolve": (staking.resolve, {"write": self.write, "wait": 0}),
            "SolStaking.purchase_redeem_history": (
                staking.purchase_redeem_history,
                page | {"after": None, "before": None, "limit": None},
            ),
            "SolStaking.history": (_first(staking.history), page | {"since": None, "until": None, "limit": None}),
            "SolStaking.apy_history": (staking.apy_history, {"days": 1}),
            "SolStaking.watch": (_first(staking.watch), {"every": 1.0, "changes_only": True, "on_outage": None}),
            "Receipt.order": (self._order, {"wait": 0}),
            "OutcomeUnknown.resolve": (self._resolve, {"wait": 0}),
            "apy_history": (apy_history, {"days": 1, "session": session}),
            "balances": (_first(balances), {"session": session, "credentials": [key], "concurrency": 1}),
            "TokenBucket": (_made(TokenBucket), {"limit": LIMIT, "lead": 0.0, "push_back": PushBack()}),
            "TokenBucket.acquire": (lambda **args: TokenBucket(LIMIT).acquire(**args), {"deadline": None}),
            "RateLimit": (_made(RateLimit), {"requests": 1, "seconds": 1.0, "scope": Scope.USER}),
            "PushBack": (_made(PushBack), {"pause": 1.0, "step": 1.5}),
            "LocalLimiter": (_made(LocalLimiter), {"share": 1.0, "lead": 0.0}),
            "LocalLimiter.merge": (_made(LocalLimiter().merge), names),
            "Signer": (_made(Signer), {"credentials": key, "origin": url}),
            "sign": (_made(sign), {"timestamp": "t", "method": "GET", "request_path": "/", "body": "", "secret": "s"}),
            "Credentials": (_made(Credentials), {"api_key": "k", "secret_key": "s", "passphrase": "p"}),
            "Endpoint": (_made(Endpoint), endpoint | {"signed": True, "safe_to_resend": True}),
            "Endpoint.decode": (lambda decode: session.call(Endpoint(**endpoint | {"decode": decode}), key), endpoint),
            "MemoryWriteLog.put": (MemoryWriteLog().put, {"write": self.write}),
            "MemoryWriteLog.remove": (MemoryWriteLog().remove, {"write": self.write}),
            "MemoryWriteLog.read": (MemoryWriteLog().read, {"owner": "a", "origin": "b", "demo": False}),
            "MemoryWriteLog.merge": (MemoryWriteLog().merge, names),
            "SQLiteWriteLog": (_made(SQLiteWriteLog), {"path": "writes.db"}),
            "to_builtins": (_made(to_builtins), {"result": self.write}),
            "to_json": (_made(to_json), {"result": self.write}),
        }

    async def _order(self, **arguments: Any) -> object:  # noqa: ANN401 - it is anything
        receipt = await self.staking.purchase("0.01")
        return await receipt.order(**arguments)

    async def _resolve(self, **arguments: Any) -> object:  # noqa: ANN401 - it is anything
        self.exchange.fail_next(Reset(processed=True), endpoint=str(PURCHASE))
        try:
            await self.staking.purchase("0.01")
        except OutcomeUnknown as error:
            return await error.resolve(**arguments)


def _made(make: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    async def call(**arguments: object) -> object:
        return make(**arguments)

    return call


def _closed(make: Callable[..., Session | SolStaking]) -> Callable[..., Awaitable[object]]:
    async def call(**arguments: object) -> None:
        await make(**arguments).aclose()

    return call


def _first(make: Callable[..., AsyncGenerator[object, None]]) -> Callable[..., Awaitable[object]]:
    async def call(**arguments: object) -> object:
        generator = make(**arguments)
        try:
            return await anext(generator, None)
        finally:
            await generator.aclose()

    return call


with Emulator() as _exchange:
    NAMES: Final = sorted(
        (name, argument)
        for name, (_, arguments) in Client(_exchange).calls().items()
        for argument in (arguments if name != "Endpoint.decode" else ["decode"])
    )


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(NAMES), _anything()), min_size=20, max_size=20))
def test_what_is_passed_ends_in_a_result_or_an_error_that_names_it(wrong: list[tuple[tuple[str, str], Passed]]) -> None:
    """A result, or an `OKXError`; of those, a `ConfigurationError` has the argument that was wrong."""

    async def run() -> None:
        async with Emulator() as exchange:
            client = Client(exchange)
            for (name, argument), passed in wrong:
                value = passed.value
                is_long = argument == "wait" and isinstance(value, int | float) and value > 100
                if is_long or (name == "apy_history" and value is None):
                    # It would be waited for, or go to OKX.
                    continue
                call, arguments = client.calls()[name]
                alone = name == "Endpoint.decode"
                named: str | None = argument
                try:
                    await call(**({} if alone else arguments) | {argument: value})
                except ConfigurationError as error:
                    named = error.argument
                except OKXError:
                    pass
                assert argument == named, name
            await client.session.aclose()

    run_with_sockets(run())


def test_every_public_coroutine_is_called() -> None:
    """Those that have parameters, of all public classes that are no protocols."""
    called = {name for name, _ in NAMES}
    classes = [kind for name in okx_sol_async.__all__ if inspect.isclass(kind := getattr(okx_sol_async, name))]
    public = {
        f"{kind.__name__}.{name}"
        for kind in classes
        for name, method in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_")
        and len(inspect.signature(method).parameters) > 1
        and not getattr(kind, "_is_protocol", False)
    }

    in_threads = {f"SQLiteWriteLog.{name}" for name in ("put", "remove", "read", "merge")}
    assert in_threads == public - called - INTERNAL


@pytest.mark.parametrize("argument", ["write", "owner", "into"])
async def test_what_is_passed_to_a_log_file_is_checked(tmp_path: Path, argument: str) -> None:
    """It needs a thread, and the calls above have a clock that does not wait for one."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    for value in _odd():
        if isinstance(value, str):
            continue
        calls: Mapping[str, Callable[[Any], Awaitable[object]]] = {
            "write": log.put,
            "owner": lambda wrong: log.read(wrong, "origin", demo=False),
            "into": lambda wrong: log.merge("owner", wrong),
        }
        with pytest.raises(ConfigurationError) as caught:
            await calls[argument](value)
        assert argument == caught.value.argument


@pytest.mark.parametrize("parameters", [1, "days", ["days"], {1: "x"}, {"days": 7}, {"days": "\ud800"}, {"days": None}])
@pytest.mark.parametrize("endpoint", [APY_HISTORY, PURCHASE])
async def test_parameters_map_names_to_strings(
    exchange: Emulator, session: Session, endpoint: Endpoint[object], parameters: object
) -> None:
    """Anything else is reported before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"^parameters ") as caught:
        await session.call(endpoint, exchange.credentials, parameters)  # type: ignore[arg-type]

    assert "parameters" == caught.value.argument
    assert 0 == exchange.tally().received


@pytest.mark.parametrize("every", [5e-324, 1e-300, math.nan, math.inf, 1e308])
@pytest.mark.virtual_clock
async def test_no_interval_of_a_watch_breaks_it(exchange: Emulator, session: Session, every: float) -> None:
    """One that can be kept is kept, however short or long; others are reported."""
    staking = SolStaking(exchange.credentials, session)
    if not 0 < every < math.inf:
        with pytest.raises(ConfigurationError, match=r"^every "):
            staking.watch(every=every)
        return
    watch = staking.watch(every=every, changes_only=False)
    first = await anext(watch)
    if every < 1:
        assert first == await anext(watch)
    await watch.aclose()
