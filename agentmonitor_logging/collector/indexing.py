"""What follows from new events: their traces, their sessions, their sums, their words.

In the transaction in which the events are stored, so that a view is never wrong.
"""

from __future__ import annotations

import sqlite3
from typing import Dict, List, Sequence, Set, Tuple

from . import search, sessions, traces
from .details import metadata_of
from .sums import Sums
from .table import transaction
from .validation import Row

_CHUNK = 200

Numbered = Tuple[int, Row]


def index(connection: sqlite3.Connection, events: Sequence[Numbered]) -> None:
    """Bring everything that is derived up to date with *events*, just stored."""
    if not events:
        return
    sums = Sums()
    grown: Dict[traces.Key, traces.Trace] = {}
    marks: Dict[traces.Key, Set[traces.Mark]] = {}
    talks: Dict[Tuple[str, traces.Key], traces.Trace] = {}
    texts: List[Tuple[int, str]] = []
    for seq, row in events:
        metadata = metadata_of(row)
        one = traces.first_of(seq, row, metadata)
        key = traces.key_of(one)
        grown[key] = traces.grown(grown[key], one) if key in grown else one
        marks.setdefault(key, set()).update(traces.marks_of(row))
        if row.session_id is not None:
            talk = (row.session_id, key)
            talks[talk] = traces.grown(talks[talk], one) if talk in talks else one
        sums.add(row, one.tokens)
        texts.append((seq, search.text_of(row, one.name, metadata)))
    numbers = traces.stored(connection, grown.values())
    new = {key: traces.mark(connection, numbers[key], marks[key]) for key in grown}
    traces.place(connection, numbers.values())
    _store_sessions(connection, talks, new)
    sums.write(connection)
    search.add(connection, texts)
    connection.execute("UPDATE indexed SET seq = ?", (events[-1][0],))


def _store_sessions(
    connection: sqlite3.Connection,
    talks: Dict[Tuple[str, traces.Key], traces.Trace],
    new: Dict[traces.Key, Sequence[traces.Mark]],
) -> None:
    """Write what *talks*, traces by session, add to their sessions."""
    changed: Dict[str, sessions.Session] = {}
    for (session_id, key), trace in talks.items():
        is_new = ("session_id", session_id) in new[key]
        one = sessions.session_of(session_id, trace, int(is_new))
        known = changed.get(session_id)
        changed[session_id] = one if known is None else sessions.grown(known, one)
    sessions.store(connection, changed.values())


def catch_up(connection: sqlite3.Connection) -> int:
    """Index what an earlier version stored without; return how many events it was."""
    columns = ", ".join(Row._fields)
    caught_up = 0
    while True:
        rows = connection.execute(
            f"SELECT seq, {columns} FROM events"  # noqa: S608 - names
            " WHERE seq > (SELECT seq FROM indexed) ORDER BY seq LIMIT ?",
            (_CHUNK,),
        ).fetchall()
        if not rows:
            return caught_up
        with transaction(connection):
            index(connection, [(seq, Row(*values)) for seq, *values in rows])
        caught_up += len(rows)
