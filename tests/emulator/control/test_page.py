"""The page of the control API, in a real browser."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from okx_sol_async.emulator import Emulator, faults
from tests.support.browser import browser
from tests.support.signed_calls import BALANCE_PATH, signed


@pytest.fixture(name="page", params=[(1280, "light"), (390, "dark")], ids=["wide and light", "narrow and dark"])
def _page(request: pytest.FixtureRequest, background_exchange: Emulator) -> Iterator[Page]:
    width, scheme = request.param
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda sent: problems.append(sent.url) if not sent.url.startswith(background_exchange.url) else None,
        )
        page.goto(f"{background_exchange.url}/_emulator/")
        expect(page.locator("#state")).to_have_text("live")
        yield page
    assert [] == problems


def call(exchange: Emulator) -> int:
    """Call for the balance, and return the HTTP status."""
    request = urllib.request.Request(exchange.url + BALANCE_PATH, headers=signed(exchange.credentials))  # noqa: S310
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - loopback
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_calls_are_drawn_live(background_exchange: Emulator, page: Page) -> None:
    """Accepted calls are dots and refused ones crosses, with the limit as a line, without loading the page again."""
    statuses = [call(background_exchange) for _ in range(8)]
    accepted, refused = statuses.count(200), statuses.count(429)
    assert accepted >= 6

    expect(page.locator(".lane svg line")).to_have_count(1)
    expect(page.locator(".lane svg circle")).to_have_count(accepted)
    expect(page.locator(".lane svg path")).to_have_count(refused)
    expect(page.locator(".lane header span")).to_have_text(f"{accepted} accepted, {refused} refused, limit 6 in 1 s")
    expect(page.locator("#requests tr")).to_have_count(8)
    expect(page.locator("#requests")).to_contain_text(background_exchange.calls[0].trace_id)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_window_of_the_server(page: Page) -> None:
    """A call is drawn above those that the server counts with it: of the last second, or of the same fixed one."""
    calls = "[{at: 0.2, ok: true}, {at: 0.9, ok: true}, {at: 0.9, ok: false}]"
    for kind, expected in (("sliding", 2), ("fixed", 0), ("token", 2)):
        assert expected == page.evaluate(f"kind = {kind!r}, counted({calls}, 1.1, 1)")
    expect(page.locator("#kind")).to_have_text("sliding")


def test_buttons_work_from_the_keyboard(background_exchange: Emulator, page: Page) -> None:
    """The clock and the faults are moved and set by buttons, without a mouse."""
    before = background_exchange.now()
    button = page.get_by_role("button", name="+ 1 day")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Clock moved")
    assert (background_exchange.now() - before).days == 1
    expect(page.locator("#users")).to_contain_text(background_exchange.user.uid)

    page.get_by_role("button", name="502 page next").focus()
    page.keyboard.press("Space")
    expect(page.locator("#said")).to_have_text("502 page next: added")
    assert (faults.Page(502),) == background_exchange.faults[0].faults
    page.get_by_role("button", name="Stop all faults").press("Enter")
    expect(page.locator("#said")).to_have_text("All faults stopped")
    assert () == background_exchange.faults


def test_what_was_before_the_page_is_shown(background_exchange: Emulator, page: Page) -> None:
    """A page that is loaded again shows the latest requests, once each, and what is pending."""
    call(background_exchange)
    background_exchange.user.sol = background_exchange.user.sol - 1
    background_exchange.user.purchase(Decimal(2))
    background_exchange.user.redeem(Decimal(1))
    page.reload()
    expect(page.locator("#requests tr")).to_have_count(1)
    expect(page.locator(".lane svg circle")).to_have_count(1)
    call(background_exchange)
    expect(page.locator("#requests tr")).to_have_count(2)
    expect(page.locator("#users")).to_contain_text("redeem 1 until ")
