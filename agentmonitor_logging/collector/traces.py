"""The table of traces: one row for each, kept up to date as its events arrive."""

from __future__ import annotations

import re
import sqlite3
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from .details import error_of, name_of, preview_of, tokens_of
from .table import Table
from .times import iso_8601
from .validation import Row

LONE = "event-"
"""How the trace of an event that belongs to none is called in the API: with its number.
In the database it has no name, as any name may be that of another."""


class Trace(NamedTuple):
    """Hold what is known of one trace.

    *shown* is the number of the event it is called after, *shown_us* when that began:
    the root, or as long as that has not arrived, the first to have started.
    """

    trace_id: Optional[str]
    revision: int
    first_us: int
    last_us: int
    events: int
    errors: int
    cost_usd: Optional[float]
    tokens: Optional[int]
    shown: int
    shown_us: int
    complete: int
    latency_ms: Optional[float]
    name: str
    agent_id: str
    event_type: str
    session_id: Optional[str]
    user_id: Optional[str]
    error_message: Optional[str]
    input: Optional[str]
    output: Optional[str]


_MOST, _MOST_REAL = 2**62, 1e300
_LONGEST_MS = 1e13

TABLE = Table("traces", Trace, key="trace_id")

_LONE = "trace_id IS NULL AND shown = ?"
_NUMBER = re.compile(r"[0-9]{1,18}")

Key = Union[str, int]
"""What tells traces apart: the id, or of a lone event its number."""


def key_of(trace: Trace) -> Key:
    """Return what tells *trace* from others."""
    return trace.shown if trace.trace_id is None else trace.trace_id


def first_of(seq: int, row: Row, metadata: Mapping[str, Any]) -> Trace:
    """Return the trace of which only one event is known."""
    is_root = row.parent_span_id is None
    latency = row.latency_ms
    return Trace(
        trace_id=row.trace_id,
        revision=seq,
        first_us=row.timestamp_us,
        last_us=row.timestamp_us + int(min(latency or 0, _LONGEST_MS) * 1000),
        events=1,
        errors=int(row.status == "error"),
        cost_usd=row.cost_usd,
        tokens=tokens_of(metadata),
        shown=seq,
        shown_us=row.timestamp_us,
        complete=int(is_root),
        latency_ms=latency,
        name=name_of(row, metadata),
        agent_id=row.agent_id,
        event_type=row.event_type,
        session_id=row.session_id,
        user_id=row.user_id,
        error_message=error_of(row),
        input=preview_of(row.input_data) if is_root else None,
        output=preview_of(row.output_data) if is_root else None,
    )


def grown(trace: Trace, other: Trace) -> Trace:
    """Return *trace* with the events of *other*, which came later."""
    shown = _shown(trace, other)
    first, last = min(trace.first_us, other.first_us), max(trace.last_us, other.last_us)
    return shown._replace(
        revision=max(trace.revision, other.revision),
        first_us=first,
        last_us=last,
        events=trace.events + other.events,
        errors=trace.errors + other.errors,
        cost_usd=plus(trace.cost_usd, other.cost_usd),
        tokens=plus(trace.tokens, other.tokens),
        latency_ms=shown.latency_ms if shown.complete else (last - first) / 1000,
        session_id=trace.session_id or other.session_id,
        user_id=trace.user_id or other.user_id,
        error_message=trace.error_message or other.error_message,
    )


def _shown(trace: Trace, other: Trace) -> Trace:
    """Return the one whose event the trace is called after."""
    if trace.complete != other.complete:
        return trace if trace.complete else other
    return other if other.shown_us < trace.shown_us else trace


def plus(one: Optional[Any], other: Optional[Any]) -> Optional[Any]:
    """Add what is known, never to more than the database can hold."""
    if one is None or other is None:
        return one if other is None else other
    most = _MOST if isinstance(one, int) and isinstance(other, int) else _MOST_REAL
    return max(-most, min(one + other, most))


def stored(connection: sqlite3.Connection, traces: Iterable[Trace]) -> Dict[Key, int]:
    """Write *traces*, each grown by what is known of it; return their numbers."""
    numbers: Dict[Key, int] = {}
    for new in traces:
        known = None
        if new.trace_id is not None:
            known = TABLE.find(connection, new.trace_id)
        if known is None:
            number = TABLE.insert(connection, new)
        else:
            number, row = known
            TABLE.update(connection, number, grown(Trace(*row), new))
        numbers[key_of(new)] = number
    return numbers


def named(connection: sqlite3.Connection, name: str) -> Optional[Tuple[int, Trace]]:
    """Return the trace that the API calls *name*, and its number."""
    found = TABLE.find(connection, name)
    number = name[len(LONE) :]
    if found is None and name.startswith(LONE) and _NUMBER.fullmatch(number):
        found = TABLE.find(connection, int(number), _LONE)
    return None if found is None else (found[0], Trace(*found[1]))


def events_of(trace: Trace) -> Tuple[str, Key]:
    """Return the condition that the events of *trace* meet, as SQL, and its value."""
    return ("seq = ?" if trace.trace_id is None else "trace_id = ?", key_of(trace))


# -- marks: by what traces are found ---------------------------------------------------

Mark = Tuple[str, str]


def marks_of(row: Row) -> List[Mark]:
    """Return by what the trace of an event shall be found."""
    marks = [("agent_id", row.agent_id), ("event_type", row.event_type)]
    if row.status == "error":
        marks.append(("status", "error"))
    if row.session_id is not None:
        marks.append(("session_id", row.session_id))
    return marks


def mark(
    connection: sqlite3.Connection, number: int, marks: Set[Mark]
) -> Sequence[Mark]:
    """Let the trace *number* be found by *marks*; return those that are new."""
    return [
        (kind, value)
        for kind, value in sorted(marks)
        if connection.execute(
            "INSERT OR IGNORE INTO marks (kind, value, trace) VALUES (?, ?, ?)",
            (kind, value, number),
        ).rowcount
    ]


def place(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Let the traces be found in their sessions by when they began, as is known now."""
    connection.executemany(
        "UPDATE marks SET first_us = (SELECT first_us FROM traces WHERE id = ?1)"
        " WHERE trace = ?1 AND kind = 'session_id'"
        " AND first_us IS NOT (SELECT first_us FROM traces WHERE id = ?1)",
        [(number,) for number in numbers],
    )


# -- what everybody is told ------------------------------------------------------------


def told(number: int, trace: Trace) -> Dict[str, Any]:
    """Return *trace* as the API gives it."""
    return {
        "id": number,
        "trace_id": trace.trace_id or f"{LONE}{trace.shown}",
        "revision": trace.revision,
        "name": trace.name,
        "agent_id": trace.agent_id,
        "event_type": trace.event_type,
        "status": "error" if trace.errors else "success",
        "started_at": iso_8601(trace.first_us),
        "latency_ms": trace.latency_ms,
        "events": trace.events,
        "errors": trace.errors,
        "cost_usd": trace.cost_usd,
        "tokens": trace.tokens,
        "session_id": trace.session_id,
        "user_id": trace.user_id,
        "error_message": trace.error_message,
        "input": trace.input,
        "output": trace.output,
        "complete": bool(trace.complete),
    }
