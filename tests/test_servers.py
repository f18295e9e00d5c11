"""What hostile servers do, and what it may cost: patience, never an event or the key."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from agentmonitor_logging._answers import (
    MAX_RETRY_AFTER,
    Delivered,
    Refused,
    Rejected,
    Unreachable,
    retry_after,
)
from agentmonitor_logging._batch import Batch
from agentmonitor_logging._config import Config
from agentmonitor_logging._transport import Transport
from certificates import (
    AUTHORITY,
    EXPIRED,
    GOOD,
    OTHER_HOST,
    SELF_SIGNED,
    forgive_torn_handshakes,
    server_context,
)
from conftest import KEY
from interpreters import Interpreter, assert_clean, run
from invariants import keys_of, say, violations
from servers import (
    DEADLINE,
    LOST_ANSWERS,
    NO_ANSWER,
    OK,
    TORN,
    FaultServer,
    Raw,
    Reply,
    black_hole,
    closed_port,
)

log = logging.getLogger("agent")


def cases(table: Any) -> Any:
    return pytest.mark.parametrize("fault", table.values(), ids=table.keys())


@pytest.fixture(autouse=True)
def _quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second of back-off pass in ten milliseconds; the law is test_pacing's."""
    monkeypatch.setattr("agentmonitor_logging._pacing.FIRST_DELAY", 0.01)
    monkeypatch.setattr("agentmonitor_logging._pacing.MAX_DELAY", 0.05)


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def transport() -> Iterator[Callable[..., Transport]]:
    """Return a maker of transports, which are closed after the test."""
    made: List[Transport] = []

    def make(url: str, **options: Any) -> Transport:
        given = {"api_key": KEY, "agent_id": "bot", "api_url": url, **options}
        made.append(Transport(Config.from_options(given)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def batch(size: int = 100) -> Batch:
    return Batch(
        [b'{"metadata": {"event_id": "x"}, "event_type": "%s"}' % (b"x" * size)]
    )


def complaints(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return the lines from WARNING on that our work caused."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name != "agent"
    ]


# -- answers ---------------------------------------------------------------------------


@cases(NO_ANSWER)
def test_what_is_no_answer_is_repeated(serve, attach, caplog, fault) -> None:
    """Whatever comes instead of an answer, the batch is sent again, without a word."""
    server = serve(fault)
    handler = attach(server.url, timeout=8)
    ids = say(log, "me", 3)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())
    assert 2 == len(server.requests)
    assert [] == complaints(caplog)


@cases(TORN)
def test_a_success_that_is_badly_told_counts(serve, attach, caplog, fault) -> None:
    """The status of an answer counts, nothing is sent again, and nobody complains."""
    server = serve(fault, fault)
    handler = attach(server.url)
    ids = []
    for first in range(3):
        ids += say(log, "me", 1, first)
        assert handler.flush(DEADLINE)

    assert [] == violations({"me": ids}, server, handler.stats())
    assert 3 == len(server.requests)
    assert 0 == handler.stats().retried
    assert [] == complaints(caplog)


@pytest.mark.parametrize("status", [204, 205])
def test_an_answer_without_a_body_is_no_web_page(serve, transport, status) -> None:
    """A success that has no body counts, though a framework calls it text/html."""
    server = serve(Reply(status, b"", store=False, Content_Type="text/html"))

    assert isinstance(transport(server.url).send(batch(), 5.0), Delivered)


@cases(LOST_ANSWERS)
def test_a_lost_answer_is_the_only_reason_for_a_duplicate(serve, attach, fault) -> None:
    """What was stored and never told comes again under the same id and the same key."""
    server = serve(fault)
    handler = attach(server.url)
    ids = say(log, "me", 3)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())
    assert {(2, 1)} == {(len(k), len({*k})) for k in keys_of(server.storings).values()}


def test_an_answer_that_never_comes_is_waited_for_no_longer_than_allowed(
    fault_server, attach
) -> None:
    """A server that stores and hangs gets the batch again after the time-out."""
    fault_server.hanging(store=True)
    handler = attach(fault_server.url, timeout=1)
    ids = say(log, "me", 5)
    fault_server.wait_requests(1)
    fault_server.up()

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, fault_server, handler.stats())
    assert {2} == {len(keys) for keys in keys_of(fault_server.storings).values()}


@pytest.mark.parametrize(
    "greeting",
    [
        lambda exchange: exchange.reset(),
        lambda exchange: setattr(exchange, "closing", True),
        lambda exchange: (exchange.connection.recv(9), exchange.reset()),
        lambda exchange: (exchange.connection.recv(700), exchange.reset()),
        lambda exchange: (exchange.connection.recv(9), setattr(exchange, "closing", 1)),
    ],
    ids=["reset", "closed", "reset in the headers", "reset in the body", "hung up"],
)
def test_a_connection_may_end_at_any_stage(serve, attach, caplog, greeting) -> None:
    """A connection that ends before the request is read costs another one."""
    server = serve(greetings=(greeting, greeting))
    handler = attach(server.url)
    ids = say(log, "me", 50)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())
    assert [] == complaints(caplog)


def test_an_answer_may_come_before_the_request_is_read(serve, attach) -> None:
    """A 413 that comes early, with the connection closed, is a 413."""

    def early(exchange: Any) -> None:
        exchange.connection.recv(100)
        Reply(413)(exchange)
        exchange.closing = True

    server = serve(greetings=(early,))
    handler = attach(server.url, batch_size=100, flush_interval=60)
    ids = say(log, "me", 40, input_data={"text": "x" * 10_000})

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())
    assert 2 == len(server.requests)


def test_each_answer_may_close_its_connection(serve, attach) -> None:
    """A server that closes after each answer, and says so, costs nothing."""
    server = serve(rule=lambda request: Reply(200, Connection="close"))
    handler = attach(server.url)
    ids = []
    for first in range(5):
        ids += say(log, "me", 1, first)
        assert handler.flush(DEADLINE)

    assert [] == violations({"me": ids}, server, handler.stats())
    assert 0 == handler.stats().retried


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Trust AUTHORITY, and return a folder for certificates."""
    trusted = tmp_path / "authority.pem"
    trusted.write_text(AUTHORITY)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    # Not by chance in the midst of the test, where the warning would fail it.
    gc.disable()
    try:
        yield tmp_path
    finally:
        forgive_torn_handshakes()
        gc.enable()


@pytest.mark.parametrize("store", [False, True], ids=["not stored", "stored"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_connection_that_went_stale_is_no_failure(
    serve, attach, monkeypatch, trusting: Path, then: str, secure: bool, store: bool
) -> None:
    """A connection that ends when it is used again costs neither a try nor a wait."""
    monkeypatch.setattr("agentmonitor_logging._pacing.FIRST_DELAY", 60.0)
    monkeypatch.setattr("agentmonitor_logging._pacing.MAX_DELAY", 60.0)
    context = server_context(GOOD, trusting) if secure else None
    server = serve(200, Raw(then=then, store=store), context=context)
    handler = attach(server.url)
    ids = say(log, "me", 1)
    server.wait_stored(1)
    ids += say(log, "me", 1, 1)
    server.wait_requests(3)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())
    assert 0 == handler.stats().retried
    assert 2 == len({*sum(keys_of(server.storings).values(), [])})


def test_a_connection_that_was_closed_meanwhile_is_replaced(fault_server, attach):
    """A server that closed an idle connection sees one request more, and no more."""
    handler = attach(fault_server.url)
    ids = say(log, "me", 1)
    assert handler.flush(DEADLINE)
    fault_server.down()
    fault_server.up()
    ids += say(log, "me", 1, 1)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, fault_server, handler.stats())
    assert 2 == handler.stats().requests == len(fault_server.requests)


def test_a_fresh_connection_that_fails_is_a_failure(transport, serve) -> None:
    """Only a connection that has worked before can have gone stale."""
    server = serve(Raw(), Raw())

    assert isinstance(transport(server.url).send(batch(), 5.0), Unreachable)
    assert 1 == len(server.requests)


# -- bounds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        lambda exchange: exchange.hang(),
        lambda exchange: exchange.drip(OK * 100, 0.05),
        lambda exchange: exchange.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.02),
        lambda exchange: exchange.drip(OK + b"X: y\r\n" * 1000, 0.02),
    ],
    ids=["hang", "dripped status", "dripped interim answers", "dripped headers"],
)
def test_a_request_is_over_in_time(serve, transport, action) -> None:
    """However slowly an answer comes, the time given to a request is its end."""
    server = serve(action)
    began = time.monotonic()

    assert isinstance(transport(server.url).send(batch(), 0.5), Unreachable)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nFFF\r\n",
        b"\r\n",
    ],
    ids=["length", "chunked", "neither"],
)
def test_the_body_of_a_success_is_not_waited_for(serve, transport, head) -> None:
    """A success is one when its status is there, however its body drips."""

    def drip(exchange: Any) -> None:
        exchange.write(OK + head)
        exchange.drip(b"x" * 4000, 0.05)

    server = serve(drip)
    began = time.monotonic()

    assert isinstance(transport(server.url).send(batch(), 20.0), Delivered)
    assert time.monotonic() - began < 2.0


def test_a_connection_that_never_opens_is_given_up_in_time(transport) -> None:
    """A port whose backlog is full costs the time given, no more."""
    with black_hole() as url:
        began = time.monotonic()
        outcome = transport(url).send(batch(), 0.5)

    assert isinstance(outcome, Unreachable)
    assert "within 0.5 s" in str(outcome.error)
    assert time.monotonic() - began < 2.0


def test_a_handshake_that_never_ends_is_given_up_in_time(transport, serve) -> None:
    """A server that takes the connection and says nothing of TLS costs its time."""
    server = serve(greetings=(lambda exchange: exchange.hang(),))
    url = server.url.replace("http:", "https:")
    began = time.monotonic()

    assert isinstance(transport(url).send(batch(), 0.5), Unreachable)
    assert time.monotonic() - began < 2.0


def test_a_proxy_that_drips_is_given_up_in_time(transport, serve, monkeypatch) -> None:
    """The time given holds for what a proxy says about its tunnel, too."""
    proxy = serve(lambda exchange: exchange.drip(OK + b"X: y\r\n" * 100, 0.05))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    began = time.monotonic()
    outcome = transport("https://collector.invalid/api/v1").send(batch(), 0.5)

    assert isinstance(outcome, Unreachable)
    assert time.monotonic() - began < 2.0
    assert "CONNECT collector.invalid:443" in proxy.requests[0].line
    assert KEY not in str(proxy.requests[0].headers)


_MEASURED = """
    import resource, sys
    from agentmonitor_logging._batch import Batch
    from agentmonitor_logging._config import Config
    from agentmonitor_logging._transport import Transport
    from forms import KEY

    url, count = sys.argv[1], int(sys.argv[2])
    config = {"api_key": KEY, "agent_id": "bot", "api_url": url}
    transport = Transport(Config.from_options(config))
    batch = Batch([b"{}"])
    print(type(transport.send(batch, 10.0)).__name__)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        print(type(transport.send(batch, 10.0)).__name__)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transport.close()
    print("grown", (after - before) / 1024)
"""


def flood(head: bytes) -> Callable[[Any], None]:
    """Return what writes *head* and then 200 MB that may unpack to far more."""

    def action(exchange: Any) -> None:
        exchange.closing = True
        exchange.write(head)
        for _ in range(200):
            exchange.write(b"x" * 1_000_000)

    return action


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
def test_an_answer_of_200_megabytes_stays_on_the_wire(serve) -> None:
    """Of an endless answer, whatever its status and its form, little is ever read."""
    long = b"Content-Length: 200000000\r\n"
    floods = [
        f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\n".encode() + form + b"\r\n"
        for status in (200, 301, 400, 500)
        for form in (long, b"", b"Content-Encoding: gzip\r\n" + long)
    ]
    server = serve(Reply(200, b'{"events":[]}', store=False), *map(flood, floods))
    interpreter = Interpreter("any", sys.executable)
    outcome = run(interpreter, _MEASURED, server.url, len(floods), timeout=60)

    assert_clean(outcome)
    *answers, grown = outcome.stdout.splitlines()
    meant = ["Delivered"] * 4 + ["Refused"] * 3 + ["Rejected"] * 3 + ["Unreachable"] * 3
    assert meant == answers
    assert float(grown.split()[1]) < 16


# -- the key ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["http://{}/api/v1", "/other", "//{}/", "\xff\xfe:", "http://[::1", ""]
)
def test_a_redirect_is_not_followed_wherever_it_points(
    serve, transport, status: int, where: str
) -> None:
    """The key goes to api_url only, and a wrong address is what it is."""
    elsewhere = serve()
    location = where.format(f"localhost:{elsewhere.port}")
    server = serve(Reply(status, Location=location))
    outcome = transport(server.url).send(batch(), 5.0)

    assert isinstance(outcome, Refused)
    assert status == outcome.error.status
    assert [] == elsewhere.requests
    assert 1 == len(server.requests)


def test_cookies_are_not_kept(serve, transport) -> None:
    """Nothing that a server wants remembered is sent back to it."""
    server = serve(*[Reply(200, store=False, Set_Cookie="id=1; Path=/")] * 3)
    sending = transport(server.url)
    for _ in range(3):
        assert isinstance(sending.send(batch(), 5.0), Delivered)

    assert all("cookie" not in request.headers for request in server.requests)
    assert 1 == server.connections


@pytest.mark.parametrize(
    "data",
    [
        KEY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 " + KEY.encode() + b"\r\n" + KEY.encode() + b"\r\n\r\n",
        OK + b"Content-Length: " + KEY.encode() + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + KEY.encode() + b"\r\n",
        b"HTTP/1.1 500 X\r\nContent-Length: 99\r\n\r\n" + KEY.encode(),
        b"evil\r\x1b[31m\x00\r\n\r\n",
        b'HTTP/1.1 500 X\r\n\r\n{"error": "%s\\u0074%s"}'
        % (b"x" * 190, KEY[1:].encode()),
        b"x" * 190 + KEY.encode() + b"\r\n\r\n",
    ],
    ids=[
        *("line", "status", "header", "length", "chunk", "body", "control characters"),
        *("escaped", "cut"),
    ],
)
def test_a_server_cannot_make_us_say_the_key(
    serve, transport, caplog, capfd, data: bytes
) -> None:
    """No error tells the key or control characters, though the server quotes them."""
    caplog.set_level(logging.DEBUG)
    server = serve(Raw(data))
    outcome = transport(server.url).send(batch(), 5.0)

    said = [repr(outcome), caplog.text, *capfd.readouterr()]
    said += [str(getattr(outcome, "error", ""))]
    assert all(KEY[:8] not in text for text in said)
    assert str(getattr(outcome, "error", "")).isprintable()


@pytest.mark.parametrize(
    "certificate", [SELF_SIGNED, EXPIRED, OTHER_HOST], ids=["own", "expired", "other"]
)
def test_a_wrong_certificate_gets_nothing(
    attach, serve, trusting: Path, caplog, certificate: str
) -> None:
    """Neither key nor events go to it; one line says so; a good one gets them all."""
    told: List[Exception] = []
    here = threading.Semaphore(0)
    wrong = serve(context=server_context(certificate, trusting))
    handler = attach(
        wrong.url,
        retry_attempts=1,
        on_error=lambda error: (told.append(error), here.release()),
    )
    ids = say(log, "me", 20)
    assert here.acquire(timeout=DEADLINE)
    wrong.close()
    assert [] == wrong.requests
    assert "certificate" in str(told[0]).lower()
    assert 1 == len(complaints(caplog))
    assert KEY not in caplog.text

    good = serve(context=server_context(GOOD, trusting), port=wrong.port)
    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, good, handler.stats())


def test_plain_and_tls_do_not_mix(transport, serve, tmp_path: Path) -> None:
    """A plain server under an https address, or the reverse, is a network error."""
    plain = serve()
    secure = serve(context=server_context(GOOD, tmp_path))
    urls = [
        plain.url.replace("http:", "https:"),
        secure.url.replace("https:", "http:"),
    ]

    for url in urls:
        assert isinstance(transport(url).send(batch(), 2.0), Unreachable)
    assert [] == plain.requests + secure.requests


def test_a_large_request_over_tls_keeps_to_its_time(
    transport, serve, trusting: Path
) -> None:
    """A server that does not read a request over TLS costs the time given."""

    def sip(exchange: Any) -> None:
        while not exchange.server.closing.wait(0.1):
            if not exchange.connection.recv(20_000):
                return

    server = serve(context=server_context(GOOD, trusting), greetings=(sip,))
    began = time.monotonic()
    outcome = transport(server.url).send(batch(30_000_000), 1.0)

    assert isinstance(outcome, Unreachable)
    assert time.monotonic() - began < 3.0


# -- the way there ---------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(transport, serve, monkeypatch) -> None:
    """HTTP_PROXY gets what is not for this machine, unless NO_PROXY says no."""
    proxy = serve(200)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    url = "http://collector.invalid/api/v1"

    assert isinstance(transport(url, allow_http=True).send(batch(), 5.0), Delivered)
    assert "POST http://collector.invalid/api/v1/events/batch" in proxy.requests[0].line
    monkeypatch.setenv("NO_PROXY", "collector.invalid")
    assert isinstance(transport(url, allow_http=True).send(batch(), 5.0), Unreachable)
    assert 1 == len(proxy.requests)


def test_this_machine_is_reached_without_a_proxy(transport, serve, monkeypatch) -> None:
    """A proxy of the environment never sees what goes to a collector on loopback."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    server = serve()

    assert isinstance(transport(server.url).send(batch(), 5.0), Delivered)


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "socks5h://127.0.0.1:1", "nonsense", "http://["]
)
def test_a_proxy_that_cannot_be_used_is_a_network_error(
    transport, monkeypatch, proxy: str
) -> None:
    """Whatever the environment calls a proxy, what comes of it is an outcome."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    outcome = transport("https://collector.invalid/api/v1").send(batch(), 2.0)

    assert isinstance(outcome, Unreachable)


@pytest.mark.parametrize(
    "url",
    [
        "https://no-such-host.invalid/api/v1",
        "https://" + "a" * 70 + ".invalid/api/v1",
        "https://.invalid/api/v1",
        "https://xn--/api/v1",
        "https://a..b/api/v1",
        "https://\u0660.invalid/api/v1",
    ],
)
def test_a_host_that_does_not_exist_is_a_network_error(transport, url: str) -> None:
    """A name that cannot be looked up, or is none, is an outcome."""
    assert isinstance(transport(url).send(batch(), 2.0), Unreachable)


def test_a_missing_bundle_of_authorities_is_a_network_error(
    transport, monkeypatch, tmp_path: Path
) -> None:
    """A wrong REQUESTS_CA_BUNDLE is named; nothing is sent unverified."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    outcome = transport("https://127.0.0.1:1/api/v1").send(batch(), 2.0)

    assert isinstance(outcome, Unreachable)
    assert "none.pem" in str(outcome.error)


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_ipv6_is_an_address_like_any_other(serve, attach) -> None:
    """A collector on ::1 gets its events."""
    try:
        server = serve(host="::1")
    except OSError:
        pytest.skip("there is no IPv6 loopback")
    handler = attach(server.url)
    ids = say(log, "me", 3)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())


# -- Retry-After -----------------------------------------------------------------------

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("2.5", 2.5),
        ("1000000000", MAX_RETRY_AFTER),
        ("9" * 60_000, MAX_RETRY_AFTER),
        (formatdate(NOW + 9, usegmt=True), 9.0),
        (formatdate(NOW - 9, usegmt=True), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        *[
            (text, None)
            for text in (
                *("", " ", "-1", "-0", "1e9", "nan", "inf", "soon", "\xb2", "\u0663"),
                *("1, 2", "Fri, 31 Dec 99999 23:59:59 GMT", "0x10", ".", "1.2.3"),
                *("a" * 60_000, "Mon " * 15_000, "1 Jan " * 10_000),
            )
        ],
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_senseless_retry_after_counts_as_none(value: str, seconds: Any) -> None:
    """Both forms are read and bounded; what makes no sense changes nothing."""
    assert seconds == retry_after({"retry-after": value}, NOW)


def test_a_retry_after_without_end_is_no_answer(serve, attach) -> None:
    """A header of ten megabytes is not read to its end, and the batch goes again."""
    server = serve(Raw(b"HTTP/1.1 429 X\r\nRetry-After: " + b"9" * 10_000_000))
    handler = attach(server.url)
    ids = say(log, "me", 3)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, server, handler.stats())


# -- over time -------------------------------------------------------------------------


def test_a_server_that_was_down_gets_everything(fault_server, attach, caplog) -> None:
    """Events that were logged before, during and after an outage arrive once each."""
    handler = attach(fault_server.url, retry_attempts=0)
    ids = say(log, "me", 30)
    assert handler.flush(DEADLINE)
    fault_server.down()
    ids += say(log, "me", 300, 30)
    assert not handler.flush(0.3)
    fault_server.up()
    ids += say(log, "me", 30, 330)

    assert handler.flush(DEADLINE)
    assert [] == violations({"me": ids}, fault_server, handler.stats())
    assert 1 == len(complaints(caplog))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_fails_three_times_in_ten_loses_nothing(
    fault_server, attach, seed: int
) -> None:
    """2,000 events of four threads arrive, each once but where an answer was lost."""
    fault_server.flaky(seed)
    log.propagate = False
    handler = attach(fault_server.url, timeout=5, retry_attempts=0)
    logged: dict = {}

    def speak(author: str) -> None:
        logged[author] = say(log, author, 500)

    threads = [threading.Thread(target=speak, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert handler.flush(60)
    assert [] == violations(logged, fault_server, handler.stats())
    assert {} == handler.stats().lost
    assert handler.stats().retried > 0


def test_a_bad_answer_does_not_hold_up_the_next(fault_server, attach) -> None:
    """One server after another, each with its trouble: all is there in the end."""
    handler = attach(fault_server.url, timeout=1, retry_attempts=1)
    ids: List[str] = []
    turns: List[Callable[[], None]] = [
        lambda: fault_server.refusing(500),
        lambda: fault_server.refusing(401),
        fault_server.down,
        lambda: fault_server.hanging(store=True),
        lambda: fault_server.refusing(429, Retry_After="0"),
        lambda: fault_server.slow(0.05),
    ]
    for turn in turns:
        turn()
        ids += say(log, "me", 20, len(ids))
        handler.flush(0.2)
        fault_server.up()
        assert handler.flush(DEADLINE)

    assert [] == violations({"me": ids}, fault_server, handler.stats())


# -- the checker -----------------------------------------------------------------------


def test_the_checker_sees_what_is_wrong(serve, transport) -> None:
    """A loss, a stranger, a repetition without reason and disorder are each found."""
    server = serve()
    sending = transport(server.url)

    def send(*ids: str) -> None:
        event = '{"event_type": "log", "metadata": {"event_id": "%s"}}'
        sending.send(Batch([(event % one).encode() for one in ids]), 5.0)

    send("a", "b")
    assert [] == violations({"me": ["a", "b"]}, server)
    assert "missing" in violations({"me": ["a", "b", "c"]}, server)[0]
    assert "nobody logged" in violations({"me": ["a"]}, server)[0]
    assert "too late" in violations({"me": ["b", "a"]}, server)[0]
    send("b")
    assert "came again" in violations({"me": ["a", "b"]}, server)[0]


def test_the_environment_is_not_asked_for_each_request(serve, transport) -> None:
    """What changes in os.environ between two requests on a connection has no say."""
    server = serve()
    sending = transport(server.url)
    assert isinstance(sending.send(batch(), 5.0), Delivered)
    os.environ["HTTP_PROXY"] = f"http://127.0.0.1:{closed_port()}"
    try:
        assert isinstance(sending.send(batch(), 5.0), Delivered)
    finally:
        del os.environ["HTTP_PROXY"]


def test_a_refused_body_is_read_in_any_form(serve, transport) -> None:
    """The indices of a 400 are found however its body is framed."""
    body = b'{"indices": [0]}'
    forms = [
        b"Content-Length: %d\r\n\r\n" % len(body) + body,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        b"Connection: close\r\n\r\n" + body,
    ]
    server = serve(*[Raw(b"HTTP/1.1 400 No\r\n" + form) for form in forms])
    sending = transport(server.url)

    for _ in forms:
        outcome = sending.send(batch(), 5.0)
        assert isinstance(outcome, Rejected)
        assert (0,) == outcome.indices
