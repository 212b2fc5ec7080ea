"""Responses with their data, reports, and the events that observers receive."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, web

from okx_sol_async import (
    BALANCE,
    CallInfo,
    CallReport,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    Observer,
    OKXError,
    QueueTimeout,
    RateLimit,
    ResendReason,
    ResponseEvent,
    Scope,
    SendEvent,
    Session,
    Timeout,
)
from okx_sol_async.emulator import Emulator
from tests.support.scripted import CREDENTIALS, GOOD, READ, Reply, Script, coded, cut, good, hang, reset
from tests.support.serving import serving

LABELLED = Credentials(CREDENTIALS.api_key, CREDENTIALS.secret_key, CREDENTIALS.passphrase, "alice")


class Recorder(Observer):
    """Keeps each event in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.names: list[str] = []

    def _keep(self, name: str, event: object) -> None:
        self.names.append(name)
        self.events.append(event)

    def queued(self, call: CallInfo) -> None:
        self._keep("queued", call)

    def sent(self, event: SendEvent) -> None:
        self._keep("sent", event)

    def responded(self, event: ResponseEvent) -> None:
        self._keep("responded", event)

    def refused(self, call: CallInfo) -> None:
        self._keep("refused", call)

    def ended(self, report: CallReport) -> None:
        self._keep("ended", report)

    @property
    def sends(self) -> list[SendEvent]:
        return [event for event in self.events if isinstance(event, SendEvent)]

    @property
    def responses(self) -> list[ResponseEvent]:
        return [event for event in self.events if isinstance(event, ResponseEvent)]


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Reply with a balance, a cookie, a trace id and the caller's own headers."""
    headers = {"X-Trace-Id": "trace-1", "Set-Cookie": "a=b", "X-Echo": request.headers["OK-ACCESS-SIGN"]}
    headers |= {"X-Key": request.headers["OK-ACCESS-KEY"], "X-Words": request.headers["OK-ACCESS-PASSPHRASE"]}
    return web.Response(body=GOOD, content_type="application/json", headers=headers)


async def test_a_response_has_the_result_and_its_data() -> None:
    """`Session.request` returns what `call` does, with status, trace id, send time and counts."""
    async with serving(Script(echo).handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        before = datetime.now(UTC)
        response = await session.request(READ, LABELLED)

        assert await session.call(READ, LABELLED) == response.result
    assert (200, "trace-1", 1) == (response.status, response.trace_id, response.attempts)
    assert abs(response.sent_at - before) < timedelta(seconds=5)
    assert response.took > 0 <= response.waited


async def test_the_headers_of_a_response_are_read_only_and_hold_no_secret() -> None:
    """Cookies are left out, and what echoes a key, a signature or a passphrase is redacted."""
    script = Script(echo)
    async with serving(script.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        response = await session.request(READ, LABELLED)

    shown = repr(response)
    assert "trace-1" == response.headers["x-trace-id"]
    assert "Set-Cookie" not in response.headers
    for secret in (LABELLED.api_key, LABELLED.secret_key, LABELLED.passphrase):
        assert secret not in shown
    assert len(response.headers["X-Echo"]) < 40
    with pytest.raises(TypeError):
        response.headers["x-trace-id"] = "other"  # type: ignore[index]


async def test_a_report_names_what_a_service_looks_for() -> None:
    """A report has the user's label, the status, OKX's code, the trace id and when the call began."""
    reports: list[CallReport] = []
    script = Script(echo, coded("50013", 503))
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), attempts=1, observe=reports.append) as session,
    ):
        before = datetime.now(UTC)
        await session.call(READ, LABELLED)
        with pytest.raises(OKXError):
            await session.call(READ, CREDENTIALS)
    done, failed = reports
    assert ("alice", 200, "0", "trace-1") == (done.user, done.status, done.code, done.trace_id)
    assert (None, 503, "50013", None) == (failed.user, failed.status, failed.code, failed.trace_id)
    assert before - timedelta(seconds=1) < done.started_at <= failed.started_at < before + timedelta(minutes=1)
    for report in reports:
        assert CREDENTIALS.api_key not in repr(report)


REPLIES: dict[str, tuple[tuple[Reply, ...], list[ResendReason | None], list[str | None]]] = {
    "success": ((good,), [None], ["0"]),
    "refused": ((coded("50011", 429), good), [None, ResendReason.REFUSED], ["50011", "0"]),
    "failure": ((coded("50013", 503), good), [None, ResendReason.FAILURE], ["50013", "0"]),
    "clock": ((coded("50102", 401), good), [None, ResendReason.CLOCK], ["50102", "0"]),
    "hidden": ((reset, good), [None, ResendReason.HIDDEN], [None, "0"]),
    "timeout": ((hang, good), [None, ResendReason.FAILURE], [None, "0"]),
}


@pytest.mark.virtual_clock
@pytest.mark.parametrize("name", REPLIES)
async def test_each_send_is_an_event_with_its_reason(name: str) -> None:
    """A call is queued, sent and responded to once for each send, with the reason of each resend, and then ends."""
    replies, reasons, codes = REPLIES[name]
    recorder = Recorder()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if "OK-ACCESS-SIGN" not in request.headers:
            raise web.HTTPServiceUnavailable
        return await script.handle(request)

    script = Script(*replies)
    async with serving(handle) as url:
        options = {"limiter": LocalLimiter(), "timeout": 0.5, "observe": recorder}
        async with Session(base_url=url, **options) as session:  # type: ignore[arg-type]
            await session.call(READ, LABELLED)

    ours = [event for event in recorder.events if getattr(event, "call", event) is recorder.events[0]]
    names = [name for name, event in zip(recorder.names, recorder.events, strict=True) if event in ours]
    one = ["queued", "sent", "responded"]
    again = ["queued", "sent", "responded"]
    assert [*one, *(["refused"] if name == "refused" else []), *again * (len(reasons) - 1)] == names
    sends = [event for event in ours if isinstance(event, SendEvent)]
    responses = [event for event in ours if isinstance(event, ResponseEvent)]
    assert reasons == [send.reason for send in sends]
    assert codes == [response.code for response in responses]
    assert list(range(1, len(reasons) + 1)) == [send.number for send in sends] == [each.number for each in responses]
    assert all((response.error is None) is (response.code == "0") for response in responses)
    report = recorder.events[-1]
    assert isinstance(report, CallReport)
    assert recorder.events[0].id == report.id  # type: ignore[attr-defined]
    assert report.sends == len(reasons)


@pytest.mark.virtual_clock
async def test_a_call_without_a_turn_is_queued_and_ends(exchange: Emulator) -> None:
    """A `QueueTimeout` has no send, and the time in the queue is in the report."""
    recorder = Recorder()
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), max_wait=0, observe=recorder) as session:
        for _ in range(6):
            await session.call(BALANCE, exchange.credentials)
        recorder.names.clear()
        with pytest.raises(QueueTimeout):
            await session.call(BALANCE, exchange.credentials)
    assert ["queued", "ended"] == recorder.names


@pytest.mark.virtual_clock
async def test_the_time_in_the_queue_is_that_of_the_send(exchange: Emulator) -> None:
    """`SendEvent.waited` is what the send waited for its lease, and not part of the time on the network."""
    recorder = Recorder()
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), observe=recorder) as session:
        await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(7)))
    assert 1.0 == pytest.approx(max(send.waited for send in recorder.sends), abs=0.1)
    assert all(response.took < 0.5 for response in recorder.responses)


@pytest.mark.virtual_clock
async def test_a_call_that_gives_up_before_a_further_send_has_no_further_response() -> None:
    """A middleware sends again, and there is no turn for that."""

    async def again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        await handler(request)
        return await handler(request)

    recorder = Recorder()
    endpoint = attrs.evolve(BALANCE, limit=RateLimit(1, 1.0, Scope.USER))
    options = {"limiter": LocalLimiter(), "max_wait": 0.5, "observe": recorder, "middlewares": [again]}
    async with (
        serving(Script(good).handle) as url,
        Session(base_url=url, **options) as session,  # type: ignore[arg-type]
    ):
        with pytest.raises(QueueTimeout):
            await session.call(endpoint, LABELLED)

    assert 1 == len(recorder.sends) == len(recorder.responses)


@pytest.mark.virtual_clock
@pytest.mark.parametrize("live", [True, False], ids=["with events", "reports only"])
async def test_a_report_says_when_a_call_began_and_how_long_it_took(*, live: bool, exchange: Emulator) -> None:
    """In the queue and on the network together. Only events number the calls."""
    recorder, reports = Recorder(), list[CallReport]()
    async with Session(
        base_url=exchange.url, limiter=LocalLimiter(), observe=[reports.append, *([recorder] if live else [])]
    ) as session:
        await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(13)))
        ended = datetime.now(UTC)

    last = max(reports, key=lambda report: report.waited)
    assert 2.0 == pytest.approx(last.duration, abs=0.1)
    assert last.duration == pytest.approx(last.waited + last.took, abs=0.01)
    if live:
        assert {event.id: event.started_at for event in recorder.events if isinstance(event, CallInfo)} == {
            report.id: report.started_at for report in reports
        }
    else:
        assert {0} == {report.id for report in reports}
        # The clock of the test jumps over the wait, and that of the machine does not.
        assert ended - last.started_at > timedelta(seconds=1.9)


@pytest.mark.virtual_clock
async def test_a_call_that_is_cancelled_has_no_status() -> None:
    """Also where an earlier send had one."""
    reports: list[CallReport] = []
    script = Script(coded("50013", 503), hang)
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=4, observe=reports.append) as session,
    ):
        task = asyncio.create_task(session.call(READ, LABELLED))
        while script.signed < 2:  # noqa: ASYNC110 - there is no notification
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    assert [(True, None)] == [(report.cancelled, report.status) for report in reports]


@pytest.mark.virtual_clock
async def test_what_is_logged_of_a_resend(caplog: pytest.LogCaptureFixture) -> None:
    """A first refusal is for information; the others, and what else is sent again, are for debugging, with the reason."""
    refused = coded("50011", 429)
    caplog.set_level(logging.DEBUG, logger="okx_sol_async")
    async with (
        serving(Script(refused, refused, coded("50013", 503), reset, reset, good).handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), attempts=5) as session,
    ):
        await session.call(READ, LABELLED)

    resent = [record for record in caplog.records if "resent" in record.getMessage()]
    assert ["INFO", "DEBUG", "DEBUG", "DEBUG"] == [record.levelname for record in resent]
    assert "resent in 0.00 s: no (code 50011, HTTP 429" in resent[1].getMessage()


@pytest.mark.virtual_clock
async def test_the_time_in_the_queue_is_that_of_each_send() -> None:
    """Those of a call add up to what its report says."""
    recorder = Recorder()
    refused = coded("50011", 429)
    async with (
        serving(Script(refused, refused, good).handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), observe=recorder) as session,
    ):
        response = await session.request(BALANCE, LABELLED)

    assert 3 == response.attempts
    assert response.waited == pytest.approx(sum(send.waited for send in recorder.sends))


@pytest.mark.parametrize("reply", [coded("50013", 503), cut], ids=["given up by a middleware", "cut off"])
async def test_each_send_has_its_time_on_the_network(reply: Reply) -> None:
    """Also one whose response a middleware does not return, or that ends in the middle of it."""

    async def again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        return await handler(request) if response.status == 503 else response

    recorder = Recorder()
    async with (
        serving(Script(reply, good).handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), observe=recorder, middlewares=[again]) as session,
    ):
        await session.call(READ, LABELLED)

    assert 2 == len(recorder.responses)
    assert all(response.took > 0 for response in recorder.responses)


@pytest.mark.virtual_clock
async def test_a_cancelled_send_is_reported() -> None:
    """A cancelled call's send ends with an event, and its report says so."""
    recorder = Recorder()
    script = Script(hang)
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), observe=recorder) as session,
    ):
        task = asyncio.create_task(session.call(READ, LABELLED))
        await script.asked.wait()
        task.cancel()
        await asyncio.wait([task])
    assert ["queued", "sent", "responded", "ended"] == recorder.names
    assert "CancelledError" == recorder.responses[0].error
    assert recorder.events[-1].cancelled  # type: ignore[attr-defined]


async def test_several_observers_and_callables_receive_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """`observe` takes several, and one that fails neither ends the call nor keeps the others from their events."""

    class Failing(Observer):
        def sent(self, event: SendEvent) -> None:
            message = "no"
            raise ValueError(message)

    recorder, reports = Recorder(), []
    async with serving(Script(good).handle) as url:
        observe = [Failing(), recorder, reports.append]
        async with Session(base_url=url, limiter=LocalLimiter(), observe=observe) as session:
            balance = await session.call(READ, LABELLED)
    assert Decimal(1) == balance.amt
    assert ["queued", "sent", "responded", "ended"] == recorder.names
    assert [recorder.events[-1]] == reports
    assert "observe raised an error" in caplog.text


async def test_without_an_observer_no_event_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without observers, or with plain callables only, builds no event."""
    monkeypatch.delattr("okx_sol_async.transport._call.CallEvents")
    logging.getLogger("okx_sol_async").setLevel(logging.WARNING)
    for observe in (None, lambda report: None):
        async with (
            serving(Script(good).handle) as url,
            Session(base_url=url, limiter=LocalLimiter(), observe=observe) as session,
        ):
            await session.call(READ, LABELLED)
    logging.getLogger("okx_sol_async").setLevel(logging.NOTSET)


@pytest.mark.parametrize("observe", [5, [5], ["x"]])
def test_what_observes_must_be_able_to(observe: object) -> None:
    """An object that is neither an observer nor callable is refused by its name."""
    with pytest.raises(ConfigurationError) as caught:
        Session(observe=observe)  # type: ignore[arg-type]
    assert "observe" == caught.value.argument


@pytest.mark.virtual_clock
async def test_a_timeout_is_reported_once() -> None:
    """A send that times out has one event with the name of the error."""
    recorder = Recorder()
    async with serving(Script(hang).handle) as url:
        options = {"limiter": LocalLimiter(), "timeout": 0.5, "attempts": 1, "observe": recorder}
        async with Session(base_url=url, **options) as session:  # type: ignore[arg-type]
            with pytest.raises(Timeout):
                await session.call(READ, LABELLED)
    assert [("Timeout", None)] == [(each.error, each.status) for each in recorder.responses]
    assert 0.5 == pytest.approx(recorder.responses[0].took, abs=0.1)
