"""`Session.check`, against emulators that are right, skewed, foreign, down and under maintenance."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from okx_sol_async import Checkup, Credentials, Level, LocalLimiter, Region, Session, SessionClosed
from okx_sol_async import _checkup as checkups
from okx_sol_async._checkup import check
from okx_sol_async.emulator import Emulator, Maintenance
from okx_sol_async.emulator.faults import Refusal

pytestmark = pytest.mark.virtual_clock

STATUS = "GET /api/v5/system/status"
FUNDING = "GET /api/v5/asset/balances"
OF_THE_KEY = ["key", "region", "mode", "permissions", "ip", "account", "limit", "funding"]


async def checkup_of(
    exchange: Emulator,
    credentials: Credentials | None,
    *,
    demo: bool = False,
    attempts: int = 3,
    limiter: LocalLimiter | None = None,
) -> Checkup:
    """Check a key at an exchange."""
    async with Session(base_url=exchange.url, demo=demo, attempts=attempts, limiter=limiter) as session:
        return await session.check(credentials)


def levels(checkup: Checkup) -> dict[str, str]:
    return {finding.name: finding.level for finding in checkup.findings}


async def test_all_is_well(exchange: Emulator) -> None:
    """A bound key without Withdraw at a healthy exchange has no finding but good ones, after a handful of reads."""
    key = exchange.user.add_key(permissions=["read_only", "trade"], ips=["127.0.0.1"])

    checkup = await checkup_of(exchange, key)

    assert dict.fromkeys(["connection", "clock", "maintenance", *OF_THE_KEY], "ok") == levels(checkup)
    assert Level.OK is checkup.worst
    assert "bound to 127.0.0.1" == checkup["ip"].message
    assert "100 SOL can be purchased with, 0.01100012 OKSOL can be redeemed" == checkup["funding"].message
    assert exchange.user.uid in checkup["account"].message
    assert len(exchange.calls) <= 6
    assert all(call.endpoint.startswith("GET ") for call in exchange.calls)


async def test_a_slow_exchange(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a warning with what to do, and the rest is checked all the same."""
    monkeypatch.setattr(checkups, "_SLOW", 0.0)

    checkup = await checkup_of(exchange, exchange.credentials)

    assert {"connection", "ip"} == {finding.name for finding in checkup.findings if finding.level is Level.WARNING}
    assert "slow" in (checkup["connection"].advice or "")


async def test_a_host_that_is_down() -> None:
    """The rest is skipped, because nothing can be asked."""
    async with Session(base_url="http://127.0.0.1:9", attempts=1) as session:
        checkup = await session.check(Credentials("key-1234", "secret-1234", "words-1234"))

    assert {"connection": "error"} | dict.fromkeys(["clock", "maintenance", *OF_THE_KEY], "skipped") == levels(checkup)
    assert checkup["connection"].advice
    assert "not reached" in checkup["funding"].message


async def test_without_a_key(exchange: Emulator) -> None:
    """What needs no key is checked."""
    checkup = await checkup_of(exchange, None)

    expected = dict.fromkeys(["connection", "clock", "maintenance"], "ok") | dict.fromkeys(OF_THE_KEY, "skipped")
    assert expected == levels(checkup)
    assert Level.OK is checkup.worst


@pytest.mark.parametrize(
    ("ahead", "words"), [(5, "5.0 s behind OKX"), (-5, "5.0 s ahead of OKX"), (90, "90.0 s behind OKX, which refuses")]
)
async def test_a_skewed_clock(ahead: float, words: str) -> None:
    """It is a warning with its size, and the key is checked all the same."""
    async with Emulator(now=lambda: time.time() + ahead) as exchange:
        checkup = await checkup_of(exchange, exchange.credentials)

    assert Level.WARNING is checkup["clock"].level
    assert words in checkup["clock"].message
    assert "NTP" in str(checkup["clock"].advice)
    assert Level.OK is checkup["key"].level


async def test_an_unknown_key_at_another_host_is_sent_nowhere_else(exchange: Emulator) -> None:
    """Only OKX's own hosts are asked for a key that OKX does not know."""
    async with Emulator() as other:
        checkup = await checkup_of(exchange, other.credentials)

    assert Level.ERROR is checkup["region"].level
    assert "50119" == getattr(checkup["region"].error, "code", None)
    assert ["skipped"] * 2 == [levels(checkup)["key"], levels(checkup)["funding"]]


class AtRegion:
    """A session that takes its emulator for one of OKX's regions."""

    def __init__(self, session: Session, region: Region) -> None:
        self._session = session
        self.origin = region.value

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


@pytest.mark.parametrize("problem", [None, "50113", "50101"])
async def test_a_key_of_another_region(exchange: Emulator, problem: str | None) -> None:
    """The region that knows the key is found, also if it then refuses something else, and named."""
    async with Emulator() as american, Emulator() as european:
        if problem is not None:
            european.fail_next(Refusal(problem), times=None)

        @asynccontextmanager
        async def open_elsewhere(region: Region) -> AsyncIterator[AtRegion]:
            urls = {Region.US: american.url, Region.EEA: european.url}
            async with Session(base_url=urls[region]) as session:
                yield AtRegion(session, region)

        async with Session(base_url=exchange.url) as session:
            checkup = await check(AtRegion(session, Region.GLOBAL), european.credentials, open_elsewhere)

    finding = checkup["region"]
    assert Level.ERROR is finding.level
    assert "the key belongs to https://eea.okx.com, not https://openapi.okx.com" == finding.message
    assert "OKX_REGION=eea" in str(finding.advice)


async def test_a_demo_key_in_live_mode(exchange: Emulator) -> None:
    """The mode is what is wrong, and the advice names the switch."""
    demo = exchange.add_user(demo=True)

    checkup = await checkup_of(exchange, demo.credentials)

    assert Level.ERROR is checkup["mode"].level
    assert "OKX_DEMO" in str(checkup["mode"].advice)
    assert Level.OK is (await checkup_of(exchange, demo.credentials, demo=True))["mode"].level


@pytest.mark.parametrize(("field", "words"), [("secret_key", "secret key"), ("passphrase", "passphrase")])
async def test_a_wrong_secret(exchange: Emulator, field: str, words: str) -> None:
    """The key is refused, the advice names the field, and no secret is in any finding."""
    key = exchange.credentials
    values = {"api_key": key.api_key, "secret_key": key.secret_key, "passphrase": key.passphrase} | {
        field: "wrong-value"
    }

    checkup = await checkup_of(exchange, Credentials(**values))

    assert Level.ERROR is checkup["key"].level
    assert words in str(checkup["key"].advice)
    assert not [value for value in values.values() if value in repr(checkup.findings)]


@pytest.mark.parametrize(
    ("permissions", "level", "words"),
    [
        (["read_only"], "ok", "cannot purchase or redeem"),
        (["read_only", "trade"], "ok", "read_only, trade"),
        (["read_only", "trade", "withdraw"], "warning", "withdraw"),
    ],
)
async def test_permissions(exchange: Emulator, permissions: list[str], level: str, words: str) -> None:
    """More than is needed is a warning; less is said."""
    checkup = await checkup_of(exchange, exchange.user.add_key(permissions=permissions, ips=["127.0.0.1"]))

    assert level == checkup["permissions"].level
    assert words in checkup["permissions"].message


async def test_a_key_that_no_address_is_bound_to(exchange: Emulator) -> None:
    """One that may trade expires after 14 idle days, one that may only read does not."""
    trades = await checkup_of(exchange, exchange.credentials)
    reads = await checkup_of(exchange, exchange.user.add_key(permissions=["read_only"]))

    assert Level.WARNING is trades["ip"].level
    assert "14 days" in trades["ip"].message
    assert Level.OK is reads["ip"].level


async def test_a_key_that_is_bound_to_another_address(exchange: Emulator) -> None:
    """OKX refuses it, and the advice is to add this machine's address."""
    checkup = await checkup_of(exchange, exchange.user.add_key(ips=["192.0.2.1"]))

    assert Level.ERROR is checkup["ip"].level
    assert "IP list" in str(checkup["ip"].advice)


async def test_a_sub_account(exchange: Emulator) -> None:
    """Its main account is named."""
    checkup = await checkup_of(exchange, exchange.add_user(main=exchange.user).credentials)

    assert Level.WARNING is checkup["account"].level
    assert exchange.user.uid in checkup["account"].message


async def test_a_limit_that_something_else_uses(exchange: Emulator) -> None:
    """A refusal during the checkup says so."""
    exchange.fail_next(Refusal("50011"), endpoint=FUNDING)

    checkup = await checkup_of(exchange, exchange.credentials, limiter=LocalLimiter())

    assert Level.WARNING is checkup["limit"].level
    assert "1 calls" in checkup["limit"].message


async def test_an_empty_funding_account(exchange: Emulator) -> None:
    """The advice is to transfer SOL there."""
    checkup = await checkup_of(exchange, exchange.add_user(balance=None, sol=Decimal(0)).credentials)

    assert "0 SOL can be purchased with, 0 OKSOL can be redeemed" == checkup["funding"].message
    assert "transfer" in str(checkup["funding"].advice)


@pytest.mark.parametrize(("state", "level"), [("ongoing", "warning"), ("scheduled", "ok"), ("completed", "ok")])
async def test_maintenance(exchange: Emulator, state: str, level: str) -> None:
    """One under way is a warning, a planned one is named, and a past one is not."""
    begin = datetime(2026, 11, 24, 6, tzinfo=UTC)
    exchange.maintenance = [Maintenance(title="Wallets", begin=begin, end=begin + timedelta(hours=1), state=state)]

    finding = (await checkup_of(exchange, None))["maintenance"]

    assert level == finding.level
    assert ("Wallets, from 2026-11-24 06:00 UTC" in finding.message) == (state != "completed")


async def test_what_could_not_be_asked_says_why(exchange: Emulator) -> None:
    """A failed call is a finding of its own, and the others are there."""
    exchange.fail_next(Refusal("50026"), endpoint=STATUS, times=None)
    exchange.fail_next(Refusal("50120"), endpoint=FUNDING, times=None)

    checkup = await checkup_of(exchange, exchange.credentials, attempts=1)

    for name, code in (("maintenance", "50026"), ("funding", "50120")):
        assert Level.WARNING is checkup[name].level
        assert code in checkup[name].message
        assert checkup[name].advice
    assert Level.OK is checkup["key"].level


async def test_a_closed_session_is_no_finding(exchange: Emulator) -> None:
    """It is a mistake of the caller's."""
    session = Session(base_url=exchange.url)
    await session.aclose()
    with pytest.raises(SessionClosed):
        await session.check()


async def test_a_finding_is_found_by_its_name(exchange: Emulator) -> None:
    """An unknown name is a KeyError."""
    with pytest.raises(KeyError):
        (await checkup_of(exchange, None))["weather"]


async def test_a_key_that_no_region_knows(exchange: Emulator) -> None:
    """Of OKX's hosts each is asked, and one that does not respond is no home of the key."""
    async with Emulator() as american:

        @asynccontextmanager
        async def open_elsewhere(region: Region) -> AsyncIterator[AtRegion]:
            urls = {Region.US: american.url, Region.EEA: "http://127.0.0.1:9"}
            async with Session(base_url=urls[region], attempts=1) as session:
                yield AtRegion(session, region)

        async with Session(base_url=exchange.url) as session:
            stranger = Credentials("key-1234", "secret-1234", "words-1234")
            checkup = await check(AtRegion(session, Region.GLOBAL), stranger, open_elsewhere)

    assert Level.ERROR is checkup["region"].level
    assert "belongs to" not in checkup["region"].message


async def test_a_key_with_a_label(exchange: Emulator) -> None:
    """Both are shown, so that two keys of one user with two labels are noticed."""
    key = exchange.credentials

    checkup = await checkup_of(exchange, Credentials(key.api_key, key.secret_key, key.passphrase, "alice"))

    assert (Level.OK, f"user {exchange.user.uid}, labelled alice") == (
        checkup["account"].level,
        checkup["account"].message,
    )
