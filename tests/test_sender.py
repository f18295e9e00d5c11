"""The answer table of the design, line by line, against a real server."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from email.utils import formatdate
from typing import Any, Callable, List

import pytest

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    APIError,
    AuthenticationError,
    NetworkError,
)
from certificates import SELF_SIGNED, forgive_torn_handshakes
from conftest import KEY
from servers import DEADLINE, Exchange, Raw, Reply, ScriptedServer, Slow, closed_port

log = logging.getLogger("agent")


class Errors:
    """An on_error that keeps what it was told and lets a test wait for it."""

    def __init__(self) -> None:
        self.told: List[Exception] = []
        self._told = threading.Semaphore(0)

    def __call__(self, error: Exception) -> None:
        self.told.append(error)
        self._told.release()

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._told.acquire(timeout=DEADLINE)


@pytest.fixture
def errors() -> Errors:
    return Errors()


@pytest.fixture(autouse=True)
def _quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second of back-off pass in ten milliseconds; the law is test_pacing's."""
    monkeypatch.setattr("agentmonitor_logging._pacing.FIRST_DELAY", 0.01)
    monkeypatch.setattr("agentmonitor_logging._pacing.MAX_DELAY", 0.05)


def say(count: int) -> List[str]:
    """Log *count* records, and return their messages."""
    messages = [f"event {number}" for number in range(count)]
    for message in messages:
        log.info(message)
    return messages


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_any_success_acknowledges(serve, attach, status: int) -> None:
    """Every 2xx acknowledges the batch, whatever its body says."""
    body = b"" if status == 204 else b"\xff not json"
    server = serve(Reply(status, body))
    handler = attach(server.url)
    messages = say(3)

    assert handler.flush(DEADLINE)
    assert messages == server.messages()
    assert 1 == len(server.requests)
    assert 3 == handler.stats().delivered


def test_a_web_page_is_not_an_acknowledgement(serve, attach, errors) -> None:
    """A text/html answer is a captive portal speaking: the batch is sent again."""
    portal = Reply(200, b"<html>Welcome", store=False, Content_Type="text/html; x=y")
    server = serve(portal)
    handler = attach(server.url, on_error=errors, retry_attempts=0)
    say(2)

    assert handler.flush(DEADLINE)
    assert isinstance(errors.told[0], NetworkError)
    assert 2 == len(server.stored)
    assert 1 == handler.stats().retried


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_passing_trouble_is_tried_again(serve, attach, status: int) -> None:
    """What may pass is tried again with the same idempotency key, and nothing is lost."""
    server = serve(status, status)
    handler = attach(server.url)
    say(4)

    server.wait_stored(4)
    assert handler.flush(DEADLINE)
    assert 3 == len(server.requests)
    assert 1 == len({r.headers["idempotency-key"] for r in server.requests})
    assert {} == handler.stats().lost
    assert 2 == handler.stats().retried


def test_keys_differ_between_batches(serve, attach) -> None:
    """Two batches never share an idempotency key."""
    server = serve()
    handler = attach(server.url)
    for _ in range(3):
        say(1)
        assert handler.flush(DEADLINE)

    assert 3 == len({r.headers["idempotency-key"] for r in server.requests})


def test_the_application_is_told_once_when_delivery_pauses(
    serve, attach, errors
) -> None:
    """After retry_attempts tries on_error hears of it once, and events wait."""
    server = serve(*[503] * 6)
    handler = attach(server.url, on_error=errors, retry_attempts=2)
    say(5)

    server.wait_stored(5)
    assert handler.flush(DEADLINE)
    assert 1 == len(errors.told)
    assert isinstance(errors.told[0], APIError)
    assert 503 == errors.told[0].status
    assert {} == handler.stats().lost


def test_while_delivery_is_paused_one_request_at_a_time_probes(serve, attach) -> None:
    """A paused delivery never has two requests under way."""
    server = serve(*[503] * 8)
    handler = attach(server.url, retry_attempts=0, batch_size=1)
    say(300)

    assert handler.flush(DEADLINE)
    failing = server.requests[:8]
    assert 300 == len(server.stored)
    assert all(a.at < b.at for a, b in zip(failing, failing[1:]))


def test_retry_after_in_seconds_is_honoured(serve, attach) -> None:
    """No second request comes before the seconds are over that the answer names."""
    server = serve(Reply(429, Retry_After="1"))
    attach(server.url)
    say(1)

    server.wait_stored(1)
    first, second = server.requests
    assert second.at - first.at >= 1


def test_retry_after_as_a_date_is_honoured(serve, attach) -> None:
    """No second request comes before the date that the answer names.

    The date is made when the answer is, or a slow start would eat it; it has
    whole seconds, so that one to two of them are left.
    """
    left = []

    def refuse(exchange: Exchange) -> None:
        now = time.time()
        left.append(int(now) + 2 - now)
        Reply(429, Retry_After=formatdate(int(now) + 2, usegmt=True))(exchange)

    server = serve(refuse)
    attach(server.url)
    say(1)

    server.wait_stored(1)
    first, second = server.requests
    # The two clocks may be adjusted against each other meanwhile.
    assert second.at - first.at >= left[0] - 0.01


def test_a_flush_honours_retry_after(serve, attach) -> None:
    """Who flushes waits like everybody else, and is told that it is not done."""
    server = serve(Reply(429, Retry_After="30"))
    handler = attach(server.url)
    say(1)
    server.wait(lambda: server.requests)

    assert not handler.flush(0.2)
    assert not handler.flush(0.2)
    assert 1 == len(server.requests)


def test_a_closed_port_costs_nothing_but_patience(serve, attach, errors) -> None:
    """Events wait while nobody listens, and arrive when somebody does."""
    port = closed_port()
    handler = attach(
        f"http://127.0.0.1:{port}/api/v1", on_error=errors, retry_attempts=1
    )
    say(20)
    errors.wait()

    assert isinstance(errors.told[0], NetworkError)
    assert 20 == handler.stats().pending
    server = serve(port=port)
    assert handler.flush(DEADLINE)
    assert 20 == len(server.stored)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda exchange: exchange.reset(),
        lambda exchange: setattr(exchange, "closing", True),
        lambda exchange: (exchange.write(b"HTTP/1.1 20"), exchange.reset()),
        lambda exchange: (exchange.write(b"\x16\x03garbage\r\n\r\n"), exchange.reset()),
        lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99, 0.3),
        lambda exchange: exchange.hang(),
    ],
    ids=["reset", "closed", "half a status line", "garbage", "dripped head", "hang"],
)
def test_an_answer_without_a_status_is_no_answer(serve, attach, trouble) -> None:
    """Whatever the server does instead of answering, the batch is sent again."""
    server = serve(trouble)
    handler = attach(server.url, timeout=1)
    say(3)

    server.wait_stored(3)
    assert handler.flush(DEADLINE)
    assert {} == handler.stats().lost


@pytest.mark.parametrize(
    "body",
    [
        lambda exchange: (
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"),
            setattr(exchange, "closing", True),
        ),
        lambda exchange: exchange.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        ),
        lambda exchange: exchange.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n" + b"x" * 200_000
        ),
        lambda exchange: exchange.write(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ),
    ],
    ids=["truncated", "broken chunks", "200 MB", "interim answer"],
)
def test_a_status_counts_whatever_becomes_of_the_body(serve, attach, body) -> None:
    """A success whose body is torn or endless is a success, and is not sent again."""
    server = serve(body)
    handler = attach(server.url)
    say(3)

    assert handler.flush(DEADLINE)
    assert 1 == len(server.requests)
    assert 3 == handler.stats().delivered


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_pauses_delivery_and_heals(serve, attach, errors, status) -> None:
    """A wrong key loses nothing: one error, small probes, and then everything."""
    server = serve(*[status] * 4)
    handler = attach(server.url, on_error=errors)
    say(50)

    assert handler.flush(DEADLINE)
    assert 1 == len(errors.told)
    assert isinstance(errors.told[0], AuthenticationError)
    assert [1] * 3 == [len(r.events) for r in server.requests[1:4]]
    assert 50 == len(server.stored)
    assert {} == handler.stats().lost


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304, 404, 405, 407, 415, 421])
def test_a_wrong_address_pauses_delivery_and_is_not_followed(
    serve, attach, errors, status
) -> None:
    """A redirect is never followed, as the key would travel; events wait."""
    elsewhere = serve()
    server = serve(*[Reply(status, Location=elsewhere.url)] * 2)
    handler = attach(server.url, on_error=errors)
    say(5)

    assert handler.flush(DEADLINE)
    assert [] == elsewhere.requests
    assert 1 == len(errors.told)
    assert status == errors.told[0].status
    assert 5 == len(server.stored)


def test_too_large_a_batch_is_halved(serve, attach) -> None:
    """413 halves the batch until it fits, and every event arrives once."""
    server = serve(rule=lambda r: 413 if len(r.events) > 3 else 200)
    handler = attach(server.url, batch_size=100, flush_interval=60)
    messages = say(40)

    assert handler.flush(DEADLINE)
    assert sorted(messages) == sorted(server.messages())
    assert {} == handler.stats().lost


def test_too_large_an_event_is_lost_alone(serve, attach, errors) -> None:
    """One event that the server calls too large is lost as such; the rest arrives."""

    def rule(request: Any) -> int:
        return (
            413 if any("7" in e["metadata"]["message"] for e in request.events) else 200
        )

    server = serve(rule=rule)
    handler = attach(server.url, on_error=errors, batch_size=10)
    say(10)

    assert handler.flush(DEADLINE)
    assert {"too_large": 1} == handler.stats().lost
    assert 9 == len([m for m in server.messages() if m.startswith("event")])
    assert [413] == [error.status for error in errors.told]


@pytest.mark.parametrize("status", [400, 422, 418])
@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_refused_events_are_isolated(serve, attach, errors, status, named) -> None:
    """The server's refusal costs the events that it is about, and no neighbour."""
    poison = {"event 0", "event 31", "event 32", "event 99"}

    def rule(request: Any) -> Any:
        bad = [
            index
            for index, event in enumerate(request.events)
            if event["metadata"]["message"] in poison
        ]
        body = {"error": "no", "indices": bad} if named else {"error": "no"}
        return Reply(status, body) if bad else 200

    server = serve(rule=rule)
    handler = attach(server.url, on_error=errors, batch_size=100, flush_interval=60)
    messages = say(100)

    assert handler.flush(DEADLINE)
    arrived = [m for m in server.messages() if m.startswith("event")]
    assert sorted(set(messages) - poison) == sorted(arrived)
    assert {"rejected": 4} == handler.stats().lost
    assert all(isinstance(error, APIError) for error in errors.told)
    assert len(server.requests) <= (4 if named else 40)


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"index": 2, "message": "bad"}]},
        {"detail": [{"loc": ["body", "events", 2, "status"], "msg": "bad"}]},
        {"indices": [2]},
    ],
)
def test_every_usual_form_of_indices_is_understood(serve, attach, body) -> None:
    """An answer that names the refused event in a usual form costs one more request."""
    server = serve(Reply(422, body))
    handler = attach(server.url, batch_size=100, flush_interval=60)
    say(5)

    assert handler.flush(DEADLINE)
    arrived = [m for m in server.messages() if m.startswith("event")]
    assert ["event 0", "event 1", "event 3", "event 4"] == arrived
    assert {"rejected": 1} == handler.stats().lost


@pytest.mark.parametrize("indices", [[-1], [100], ["3"], [None], [True], 7, "x", []])
def test_senseless_indices_do_not_mislead(serve, attach, indices) -> None:
    """Indices that make no sense are as good as none: the batch is halved."""

    def rule(request: Any) -> Any:
        bad = any(e["metadata"]["message"] == "event 3" for e in request.events)
        return Reply(400, {"indices": indices}) if bad else 200

    server = serve(rule=rule)
    handler = attach(server.url, batch_size=100, flush_interval=60)
    say(8)

    assert handler.flush(DEADLINE)
    assert {"rejected": 1} == handler.stats().lost


def test_a_server_that_refuses_everything_costs_a_bounded_number_of_requests(
    serve, attach
) -> None:
    """A thousand refused events cost less than a request for three of them."""
    server = serve(rule=lambda request: 400)
    handler = attach(server.url, batch_size=100, flush_interval=5.0)
    say(1000)

    assert handler.flush(DEADLINE)
    assert {"rejected": 1000} == handler.stats().lost
    assert len(server.requests) < 300


def test_losses_are_shipped_as_an_event(serve, attach) -> None:
    """What was lost, and why, arrives as an event when the server takes events."""
    server = serve(Reply(400, {"indices": [0]}))
    handler = attach(server.url, batch_size=100, flush_interval=60)
    say(2)

    assert handler.flush(DEADLINE)
    (told,) = [e for e in server.stored if e["event_type"] == "agentmonitor.loss"]
    assert {"rejected": 1} == told["metadata"]["lost"]
    assert "bot" == told["agent_id"]
    assert 3 == handler.stats().accepted


def test_the_loss_of_a_loss_event_is_not_told(serve, attach) -> None:
    """A server that refuses loss events does not start a chain of them."""

    def rule(request: Any) -> int:
        kinds = {event["event_type"] for event in request.events}
        messages = {event["metadata"]["message"] for event in request.events}
        return 400 if "agentmonitor.loss" in kinds or "event 0" in messages else 200

    server = serve(rule=rule)
    handler = attach(server.url)
    for _ in range(5):
        say(2)
        assert handler.flush(DEADLINE)

    losses = [
        event
        for request in server.requests
        for event in request.events
        if event["event_type"] == "agentmonitor.loss"
    ]
    assert len({event["metadata"]["event_id"] for event in losses}) <= 5
    assert handler.flush(DEADLINE)


def test_a_backlog_opens_several_requests_and_no_more_than_allowed(
    serve, attach
) -> None:
    """With a slow server and a backlog, up to max_in_flight requests are under way."""
    pause = threading.Event()

    def slowly(exchange: Any) -> None:
        pause.wait(0.05)
        Reply(200)(exchange)

    def rule(request: Any) -> Any:
        server.stored.extend(request.events)
        return slowly

    server = serve(rule=rule)
    handler = attach(server.url, max_in_flight=3)
    say(4000)

    assert handler.flush(DEADLINE)
    assert 4000 == len(server.stored)
    assert 2 <= server.most_in_flight <= 3
    assert all(len(request.events) <= 100 for request in server.requests)


class Later:
    """A server's rule: the request *held* waits for a gate, others may be slow.

    While it waits *meanwhile* is called, once, on the server's own thread.
    """

    def __init__(self, held: int, meanwhile: Callable[[], None]) -> None:
        self._held = held
        self._meanwhile = meanwhile
        self._seen = 0
        self.gate = threading.Event()
        self.called = threading.Event()

    def __call__(self, request: Any) -> Any:
        self._seen += 1
        return self._hold if self._seen == self._held else Slow(0.02, Reply(200))

    def _hold(self, exchange: Any) -> None:
        self._meanwhile()
        self.called.set()
        assert self.gate.wait(DEADLINE)
        Reply(200)(exchange)


@pytest.mark.parametrize("form", ["overtaken", "spooled", "sampled", "withdrawn"])
def test_a_flush_waits_for_the_events_themselves_not_for_as_many(
    serve, attach, tmp_path, form: str
) -> None:
    """However many newer events are settled, an older one is not, and flush says so."""
    extra = {"event_type": "noise"} if form == "sampled" else {}

    def meanwhile() -> None:
        for _ in range(900):
            (log.debug if form == "withdrawn" else log.info)("newer", extra=extra)

    rule = Later(2 if form in ("overtaken", "spooled") else 1, meanwhile)
    server = serve(rule=rule)
    handler = attach(
        server.url,
        sample_rate={"noise": 0.0},
        respect_handler_level=True,
        spool=str(tmp_path) if form == "spooled" else None,
    )
    for target in handler.listener.handlers:
        target.setLevel(logging.INFO)
    say(600)

    result = handler.flush(0.5)
    assert 100 <= result.pending <= 600
    assert rule.called.wait(DEADLINE)
    rule.gate.set()
    assert handler.flush(DEADLINE)
    assert 0 == handler.stats().pending


def test_a_batch_is_due_when_it_is_full(serve, attach) -> None:
    """batch_size events leave without waiting for the flush interval."""
    server = serve()
    attach(server.url, batch_size=5, flush_interval=600)
    say(5)

    server.wait_stored(5)


def test_a_batch_is_due_when_its_time_has_come(serve, attach) -> None:
    """A single event leaves after the flush interval."""
    server = serve()
    attach(server.url, batch_size=100, flush_interval=0.1)
    say(1)

    server.wait_stored(1)


def test_a_request_stays_within_its_bytes(serve, attach) -> None:
    """No request exceeds max_batch_bytes, however large the events."""
    server = serve()
    handler = attach(
        server.url, batch_size=100, max_batch_bytes=20_000, max_event_bytes=10_000
    )
    for number in range(30):
        log.info("event %d", number, extra={"input_data": {"text": "x" * 5_000}})

    assert handler.flush(DEADLINE)
    assert 30 == len(server.stored)
    assert max(len(request.body) for request in server.requests) <= 20_100


def test_a_full_buffer_loses_the_oldest_and_says_so(serve, attach, errors) -> None:
    """With the server gone, what does not fit is lost oldest first, and counted."""
    port = closed_port()
    handler = attach(
        f"http://127.0.0.1:{port}/api/v1",
        on_error=errors,
        retry_attempts=0,
        buffer_bytes=1024 * 1024,
        max_event_bytes=20_000,
    )
    for number in range(200):
        log.info("event %d", number, extra={"input_data": {"text": "x" * 10_000}})
    errors.wait()
    handler.flush(0.5)
    lost = handler.stats().lost["buffer_full"]
    server = serve(port=port)

    assert handler.flush(DEADLINE)
    arrived = [m for m in server.messages() if m.startswith("event")]
    assert 200 - lost == len(arrived)
    assert "event 199" in arrived
    assert "event 0" not in arrived


def test_gzip_is_understood_by_who_asked_for_it(serve, attach) -> None:
    """With compression the body is gzip and says so; the events are the same."""
    server = serve()
    handler = attach(server.url, compression="gzip")
    log.info("x", extra={"input_data": {"text": "word " * 1000}})

    assert handler.flush(DEADLINE)
    (request,) = server.requests
    assert "gzip" == request.headers["content-encoding"]
    assert len(request.body) < 2_000
    assert "word " * 1000 == server.stored[0]["input_data"]["text"]


def test_the_request_is_the_one_of_the_contract(serve, attach) -> None:
    """Path, key, content type and idempotency key are as the API documents them."""
    server = serve()
    handler = attach(server.url)
    say(1)

    assert handler.flush(DEADLINE)
    (request,) = server.requests
    assert "POST /api/v1/events/batch HTTP/1.1" == request.line
    assert KEY == request.headers["x-api-key"]
    assert "application/json" == request.headers["content-type"]
    assert request.headers["idempotency-key"]


def test_a_connection_is_kept_open(serve, attach) -> None:
    """Requests one after the other share a connection."""
    server = serve()
    handler = attach(server.url)
    for _ in range(5):
        say(1)
        assert handler.flush(DEADLINE)

    assert 1 == server.connections


def test_the_key_is_in_nothing_that_is_said(serve, attach, errors, caplog) -> None:
    """No error, repr or log line holds the key, even if the server quotes it."""
    server = serve(*[Reply(401, {"error": f"bad key {KEY}"})] * 2)
    handler = attach(server.url, on_error=errors, debug=True)
    caplog.set_level(logging.DEBUG)
    say(1)

    assert handler.flush(DEADLINE)
    said = [str(errors.told), repr(errors.told), caplog.text, repr(handler)]
    said += [repr(handler.targets()), repr(handler.targets()[0]._sender)]
    assert all(KEY not in text for text in said)
    assert "bad key ***" in caplog.text


def test_an_untrusted_certificate_is_a_network_error(
    serve, attach, errors, tmp_path
) -> None:
    """TLS is verified: a self-signed server gets neither key nor events."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = tmp_path / "self-signed.pem"
    certificate.write_text(SELF_SIGNED)
    context.load_cert_chain(str(certificate))
    server = serve(context=context)
    handler = attach(server.url, on_error=errors, retry_attempts=0)
    say(1)
    errors.wait()

    assert isinstance(errors.told[0], NetworkError)
    assert "certificate" in str(errors.told[0]).lower()
    assert [] == server.requests
    assert 1 == handler.stats().pending
    # Before the server goes, which would tear a handshake that is under way.
    handler.shutdown(0.5)
    for thread in threading.enumerate():
        if thread.name.startswith("agentmonitor-sender"):
            thread.join(DEADLINE)
    forgive_torn_handshakes()


def test_an_on_error_that_raises_is_counted_out(serve, attach, caplog) -> None:
    """What on_error raises is reported in one line, and delivery goes on."""

    def raising(error: Exception) -> None:
        raise RuntimeError("in on_error")

    server = serve(401)
    handler = attach(server.url, on_error=raising)
    say(1)

    assert handler.flush(DEADLINE)
    assert "on_error raised RuntimeError: in on_error" in caplog.text
    assert 1 == len(server.stored)


def test_a_flush_in_on_error_does_not_wait_for_itself(serve, attach, errors) -> None:
    """The thread that tells the application would wait for what it holds up."""
    results: List[Any] = []

    def flushing(error: Exception) -> None:
        results.append(handler.flush(4 * DEADLINE))
        errors(error)

    server = serve(401)
    handler = attach(server.url, on_error=flushing)
    say(1)
    errors.wait()

    assert 1 == results[0].pending
    assert handler.flush(DEADLINE)


def test_twenty_thousand_in_a_loop_lose_nothing(serve, attach) -> None:
    """Default options take 20,000 events in a tight loop without losing one."""
    server = serve()
    handler = AgentMonitorQueueHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # or pytest would keep them all
    say(20_000)

    assert handler.flush(60)
    assert 20_000 == len(server.event_ids)
    assert {} == handler.stats().lost
    assert max(len(request.events) for request in server.requests) <= 100


def test_no_traceback_is_printed_for_a_dead_server(
    serve, attach, caplog, capfd
) -> None:
    """A dead server costs one line in 30 s, and no traceback."""
    handler = attach(f"http://127.0.0.1:{closed_port()}/api/v1", retry_attempts=0)
    say(500)
    handler.shutdown(2.0)

    lines = [r for r in caplog.records if r.name == "agentmonitor_logging"]
    assert 1 == len([r for r in lines if "delivery pauses" in r.getMessage()])
    assert any("events lost when their handler" in r.getMessage() for r in lines)
    assert "Traceback" not in capfd.readouterr().err
    # What was under way at the deadline is lost as soon as its request has failed.
    deadline = time.monotonic() + DEADLINE
    while handler.stats().pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert {"shutdown": 500} == handler.stats().lost


def test_a_close_that_gives_up_ends_only_what_was_there(serve, attach) -> None:
    """What is logged after it is delivered, though others had begun again meanwhile."""
    server = serve()
    handler = attach(server.url)
    sender = handler.targets()[0]._sender
    say(1)
    assert handler.flush(DEADLINE)
    sender.finish(0.0)
    sender.start()
    sender.give_up("when another thread closed it", in_flight=False)
    log.info("afterwards")
    server.wait_stored(2)

    assert ["event 0", "afterwards"] == server.messages()


def test_a_worker_that_had_given_up_goes_on_when_it_is_wanted(serve, attach) -> None:
    """Though it went to sleep with events before it, of which nobody rings again."""
    server = serve()
    handler = attach(server.url, batch_size=1)
    sender = handler.targets()[0]._sender
    say(1)
    assert handler.flush(DEADLINE)
    sender.give_up("when another thread closed it", in_flight=False)
    handler.targets()[0]._ledger.accept()
    sender._stock.put(server.requests[0].body[11:-2])
    deadline = time.monotonic() + DEADLINE
    while not sender._signal.empty() and time.monotonic() < deadline:
        time.sleep(0.01)
    sender.start()

    server.wait_requests(2)
    assert handler.flush(DEADLINE)


def test_a_worker_that_has_given_up_does_not_ring_for_itself(serve, attach) -> None:
    """It would give up again and again until the hung request of another is over."""
    server = serve(Raw(then="hang"))
    handler = attach(server.url, flush_interval=0.1)
    sender = handler.targets()[0]._sender
    say(1)
    server.wait_requests(1)
    sender._stopping = True
    sender._deadline = time.monotonic() - 1
    sender._sleep(0.1)
    assert not sender._signal.empty()
    for _ in range(3):
        sender._sleep(0.1)

    assert sender._signal.empty()


def test_a_close_does_not_take_the_time_of_a_shutdown_before_it(server, attach) -> None:
    """What comes between is delivered, however little time that one had."""
    handler = attach(server.url, flush_interval=600)
    say(1)
    assert handler.flush(DEADLINE)
    handler.shutdown(0.0)
    log.info("bye")
    handler.close()

    assert "bye" in server.messages()


def test_a_shutdown_of_several_targets_is_side_by_side(serve, attach) -> None:
    """One whose server hangs takes no time from the next."""
    hung, well = serve(rule=lambda request: Raw(then="hang")), serve()
    targets = [
        AgentMonitorHandler(
            **{"api_key": KEY, "agent_id": "bot", "api_url": url},
            flush_interval=600,
        )
        for url in (hung.url, well.url)
    ]
    handler = AgentMonitorQueueHandler(handlers=targets)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("event")
    handler.shutdown(1.0)

    assert ["event"] == well.messages()


def test_what_comes_back_to_one_that_has_given_up_is_lost(serve, attach) -> None:
    """And its worker ends, though others had begun again when it gave up."""
    server = serve(Slow(0.5, Reply(503)))
    handler = attach(server.url)
    sender = handler.targets()[0]._sender
    say(1)
    server.wait_requests(1)
    worker = sender._worker
    sender.start()
    sender.give_up("when another thread closed it", in_flight=False)

    worker.join(DEADLINE)
    assert not worker.is_alive()
    assert {"shutdown": 1} == handler.stats().lost
