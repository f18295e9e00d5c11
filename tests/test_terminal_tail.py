"""`agentmonitor tail`: the last events, new ones, trees, and text that is hostile."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
import requests

pytest.importorskip("click", reason="needs the extra: collector")
pytest.importorskip("rich", reason="needs the extra: collector")

from agentmonitor_logging.collector import RunningCollector, running_collector
from agentmonitor_logging.collector.validation import rows_from_events
from agentmonitor_logging.terminal import forest as forests
from agentmonitor_logging.terminal.forest import Forest, walk
from agentmonitor_logging.terminal.harmless import fitted, harmless
from agentmonitor_logging.terminal.lines import line
from agentmonitor_logging.terminal.span import Span, span_from, span_from_event
from agentmonitor_logging.terminal.stream import (
    MAX_MESSAGE,
    EndlessMessageError,
    Message,
    messages,
)
from conftest import KEY
from servers import DEADLINE, Exchange, Raw, Reply, ScriptedServer, closed_port
from test_cli import environment, run

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pty are POSIX")

OURS = re.compile(r"\x1b\[[0-9;]*m")
"""The colours that we write ourselves."""
ANY = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""These, and how rich moves the cursor."""

HOSTILE = [
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31m",
    "\x90q\x9c",
    "two\nlines",
    "over\rwritten",
    "back\b\b\bspaced",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "\u2028\u2029\x85",
    "nul\x00 del\x7f",
    "[red]markup[/red] :boom:",
]


def event(name: str, **fields: Any) -> Dict[str, Any]:
    """Make a valid event."""
    metadata = {"event_id": name, "message": name, **fields.pop("metadata", {})}
    return {
        "agent_id": "bot",
        "event_type": "log",
        "timestamp": "2026-10-16T12:00:00.123456Z",
        "metadata": metadata,
        **fields,
    }


def step(name: str, span: str, parent: Optional[str] = None, **more: Any) -> Any:
    """Make the event of a call in the trace "a...", or another one."""
    metadata = {
        "trace_id": more.pop("trace", "a" * 32),
        "span_id": span * 16,
        "function_name": name,
        **({"parent_span_id": parent * 16} if parent else {}),
    }
    return event(f"{span}-{name}", latency_ms=5, metadata=metadata, **more)


def send(url: str, *events: Dict[str, Any]) -> None:
    answer = requests.post(
        f"{url}/events/batch",
        json={"events": events},
        headers={"X-API-Key": KEY},
        timeout=DEADLINE,
    )
    assert 200 == answer.status_code, answer.text


def tail(url: str, *arguments: str, **variables: str) -> Any:
    """Run `agentmonitor tail` to its end; nothing it says has the key in it."""
    variables = {"AGENTMONITOR_API_KEY": KEY, "TZ": "UTC", **variables}
    done = run("tail", "--url", url, *arguments, **variables)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Running:
    """Hold a command that runs, and wait for what it says."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.said: List[str] = []
        self.complained: List[str] = []
        self._news: "queue.SimpleQueue[None]" = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((process.stdout, self.said), (process.stderr, self.complained))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, pipe: Any, lines: List[str]) -> None:
        for read in pipe:
            lines.append(read.rstrip("\n"))
            self._news.put(None)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* holds, looking again after each line."""
        while not condition():
            try:
                self._news.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError([self.said, self.complained]) from None

    def end(self, number: int = signal.SIGINT) -> int:
        """End it by a signal; return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        for thread in self._threads:
            thread.join(DEADLINE)
        return int(code)


@contextlib.contextmanager
def tailing(url: str, *arguments: str) -> Iterator[Running]:
    """Run `agentmonitor tail` until the block ends."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "agentmonitor_logging",
            "tail",
            "--url",
            url,
            *arguments,
        ],
        env=environment(AGENTMONITOR_API_KEY=KEY, TZ="UTC", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    ) as process:
        running = Running(process)
        try:
            yield running
        finally:
            process.kill()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db", KEY) as running:
        yield running


# -- text that is hostile --------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_can_make_a_terminal_do_anything(text: str) -> None:
    """What is shown consists of characters that print, and that go one way."""
    shown = harmless(text, 100)

    assert all(character.isprintable() for character in shown)
    assert shown.isascii()


def test_an_escape_is_shown_as_python_writes_it() -> None:
    """Who looks sees what was there."""
    assert r"\x1b[2J \n \u202e" == harmless("\x1b[2J \n \u202e", 100)


def test_words_of_all_scripts_are_left_as_they_are() -> None:
    """Harmless is not the same as ASCII."""
    for text in ("Žluťoučký kůň", "東京タワー", "می‌خواهم", "👩‍💻 ok", "naïve"):
        assert text == harmless(text, 100)


def test_what_is_no_text_is_nothing() -> None:
    """A list in the place of a name is no reason to fail."""
    assert ["", "", ""] == [harmless(given, 10) for given in (None, 3, ["x"])]


def test_texts_are_cut_to_columns_of_the_terminal() -> None:
    """Wide characters count twice, marks above others not at all."""
    assert "ab   " == fitted("ab", 5)
    assert "ab..." == fitted("abcdef", 5)
    assert ["東...", "東... "] == [fitted("東京タワー", width) for width in (5, 6)]
    assert "e\u0301    " == fitted("e\u0301", 5)


# -- the stream ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_messages_are_the_same_however_they_are_cut(size: int) -> None:
    """Neither packets nor line ends nor comments are part of a message."""
    text = b": hello\n\nevent: events\nid: 7\ndata: {1}\n\nid: 8\r\ndata:a\r\ndata: b\r\n\r\n"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]

    assert [
        None,
        Message("events", "7", "{1}"),
        Message("message", "8", "a\nb"),
    ] == list(messages(pieces))


@pytest.mark.parametrize("part", [b"x" * 65536, b"data: x\n" * 8192])
def test_a_message_without_end_is_broken_off(part: bytes) -> None:
    """Whoever sends one cannot fill the memory."""
    pieces = (part for _ in range(2 + 2 * MAX_MESSAGE // len(part)))

    with pytest.raises(EndlessMessageError):
        list(messages(pieces))


# -- trees -----------------------------------------------------------------------------


def span(number: int, me: str = "", parent: str = "", trace: str = "t") -> Span:
    return span_from(
        {"id": number, "trace_id": trace, "span_id": me, "parent_span_id": parent}
    )


@pytest.mark.parametrize(
    "tree",
    [
        [span(1, "a")],
        [span(1, "b", "a"), span(2, "c", "b"), span(3, "a")],
        [span(1, "b", "gone"), span(2, "c", "b")],
        [span(1, "a", "b"), span(2, "b", "a")],
        [span(1, "a", "a")],
        [span(1, "a"), span(2, "a"), span(3, "b", "a")],
        [span(1), span(2), span(3, "", "a"), span(4, "a")],
        [span(n, f"{n}", f"{n - 1}") for n in range(1, 3000)],
    ],
    ids=["one", "usual", "orphan", "circle", "self", "twice", "nameless", "deep"],
)
def test_every_span_is_in_its_tree_once(tree: List[Span]) -> None:
    """Whatever the callers are said to be, nothing is missing and nothing is endless."""
    assert sorted(tree) == sorted(one for one, _ in walk(tree))


def test_calls_stand_below_their_callers() -> None:
    """A tree is in the order of its calls, though their events came in another."""
    tree = [span(1, "c", "b"), span(2, "b", "a"), span(3, "d", "a"), span(4, "a")]

    assert [("a", 0), ("b", 1), ("c", 2), ("d", 1)] == [
        (one.span_id, len(way)) for one, way in walk(tree)
    ]


def test_ids_are_told_apart_to_their_ends() -> None:
    """However long they are, and whatever is in them."""
    long, odd = "runs/" * 20, "run\u00a0"
    forest = Forest(clock=lambda: 0.0)
    trees = [
        *forest.add([span(1, long + "b", long + "a", trace=long + "2")]),
        *forest.add([span(2, odd + "b", odd, trace=odd)]),
        *forest.add([span(3, "a", trace=long + "1"), span(4, "a", trace="run ")]),
        *forest.add([span(5, long + "a", trace=long + "2"), span(6, odd, trace=odd)]),
    ]

    assert [[(3, 0)], [(4, 0)], [(5, 0), (1, 1)], [(6, 0), (2, 1)]] == [
        [(one.id, len(way)) for one, way in walk(tree)] for tree in trees
    ]


def test_a_tree_is_handed_out_when_its_root_has_come() -> None:
    """Until then it grows; what came beside the root belongs to it."""
    forest = Forest(clock=lambda: 0.0)

    assert [] == list(forest.add([span(1, "b", "a")]))
    (tree,) = forest.add([span(2, "a"), span(3, "c", "a")])
    assert [2, 1, 3] == [one.id for one, _ in walk(tree)]
    assert [] == forest.growing


def test_a_trace_without_a_root_is_not_waited_for_for_ever() -> None:
    """Its process was killed; what there is of it is shown after a minute."""
    now = [0.0]
    forest = Forest(clock=lambda: now[0])
    assert [] == list(forest.add([span(1, "b", "a")]))
    now[0] = forests.QUIET

    assert [[span(1, "b", "a")]] == list(forest.quiet())
    assert [] == list(forest.rest())


def test_only_so_much_is_waited_for() -> None:
    """Neither many traces nor a long one fill the memory, and none is lost."""
    forest = Forest(clock=lambda: 0.0)
    many = [span(n, f"{n}", "a", trace=f"{n}") for n in range(1000)]
    long = [span(n, f"{n}", "a") for n in range(3000)]
    out = [*forest.add(many), *forest.add(long)]

    assert forests.MAX_TRACES >= len(forest.growing)
    assert forests.MAX_SPANS >= max(map(len, [*out, *forest.growing]))
    assert 4000 == sum(map(len, [*out, *forest.rest()]))


# -- lines -----------------------------------------------------------------------------


def shown(**fields: Any) -> str:
    known = {"agent_id": "bot", "event_type": "llm_call", "name": "ask", **fields}
    return OURS.sub("", line(span_from(known), date(2026, 10, 16)))


def test_a_line_has_everything_at_a_glance() -> None:
    """Agent, type, name, status, latency, cost, tokens and what went wrong."""
    fine = shown(latency_ms=66, cost_usd=0.0006, tokens=1204)
    failed = shown(status="error", latency_ms=12_340, error_message="no answer")

    assert ["bot", "llm_call", "ask", "ok", "66", "ms", "$0.0006", "1,204", "tok"] == (
        fine.split()
    )
    assert ["bot", "llm_call", "ask", "error", "12.3", "s", "no", "answer"] == (
        failed.split()
    )


def test_a_cost_that_is_not_nothing_is_not_shown_as_nothing() -> None:
    """A fraction of a cent is told as such."""
    assert "<$0.0001" in shown(cost_usd=0.00002)
    assert "$0.0000" in shown(cost_usd=0)
    assert "$1,234.50" in shown(cost_usd=1234.5)


def test_the_time_is_that_of_the_clock_on_the_wall() -> None:
    """Local, with a date where it is not of today."""
    given = "2026-10-16T12:00:00.123456Z"
    moment = datetime(2026, 10, 16, 12, tzinfo=timezone.utc).astimezone()
    when = span_from({"timestamp": given})

    assert f"{moment:%H:%M:%S}.123" in line(when, moment.date())
    assert f"{moment.date()} {moment:%H:%M:%S}" in line(when, date(2026, 10, 20))


@pytest.mark.parametrize(
    "given",
    [
        {"latency_ms": "fast", "cost_usd": [], "tokens": True, "id": "x"},
        {"latency_ms": 10**400, "cost_usd": float("nan"), "tokens": float("inf")},
        {"timestamp": "0001-01-01T00:00:00Z", "name": None, "agent_id": 7},
        {"timestamp": "yesterday", "trace_id": {}, "error_message": []},
        {},
    ],
)
def test_what_makes_no_sense_is_left_blank(given: Dict[str, Any]) -> None:
    """A line has gaps, and is a line."""
    assert "ok" in line(span_from(given), date(2026, 10, 16))
    assert "ok" in line(span_from_event({"metadata": "?", **given}), date(2026, 1, 1))


# -- the last events -------------------------------------------------------------------


def test_the_last_events_are_shown_the_oldest_first(
    collector: RunningCollector,
) -> None:
    """-n says how many, and --no-follow that this is all."""
    send(collector.url, *(event(f"event-{n}") for n in range(20)))
    done = tail(collector.url, "-n", "3", "--no-follow")

    assert (0, "") == (done.returncode, done.stderr)
    assert ["event-17", "event-18", "event-19"] == [
        row.split()[4] for row in done.stdout.splitlines()
    ]


def test_what_is_not_asked_for_is_not_shown(collector: RunningCollector) -> None:
    """Agent, type, status and session each leave the others out."""
    url = collector.url
    send(
        url,
        event("plain"),
        event("other", agent_id="other"),
        event("call", event_type="tool_call"),
        event("bad", status="error", error_message="oops"),
        event("talk", metadata={"session_id": "s-1"}),
    )

    def names(*arguments: str) -> List[str]:
        done = tail(url, "--no-follow", *arguments)
        return re.findall(r"\b(plain|other|call|bad|talk)  ", done.stdout)

    assert ["other"] == names("--agent", "other")[1:]
    assert ["call"] == names("--type", "tool_call")
    assert ["bad"] == names("--status", "error")
    assert ["talk"] == names("--session", "s-1")


def test_an_event_has_the_same_ids_read_whole_as_in_a_stream() -> None:
    """Those that the collector keeps: it cuts them, and mends halves of characters."""
    names = ("trace_id", "span_id", "parent_span_id", "session_id")
    metadata = {name: f"{name}\ud800" * 99 for name in names}
    (row,) = rows_from_events([event("long", metadata=metadata)])
    told = {name: getattr(row, name) for name in names}

    assert span_from(told)[1:5] == span_from_event({"metadata": metadata})[1:5]


@pytest.mark.parametrize("session", ["user:ann@example.com/" * 9, "Gespr\xe4ch\xa01"])
def test_a_session_is_found_whatever_it_is_called(
    collector: RunningCollector, session: str
) -> None:
    """By all of its name, of which more may be there than a line could show."""
    named = {"metadata": {"session_id": session}}
    send(collector.url, event("talk", **named), event("other"))
    done = tail(collector.url, "--no-follow", "--session", session)

    assert ["talk"] == [row.split()[4] for row in done.stdout.splitlines()]


def test_an_empty_collector_has_nothing_to_show(collector: RunningCollector) -> None:
    """That is no error."""
    done = tail(collector.url, "--no-follow")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_tree_is_indented_where_there_is_no_terminal(
    collector: RunningCollector,
) -> None:
    """--tree shows calls below their callers."""
    send(
        collector.url,
        step("look", "b", "a"),
        step("ask", "d", "c"),
        step("write", "c", "a", status="error", error_message="no ink"),
        step("answer", "a"),
        event("alone"),
    )
    done = tail(collector.url, "--tree", "--no-follow", PYTHONIOENCODING="utf-8")

    assert 0 == done.returncode
    rows = [row[57:76].rstrip() for row in done.stdout.splitlines()]
    assert ["alone", "answer", "├─ look", "└─ write", "   └─ ask"] == rows
    assert "no ink" in done.stdout


# -- following -------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_new_events_are_shown_until_it_is_ended(
    collector: RunningCollector, number: int
) -> None:
    """Ctrl-C and SIGTERM are the way it ends: quietly, with 0."""
    send(collector.url, event("early"))
    with tailing(collector.url) as running:
        running.wait(lambda: running.said)
        for count in range(2, 5):
            send(collector.url, event(f"later-{count}"))
            running.wait(lambda: len(running.said) == count)
        code = running.end(number)

    assert (0, []) == (code, running.complained)
    assert ["early", "later-2", "later-3", "later-4"] == [
        row.split()[4] for row in running.said
    ]


@posix
def test_nothing_is_missed_while_the_collector_is_away(tmp_path: Path) -> None:
    """One line says that it is gone, one that it is back; each event is shown once."""
    with running_collector(tmp_path / "a.db", KEY) as first:
        port, url = int(first.url.split(":")[2].partition("/")[0]), first.url
        send(url, event("before"))
        with tailing(url) as running:
            running.wait(lambda: running.said)
            send(url, event("while"))
            running.wait(lambda: len(running.said) == 2)
            first._server.should_exit = True
            running.wait(lambda: running.complained)
            with contextlib.suppress(Exception):
                first.wait()
            first.store.close()
            with running_collector(tmp_path / "a.db", KEY, port=port):
                send(url, event("after"))
                running.wait(lambda: len(running.said) == 3)
                code = running.end()

    assert 0 == code
    assert ["before", "while", "after"] == [row.split()[4] for row in running.said]
    away, back = running.complained
    assert away.startswith(f"The collector is away: cannot reach {url}: ")
    assert "The collector is back." == back


@posix
def test_a_stream_is_taken_up_where_it_broke_off(
    serve: Callable[..., ScriptedServer],
) -> None:
    """Last-Event-ID says what was seen last."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )

    def told(number: int) -> bytes:
        data = json.dumps({"events": [{"id": number, "name": f"span-{number}"}]})
        text = f"event: events\nid: {number}\ndata: {data}\n\n".encode()
        return b"%x\r\n%s\r\n" % (len(text), text)

    streams = [Raw(head + told(5), "reset"), Raw(head + told(6), "hang")]

    def rule(request: Any) -> Any:
        if "/stream" in request.line:
            return streams.pop(0)
        newest = 4 if len(streams) == 2 else 9
        return Reply(200, {"events": [{"id": newest}], "next": None}, store=False)

    server = serve(rule=rule)
    with tailing(server.url, "-n", "0") as running:
        running.wait(lambda: len(running.said) == 2)
        assert 0 == running.end()

    asked = [r for r in server.requests if "/stream" in r.line]
    assert "after=4" in asked[0].line
    assert ["5"] == [r.headers["last-event-id"] for r in asked[1:]]
    assert "after=" not in asked[1].line
    assert ["span-5", "span-6"] == [row.split()[0] for row in running.said]
    assert 2 == len(running.complained)


@posix
@pytest.mark.parametrize("count", [2, 5], ids=["fewer events", "more events"])
def test_a_collector_that_begins_anew_is_followed_anew(
    serve: Callable[..., ScriptedServer], count: int
) -> None:
    """Its numbers count from the start, however short it was away, or however many."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def message(kind: str, number: int, **data: Any) -> bytes:
        text = f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n"
        return text.encode()

    first = head + message("database", 4, database="one", revision=4)
    other = head + message("database", 4, database="two", revision=count)
    new = message("events", count, events=[{"id": count, "name": "new"}])
    streams = [Raw(first), Raw(other, "hang"), Raw(other + new, "hang")]

    def rule(request: Any) -> Any:
        if "/stream" in request.line:
            return streams.pop(0)
        return Reply(200, {"events": [{"id": 4}], "next": None}, store=False)

    server = serve(rule=rule)
    with tailing(server.url, "-n", "0") as running:
        running.wait(lambda: running.said)
        assert 0 == running.end()

    assert ["The collector was emptied, or has another database."] == running.complained
    asked = [r for r in server.requests if "/stream" in r.line]
    assert ["4", "0"] == [r.headers["last-event-id"] for r in asked[1:]]


@posix
def test_nothing_of_another_database_is_missed(tmp_path: Path) -> None:
    """A file that was put in the place of the one that was followed is shown whole."""
    with running_collector(tmp_path / "a.db", KEY) as first:
        port, url = int(first.url.split(":")[2].partition("/")[0]), first.url
        send(url, event("old"))
        with tailing(url) as running:
            running.wait(lambda: running.said)
            send(url, event("while"))
            running.wait(lambda: len(running.said) == 2)
            first._server.should_exit = True
            with contextlib.suppress(Exception):
                first.wait()
            first.store.close()
            with running_collector(tmp_path / "b.db", KEY, port=port):
                send(url, event("new-1"), event("new-2"))
                running.wait(lambda: len(running.said) == 4)
                code = running.end()

    assert 0 == code
    assert ["old", "while", "new-1", "new-2"] == [
        row.split()[4] for row in running.said
    ]
    assert "The collector was emptied, or has another database." in running.complained


@posix
def test_it_ends_quietly_where_nobody_reads_on(collector: RunningCollector) -> None:
    """`| head -1` has its line, and nothing is complained about."""
    send(collector.url, event("first"))
    with subprocess.Popen(
        [sys.executable, "-m", "agentmonitor_logging", "tail", "--url", collector.url],
        env=environment(AGENTMONITOR_API_KEY=KEY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"first" in process.stdout.readline()
        process.stdout.close()
        for count in range(3):
            send(collector.url, event(f"unread-{count}"))
        errors = process.stderr.read()
        assert 0 == process.wait(DEADLINE)

    assert b"" == errors


@posix
def test_it_notices_in_silence_that_nobody_reads_on(
    serve: Callable[..., ScriptedServer],
) -> None:
    """Though no event comes, `| head -1` gives the prompt back at the next heartbeat."""
    closed = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def silent(exchange: Exchange) -> None:
        exchange.write(head)
        assert closed.wait(DEADLINE)
        exchange.write(b": alive\n\n")
        exchange.hang()

    def rule(request: Any) -> Any:
        if "/stream" in request.line:
            return silent
        return Reply(200, {"events": [{"id": 1}], "next": None}, store=False)

    url = serve(rule=rule).url
    with subprocess.Popen(
        [sys.executable, "-m", "agentmonitor_logging", "tail", "--url", url],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        closed.set()
        errors = process.stderr.read()
        assert 0 == process.wait(DEADLINE)

    assert b"" == errors


# -- what a terminal gets --------------------------------------------------------------


@contextlib.contextmanager
def terminal(
    *arguments: str, stream: str = "stdout", **variables: str
) -> Iterator[Tuple[Any, List[str]]]:
    """Run a command whose *stream* is a terminal; yield what that gets."""
    import pty

    ours, theirs = pty.openpty()
    got: List[str] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while True:
                got.append(os.read(ours, 65536).decode("utf-8", "replace"))

    variables = {"TERM": "xterm-256color", "TZ": "UTC", **variables}
    variables = {"AGENTMONITOR_API_KEY": KEY, "PYTHONIOENCODING": "utf-8", **variables}
    with subprocess.Popen(
        [sys.executable, "-m", "agentmonitor_logging", *arguments],
        env={**environment(**variables), "COLUMNS": "200", "LINES": "30"},
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs},
    ) as process:
        os.close(theirs)
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield process, got
            process.wait(DEADLINE)
            thread.join(DEADLINE)
        finally:
            process.kill()
    os.close(ours)


def wait_for(text: str, got: List[str]) -> None:
    from time import monotonic

    until = monotonic() + DEADLINE
    while text not in "".join(got):
        assert monotonic() < until, "".join(got)
        threading.Event().wait(0.02)


@posix
@pytest.mark.parametrize("tree", [(), ("--tree",)])
def test_hostile_events_reach_the_terminal_as_text(
    collector: RunningCollector, tree: Tuple[str, ...]
) -> None:
    """Besides our own colours there is not one control character, and no extra line."""
    for number, text in enumerate(HOSTILE):
        text = text.replace("\x00", "\x01")  # a database of text takes none
        send(
            collector.url,
            event(
                f"{number}",
                agent_id=f"a{text}",
                event_type=f"t{text}",
                status="error",
                error_message=f"e{text}",
                metadata={"message": f"m{text}", "trace_id": f"{number + 1:032x}"},
            ),
        )
    with terminal("tail", "--url", collector.url, "--no-follow", "-n", "50", *tree) as (
        _,
        got,
    ):
        pass

    output = OURS.sub("", "".join(got))
    assert len(HOSTILE) == len(output.splitlines()) == output.count("\n")
    assert all(c.isprintable() for c in output.replace("\r\n", ""))
    assert "\\x1b[2J" in output
    assert "[red]markup[/red] :boom:" in output


@posix
def test_colours_are_for_terminals_that_want_them(collector: RunningCollector) -> None:
    """A pipe gets none, nor does a terminal where NO_COLOR is set."""
    send(collector.url, event("bad", status="error", error_message="oops"))
    command = ("tail", "--url", collector.url, "--no-follow")
    with terminal(*command) as (_, plain):
        pass
    with terminal(*command, NO_COLOR="1") as (_, colourless):
        pass

    assert "\x1b[31moops" in "".join(plain)
    assert "\x1b" not in "".join(colourless)
    assert "\x1b" not in tail(*command[2:]).stdout


@posix
def test_a_tree_grows_on_a_terminal(collector: RunningCollector) -> None:
    """A call is seen before its caller has ended, and the whole tree stays."""
    with terminal("tail", "--tree", "--url", collector.url) as (process, got):
        send(collector.url, step("look", "b", "a"))
        wait_for("look", got)
        assert "answer" not in "".join(got)
        send(collector.url, step("answer", "a"), step("late", "e", "f", trace="b" * 32))
        wait_for("late", got)
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE)

    assert 0 == process.returncode
    output = ANY.sub("", "".join(got))
    assert re.search(r"answer .*\r?\n.*[└`].* look ", output)
    assert output.rstrip().splitlines()[-1].count("late")
    assert "\x1b[?25h" in "".join(got), "the cursor is not shown again"


# -- what is wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Reply(401, {"error": "no key"}), "AGENTMONITOR_API_KEY"),
        (Reply(404, b"", store=False), "give the address of a collector, as in http"),
        (Reply(302, b"", Location="https://elsewhere/x"), "redirects to https://elsew"),
        (
            Reply(200, b"<html>", store=False, Content_Type="text/html"),
            "a web page answered instead of the API",
        ),
        (Reply(200, b"[]", store=False), "is no collector"),
        (Reply(400, {"error": "agent_id must not be \x1b[2J"}), "agent_id must not be"),
    ],
    ids=["401", "404", "302", "html", "json", "400"],
)
def test_an_answer_that_is_of_no_use_is_one_clear_line(
    serve: Callable[..., ScriptedServer], answer: Any, said: str
) -> None:
    """It says what to do, the exit code is 1, and it is not asked again."""
    server = serve(rule=lambda request: answer)
    done = tail(server.url)

    assert (1, "") == (done.returncode, done.stdout)
    (complaint,) = done.stderr.splitlines()
    assert said in complaint
    assert "\x1b" not in complaint
    assert 1 == len(server.requests)


def test_a_collector_that_cannot_be_followed_is_too_old(
    serve: Callable[..., ScriptedServer],
) -> None:
    """Who has events and no stream is named as such."""

    def rule(request: Any) -> Any:
        if "/stream" in request.line:
            return Reply(404, {"error": "Not Found"})
        return Reply(200, {"events": [], "next": None}, store=False)

    done = tail(serve(rule=rule).url)

    assert 1 == done.returncode
    assert "too old to be followed" in done.stderr
    assert "--no-follow" in done.stderr


def test_who_does_not_follow_does_not_wait() -> None:
    """Where nobody listens, --no-follow is an error at once."""
    url = f"http://127.0.0.1:{closed_port()}/api/v1"
    done = tail(url, "--no-follow")

    assert (1, "") == (done.returncode, done.stdout)
    assert f"Error: cannot reach {url}: Connection refused" in done.stderr


@posix
def test_who_follows_waits_for_a_collector_that_is_not_there_yet(
    tmp_path: Path,
) -> None:
    """It is said once, and what comes is shown."""
    port = closed_port()
    url = f"http://127.0.0.1:{port}/api/v1"
    with tailing(url) as running:
        running.wait(lambda: running.complained)
        with running_collector(tmp_path / "a.db", KEY, port=port):
            send(url, event("first"))
            running.wait(lambda: running.said)
            running.wait(lambda: len(running.complained) == 2)
            assert 0 == running.end()

    assert "The collector is back." == running.complained[1]


def test_wrong_options_are_told_before_anybody_is_asked() -> None:
    """Neither a weak key nor plain http to elsewhere leaves the machine."""
    weak = tail("http://127.0.0.1:1/api/v1", "--api-key", "hunter2")
    plain = tail("http://example.com/api/v1")
    nonsense = tail("localhost:3002")

    assert [1, 1, 1] == [done.returncode for done in (weak, plain, nonsense)]
    assert "hunter2" not in weak.stderr
    assert "plain http would show the key" in plain.stderr
    assert "or give --allow-http where" in plain.stderr
    assert "like https://host/api/v1" in nonsense.stderr


def test_without_its_extra_the_command_names_it() -> None:
    """One line, exit code 2."""
    program = (
        "import sys, runpy; sys.modules['rich'] = sys.modules['uvicorn'] = None;"
        "sys.argv[1:] = ['tail'];"
        "runpy.run_module('agentmonitor_logging', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert (
        'Error: this needs rich, uvicorn: pip install "agentmonitor-logging[collector]"\n'
        == done.stderr
    )
