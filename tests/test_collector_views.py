"""What the collector keeps beside the events is what the events say, at every moment."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

import pytest

pytest.importorskip("starlette", reason="needs the extra: collector")

from starlette.exceptions import HTTPException

from agentmonitor_logging.collector import EventStore, migrations, questions, sums
from agentmonitor_logging.collector import beside, retention, views, walking, writer
from agentmonitor_logging.collector.details import preview_of, tokens_of
from agentmonitor_logging.collector.retention import (
    STEP,
    Retention,
    bytes_of,
    seconds_of,
)
from agentmonitor_logging.collector.times import iso_8601
from agentmonitor_logging.collector.validation import rows_from_events

DEADLINE = 30
NOON = 1_792_152_000_000_000
"""Microseconds since 1970 at noon of 2026-10-16, UTC."""

AGENTS = ("planner", "writer", "critic")
TYPES = ("llm_call", "tool_call", "agent_run")


def event(number: int, **changes: Any) -> Dict[str, Any]:
    """Make a valid event of the minute *number* after noon."""
    metadata = {"event_id": f"{number:032x}", **changes.pop("metadata", {})}
    return {
        "agent_id": "bot",
        "event_type": "llm_call",
        "timestamp": iso_8601(NOON + number * 60_000_000),
        "status": "success",
        "metadata": metadata,
        **changes,
    }


def many(count: int, seed: int = 7) -> List[Dict[str, Any]]:
    """Make events of nested, interleaved traces, with gaps and oddities."""
    source = random.Random(seed)
    events = []
    for number in range(count):
        trace = source.randrange(max(1, count // 6))
        is_root = source.random() < 0.2
        in_trace = source.random() < 0.9
        metadata: Dict[str, Any] = {"function_name": f"step_{number % 7}"}
        if in_trace:
            metadata["trace_id"] = f"{trace + 1:032x}"
            metadata["span_id"] = f"{number + 1:016x}"
            metadata["parent_span_id"] = None if is_root else f"{trace + 1:016x}"
        if trace % 3 == 0:
            metadata["session_id"] = f"talk-{trace % 12}"
        if source.random() < 0.5:
            metadata["usage"] = {"input_tokens": number, "output_tokens": 1}
        events.append(
            event(
                number,
                agent_id=source.choice(AGENTS),
                event_type=source.choice(TYPES),
                status="error" if source.random() < 0.2 else "success",
                error_message="ValueError: bad" if source.random() < 0.2 else None,
                cost_usd=source.choice((None, 0.25, 0.5)),
                latency_ms=source.choice((None, 0, 7, 350, 12_000)),
                input_data={
                    "q": f"question {number} of the {'cat' if trace % 2 else 'dog'}"
                },
                metadata=metadata,
            )
        )
    source.shuffle(events)
    return events


def put(store: EventStore, events: List[Dict[str, Any]], at_once: int = 13) -> None:
    for start in range(0, len(events), at_once):
        rows = rows_from_events(events[start : start + at_once])
        store.append(rows).result(DEADLINE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path / "a.db") as opened:
        yield opened


def traces(store: EventStore, **query: Any) -> Dict[str, Any]:
    pairs = [(name.rstrip("_"), str(value)) for name, value in query.items()]
    return store.read(views.trace_list, questions.of_traces(pairs))


def all_traces(store: EventStore, **query: Any) -> List[Dict[str, Any]]:
    """Follow the cursor to the end."""
    found: List[Dict[str, Any]] = []
    cursor: Optional[str] = None
    while True:
        page = traces(store, **query, **({"cursor": cursor} if cursor else {}))
        found += page["traces"]
        cursor = page["next"]
        if cursor is None:
            return found


def by_trace(events: List[Dict[str, Any]]) -> Dict[str, List[Dict[str, Any]]]:
    """Sort events by their trace, lone ones by their place."""
    sorted_out: Dict[str, List[Dict[str, Any]]] = {}
    for place, one in enumerate(events):
        key = one["metadata"].get("trace_id") or f"event-{place + 1}"
        sorted_out.setdefault(key, []).append(one)
    return sorted_out


def known(values: Any) -> Any:
    given = [value for value in values if value is not None]
    return sum(given) if given else None


@pytest.mark.parametrize("at_once", [1, 13, 100])
def test_a_trace_is_what_its_events_come_to(store: EventStore, at_once: int) -> None:
    """In whatever batches they come, the row of a trace is the sum of its events."""
    events = many(300)
    put(store, events, at_once)
    expected = by_trace(events)
    found = {trace["trace_id"]: trace for trace in all_traces(store)}

    assert expected.keys() == found.keys()
    for key, members in expected.items():
        trace = found[key]
        assert len(members) == trace["events"]
        assert sum(e["status"] == "error" for e in members) == trace["errors"]
        assert known(e["cost_usd"] for e in members) == trace["cost_usd"]
        assert known(tokens_of(e["metadata"]) for e in members) == trace["tokens"]
        assert min(e["timestamp"] for e in members) == trace["started_at"]
        roots = [e for e in members if e["metadata"].get("parent_span_id") is None]
        assert bool(roots) == trace["complete"]
        shown = min(roots or members, key=lambda e: e["timestamp"])
        assert shown["agent_id"] == trace["agent_id"]
        assert shown["event_type"] == trace["event_type"]


FITS: Dict[str, Tuple[Any, Callable[[List[Dict[str, Any]]], bool]]] = {
    "agent_id": ("writer", lambda es: any(e["agent_id"] == "writer" for e in es)),
    "event_type": (
        "tool_call",
        lambda es: any(e["event_type"] == "tool_call" for e in es),
    ),
    "status": ("error", lambda es: any(e["status"] == "error" for e in es)),
    "session_id": (
        "talk-3",
        lambda es: any(e["metadata"].get("session_id") == "talk-3" for e in es),
    ),
    "min_cost": (1.0, lambda es: (known(e["cost_usd"] for e in es) or 0) >= 1.0),
    "from_": (
        iso_8601(NOON + 120 * 60_000_000),
        lambda es: min(e["timestamp"] for e in es) >= iso_8601(NOON + 7_200_000_000),
    ),
    "to": (
        iso_8601(NOON + 120 * 60_000_000),
        lambda es: min(e["timestamp"] for e in es) < iso_8601(NOON + 7_200_000_000),
    ),
    "q": ("question cat", lambda es: any("cat" in e["input_data"]["q"] for e in es)),
}


@pytest.mark.parametrize("patience", [walking.PATIENCE, -1.0])
@pytest.mark.parametrize(
    "names",
    [[name] for name in FITS]
    + [
        ["agent_id", "status"],
        ["session_id", "event_type", "q"],
        ["from_", "to"],
        ["status", "from_", "min_cost"],
        ["q", "to"],
        list(FITS),
    ],
)
def test_every_filter_finds_what_fits_and_nothing_else(
    store: EventStore, monkeypatch, names: List[str], patience: float
) -> None:
    """Alone, together, in small pages, and broken off at once by the clock."""
    monkeypatch.setattr(walking, "PATIENCE", patience)
    monkeypatch.setattr(walking, "CHUNK", 10)
    events = many(300)
    put(store, events)
    expected = {
        key
        for key, members in by_trace(events).items()
        if all(FITS[name][1](members) for name in names)
    }
    query = {name: FITS[name][0] for name in names}
    found = [trace["trace_id"] for trace in all_traces(store, limit=3, **query)]

    assert expected == set(found)
    if "q" not in names:
        assert len(expected) == len(found)


@pytest.mark.parametrize(
    "query",
    [{}, {"status": "error"}, {"q": "question"}, {"to": iso_8601(NOON + 10**10)}],
    ids=str,
)
def test_a_page_says_how_far_back_it_looked(store: EventStore, query: Any) -> None:
    """The time of where the next page begins; nothing where there is none."""
    put(
        store,
        [event(n, status="error", input_data={"q": "question"}) for n in range(9)],
    )
    page = traces(store, limit=4, **query)
    rest = traces(store, limit=50, cursor=page["next"], **query)

    assert page["traces"][-1]["started_at"] == page["reached"]
    assert 5 == len(rest["traces"])
    assert rest["reached"] is None


def test_status_success_finds_traces_without_an_error(store: EventStore) -> None:
    """It is not enough that one event went well."""
    events = many(200)
    put(store, events)
    expected = {
        key
        for key, members in by_trace(events).items()
        if all(e["status"] == "success" for e in members)
    }

    assert expected == {t["trace_id"] for t in all_traces(store, status="success")}


def test_traces_are_listed_newest_first_and_pages_do_not_move(
    store: EventStore,
) -> None:
    """What comes in between two pages changes neither."""
    put(store, many(200))
    whole = [trace["id"] for trace in all_traces(store)]
    first = traces(store, limit=5)
    put(store, [event(1_000 + n) for n in range(20)])
    second = traces(store, limit=5, cursor=first["next"])

    assert sorted(whole, reverse=True) == whole
    assert whole[:10] == [t["id"] for t in first["traces"] + second["traces"]]


@pytest.mark.parametrize(
    "query",
    [
        {"min_cost": "nan"},
        {"min_cost": "-1"},
        {"min_latency_ms": "inf"},
        {"from": "yesterday"},
        {"to": "99999-01-01"},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "x"},
        {"cursor": "WzFd!"},
        {"cursor": "W10="},
        {"cursor": "WzFlMzA5XQ=="},
        {"q": "!!!"},
        {"q": ""},
        {"status": "bad"},
        {"other": "x"},
    ],
    ids=str,
)
def test_a_wrong_question_is_refused(query: Dict[str, str]) -> None:
    """Before anything is read."""
    with pytest.raises(HTTPException) as refused:
        questions.of_traces(list(query.items()))

    assert 400 == refused.value.status_code


def test_sessions_are_what_their_events_come_to(store: EventStore) -> None:
    """Traces, events, errors, cost and tokens of each conversation."""
    events = many(300)
    put(store, events)
    expected: Dict[str, List[Dict[str, Any]]] = {}
    for one in events:
        if "session_id" in one["metadata"]:
            expected.setdefault(one["metadata"]["session_id"], []).append(one)
    asked = questions.of_sessions([("limit", "200")])
    found = {
        s["session_id"]: s for s in store.read(views.session_list, asked)["sessions"]
    }

    assert expected.keys() == found.keys()
    for key, members in expected.items():
        session = found[key]
        assert len(members) == session["events"]
        assert sum(e["status"] == "error" for e in members) == session["errors"]
        assert known(e["cost_usd"] for e in members) == session["cost_usd"]
        lone = sum("trace_id" not in e["metadata"] for e in members)
        together = {e["metadata"].get("trace_id") for e in members} - {None}
        assert len(together) + lone == session["traces"]
        assert min(e["timestamp"] for e in members) == session["started_at"]


def test_a_session_reads_as_a_conversation(store: EventStore) -> None:
    """Its turns come oldest first, a page at a time, with what was said in full."""
    for number in range(5):
        said = {"messages": [{"role": "user", "content": f"question {number}"}]}
        put(
            store,
            [
                event(
                    number,
                    input_data=said,
                    output_data={"value": f"answer {number}"},
                    metadata={
                        "trace_id": f"{number + 1:032x}",
                        "session_id": "s",
                        "parent_span_id": None,
                    },
                )
            ],
        )
    said_in_order = all_turns(store, "s")

    assert [f"answer {n}" for n in range(5)] == [
        turn["output_data"]["value"] for turn in said_in_order
    ]
    assert "question 4" == said_in_order[-1]["trace"]["input"]
    assert store.read(views.session, "nobody's") is None


def all_turns(store: EventStore, session: str) -> List[Dict[str, Any]]:
    """Follow the cursor to the end."""
    found: List[Dict[str, Any]] = []
    pairs: List[Tuple[str, str]] = [("limit", "2")]
    while True:
        page, cursor = store.read(views.turns, questions.of_turns(session, pairs))
        found += [json.loads(views.turn_text(turn)) for turn in page]
        if cursor is None:
            return found
        pairs = [("limit", "2"), ("cursor", cursor)]


def test_the_turns_of_a_session_stand_in_the_order_of_time(store: EventStore) -> None:
    """In whatever order they came, and though a trace is begun by a later event."""
    minutes = list(range(9))
    random.Random(7).shuffle(minutes)
    for minute in minutes:
        trace = {"trace_id": f"{minute:032x}", "session_id": "s"}
        inner = {**trace, "parent_span_id": "1", "span_id": "2"}
        # The outermost call began first, and its event comes last.
        put(store, [event(2 * minute + 5, metadata=inner)])
        outer = {"trace_id": trace["trace_id"], "span_id": "1"}
        put(store, [event(100 + 2 * minute, metadata=outer)])
        begun = {"timestamp": iso_8601(NOON + minute * 60_000_000)}
        put(store, [event(200 + minute, metadata=outer, **begun)])
    put(store, [event(300, metadata={"session_id": "s"}, **begun)])
    put(store, [event(301, metadata={"session_id": "another"})])
    times = [turn["trace"]["started_at"] for turn in all_turns(store, "s")]

    assert 10 == len(times)
    assert sorted(times) == times


def test_a_trace_has_its_spans_in_order_and_no_payload(store: EventStore) -> None:
    """What a waterfall needs, however large the inputs are; a lone event is its own."""
    events = [
        event(
            3 - n,
            metadata={"trace_id": "a" * 32, "span_id": f"{n + 1:016x}"},
            input_data={"x": "y" * 100_000},
        )
        for n in range(3)
    ]
    put(store, [*events, event(9)])
    found = store.read(views.trace, "a" * 32)
    lone = store.read(views.trace, "event-4")

    assert found is not None
    assert lone is not None
    starts = [span["timestamp"] for span in found["spans"]]
    assert sorted(starts) == starts
    assert "y" * 100 not in json.dumps(found["spans"])
    assert [4] == [span["id"] for span in lone["spans"]]
    assert store.read(views.trace, "b" * 32) is None
    assert store.read(views.trace, "event-1") is None


def test_a_trace_without_end_is_cut(store: EventStore, monkeypatch) -> None:
    """More calls than can be shown are left out, and that is said."""
    monkeypatch.setattr(views, "MAX_SPANS", 5)
    put(store, [event(n, metadata={"trace_id": "a" * 32}) for n in range(6)])
    found = store.read(views.trace, "a" * 32)

    assert found is not None
    assert (5, True, 6) == (
        len(found["spans"]),
        found["cut"],
        found["trace"]["events"],
    )


def test_a_trace_may_be_called_like_a_lone_event(store: EventStore) -> None:
    """Whatever a client calls its traces, no event finds its place taken."""
    for number, name in enumerate(("event-2", "event-3", "event-9", "event-9")):
        put(store, [event(number, metadata={"trace_id": name})])
    for number in range(4):
        put(store, [event(1_000 + number)])

    assert {"event-2", "event-3", "event-9", "event-5", "event-8"} <= {
        trace["trace_id"] for trace in all_traces(store)
    }
    assert store.count() == sum(trace["events"] for trace in all_traces(store))


def test_the_outermost_call_is_never_cut_off(store: EventStore, monkeypatch) -> None:
    """It ends last, and without it the others hang in the air."""
    monkeypatch.setattr(views, "MAX_SPANS", 5)
    inner = {"trace_id": "a" * 32, "parent_span_id": "b" * 16}
    put(store, [event(n, metadata=inner) for n in range(9)])
    put(store, [event(20, metadata={"trace_id": "a" * 32, "span_id": "b" * 16})])
    found = store.read(views.trace, "a" * 32)

    assert found is not None
    assert found["cut"]
    assert "b" * 16 in [span["span_id"] for span in found["spans"]]


def test_what_failed_is_not_cut_off(store: EventStore, monkeypatch) -> None:
    """What one looks for in a large trace is drawn, with the calls it hangs in."""
    monkeypatch.setattr(views, "MAX_SPANS", 5)
    put(store, [span(n, parent="outer") for n in range(9)])
    put(store, [span(20, parent="middle", status="error"), span(21, parent="outer")])
    put(store, [span(22, name="middle", parent="outer"), span(23, name="outer")])
    found = store.read(views.trace, "a" * 32)

    assert found is not None
    assert found["cut"]
    assert [0, 1, 2, 3, 4, 20, 22, 23] == [number_of(one) for one in found["spans"]]


@pytest.mark.parametrize(
    ("limit", "drawn"),
    [
        ("MAX_FAILED", [0, 1, 2, 20, 21, 22]),
        ("MAX_CALLERS", [0, 1, 2, 20, 21, 23]),
        ("MAX_READ", [0, 1, 2, 20]),
    ],
)
def test_what_is_not_cut_off_is_bounded(
    store: EventStore, monkeypatch, limit: str, drawn: List[int]
) -> None:
    """Of failures, of callers and of events looked through there are only so many."""
    monkeypatch.setattr(views, "MAX_SPANS", 3)
    monkeypatch.setattr(beside, limit, 1)
    put(store, [span(n, parent="inner") for n in range(3)])
    put(store, [span(20, status="error"), span(21, name="inner", parent="outer")])
    put(store, [span(22, name="outer"), span(23, status="error")])
    found = store.read(views.trace, "a" * 32)

    assert found is not None
    assert drawn == [number_of(one) for one in found["spans"]]


def span(
    number: int,
    *,
    name: str = "",
    parent: Optional[str] = None,
    status: str = "success",
) -> Dict[str, Any]:
    """Make a call of one trace."""
    metadata = {"trace_id": "a" * 32, "span_id": name or f"{number}th"}
    return event(number, status=status, metadata={**metadata, "parent_span_id": parent})


def number_of(span: Dict[str, Any]) -> int:
    return int(span["event_id"], 16)


def test_metadata_without_end_is_no_answer_without_end(
    store: EventStore, monkeypatch
) -> None:
    """The spans of a trace, and what a stream tells at once, are bounded in bytes."""
    monkeypatch.setattr(views, "MAX_PAGE_BYTES", 5_000)
    large = {"trace_id": "a" * 32, "note": "x" * 2_000}
    put(store, [event(n, metadata=large) for n in range(9)])
    found = store.read(views.trace, "a" * 32)
    asked = questions.Following("events", 0, {})
    told: List[Dict[str, Any]] = []
    after, more = 0, True
    while more:
        changed = store.read(views.changes, asked, after)
        told += changed.told
        after, more = changed.revision, changed.more

    assert found is not None
    assert found["cut"]
    assert 2 <= len(found["spans"]) <= 3
    assert list(range(1, 10)) == [one["id"] for one in told]


def test_names_without_end_are_cut(store: EventStore) -> None:
    """They stand in many places, and in every list."""
    long = "n" * 100_000
    names = {"trace_id": long, "session_id": long, "user_id": long}
    put(store, [event(1, agent_id=long, event_type=long, metadata=names)])

    assert len(json.dumps(traces(store))) < 5_000


@pytest.mark.parametrize("half", ["\ud800", "a\udfffb"], ids=ascii)
def test_half_a_character_is_shown_as_a_mark(store: EventStore, half: str) -> None:
    """Whoever cut a text in the midst of one, it is stored, found and told."""
    put(
        store,
        [
            event(
                1,
                agent_id=half + "a",
                input_data={"q": half},
                output_data={half: half},
                metadata={"message": half + " said", "step": half, "session_id": half},
            )
        ],
    )

    json.dumps(traces(store), ensure_ascii=False).encode()
    assert 1 == len(all_traces(store, q="said"))


@pytest.mark.parametrize("word", ["Summarise", "Table", "first", "ende", "cafés"])
def test_every_word_of_a_text_of_many_lines_is_found(
    store: EventStore, word: str
) -> None:
    """Line ends, tabs and quotes are no part of a word; accents are one sign or two."""
    text = 'You are helpful.\nSummarise\tTable "first" \\ende cafe\u0301s'
    put(store, [event(1, input_data={"messages": [{"content": text}]})])

    assert 1 == len(all_traces(store, q=word))
    assert 0 == len(all_traces(store, q="n" + word))


@pytest.mark.parametrize(
    "odd", ["ab\u19b0cd", "\u1cf5", "日本", "a" * 500, '"', "*"], ids=ascii
)
def test_any_search_is_answered(store: EventStore, odd: str) -> None:
    """With what is found, which may be nothing, or that there is no word in it."""
    put(store, [event(1, input_data={"q": odd})])
    try:
        all_traces(store, q=odd)
    except HTTPException as refused:
        assert 400 == refused.status_code


# -- sums ------------------------------------------------------------------------------


def overview(store: EventStore, first: int, end: int, **only: str) -> Dict[str, Any]:
    span = sums.Span(NOON + first * 60_000_000, NOON + end * 60_000_000, **only)
    return store.read(sums.stats, span)


@pytest.mark.parametrize(
    ("first", "end"), [(0, 60), (10, 130), (0, 400), (-600, 1_440), (-50_000, 50_000)]
)
@pytest.mark.parametrize(
    "only", [{}, {"agent_id": "writer"}, {"event_type": "llm_call"}]
)
def test_the_overview_is_what_the_events_come_to(
    store: EventStore, first: int, end: int, only: Dict[str, str]
) -> None:
    """Over any span, in sum, over time and by group, and over the span before."""
    events = many(400)
    put(store, events)
    told = overview(store, first, end, **only)

    def inside(start: str, stop: str, **wanted: str) -> List[Dict[str, Any]]:
        return [
            e
            for e in events
            if start <= e["timestamp"] < stop
            and all(e[name] == value for name, value in {**only, **wanted}.items())
        ]

    def matches(told_sum: Dict[str, Any], members: List[Dict[str, Any]]) -> None:
        assert len(members) == told_sum["events"]
        assert sum(e["status"] == "error" for e in members) == told_sum["errors"]
        assert known(e["cost_usd"] for e in members) == told_sum["cost_usd"]
        assert known(tokens_of(e["metadata"]) for e in members) == told_sum["tokens"]
        latencies = sorted(
            e["latency_ms"] for e in members if e["latency_ms"] is not None
        )
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            if not latencies:
                assert told_sum[name] is None
                continue
            exact = latencies[max(0, -(-int(share * 100 * len(latencies)) // 100) - 1)]
            assert exact == pytest.approx(told_sum[name], rel=0.07, abs=0.6)

    matches(told["total"], inside(told["from"], told["to"]))
    length = datetime.datetime.fromisoformat(
        told["to"][:-1]
    ) - datetime.datetime.fromisoformat(told["from"][:-1])
    start = datetime.datetime.fromisoformat(told["from"][:-1]) - length
    before = start.isoformat(timespec="microseconds") + "Z"
    matches(told["before"], inside(before, told["from"]))
    assert 1 <= len(told["series"]) <= sums.MOST_POINTS
    points = [*told["series"], {"from": told["to"]}]
    for point, following in zip(points, points[1:]):
        stop = min(following["from"], told["to"])
        matches(point, inside(point["from"], stop))
    for group in told["agents"]:
        members = inside(told["from"], told["to"], agent_id=group["agent_id"])
        matches(group, members)
    for group in told["event_types"]:
        members = inside(told["from"], told["to"], event_type=group["event_type"])
        matches(group, members)
        matches(
            group["before"],
            inside(before, told["from"], event_type=group["event_type"]),
        )


def test_a_quantile_is_within_six_percent() -> None:
    """Whatever the latency, its size class tells it that well."""
    for exact in (1, 2, 3, 10, 99.5, 350, 7_777, 3_600_000, 10**9):
        told = sums.quantile([(sums.size_class(exact), 1)], 0.5)
        assert exact == pytest.approx(told, rel=0.06, abs=0.5)
    assert 0.0 == sums.quantile([(sums.size_class(0), 3)], 0.95)
    assert sums.quantile([], 0.5) is None


def test_the_overview_without_any_event_is_empty(store: EventStore) -> None:
    """And says that there never was one."""
    told = overview(store, 0, 60)

    assert (0, None, None) == (
        told["total"]["events"],
        told["total"]["p50_ms"],
        told["newest"],
    )
    assert [] == told["agents"] == told["event_types"]


def test_a_repeated_event_counts_once_everywhere(store: EventStore) -> None:
    """What is stored once is in no sum twice."""
    for _ in range(3):
        put(store, [event(1, cost_usd=1.0, metadata={"trace_id": "a" * 32})])
    (trace,) = all_traces(store)

    assert (1, 1.0) == (trace["events"], trace["cost_usd"])
    assert 1 == overview(store, 0, 60)["total"]["events"]


def test_hostile_numbers_break_no_view(store: EventStore) -> None:
    """Sums that overflow, times at the end of time: every answer is still JSON."""
    extreme = {"cost_usd": 1.7e308, "latency_ms": 1.7e308}
    usage = {"tokens": 10**12, "trace_id": "a" * 32, "session_id": "s"}
    put(
        store,
        [
            event(
                n, **extreme, timestamp=moment, metadata={**usage, "event_id": str(n)}
            )
            for n, moment in enumerate(
                ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] * 4
            )
        ],
    )
    answers = [
        traces(store),
        store.read(views.trace, "a" * 32),
        store.read(views.session, "s"),
        store.read(sums.stats, sums.Span(-62_135_596_800_000_000 + 1, 0)),
        overview(store, 0, 60),
    ]

    for answer in answers:
        json.dumps(answer, allow_nan=False)


# -- details ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, None),
        ({"tokens": 7}, 7),
        ({"total_tokens": 7, "input_tokens": 1}, 7),
        ({"prompt_tokens": 3, "completion_tokens": 4}, 7),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, 7),
        ({"token_usage": {"total_tokens": 7}}, 7),
        ({"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}, 7),
        ({"tokens": "7"}, None),
        ({"tokens": True}, None),
        ({"tokens": -1}, None),
        ({"tokens": float("nan")}, None),
        ({"usage": 7}, None),
    ],
)
def test_tokens_are_read_under_the_names_in_use(metadata: Any, expected: Any) -> None:
    """A total, or what went in and what came out; nothing is guessed."""
    assert expected == tokens_of(metadata)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"value": " a  b\nc "}, "a b c"),
        ({"question": "why"}, "why"),
        (
            {
                "messages": [
                    {"role": "system", "content": "x"},
                    {"role": "user", "content": "hi"},
                ]
            },
            "hi",
        ),
        (
            {"items": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
            "hi",
        ),
        ({"content": "said"}, "said"),
        ({"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        ({"value": ""}, None),
        ({"messages": []}, "[]"),
        ({}, "{}"),
    ],
    ids=str,
)
def test_a_preview_says_what_was_said_last(
    payload: Any, expected: Optional[str]
) -> None:
    """A few words, whatever the payload is made of."""
    assert expected == preview_of(json.dumps(payload))


def test_a_preview_is_short() -> None:
    """Also of what is very long, or very deep."""
    deep: Any = "x" * 10_000
    for _ in range(90):
        deep = {"a": deep}

    assert len(preview_of(json.dumps(deep)) or "") <= 200


# -- an older database -----------------------------------------------------------------


def test_a_database_of_the_first_version_is_brought_up_to_date(
    tmp_path: Path, monkeypatch
) -> None:
    """Its events are in every view, as if they had come today."""
    path = tmp_path / "a.db"
    events = many(300)
    with EventStore(path) as store:
        put(store, events)
        expected = (all_traces(store), overview(store, 0, 400))
    with sqlite3.connect(path) as connection:
        for table in "indexed traces marks sessions sums search".split():
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM migrations WHERE name > 'm002'")
    connection.close()

    with EventStore(path) as store:
        found = (all_traces(store), overview(store, 0, 400))

    assert expected[1] == found[1]
    assert by_id(expected[0]) == by_id(found[0])


def test_a_database_without_turns_gets_them(tmp_path: Path) -> None:
    """Those of the traces that it has, in the order of time."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        put(store, many(300))
        expected = all_turns(store, "talk-3")
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            ALTER TABLE marks RENAME TO newer;
            CREATE TABLE marks (kind TEXT NOT NULL, value TEXT NOT NULL,
                trace INTEGER NOT NULL, PRIMARY KEY (kind, value, trace)) WITHOUT ROWID;
            INSERT INTO marks SELECT kind, value, trace FROM newer;
            DROP TABLE newer;
            CREATE INDEX marks_trace ON marks (trace);
            DELETE FROM migrations WHERE name = 'm003_turns';
            """
        )
    connection.close()

    assert len(expected) > 2
    with EventStore(path) as store:
        assert expected == all_turns(store, "talk-3")


def by_id(found: List[Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    return {trace["trace_id"]: trace for trace in found}


# -- retention -------------------------------------------------------------------------


class Clock:
    """Tell seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = NOON / 1_000_000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it looked up all the time whether something may not stay."""
    monkeypatch.setattr(writer, "PRUNE_INTERVAL", 0.02)


def emptied(store: EventStore, wanted: Callable[[], bool]) -> None:
    """Wait until the writer has let go of enough."""
    import time

    end = time.monotonic() + DEADLINE
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.01)


def left_over(path: Path) -> Dict[str, int]:
    with sqlite3.connect(path) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("events", "traces", "marks", "sessions", "sums")
        }
        connection.execute(
            "INSERT INTO search (search) VALUES ('integrity-check')"
        ) if counts["events"] == 0 else None
    connection.close()
    return counts


def test_what_is_too_old_goes_from_every_view(tmp_path: Path, soon) -> None:
    """Events, traces, sessions, sums and words, and nothing of what is younger."""
    clock = Clock()
    path = tmp_path / "a.db"
    with EventStore(
        path, retention=Retention(keep_seconds=3_600), clock=clock
    ) as store:
        put(store, many(200))
        clock.now += 3_000
        put(store, [event(n, input_data={"q": "young"}) for n in range(500, 503)])
        clock.now += 1_000
        put(store, [event(900)])
        emptied(store, lambda: store.count() == 4)
        found = all_traces(store)
        assert 4 == len(found)
        assert 3 == len(all_traces(store, q="young"))
        assert [] == all_traces(store, q="question")
        assert [] == all_traces(store, agent_id="writer")
        asked = questions.of_sessions([])
        assert [] == store.read(views.session_list, asked)["sessions"]
        assert 0 == overview(store, 0, 400)["total"]["events"]
        assert 4 == overview(store, 400, 1_000)["total"]["events"]


def test_a_trace_that_still_grows_stays_whole(tmp_path: Path, soon) -> None:
    """A part of it would be a lie about the rest."""
    clock = Clock()
    with EventStore(
        tmp_path / "a.db", retention=Retention(keep_seconds=60), clock=clock
    ) as store:
        for number in range(5):
            put(
                store,
                [
                    event(number, metadata={"trace_id": "a" * 32}),
                    event(100 + number, metadata={"trace_id": f"{number:032x}"}),
                ],
            )
            clock.now += 45
        put(store, [event(200)])
        emptied(store, lambda: store.count() <= 8)
        grown = next(t for t in all_traces(store) if t["trace_id"] == "a" * 32)

        assert 5 == grown["events"]
        spans = store.read(views.trace, "a" * 32)
        assert spans is not None
        assert 5 == len(spans["spans"])


def test_a_trace_larger_than_a_step_goes_whole(tmp_path: Path, soon) -> None:
    """In as many transactions as it takes."""
    clock = Clock()
    path = tmp_path / "a.db"
    count = 2 * STEP + 1
    with EventStore(path, retention=Retention(keep_seconds=60), clock=clock) as store:
        put(
            store,
            [
                event(n, metadata={"trace_id": "a" * 32, "session_id": "s"})
                for n in range(count)
            ],
            at_once=100,
        )
        clock.now += 120
        put(store, [event(count)])
        emptied(store, lambda: store.count() == 1)
        clock.now += 120
        emptied(store, lambda: store.count() == 0)
    expected = dict.fromkeys(left_over(path), 0)

    assert expected == left_over(path)


def test_a_session_loses_what_its_events_had_added(tmp_path: Path, soon) -> None:
    """Of traces that belong to several sessions, or only in part to one."""
    clock = Clock()
    with EventStore(
        tmp_path / "a.db", retention=Retention(keep_seconds=60), clock=clock
    ) as store:
        for number, session in enumerate(["s", "r", None, "s"]):
            named = {"trace_id": "a" * 32}
            if session:
                named["session_id"] = session
            put(store, [event(number, cost_usd=1.0, metadata=named)])
        clock.now += 120
        late = {"trace_id": "b" * 32, "session_id": "s"}
        put(store, [event(9, cost_usd=1.0, metadata=late)])
        emptied(store, lambda: store.count() == 1)
        asked = questions.of_sessions([])
        (left,) = store.read(views.session_list, asked)["sessions"]

    names = ("session_id", "traces", "events", "cost_usd")
    assert ["s", 1, 1, 1.0] == [left[name] for name in names]


def test_a_trace_removed_in_part_is_what_is_left_of_it(tmp_path: Path) -> None:
    """Should only some of its events have gone, its sums are those of the rest."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        named = {"trace_id": "a" * 32, "session_id": "s"}
        of_one = [event(n, cost_usd=1.0, metadata=named) for n in range(STEP + 50)]
        put(store, of_one, at_once=100)
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        now = (NOON + 10**15) / 1_000_000
        pruner = retention.Pruner(connection, Retention(keep_seconds=60))
        assert STEP == pruner.step(now)
    with EventStore(path) as store:
        (trace,) = all_traces(store, session_id="s", agent_id="bot")
        session = store.read(views.session, "s")
        total = overview(store, 0, 1_000)["total"]

    assert session is not None
    for told in (trace, session, total):
        assert (50, 50.0) == (told["events"], told["cost_usd"])
    assert 1 == session["traces"]


def test_a_wrong_clock_costs_no_other_event(tmp_path: Path, soon) -> None:
    """Sums go with their events, whenever those say that they were."""
    path = tmp_path / "a.db"
    strange = {"timestamp": "9999-12-01T00:00:00Z", "input_data": {"q": "x" * 20_000}}
    with EventStore(path) as store:
        put(store, [event(n, agent_id=f"a{n}", **strange) for n in range(800)], 100)
        put(store, [event(2_000 + n) for n in range(50)])
    with EventStore(path, retention=Retention(max_bytes=12_000_000)) as store:
        emptied(store, lambda: store.count() < 700)
        told = store.read(sums.stats, sums.Span(NOON, NOON + 10**14))

    assert 50 == told["total"]["events"]


def test_a_database_keeps_within_its_size_and_gives_space_back(
    tmp_path: Path, soon
) -> None:
    """The traces that have been quiet longest go; the file shrinks with them."""
    path = tmp_path / "a.db"
    said = {"q": "x" * 20_000}
    with EventStore(path) as store:
        put(store, [event(n, input_data=said) for n in range(1_000)], at_once=100)
    large = path.stat().st_size
    limit = 12_000_000
    with EventStore(path, retention=Retention(max_bytes=limit)) as store:
        emptied(store, lambda: store.count() < 700)
        put(store, [event(n, input_data=said) for n in range(1_000, 1_500)], 100)
        emptied(store, lambda: store.count() < 700)
        newest = traces(store, limit=1)["traces"][0]

    assert large > 20_000_000
    assert path.stat().st_size <= limit + 100 * 20_000
    assert iso_8601(NOON + 1_499 * 60_000_000) == newest["started_at"]


def test_words_of_what_is_gone_cost_no_other_event(tmp_path: Path, soon) -> None:
    """What is left fills the limit, where words take as much room as events, too."""
    path = tmp_path / "a.db"
    source = random.Random(7)
    with EventStore(path) as store:
        for start in range(0, 3_000, 100):
            # Long words, each of which stands in one event only.
            said = (f"{source.getrandbits(8_000):x}" for _ in range(200))
            put(
                store,
                [
                    event(n, input_data={"q": q}, output_data={"a": a})
                    for n, q, a in zip(range(start, start + 100), said, said)
                ],
                at_once=100,
            )
    limit = path.stat().st_size // 2
    with EventStore(path, retention=Retention(max_bytes=limit)) as store:
        emptied(store, lambda: store.read(size) <= limit)
        left = store.count()

    assert 1_200 < left <= 1_500
    assert path.stat().st_size <= limit


def size(connection: sqlite3.Connection) -> int:
    names = ("page_count", "page_size")
    pages, bytes_ = (connection.execute(f"PRAGMA {n}").fetchone()[0] for n in names)
    return int(pages * bytes_)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5_400), ("12h", 43_200), ("30d", 2_592_000), ("1.5 W", 907_200)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """A number and a unit."""
    assert seconds == seconds_of(text)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0d", "1y", "1d1h", "inf d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """And the message says how one looks."""
    with pytest.raises(ValueError, match="30d"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 5 * 10**8),
        ("2GB", 2 * 10**9),
        ("1.5 t", 15 * 10**11),
        ("20000000", 2 * 10**7),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    """In powers of ten."""
    assert size == bytes_of(text)


@pytest.mark.parametrize("text", ["", "MB", "-2GB", "1MB", "2 parsec"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """And the message says how one looks."""
    with pytest.raises(ValueError, match="2GB"):
        bytes_of(text)
