"""What a reader asks of traces, sessions and sums: from an address to a way to go."""

from __future__ import annotations

import math
import re
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from . import search, sessions, traces
from .sums import MAX_SPAN, SECOND, Span
from .times import microseconds
from .walking import NEWEST, Filter, Key, Way, key_of
from .wanted import Items, checked, limit_of, status_of, wrong

DEFAULT_LIMIT, MAX_LIMIT = 50, 200

DEFAULT_SPAN = 24 * 3_600 * SECOND
"""Microseconds of which the overview tells, unless asked otherwise."""

_MARKS = ("session_id", "status", "event_type", "agent_id")
"""By what traces are found, what is the rarest first."""

_PAGING = ("limit", "cursor")
_TIME = ("from", "to")
_MEASURES = ("min_cost", "min_latency_ms")
_TRACES = (*_MARKS, "q", *_TIME, *_MEASURES, *_PAGING)
_SESSIONS = ("agent_id", "q", *_TIME, *_PAGING)
_STATS = ("agent_id", "event_type", *_TIME)
_STREAM = ("of", "after", *_MARKS)
_OF = ("traces", "events")
_NUMBER = re.compile(r"[0-9]{1,18}")

_BY_NUMBER = "SELECT id, id FROM {} WHERE id < ? ORDER BY id DESC LIMIT ?"
_BY_START = (
    "SELECT id, first_us, id FROM traces WHERE first_us >= ?"
    " AND (first_us, id) < (?, ?) ORDER BY first_us DESC, id DESC LIMIT ?"
)
_OF_NUMBER = "SELECT first_us FROM traces WHERE id <= ? ORDER BY id DESC LIMIT 1"
_OF_EVENT = "SELECT timestamp_us FROM events WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
_BY_MARK = (
    "SELECT trace, trace FROM marks WHERE kind = ? AND value = ? AND trace < ?"
    " ORDER BY trace DESC LIMIT ?"
)
_BY_WORDS = (
    "SELECT coalesce(traces.id, lone.id), hits.rowid"
    " FROM (SELECT rowid FROM search WHERE search MATCH ?"
    " AND rowid < ? ORDER BY rowid DESC LIMIT ?) AS hits"
    " LEFT JOIN events ON events.seq = hits.rowid"
    " LEFT JOIN traces ON traces.trace_id = events.trace_id"
    " LEFT JOIN traces AS lone ON lone.trace_id IS NULL AND events.trace_id IS NULL"
    " AND lone.shown = events.seq"
    " ORDER BY hits.rowid DESC"
)
_OF_SESSION = (
    "SELECT trace, first_us, trace FROM marks WHERE kind = 'session_id' AND value = ?"
    " AND (first_us, trace) > (?, ?) ORDER BY first_us, trace LIMIT ?"
)
HAS_MARK = "SELECT 1 FROM marks WHERE kind = ? AND value = ? AND trace = ?"
"""Finds out whether a trace can be found by a mark."""

_HAS_MARK = (
    "EXISTS (SELECT 1 FROM marks WHERE kind = ? AND value = ? AND trace = traces.id)"
)

NO_ERROR = ("status", "success")
"""What is asked for like a mark, and is none: that there is no error."""


class Question(NamedTuple):
    """Hold a checked question for a page of a list."""

    way: Way
    wanted: Filter
    limit: int
    after: Optional[Key]


class Following(NamedTuple):
    """Hold a checked question for what changes from now on."""

    of: str
    after: Optional[int]
    marks: Dict[str, str]


def of_traces(items: Items) -> Question:
    """Return what `GET /traces` asks for; answer 400 to what is wrong in it."""
    query = checked(items, _TRACES)
    marks = _marks(query)
    words, values = _measures(query)
    way = _way_of_traces(query, marks, words, values)
    for kind, value in marks.items():
        if (kind, value) == NO_ERROR:
            words.append("errors = 0")
        else:
            words.append(_HAS_MARK)
            values += [kind, value]
    return _question(query, way, Filter("traces", traces.TABLE.columns, words, values))


def _way_of_traces(
    query: Mapping[str, str], marks: Dict[str, str], words: List[str], values: List[Any]
) -> Way:
    """Choose the index that leads past the fewest traces; others filter on the way."""
    first, end = _time(query, "from", -NEWEST), _time(query, "to", NEWEST)
    is_timed = "from" in query or "to" in query
    if "q" not in query and not marks and is_timed:
        return Way(_BY_START, (first,), (end, 0), reached="SELECT ?")
    if is_timed:
        words.append("first_us >= ? AND first_us < ?")
        values += [first, end]
    if "q" in query:
        expression = search.expression_of(query["q"])
        if not expression:
            raise wrong("q must hold a letter or a digit")
        return Way(
            _BY_WORDS, (expression,), (NEWEST,), is_costly=True, reached=_OF_EVENT
        )
    for kind in _MARKS:
        if kind in marks and (kind, marks[kind]) != NO_ERROR:
            way = Way(_BY_MARK, (kind, marks.pop(kind)), (NEWEST,))
            return way._replace(reached=_OF_NUMBER)
    return Way(_BY_NUMBER.format("traces"), (), (NEWEST,), reached=_OF_NUMBER)


def _marks(query: Mapping[str, str]) -> Dict[str, str]:
    marks = {kind: query[kind] for kind in _MARKS if kind in query}
    if "status" in marks:
        marks["status"] = status_of(marks["status"])
    return marks


def _measures(query: Mapping[str, str]) -> Any:
    columns = {"min_cost": "cost_usd", "min_latency_ms": "latency_ms"}
    given = {name: _number(query, name) for name in _MEASURES if name in query}
    words = [f"{columns[name]} >= ?" for name in given]
    return words, list(given.values())


def of_sessions(items: Items) -> Question:
    """Return what `GET /sessions` asks for; answer 400 to what is wrong in it."""
    query = checked(items, _SESSIONS)
    words: List[str] = []
    values: List[Any] = []
    if "agent_id" in query:
        words.append("agent_id = ?")
        values.append(query["agent_id"])
    if "q" in query:
        words.append("substr(session_id, 1, ?) = ?")
        values += [len(query["q"]), query["q"]]
    if "from" in query:
        words.append("last_us >= ?")
        values.append(_time(query, "from", 0))
    if "to" in query:
        words.append("first_us < ?")
        values.append(_time(query, "to", 0))
    way = Way(_BY_NUMBER.format("sessions"), (), (NEWEST,))
    return _question(
        query, way, Filter("sessions", sessions.TABLE.columns, words, values)
    )


def of_turns(session_id: str, items: Items) -> Question:
    """Return which traces `GET /sessions/{session_id}` asks for, oldest first."""
    query = checked(items, _PAGING)
    way = Way(_OF_SESSION, (session_id,), (-NEWEST, 0))
    return _question(query, way, Filter("traces", traces.TABLE.columns))


def of_stats(items: Items, clock: Callable[[], float] = time.time) -> Span:
    """Return the span of which `GET /stats` asks; answer 400 to a wrong one."""
    query = checked(items, _STATS)
    now = int(clock() * SECOND)
    end = _time(query, "to", now)
    first = _time(query, "from", end - DEFAULT_SPAN)
    if not 0 < end - first <= MAX_SPAN:
        raise wrong("from must be before to, and by ten years at the most")
    return Span(first, end, query.get("agent_id"), query.get("event_type"))


def of_stream(items: Items, last_event_id: Optional[str]) -> Following:
    """Return what `GET /stream` asks for; answer 400 to what is wrong in it."""
    query = checked(items, _STREAM)
    of = query.get("of", _OF[0])
    if of not in _OF:
        raise wrong(f"of must be one of {', '.join(_OF)}")
    after = last_event_id or query.get("after")
    if after is not None and not _NUMBER.fullmatch(after):
        raise wrong("after must be the revision of an earlier answer")
    return Following(of, None if after is None else int(after), _marks(query))


def _question(query: Mapping[str, str], way: Way, wanted: Filter) -> Question:
    after = None
    if "cursor" in query:
        try:
            after = key_of(query["cursor"], way)
        except ValueError:
            message = "cursor must be the next of an earlier answer to this question"
            raise wrong(message) from None
    return Question(way, wanted, limit_of(query, DEFAULT_LIMIT, MAX_LIMIT), after)


def _time(query: Mapping[str, str], name: str, default: int) -> int:
    if name not in query:
        return default
    try:
        return microseconds(query[name])
    except (ValueError, OverflowError):
        raise wrong(f"{name} must be an ISO 8601 date and time") from None


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        number = float(query[name])
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise wrong(f"{name} must be a number from 0 on")
    return number
