"""The collector's answers to readers, over real HTTP: views, streams, page, policy."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
import requests

pytest.importorskip("starlette", reason="needs the extra: collector")

from agentmonitor_logging.collector import RunningCollector, following
from agentmonitor_logging.collector import running_collector
from agentmonitor_logging.collector.pages import FOLDER, POLICY
from conftest import KEY

DEADLINE = 20


def event(number: int = 0, **changes: Any) -> Dict[str, Any]:
    metadata = {"event_id": f"{number:032x}", **changes.pop("metadata", {})}
    return {
        "agent_id": "bot",
        "event_type": "llm_call",
        "timestamp": "2026-10-16T12:00:00Z",
        "metadata": metadata,
        **changes,
    }


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db") as running:
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-API-Key"] = KEY
        yield session


def post(http: requests.Session, collector: RunningCollector, *events: Any) -> None:
    answer = http.post(collector.url + "/events/batch", json={"events": events})
    assert 200 == answer.status_code


class Stream:
    """Read server-sent events, by hand and with a deadline."""

    def __init__(
        self, http: requests.Session, collector: RunningCollector, **query: Any
    ) -> None:
        headers = query.pop("headers", {})
        self.answer = http.get(
            collector.url + "/stream",
            params=query,
            headers=headers,
            stream=True,
            timeout=DEADLINE,
        )
        assert 200 == self.answer.status_code
        assert "text/event-stream" in self.answer.headers["Content-Type"]
        self._lines = self.answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert ": following" == next(self._lines)
        kind, self.after, self.opening = self.next()
        assert "database" == kind

    def next(self) -> Tuple[str, int, Dict[str, Any]]:
        """Return kind, id and data of the next message."""
        fields: Dict[str, str] = {}
        for line in self._lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and fields:
                return fields["event"], int(fields["id"]), json.loads(fields["data"])
        raise EOFError

    def next_comment(self) -> str:
        return next(line for line in self._lines if line.startswith(":"))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.answer.close()


def test_a_stream_tells_of_new_and_of_changed_traces(collector, http) -> None:
    """A trace comes when it begins, and again when it grows."""
    with Stream(http, collector) as stream:
        post(http, collector, event(1, metadata={"trace_id": "a" * 32}))
        kind, first, data = stream.next()
        post(http, collector, event(2, metadata={"trace_id": "a" * 32}))
        _, second, grown = stream.next()

    assert ("traces", 1, 2) == (kind, first, second)
    assert [1] == [trace["events"] for trace in data["traces"]]
    assert [2] == [trace["events"] for trace in grown["traces"]]


def test_a_stream_of_events_tells_each_once_in_order(collector, http) -> None:
    """However many come at once, and whoever else follows."""
    with Stream(http, collector, of="events") as stream:
        for start in range(0, 500, 100):
            post(http, collector, *(event(start + n) for n in range(100)))
        ids: List[int] = []
        while len(ids) < 500:
            kind, revision, data = stream.next()
            ids += [one["id"] for one in data["events"]]
            assert "events" == kind
            assert ids[-1] == revision == data["revision"]

    assert list(range(1, 501)) == ids


def test_a_stream_says_first_of_which_database_it_is(
    collector, http, tmp_path: Path
) -> None:
    """Who followed another, or this one when it had more, knows it from that."""
    post(http, collector, event(1), event(2))
    with Stream(http, collector, after=7) as one, Stream(http, collector) as again:
        pass
    with running_collector(tmp_path / "b.db") as other:
        post(http, other, event(1), event(2))
        with Stream(http, other) as another:
            pass

    assert [2, 2, 2] == [s.opening["revision"] for s in (one, again, another)]
    assert [7, 2, 2] == [s.after for s in (one, again, another)]
    assert one.opening["database"] == again.opening["database"]
    assert one.opening["database"] != another.opening["database"]


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_stream_goes_on_where_it_was_broken_off(collector, http, how: str) -> None:
    """After a revision, given in the address or as a browser does."""
    post(http, collector, event(1), event(2), event(3))
    given: Dict[str, Any] = {"after": 2}
    if how == "header":
        given = {"after": 0, "headers": {"Last-Event-ID": "2"}}
    with Stream(http, collector, of="events", **given) as stream:
        _, _, data = stream.next()

    assert [3] == [one["id"] for one in data["events"]]


@pytest.mark.parametrize("of", ["events", "traces"])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"agent_id": "b"}, [2]),
        ({"event_type": "tool_call"}, [3]),
        ({"status": "error"}, [4]),
        ({"status": "success"}, [1, 2, 3, 5, 6]),
        ({"session_id": "s"}, [5]),
    ],
    ids=str,
)
def test_a_stream_tells_only_what_is_asked_for(
    collector, http, of: str, wanted: Dict[str, str], expected: List[int]
) -> None:
    """Every filter of the lists filters a stream, too."""
    post(
        http,
        collector,
        event(1),
        event(2, agent_id="b"),
        event(3, event_type="tool_call"),
        event(4, status="error"),
        event(5, metadata={"session_id": "s"}),
        event(6),
    )
    with Stream(http, collector, of=of, after=0, **wanted) as stream:
        _, _, data = stream.next()

    name = "revision" if of == "traces" else "id"
    assert expected == [one[name] for one in data[of]]


def test_a_quiet_stream_shows_that_it_is_alive(collector, http, monkeypatch) -> None:
    """A reader can tell silence from a dead connection."""
    monkeypatch.setattr(following, "PAUSE", 0.01)
    followers = collector._server.config.app.state.followers
    monkeypatch.setattr(followers, "_alive", 0.05)
    with Stream(http, collector) as stream:
        assert ": alive" == stream.next_comment()


def test_streams_end_with_the_collector(tmp_path: Path, http) -> None:
    """Who follows does not hold up its end."""
    with running_collector(tmp_path / "a.db") as collector:
        stream = Stream(http, collector)
        began = time.monotonic()
    took = time.monotonic() - began

    with stream, pytest.raises((EOFError, requests.RequestException)):
        stream.next()
    assert took < 4


def test_too_many_streams_are_refused(collector, http, monkeypatch) -> None:
    """And another finds room again when one has left."""
    monkeypatch.setattr(following, "MAX_STREAMS", 1)
    with Stream(http, collector):
        refused = http.get(collector.url + "/stream")
    assert 503 == refused.status_code
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        again = http.get(collector.url + "/stream", stream=True)
        again.close()
        if again.status_code == 200:
            return
        threading.Event().wait(0.02)
    raise AssertionError


def test_many_streams_at_once_are_not_too_many(collector, http, monkeypatch) -> None:
    """The bound holds, however close together they come."""
    monkeypatch.setattr(following, "MAX_STREAMS", 3)
    answers: List[requests.Response] = []

    def follow() -> None:
        url = collector.url + "/stream"
        answers.append(requests.get(url, stream=True, timeout=DEADLINE))

    threads = [threading.Thread(target=follow) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    codes = sorted(answer.status_code for answer in answers)
    for answer in answers:
        answer.close()

    assert [200] * 3 + [503] * 9 == codes


def test_the_head_of_a_stream_is_an_answer(collector, http) -> None:
    """Asked for that alone, it ends."""
    assert 200 == http.head(collector.url + "/stream").status_code
    assert 200 == http.get(collector.url + "/traces").status_code


@pytest.mark.parametrize(
    "query", [{"of": "x"}, {"after": "-1"}, {"after": "x"}, {"q": "x"}], ids=str
)
def test_a_wrong_question_for_a_stream_is_refused(collector, http, query: Any) -> None:
    """With an answer, not with a stream of nothing."""
    assert 400 == http.get(collector.url + "/stream", params=query).status_code


def test_one_event_is_read_whole(collector, http) -> None:
    """With its payloads, which lists leave out."""
    post(http, collector, event(1, input_data={"q": "x"}, output_data={"a": [1]}))
    found = http.get(collector.url + "/events/1").json()

    assert ({"q": "x"}, {"a": [1]}) == (found["input_data"], found["output_data"])


@pytest.mark.parametrize(
    "path",
    [
        *("/events/2", "/events/0", "/events/x", "/events/9223372036854775808"),
        *("/traces/none", "/sessions/none", "/traces/event-7", "/nothing"),
        "/events/" + "9" * 18,
    ],
)
def test_what_is_not_there_is_404(collector, http, path: str) -> None:
    """In JSON, like every error."""
    post(http, collector, event(1))
    answer = http.get(collector.url + path)

    assert 404 == answer.status_code
    assert "error" in answer.json()


def test_names_may_hold_anything(collector, http) -> None:
    """Slashes, blanks, signs of other alphabets: sessions and traces are found."""
    for name in (
        "a/b c?d#e",
        "../../etc/passwd",
        "é漢\U0001f600",
        "<script>",
        "a%2Fb",
        "a\r\nb\x00",
    ):
        post(http, collector, event(hash(name) % 2**64, metadata={"session_id": name}))
        quoted = requests.utils.quote(name, safe="")
        found = http.get(f"{collector.url}/sessions/{quoted}").json()
        assert name == found["session"]["session_id"]
        assert 1 == len(found["turns"])


# -- who may ask -----------------------------------------------------------------------

READ = (
    *("/events", "/events/1", "/traces", "/traces/x", "/sessions", "/sessions/x"),
    *("/stats", "/stream", "/openapi.json"),
)


@pytest.mark.parametrize("path", READ)
def test_every_answer_needs_the_key_where_there_is_one(
    tmp_path: Path, http, path: str
) -> None:
    """Without it nothing is read, not even whether something is there."""
    with running_collector(tmp_path / "a.db", KEY) as collector:
        answers = [
            requests.get(collector.url + path, headers=headers, timeout=DEADLINE)
            for headers in ({}, {"X-API-Key": "x" * 32}, {"X-API-Key": KEY + "x"})
        ]

    assert [401, 401, 401] == [answer.status_code for answer in answers]


@pytest.mark.parametrize("path", ["/api/v1/traces", "/api/v1/stream", "/", "/healthz"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Host": "evil.example"}, 421),
    ],
    ids=str,
)
def test_the_page_of_another_origin_may_ask_for_nothing(
    collector, http, path: str, headers: Dict[str, str], status: int
) -> None:
    """Whatever a browser lets it ask for, it says so; following a link is allowed."""
    answer = http.get(collector.origin + path, headers=headers, stream=True)
    answer.close()

    assert status == answer.status_code
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_own_origin_may_ask(collector, http) -> None:
    """As browsers say it with a POST."""
    headers = {"Origin": collector.origin}

    assert 200 == http.get(collector.url + "/traces", headers=headers).status_code


# -- the page --------------------------------------------------------------------------

VIEWS = ("/", "/traces", "/traces/abc", "/traces/a%2Fb", "/sessions", "/sessions/x y")


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_is_the_page_and_needs_no_key(tmp_path: Path, path: str) -> None:
    """It asks for the key itself; there is nothing in it to hide."""
    with running_collector(tmp_path / "a.db", KEY) as collector:
        answer = requests.get(collector.origin + path, timeout=DEADLINE)

    assert 200 == answer.status_code
    assert POLICY == answer.headers["Content-Security-Policy"]
    assert "text/html; charset=utf-8" == answer.headers["Content-Type"]
    assert (FOLDER / "index.html").read_bytes() == answer.content


def test_the_page_is_asked_for_again_only_when_it_changed(collector, http) -> None:
    """By its ETag."""
    first = http.get(collector.origin + "/")
    tag = first.headers["ETag"]
    again = http.get(collector.origin + "/", headers={"If-None-Match": tag})

    assert (304, b"") == (again.status_code, again.content)


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "__init__.py", ""]
)
def test_only_the_files_of_the_page_are_served(collector, http, name: str) -> None:
    """Nothing beside them, and nothing above."""
    assert 404 == http.get(f"{collector.origin}/static/{name}").status_code


def test_the_page_uses_nothing_of_elsewhere_and_nothing_inline() -> None:
    """No address but its own, no script, style or handler inside of the page."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")

    assert not re.search(r"""\son\w+\s*=|\sstyle\s*=|<style|javascript:""", page)
    assert not re.findall(r"<script(?![^>]*\ssrc=)", page)
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"https?://[^\s\"'`)<]+", text))
        assert found <= {"http://www.w3.org/2000/svg"}, path.name


def test_the_page_builds_itself_without_html_of_strings() -> None:
    """Events are hostile text, and text is all that they may become."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
        r"|DOMParser|createContextualFragment|srcdoc|setHTMLUnsafe"
    )
    for path in FOLDER.glob("*.js"):
        code = re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
        assert not forbidden.search(code), path.name


# -- the description -------------------------------------------------------------------


def test_every_route_is_described_and_every_description_is_true(
    collector, http
) -> None:
    """The OpenAPI document names the routes that there are, and no others."""
    document = http.get(collector.url + "/openapi.json").json()
    app = collector._server.config.app
    described = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]}
    routed = {
        re.sub(r"\{[\w:]+\}", "{}", route.path[len("/api/v1") :])
        for route in app.routes
        if route.path.startswith("/api/v1")
    }

    assert described == routed
    assert "3.1.0" == document["openapi"]


def test_a_fuzzer_finds_no_answer_that_is_not_described(
    collector, http, tmp_path
) -> None:
    """Whatever schemathesis makes of the description, no answer breaks it."""
    schemathesis = pytest.importorskip("schemathesis", reason="needs Python 3.10")
    del schemathesis  # run as people run it
    import subprocess
    import sys

    post(http, collector, event(1, metadata={"trace_id": "a" * 32, "session_id": "s"}))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *("--exclude-path", "/stream", "--max-examples", "40", "--no-color"),
            *("--header", f"X-API-Key: {KEY}", "--url", collector.url),
            # No schema says which cursors there are, or that from is before to.
            *("--exclude-checks", "positive_data_acceptance"),
            *("--checks", "all", "--seed", "1", collector.url + "/openapi.json"),
        ],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=tmp_path,
    )

    assert 0 == done.returncode, done.stdout[-4_000:] + done.stderr[-2_000:]
