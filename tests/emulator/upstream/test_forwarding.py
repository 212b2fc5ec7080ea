"""Reads are passed through to another exchange and recorded; here a second emulator is that exchange."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import aiohttp
import pytest

from okx_sol_async.emulator import EmulatedOrder, Emulator, Maintenance, Product, faults
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import BALANCE_PATH, CONFIG_PATH, NOON, Staker, iso, okso

READS = ("balance", "product-info", "purchase-redeem-history", "apy-history?days=2")


@pytest.fixture
async def okx() -> AsyncIterator[Emulator]:
    """Serve the exchange that is recorded."""
    terms = Product(min_amt=Decimal("0.25"), rate=Decimal("0.061"), redempt_days=4)
    async with Emulator(now=NOON.timestamp, product=terms) as exchange:
        exchange.user.balance = okso("7")
        exchange.user.sol = Decimal("3.5")
        exchange.user.redeem(Decimal(2))
        exchange.user.add_orders(
            [EmulatedOrder(type="purchase", amt=Decimal(9), request_time=NOON - timedelta(days=9))]
        )
        exchange.maintenance = [Maintenance(title="upgrade", begin=NOON, end=NOON + timedelta(hours=1))]
        yield exchange


@pytest.fixture
async def proxy(okx: Emulator) -> AsyncIterator[Emulator]:
    async with Emulator(now=NOON.timestamp, upstream=okx.url) as exchange:
        yield exchange


@pytest.fixture
async def bot(okx: Emulator, proxy: Emulator) -> AsyncIterator[Staker]:
    """A bot with the key of the exchange upstream, pointed at the emulator."""
    async with aiohttp.ClientSession() as http:
        bot = Staker(http, proxy, okx.credentials)
        bot.timestamp = iso(NOON.timestamp())
        yield bot


async def read_everything(bot: Staker) -> None:
    for read in READS:
        assert 200 == (await bot.get(read))[0]
    for path in (CONFIG_PATH, "/api/v5/asset/balances", "/api/v5/system/status", "/api/v5/public/time"):
        assert 200 == (await bot.send("GET", path))[0]


async def test_reads_are_passed_through(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """A signed read reaches the exchange as it was sent, and its response comes back; refusals too."""
    assert (200, "7.00000000") == ((answer := await bot.get("balance"))[0], answer[1]["data"][0]["amt"])
    await bot.get("purchase-redeem-history", type="redeem", limit=1)
    bot.timestamp = iso(NOON.timestamp() - 60)
    assert (401, "50102") == ((answer := await bot.get("balance"))[0], answer[1]["code"])

    assert [f"GET {BALANCE_PATH}", "type=redeem&limit=1", "50102"] == [
        okx.calls[0].endpoint,
        okx.calls[1].query,
        okx.calls[2].code,
    ]
    assert ["0", "0", "50102"] == [call.code for call in proxy.calls]


@pytest.mark.parametrize("path", ["purchase", "redeem"])
async def test_writes_are_never_passed_through(okx: Emulator, proxy: Emulator, bot: Staker, path: str) -> None:
    """A purchase or redemption is refused, and the exchange upstream never sees it."""
    before = okx.user.sol, okx.user.orders
    status, answer = await bot.post(path, {"amt": "1"})
    assert (200, "50120") == (status, answer["code"])
    assert okx.url in answer["msg"]

    assert (before, ()) == ((okx.user.sol, okx.user.orders), okx.calls)
    assert () == proxy.recording.responses


async def test_what_okx_does_not_document_is_not_passed_through(okx: Emulator, bot: Staker) -> None:
    """Other paths and other methods are answered here."""
    assert 404 == (await bot.send("GET", "/api/v5/trade/orders-pending"))[0]
    assert 405 == (await bot.send("POST", BALANCE_PATH, "{}"))[0]
    assert () == okx.calls


async def test_the_recording_is_a_state_file(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """Another emulator that restores it responds as the exchange did."""
    await read_everything(bot)
    state = json.loads(json.dumps(proxy.recorded()))
    other = Emulator(now=NOON.timestamp)
    other.restore(state)

    theirs, ours = okx.user, other.user
    assert (theirs.balance, theirs.sol, theirs.redeeming) == (ours.balance, ours.sol, ours.redeeming)
    assert {order.amt for order in theirs.orders} == {order.amt for order in ours.orders} == {Decimal(9), Decimal(2)}
    assert (Decimal("0.25"), Decimal("0.061"), 4) == (
        other.product.min_amt,
        other.product.rate,
        other.product.redempt_days,
    )
    assert 2 == len(other.product.apy)
    assert ["upgrade"] == [one.title for one in other.maintenance]
    for exchange in (okx, other):
        exchange.advance(timedelta(days=4))
    assert Decimal("5.5") == theirs.sol == ours.sol


async def test_no_secret_is_recorded(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """Neither a key nor who its user is stands in the recording, also where a response repeats it."""
    okx.user.add_key(ips=["127.0.0.1"])
    bot.credentials = okx.user.keys[1].credentials
    await read_everything(bot)
    okx.fail_next(faults.Body(json.dumps({"code": "1", "msg": f"bad {bot.credentials.passphrase}"})))
    await bot.get("balance")
    text = json.dumps(proxy.recorded())
    [config] = [one for one in proxy.recording.responses if one.path == CONFIG_PATH]

    key = bot.credentials
    for secret in (key.api_key, key.secret_key, key.passphrase, okx.user.uid, "127.0.0.1"):
        assert secret not in text
    assert "bad ***" in text
    assert isinstance(config.body, dict)
    row = config.body["data"][0]
    assert ("***", "***", "read_only,trade") == (row["uid"], row["ip"], row["perm"])


async def test_the_latest_response_is_kept(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """Of equal requests the latest response is kept, so a recording does not grow with time."""
    await bot.get("balance")
    okx.user.balance = okso("8")
    await bot.get("balance")

    [kept] = proxy.recording.responses
    assert isinstance(kept.body, dict)
    assert "8.00000000" == kept.body["data"][0]["amt"]


async def test_keys_are_users(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """Each key is a user of the recorded state, in the order in which they came."""
    await bot.get("balance")
    bot.credentials = okx.add_user(balance=okso("1")).credentials
    await bot.get("balance")
    other = Emulator()
    other.restore(proxy.recorded())

    assert [okso("7"), okso("1")] == [user.balance for user in other.users]


async def test_differences_are_shown(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """Fields, types and statuses that the emulator does not send are named."""
    row = {"ccy": "OKSOL", "amt": 7, "latestInterestAccrual": "0", "totalInterestAccrual": "0", "ts": "1"}
    okx.fail_next(faults.Body(json.dumps({"code": "0", "data": [row], "msg": ""}), status=202))
    await bot.get("balance")
    await bot.get("product-info")
    balance, product = proxy.recording.responses

    assert {
        "status: 202 upstream, 200 in the emulator",
        "data[0].amt: number upstream, string in the emulator",
        "data[0].ts: only upstream",
    } == set(balance.differs)
    assert () == product.differs


async def test_what_can_not_be_read_is_kept_as_it_is(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """A page, or a row without its fields, is in the recording, and not in the state."""
    okx.fail_next(faults.Body(json.dumps({"code": "0", "data": [{"ccy": "SOL"}], "msg": ""})))
    await bot.send("GET", "/api/v5/asset/balances")
    okx.fail_next(faults.Body(b"<html>", status=502, content_type="text/html"))
    async with bot.http.get(proxy.url + "/api/v5/public/time") as response:
        assert (502, "<html>") == (response.status, await response.text())

    assert [{"ccy": "SOL"}] == proxy.recording.responses[0].body["data"]  # type: ignore[index]
    assert "<html>" == proxy.recording.responses[1].body
    assert "users" in proxy.recorded()


async def test_an_exchange_that_is_away(okx: Emulator, bot: Staker, caplog: pytest.LogCaptureFixture) -> None:
    """A 502 and a warning say that the exchange upstream did not respond; nothing is recorded."""
    okx.outage()
    url = f"{bot.exchange.url}/api/v5/public/time"
    with caplog.at_level(logging.WARNING, "okx_sol_async.emulator"):
        async with bot.http.get(url) as response:
            assert (502, f"No response from {okx.url}") == (response.status, await response.text())

    assert f"No response from {okx.url} to GET /api/v5/public/time" in caplog.text
    assert () == bot.exchange.recording.responses


@pytest.mark.parametrize(
    "url",
    ["http://www.okx.com", "www.okx.com", "https://", "https://www.okx.com/api", "https://a:b@okx.com", "https://]", 1],
)
def test_a_wrong_upstream(url: str) -> None:
    """The passphrase is sent with each request, so only https, or this machine, will do."""
    with pytest.raises(ConfigurationError) as caught:
        Emulator(upstream=url)
    assert "upstream" == caught.value.argument


async def test_a_call_that_only_the_emulator_refuses(okx: Emulator, proxy: Emulator, bot: Staker) -> None:
    """The response upstream is passed on, and how the emulator differs is shown."""
    okx.fail_next(faults.Body(json.dumps({"code": "0", "data": [], "msg": ""})))
    status, answer = await bot.get("purchase-redeem-history", type="nonsense")

    assert (200, "0") == (status, answer["code"])
    assert "status: 200 upstream, 400 in the emulator" in proxy.recording.responses[0].differs
