"""What the page and the terminal read, each in a few steps along an index."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import sessions, traces
from .beside import beside
from .details import error_of, metadata_of, name_of, tokens_of
from .migrations import identity
from .questions import HAS_MARK, NO_ERROR, Following, Question
from .search import is_no_word
from .store import MAX_PAGE_BYTES, StoredEvent
from .times import iso_8601
from .traces import Trace
from .validation import Row
from .walking import Found, Key, cursor_of, walked

MAX_SPANS = 2_000
"""Calls of one trace that are shown: more than a page can draw, or a person read."""

MAX_CHANGES = 200
"""Changes told in one message of a stream."""

_ROW = ", ".join(Row._fields)
_LIGHT = ", ".join(
    "NULL" if name in ("input_data", "output_data") else name for name in Row._fields
)
"""A row without its payloads, which may be large, and stand last for that."""


class Changes(NamedTuple):
    """Hold what changed after a revision, and up to which it is told."""

    told: List[Dict[str, Any]]
    revision: int
    more: bool


class Turn(NamedTuple):
    """Hold a trace of a session, and what was said in it, as JSON text."""

    trace: Dict[str, Any]
    input_data: Optional[str]
    output_data: Optional[str]


def revision(connection: sqlite3.Connection) -> int:
    """Return the number of the newest event."""
    (newest,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    return int(newest or 0)


def database(connection: sqlite3.Connection) -> Tuple[str, int]:
    """Return what tells the database from others, and its revision."""
    return identity(connection), revision(connection)


def trace_list(connection: sqlite3.Connection, asked: Question) -> Dict[str, Any]:
    """Return a page of traces."""
    newest = revision(connection)  # first, so that a stream after it misses nothing
    try:
        found = walked(connection, asked.way, asked.wanted, asked.limit, asked.after)
    except sqlite3.OperationalError as error:
        if not is_no_word(error):
            raise
        found = Found([], None)
    return {
        "traces": list(_told(found)),
        "next": cursor_of(found.next),
        "reached": _reached(connection, asked, found),
        "revision": newest,
    }


def _reached(
    connection: sqlite3.Connection, asked: Question, found: Found
) -> Optional[str]:
    """Return the time back to which was looked, or None where it was to the end."""
    if found.next is None:
        return None
    row = connection.execute(asked.way.reached, found.next[:1]).fetchone()
    return None if row is None or row[0] is None else iso_8601(row[0])


def session_list(connection: sqlite3.Connection, asked: Question) -> Dict[str, Any]:
    """Return a page of sessions."""
    found = walked(connection, asked.way, asked.wanted, asked.limit, asked.after)
    told = [sessions.told(n, sessions.Session(*row)) for n, row in found.rows]
    return {"sessions": told, "next": cursor_of(found.next)}


def session(connection: sqlite3.Connection, session_id: str) -> Optional[Any]:
    """Return what is known of a session, or None."""
    found = sessions.TABLE.find(connection, session_id)
    return (
        None if found is None else sessions.told(found[0], sessions.Session(*found[1]))
    )


def turns(
    connection: sqlite3.Connection, asked: Question
) -> Tuple[List[Turn], Optional[str]]:
    """Return a page of the traces of a session, and the cursor of the next."""
    found = walked(connection, asked.way, asked.wanted, asked.limit, asked.after)
    page: List[Turn] = []
    size = 0
    key: Optional[Key] = None
    for number, row in found.rows:
        if size > MAX_PAGE_BYTES:
            return page, cursor_of(key)
        trace = Trace(*row)
        key = (trace.first_us, number)
        said = connection.execute(
            "SELECT input_data, output_data FROM events WHERE seq = ?", (trace.shown,)
        ).fetchone() or (None, None)
        page.append(Turn(traces.told(number, trace), *said))
        size += sum(len(text or "") for text in said)
    return page, cursor_of(found.next)


def trace(connection: sqlite3.Connection, trace_id: str) -> Optional[Dict[str, Any]]:
    """Return a trace with its spans, or None."""
    found = traces.named(connection, trace_id)
    if found is None:
        return None
    number, known = found
    spans = list(_spans(connection, *traces.events_of(known)))
    is_cut = len(spans) > MAX_SPANS or len(spans) < known.events
    spans = spans[:MAX_SPANS]
    if is_cut:
        others = ", ".join(map(str, beside(connection, known, spans)))
        spans += _spans(connection, f"seq IN ({others}) AND seq != ?", known.shown)
    if all(one["id"] != known.shown for one in spans):
        # Whatever is cut off, not the call that the trace is called after.
        spans += _spans(connection, "seq = ?", known.shown)
    return {
        "trace": traces.told(number, known),
        "spans": sorted(spans, key=lambda span: span["timestamp"]),
        "cut": is_cut,
    }


def _spans(
    connection: sqlite3.Connection, where: str, value: Any
) -> Iterator[Dict[str, Any]]:
    for seq, row in _light_rows(connection, where, value, MAX_SPANS + 1):
        yield span(seq, row)


def _light_rows(
    connection: sqlite3.Connection, where: str, value: Any, limit: int
) -> Iterator[Tuple[int, Row]]:
    """Yield events of which *where* holds, without payloads, as an answer may hold."""
    found = connection.execute(
        f"SELECT seq, {_LIGHT} FROM events WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608 - names
        (value, limit),
    )
    size = 0
    for seq, *columns in found:
        row = Row(*columns)
        size += len(row.metadata or "")
        if size > MAX_PAGE_BYTES:
            return
        yield seq, row


def span(seq: int, row: Row) -> Dict[str, Any]:
    """Return an event without its payloads, as the API gives it."""
    metadata = metadata_of(row)
    return {
        "id": seq,
        "trace_id": row.trace_id,
        "event_id": row.event_id,
        "span_id": row.span_id,
        "parent_span_id": row.parent_span_id,
        "session_id": row.session_id,
        "name": name_of(row, metadata),
        "agent_id": row.agent_id,
        "event_type": row.event_type,
        "timestamp": iso_8601(row.timestamp_us),
        "latency_ms": row.latency_ms,
        "status": row.status,
        "cost_usd": row.cost_usd,
        "tokens": tokens_of(metadata),
        "error_message": error_of(row),
    }


def event(connection: sqlite3.Connection, seq: int) -> Optional[StoredEvent]:
    """Return one event, or None."""
    row = connection.execute(
        f"SELECT received_us, {_ROW} FROM events WHERE seq = ?",  # noqa: S608 - names
        (seq,),
    ).fetchone()
    return None if row is None else StoredEvent(seq, row[0], Row(*row[1:]))


def changes(connection: sqlite3.Connection, asked: Following, after: int) -> Changes:
    """Return what came after the revision *after*, the oldest first."""
    read = _changed_traces if asked.of == "traces" else _new_events
    found = list(read(connection, asked, after))
    newest = found[-1][0] if found else after
    told = [one for _, one in found if one is not None]
    return Changes(told, newest, bool(found) and newest < revision(connection))


def _changed_traces(
    connection: sqlite3.Connection, asked: Following, after: int
) -> Iterator[Tuple[int, Optional[Dict[str, Any]]]]:
    rows = connection.execute(
        f"SELECT id, {traces.TABLE.columns} FROM traces WHERE revision > ?"  # noqa: S608
        " ORDER BY revision LIMIT ?",
        (after, MAX_CHANGES),
    )
    for number, *columns in rows:
        one = Trace(*columns)
        fits = all(_has(connection, number, one, mark) for mark in asked.marks.items())
        yield one.revision, traces.told(number, one) if fits else None


def _has(
    connection: sqlite3.Connection, number: int, one: Trace, mark: traces.Mark
) -> bool:
    """Tell whether the trace can be found by *mark*, or has no error if that is it."""
    if mark == NO_ERROR:
        return not one.errors
    return bool(connection.execute(HAS_MARK, (*mark, number)).fetchone())


def _new_events(
    connection: sqlite3.Connection, asked: Following, after: int
) -> Iterator[Tuple[int, Optional[Dict[str, Any]]]]:
    for seq, row in _light_rows(connection, "seq > ?", after, MAX_CHANGES):
        found = [*traces.marks_of(row), ("status", row.status)]
        fits = all(mark in found for mark in asked.marks.items())
        yield seq, span(seq, row) if fits else None


def _told(found: Found) -> Iterator[Dict[str, Any]]:
    for number, row in found.rows:
        yield traces.told(number, Trace(*row))


def turn_text(turn: Turn) -> str:
    """Return *turn* as JSON; what was said goes out as it is stored."""
    return (
        f'{{"trace":{json.dumps(turn.trace)},'
        f'"input_data":{turn.input_data or "null"},'
        f'"output_data":{turn.output_data or "null"}}}'
    )
