"""The collector over real HTTP: what it accepts, what it refuses, what it says."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional
from urllib.parse import urlsplit

import pytest
import requests

pytest.importorskip("starlette", reason="needs the extra: collector")

from agentmonitor_logging.collector import (
    AddressError,
    CollectorError,
    RunningCollector,
    StoreError,
    app,
    running_collector,
    serve,
)
from agentmonitor_logging.collector.validation import MAX_DEPTH

DEADLINE = 30
KEY = "k" * 32
HEADERS = {"X-API-Key": KEY}


def event(**changes: Any) -> Dict[str, Any]:
    """Make a valid event as it is on the wire."""
    return {
        "agent_id": "bot",
        "event_type": "llm_call",
        "timestamp": "2026-10-16T12:00:00.123456Z",
        "input_data": {"q": "¿?"},
        "output_data": None,
        "metadata": {"event_id": uuid.uuid4().hex, "trace_id": "f" * 32},
        "cost_usd": 0.0042,
        "latency_ms": 350,
        "status": "success",
        "error_message": None,
        **changes,
    }


class Caller:
    """Speak to one collector as a program would."""

    def __init__(self, collector: RunningCollector, session: requests.Session) -> None:
        self.collector = collector
        self.session = session

    def batch(self, *events: Any) -> requests.Response:
        """Send a batch of events."""
        return self.post(json.dumps({"events": events}))

    def post(
        self,
        body: Any,
        path: str = "/events/batch",
        headers: Optional[Dict[str, str]] = None,
    ) -> requests.Response:
        """Send any body."""
        return self.session.post(
            self.collector.url + path,
            data=body,
            headers={**HEADERS, **(headers or {})},
            timeout=DEADLINE,
        )

    def get(self, **query: Any) -> requests.Response:
        """Read a page of events."""
        return self.session.get(
            self.collector.url + "/events",
            params=query,
            headers=HEADERS,
            timeout=DEADLINE,
        )

    def raw(self, data: bytes) -> socket.socket:
        """Open a connection of our own and send *data*."""
        address = urlsplit(self.collector.url)
        connection = socket.create_connection(
            (str(address.hostname), int(address.port or 0)), timeout=DEADLINE
        )
        connection.sendall(data)
        return connection


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db", max_body_bytes=100_000) as running:
        yield running


@pytest.fixture
def caller(collector: RunningCollector) -> Iterator[Caller]:
    with requests.Session() as session:
        yield Caller(collector, session)


def received(connection: socket.socket) -> bytes:
    """Read until the collector closes the connection."""
    data = b""
    try:
        while True:
            piece = connection.recv(65536)
            if not piece:
                return data
            data += piece
    except ConnectionResetError:
        return data


def test_a_batch_is_stored_and_read_back(caller: Caller) -> None:
    """What comes in on the wire goes out on the wire."""
    sent = [event(agent_id=f"bot-{n}") for n in range(3)]

    answer = caller.batch(*sent)
    page = caller.get().json()

    assert answer.status_code == 200
    assert answer.json() == {"accepted": 3, "duplicates": 0}
    assert page["next"] is None
    for found, expected in zip(page["events"], reversed(sent)):
        assert {**found, **expected} == found
        assert found["received_at"].endswith("Z")


def test_a_hundred_events_are_a_batch_and_more_are_not(caller: Caller) -> None:
    """One to a hundred events; otherwise 400 that blames none of them."""
    full = caller.batch(*[event() for _ in range(100)])
    over = caller.batch(*[event() for _ in range(101)])
    none = caller.batch()

    assert full.json() == {"accepted": 100, "duplicates": 0}
    assert (over.status_code, none.status_code) == (400, 400)
    assert "101" in over.json()["error"]
    assert "indices" not in over.json()
    assert caller.collector.store.count() == 100


def test_one_event_can_be_ingested(caller: Caller) -> None:
    """The original API's endpoint for one event takes the event itself."""
    answer = caller.post(json.dumps(event()), "/events/ingest")
    wrong = caller.post(json.dumps(event(status="odd")), "/events/ingest")

    assert (answer.status_code, wrong.status_code) == (200, 400)
    assert answer.json() == {"accepted": 1, "duplicates": 0}
    assert wrong.json()["indices"] == [0]


def test_a_repeated_event_is_a_success_and_stored_once(caller: Caller) -> None:
    """A sender that never saw our answer may send again."""
    same = event()

    answers = [caller.batch(same, event()) for _ in range(3)]

    assert [a.status_code for a in answers] == [200, 200, 200]
    assert answers[2].json() == {"accepted": 1, "duplicates": 1}
    assert caller.collector.store.count() == 4


def test_a_bad_event_is_named_and_nothing_is_stored(caller: Caller) -> None:
    """All or nothing, with the index and the reason of each bad one."""
    answer = caller.batch(event(), event(agent_id=""), event(), event(latency_ms=-1))

    assert answer.status_code == 400
    body = answer.json()
    assert body["indices"] == [1, 3]
    assert [e["index"] for e in body["errors"]] == [1, 3]
    assert "agent_id" in body["errors"][0]["message"]
    assert isinstance(body["error"], str)
    assert caller.collector.store.count() == 0


def test_a_failure_is_an_error(caller: Caller) -> None:
    """The original's word is taken, ours is kept, and both words find it."""
    caller.batch(event(status="failure"), event())

    (found,) = caller.get(status="error").json()["events"]

    assert found["status"] == "error"
    assert caller.get(status="failure").json()["events"] == [found]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"events": [NaN]}',
        b'{"events": [{"cost_usd": Infinity}]}',
        b'{"events": ' + b"[" * 90_000,
        b'{"x":' * 15_000 + b"1" + b"}" * 15_000,
        b'[{"agent_id": "x"}]',
        b"\xff\xfe\x00",
        b"null",
    ],
)
def test_a_body_that_is_no_batch_is_refused(caller: Caller, body: bytes) -> None:
    """Garbage costs a 400 in JSON, and the collector goes on."""
    answer = caller.post(body)

    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)
    assert caller.batch(event()).status_code == 200


def test_hostile_values_are_stored_or_refused_but_break_no_reader(
    caller: Caller,
) -> None:
    """Surrogates, NUL, endless numbers and depth leave a page that everyone can read."""
    body = json.dumps({"events": [event(agent_id="a\0b", input_data={"x": "\ud800"})]})
    deep = event(input_data=json.loads('{"x":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH))
    deeper = event(input_data={"x": deep["input_data"]})
    endless = '{"events": [%s]}' % json.dumps(event()).replace("350", "1e999")

    assert caller.post(body).status_code == 200
    assert caller.batch(deep).status_code == 200
    assert caller.batch(deeper).json()["indices"] == [0]
    assert caller.post(endless).json()["indices"] == [0]
    last, first = caller.get().json()["events"]
    assert first["input_data"] == {"x": "\ud800"}
    assert first["agent_id"] == "a\0b"
    assert last["input_data"] == deep["input_data"]


def test_a_packed_body_is_unpacked(caller: Caller) -> None:
    """Content-Encoding gzip is taken, however its case."""
    body = gzip.compress(json.dumps({"events": [event()]}).encode())

    answer = caller.post(body, headers={"Content-Encoding": "GZIP"})

    assert answer.json() == {"accepted": 1, "duplicates": 0}


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"{}")[:-3], b""])
def test_a_body_that_is_not_gzip_is_refused(caller: Caller, body: bytes) -> None:
    """A torn or plain body under a gzip label is 400."""
    assert caller.post(body, headers={"Content-Encoding": "gzip"}).status_code == 400


def test_trailing_gzip_members_are_refused(caller: Caller) -> None:
    """A body is one gzip member and nothing after it."""
    body = gzip.compress(b"{}") + gzip.compress(b"{}")

    assert caller.post(body, headers={"Content-Encoding": "gzip"}).status_code == 400


def test_another_encoding_is_not_supported(caller: Caller) -> None:
    """415 says what would be taken."""
    answer = caller.post(b"x", headers={"Content-Encoding": "br"})

    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip"


def test_a_large_body_is_refused_however_it_is_sent(caller: Caller) -> None:
    """Announced, streamed or packed: more than the limit is 413, and a bomb is not made."""
    large = b"x" * 100_001
    bomb = gzip.compress(b" " * 50_000_000)

    answers = [
        caller.post(large),
        caller.post(iter([b"x" * 60_000] * 2)),
        caller.post(bomb, headers={"Content-Encoding": "gzip"}),
    ]

    assert len(bomb) < 100_000
    assert [a.status_code for a in answers] == [413, 413, 413]
    assert "100000" in answers[0].json()["error"]
    assert caller.batch(event()).status_code == 200


@pytest.mark.parametrize("key", [None, "", "k" * 31])
def test_a_short_key_is_refused(caller: Caller, key: Optional[str]) -> None:
    """Without a key of its own the collector still wants one, as a web page cannot."""
    answer = requests.post(
        caller.collector.url + "/events/batch",
        json={"events": [event()]},
        headers={"X-API-Key": key} if key is not None else {},
        timeout=DEADLINE,
    )

    assert answer.status_code == 401
    assert caller.collector.store.count() == 0


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/trace", "text/html; charset=utf-8"),
        ("HEAD", "/a/b", "text/html; charset=utf-8"),
        ("POST", "/trace", "application/json"),
        ("GET", "/api/v1/trace", "application/json"),
        ("GET", "/static/trace", "application/json"),
    ],
)
def test_a_wrong_address_is_answered_with_the_page_to_a_browser(
    caller: Caller, method: str, path: str, kind: str
) -> None:
    """To nobody else, and with its policy; it stays an error."""
    answer = requests.request(
        method,
        caller.collector.origin + path,
        headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
        timeout=DEADLINE,
    )

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, kind)
    assert ("Content-Security-Policy" in answer.headers) == (kind != "application/json")


def test_a_given_key_is_demanded_of_writers_and_readers(tmp_path: Path) -> None:
    """With a key, only that key opens anything but the health check."""
    key = "s3cret-" * 6
    with running_collector(tmp_path / "a.db", f" {key}\n") as collector:
        url = collector.url
        tried = {
            (name, given): requests.request(
                method,
                url + path,
                json=event(),
                headers={"X-API-Key": given.encode()},
                timeout=DEADLINE,
            ).status_code
            for name, method, path in (
                ("write", "POST", "/events/ingest"),
                ("read", "GET", "/events"),
            )
            for given in (key, KEY, "é" * 32)
        }
        health = requests.get(collector.origin + "/healthz", timeout=DEADLINE)

    assert [tried["write", k] for k in (key, KEY, "é" * 32)] == [200, 401, 401]
    assert [tried["read", k] for k in (key, KEY, "é" * 32)] == [200, 401, 401]
    assert health.json() == {"status": "ok"}


@pytest.mark.parametrize("key", ["", "short", "é" * 40, "x" * 40 + "\n" + "x"])
def test_a_weak_key_is_refused_without_being_told(tmp_path: Path, key: str) -> None:
    """The error does not repeat the key, and no database is made."""
    with pytest.raises(AddressError) as caught:
        with running_collector(tmp_path / "a.db", key):
            pass

    assert not key or key not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:3002", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:3002", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("localhost.evil.example:3002", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[::1", 421),
        ("[::2]:3002", 421),
    ],
)
def test_only_loopback_names_are_answered(
    caller: Caller, host: str, status: int
) -> None:
    """A name of somebody else that points here is DNS rebinding."""
    answer = requests.get(
        caller.collector.url + "/events", headers={"Host": host}, timeout=DEADLINE
    )

    assert answer.status_code == status
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_permission_is_given_to_web_pages(caller: Caller) -> None:
    """A preflight of a browser is not answered with CORS."""
    answer = caller.session.options(
        caller.collector.url + "/events/batch",
        headers={"Origin": "http://evil", "Access-Control-Request-Method": "POST"},
        timeout=DEADLINE,
    )

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/events/batch", 405),
        ("POST", "/api/v1/events", 405),
        ("POST", "/api/v1/events/batch/", 404),
    ],
)
def test_a_wrong_address_is_answered_in_json(
    caller: Caller, method: str, path: str, status: int
) -> None:
    """Never a redirect, never HTML, never cached or sniffed."""
    answer = caller.session.request(
        method, caller.collector.origin + path, headers=HEADERS, timeout=DEADLINE
    )

    assert answer.status_code == status
    assert answer.history == []
    assert isinstance(answer.json()["error"], str)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_follow_the_cursor_to_the_end(caller: Caller) -> None:
    """Each event once, newest first, while others arrive."""
    caller.batch(*[event(error_message=str(n)) for n in range(25)])
    seen: List[str] = []
    query: Dict[str, Any] = {"limit": 10, "agent_id": "bot"}
    while query.get("cursor", "") is not None:
        page = caller.get(**query).json()
        seen += [e["error_message"] for e in page["events"]]
        caller.batch(event())
        query["cursor"] = page["next"]

    assert seen == [str(n) for n in reversed(range(25))]


def test_every_filter_selects(caller: Caller) -> None:
    """agent_id, event_type, status and trace_id, alone and together."""
    caller.batch(
        event(agent_id="a&b=c"),
        event(event_type="ünï"),
        event(status="error"),
        event(metadata={"trace_id": "t" * 32}),
    )

    def found(**query: str) -> int:
        return len(caller.get(**query).json()["events"])

    assert found() == 4
    assert found(agent_id="a&b=c") == 1
    assert found(event_type="ünï") == 1
    assert found(status="success") == 3
    assert found(trace_id="f" * 32) == 3
    assert found(trace_id="f" * 32, status="error", agent_id="bot") == 1
    assert found(agent_id="' OR 1=1 --") == 0


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=%D9%A3",
        "cursor=x",
        "cursor=YmVmb3JlPTE",
        "cursor=YmVmb3JlPXg=",
        "cursor=%C3%A9",
        "status=odd",
        "agent_id=",
        "agent=bot",
        "agent_id=a&agent_id=b",
    ],
)
def test_a_bad_parameter_is_refused(caller: Caller, query: str) -> None:
    """A misspelt filter must not look like an unfiltered answer."""
    answer = caller.session.get(
        f"{caller.collector.url}/events?{query}", timeout=DEADLINE
    )

    assert answer.status_code == 400
    assert query.split("=")[0].split("&")[0] in answer.json()["error"] or "&" in query


def test_health_says_when_nothing_can_be_stored(caller: Caller) -> None:
    """A closed store is 503 for everyone, so that senders come back."""
    origin = caller.collector.origin
    before = caller.session.get(origin + "/healthz", timeout=DEADLINE)
    caller.collector.store.close()

    after = caller.session.get(origin + "/healthz", timeout=DEADLINE)

    assert (before.status_code, after.status_code) == (200, 503)
    assert caller.get().status_code == 503
    refused = caller.batch(event())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


def test_a_database_that_fails_is_503(caller: Caller) -> None:
    """Rows that could not be stored are asked for again, and none is acknowledged."""
    other = sqlite3.connect(caller.collector.store.path)
    other.execute("ALTER TABLE events RENAME TO gone")
    other.commit()
    failed = caller.batch(event())
    unread = caller.get()
    other.execute("ALTER TABLE gone RENAME TO events")
    other.commit()
    other.close()

    assert (failed.status_code, unread.status_code) == (503, 503)
    assert "gone" not in failed.text
    assert caller.batch(event()).json() == {"accepted": 1, "duplicates": 0}


def test_many_callers_at_once_are_all_answered(caller: Caller) -> None:
    """Requests that share a transaction each get their own counts."""
    shared = event()
    results: List[Dict[str, int]] = []

    def send() -> None:
        with requests.Session() as session:
            own = Caller(caller.collector, session)
            for _ in range(10):
                results.append(own.batch(shared, event()).json())

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert sum(r["accepted"] for r in results) == 81
    assert sum(r["duplicates"] for r in results) == 79
    assert caller.collector.store.count() == 81


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Caller]:
    with running_collector(tmp_path / "a.db", timeout=0.3) as running:
        with requests.Session() as session:
            yield Caller(running, session)


def test_a_body_that_does_not_come_is_given_up(hasty: Caller) -> None:
    """A client that announces and does not send is answered 408 and left."""
    head = (
        f"POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
    )

    with hasty.raw((head + "Content-Length: 100\r\n\r\n{").encode()) as connection:
        answer = received(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too slowly" in answer


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\n"])
def test_a_head_that_does_not_come_is_given_up(hasty: Caller, start: bytes) -> None:
    """A connection on which nobody asks is closed."""
    with hasty.raw(start) as connection:
        answer = received(connection)

    assert answer == b""


def test_a_second_head_that_does_not_come_is_given_up(hasty: Caller) -> None:
    """A connection that was useful before is not trusted for ever."""
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with hasty.raw(ask) as connection:
        first = connection.recv(12)
        connection.sendall(ask[:9])
        rest = received(connection)

    assert first == b"HTTP/1.1 200"
    assert b"HTTP/1.1" not in rest


def test_a_refused_body_cannot_drip_for_ever(hasty: Caller) -> None:
    """What follows an early answer is thrown away, and not for long."""
    head = "POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"

    with hasty.raw(head.encode()) as connection:
        answer = connection.recv(12)
        connection.sendall(b"x")
        rest = received(connection)

    assert answer == b"HTTP/1.1 401"
    assert b"HTTP/1.1" not in rest


def test_an_answer_nobody_reads_is_given_up(hasty: Caller) -> None:
    """A client that asks for much and reads nothing loses its connection."""
    hasty.batch(*[event(input_data={"x": "y" * 60_000}) for _ in range(100)])
    ask = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with hasty.raw(ask * 20) as connection:
        connection.settimeout(DEADLINE)
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, by system
            while True:
                connection.sendall(ask)


def test_an_answer_that_is_read_late_is_whole(hasty: Caller) -> None:
    """Only a reader that stops is cut off, not one that takes its time."""
    hasty.batch(*[event(input_data={"x": "y" * 60_000}) for _ in range(100)])

    with hasty.session.get(
        hasty.collector.url + "/events", stream=True, timeout=DEADLINE
    ) as answer:
        size = sum(map(len, answer.iter_content(100_000)))
    again = hasty.session.get(hasty.collector.origin + "/healthz", timeout=DEADLINE)

    assert size == int(answer.headers["Content-Length"]) > 6_000_000
    assert again.status_code == 200


def test_a_client_that_goes_away_leaves_nothing(hasty: Caller) -> None:
    """Half a batch is not stored, and the collector goes on."""
    head = (
        f"POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
    )
    hasty.raw((head + "Content-Length: 100\r\n\r\n{").encode()).close()

    assert hasty.batch(event()).json() == {"accepted": 1, "duplicates": 0}
    assert hasty.collector.store.count() == 1


def test_bodies_under_way_are_bounded_together(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When memory is promised to others, a request is asked to come back."""
    monkeypatch.setattr(app, "MAX_INTAKE_BYTES", 0)
    path = Path(caller.collector.store.path).parent / "b.db"
    head = (
        f"POST /api/v1/events/batch HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
    )
    with running_collector(path, max_body_bytes=50_000) as running:
        with requests.Session() as session:
            small = Caller(running, session)
            body = json.dumps({"events": [event()]}).ljust(20_000).encode()
            held = head + "Content-Length: 45000\r\nExpect: 100-continue\r\n\r\n"
            with small.raw(held.encode()) as connection:
                # Asked to continue, it is being read; what we send next is held.
                assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"[:25]
                connection.sendall(b" " * 44_000)
                busy = until_status(small, body, 503)
            free = until_status(small, body, 200)

    assert busy.headers["Retry-After"] == "1"
    assert free.json()["accepted"] + free.json()["duplicates"] == 1


def until_status(caller: Caller, body: bytes, status: int) -> requests.Response:
    """Send *body* until the answer is *status*, for at most some hundred times."""
    for _ in range(500):
        answer = caller.post(body)
        if answer.status_code == status:
            return answer
    raise AssertionError(answer.status_code)


def test_a_small_answer_is_not_held_back(caller: Caller) -> None:
    """Nagle's algorithm is off: 40 ms an answer would be 25 requests a second."""
    address = urlsplit(caller.collector.url)
    connection = http.client.HTTPConnection(str(address.netloc), timeout=DEADLINE)
    (server,) = _connections(caller.collector, connection)
    no_delay = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()

    assert no_delay


def _connections(
    collector: RunningCollector, connection: http.client.HTTPConnection
) -> List[Any]:
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    state = collector._server.server_state
    return [c.transport.get_extra_info("socket") for c in state.connections]


def test_a_collector_can_be_started_and_ended_again(tmp_path: Path) -> None:
    """Ended means ended: its port, file and threads are free."""
    before = set(threading.enumerate())
    for _ in range(3):
        with running_collector(tmp_path / "a.db") as collector:
            assert requests.get(collector.url + "/events", timeout=DEADLINE).json() == {
                "events": [],
                "next": None,
            }
        with pytest.raises(requests.ConnectionError):
            requests.get(collector.url + "/events", timeout=DEADLINE)

    for thread in set(threading.enumerate()) - before:
        # The pool's threads are told to end, but nobody waits for them.
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert collector.url in repr(collector)


def test_the_end_waits_for_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection left open does not hold the collector up."""
    monkeypatch.setattr(serve, "SHUTDOWN_TIMEOUT", 1)
    with running_collector(tmp_path / "a.db") as collector:
        with requests.Session() as session:
            caller = Caller(collector, session)
            caller.batch(*[event(input_data={"x": "y" * 60_000}) for _ in range(100)])
            stuck = caller.raw(
                b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            stuck.recv(1)

    assert not collector.store.alive
    stuck.close()


def test_a_taken_port_is_named(collector: RunningCollector, tmp_path: Path) -> None:
    """One clear sentence says which address cannot be had."""
    port = int(urlsplit(collector.url).port or 0)

    with pytest.raises(AddressError, match=f"127.0.0.1:{port}"):
        with running_collector(tmp_path / "b.db", port=port):
            pass


def test_a_database_in_use_frees_the_port(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """A start that fails half-way leaves nothing open."""
    with pytest.raises(StoreError):
        with running_collector(collector.store.path):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_need_a_key(tmp_path: Path, host: str) -> None:
    """An address that others can reach is refused before anything listens."""
    with pytest.raises(CollectorError, match="--api-key"):
        with running_collector(tmp_path / "a.db", host=host):
            pass

    assert list(tmp_path.iterdir()) == []


def test_with_a_key_any_host_name_is_answered(tmp_path: Path) -> None:
    """Beyond loopback the collector cannot know its names; the key protects it."""
    with running_collector(tmp_path / "a.db", KEY, host="0.0.0.0") as collector:
        port = urlsplit(collector.url).port
        answer = requests.get(
            f"http://127.0.0.1:{port}/api/v1/events",
            headers={**HEADERS, "Host": "collector.example"},
            timeout=DEADLINE,
        )

    assert answer.status_code == 200


def test_an_unknown_address_is_named(tmp_path: Path) -> None:
    """A host that does not exist is a clear error."""
    with pytest.raises(AddressError, match=r"nowhere\.invalid"):
        with running_collector(tmp_path / "a.db", host="nowhere.invalid"):
            pass


SYNC_ORIGINAL = """
    import sys
    from agentmonitor import AgentMonitor

    errors = []
    monitor = AgentMonitor(
        api_key="k" * 32, agent_id="original", api_url=sys.argv[1],
        retry_attempts=0, on_error=errors.append,
    )

    @monitor.track()
    def add(x, y):
        return x + y

    @monitor.track(event_type="tool")
    def fail():
        raise ValueError("no")

    add(1, y=2)
    try:
        fail()
    except ValueError:
        pass
    with monitor.track_event("step", {"q": 1}) as step:
        step.set_output("text")
        step.set_cost(0.25)
    monitor.log_event("bare", status="error", error_message="why")
    monitor.flush()
    monitor.close()
    assert errors == [], errors
"""

ASYNC_ORIGINAL = """
    import asyncio, sys
    from agentmonitor import AsyncAgentMonitor

    async def main():
        errors = []
        monitor = AsyncAgentMonitor(
            api_key="k" * 32, agent_id="original", api_url=sys.argv[1],
            retry_attempts=0, on_error=errors.append,
        )

        @monitor.track()
        async def add(x, y):
            return x + y

        @monitor.track(event_type="tool")
        async def fail():
            raise ValueError("no")

        await add(1, y=2)
        try:
            await fail()
        except (ValueError, UnboundLocalError):
            pass
        async with monitor.track_event("step", {"q": 1}) as step:
            step.set_output("text")
            step.set_cost(0.25)
        await monitor.log_event("bare", status="error", error_message="why")
        await monitor.stop()
        assert errors == [], errors

    asyncio.run(main())
"""


@pytest.mark.parametrize("program", [SYNC_ORIGINAL, ASYNC_ORIGINAL])
def test_the_original_sdk_is_accepted(caller: Caller, program: str) -> None:
    """`agentmonitor` 0.1.0 from PyPI, pointed here, has every event accepted."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), caller.collector.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=2 * DEADLINE,
        check=False,
    )
    found = {
        e["event_type"]: e for e in caller.get(agent_id="original").json()["events"]
    }

    assert done.returncode == 0, done.stdout.decode()
    assert sorted(found) == ["bare", "function_call", "step", "tool"]
    assert found["function_call"]["status"] == "success"
    assert isinstance(found["function_call"]["latency_ms"], int)
    assert found["tool"]["status"] == found["bare"]["status"] == "error"
    assert found["tool"]["error_message"] == "ValueError: no"
    assert found["step"]["cost_usd"] == 0.25
    assert found["step"]["output_data"] == {"value": "text"}
