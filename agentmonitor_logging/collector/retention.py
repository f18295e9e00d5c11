"""How long events stay, and how much room they may take.

A trace goes as a whole, the one that has been quiet longest first; only a very large
one goes in several steps. What is derived from its events is taken back with them, and
the disk gets what they took. It is done in small steps between two commits, by the
writer, so that nobody waits for it.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import search, sessions, traces
from .details import metadata_of
from .sums import SECOND, Sums
from .table import transaction
from .traces import Trace
from .validation import Row

STEP = 500
"""Events that go in one transaction."""

MIN_BYTES = 10 * 1024 * 1024
"""What a database may at least take: it has a size when it is empty, too."""

_DAY = 86_400
_SECONDS = {"m": 60, "h": 3_600, "d": _DAY, "w": 7 * _DAY}
_BYTES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "t": 10**12}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([mhdw])", re.IGNORECASE)
_SIZE = re.compile(
    r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([kmgt]?)b?", re.IGNORECASE | re.ASCII
)
_COLUMNS = ", ".join(
    f"substr({name}, 1, {search.MAX_CHARS})" if name.endswith("put_data") else name
    for name in Row._fields
)
"""A row, with as much of its payloads as could be searched."""


class Retention(NamedTuple):
    """Say how many seconds events stay, and how many bytes they may take; None is all.

    Counted from their receipt. A trace that still grows stays as a whole.
    """

    keep_seconds: Optional[float] = None
    max_bytes: Optional[int] = None


def seconds_of(text: str) -> float:
    """Read `90m`, `12h`, `30d` or `4w`; raise ValueError that says so for others."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2].lower()] if found else 0.0
    if not seconds:
        message = f"{text!r} is no duration; give a number and m, h, d or w, as in 30d"
        raise ValueError(message)
    return seconds


def bytes_of(text: str) -> int:
    """Read `500MB` or `2GB`, in powers of ten; raise ValueError for others."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _BYTES[found[2].lower()]) if found else 0
    if size < MIN_BYTES:
        message = f"{text!r} is no size of 10.5 MB or more; give one as in 500MB, 2GB"
        raise ValueError(message)
    return size


def pruned(connection: sqlite3.Connection, policy: Retention, now: float) -> int:
    """Let go of some of what may not stay; return how many events it was.

    To be called until that is none; *now* is in seconds since 1970.
    """
    with transaction(connection):
        gone = _remove_some(connection, policy, now)
        if gone:
            search.tidy(connection)
    if gone:
        # A page a step, and only a script is stepped to its end.
        connection.executescript("PRAGMA incremental_vacuum")
    return gone


def _remove_some(connection: sqlite3.Connection, policy: Retention, now: float) -> int:
    gone = 0
    too_large = _is_too_large(connection, policy)
    while gone < STEP:
        row = connection.execute(
            f"SELECT id, {traces.TABLE.columns} FROM traces ORDER BY revision LIMIT 1"  # noqa: S608 - names
        ).fetchone()
        if row is None:
            return gone
        number, oldest = row[0], Trace(*row[1:])
        if not too_large and not _is_too_old(connection, oldest, policy, now):
            return gone
        gone += _remove(connection, number, oldest)
    return gone


def _is_too_large(connection: sqlite3.Connection, policy: Retention) -> bool:
    if policy.max_bytes is None:
        return False
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return bool((pages - free) * size > policy.max_bytes)


def _is_too_old(
    connection: sqlite3.Connection, oldest: Trace, policy: Retention, now: float
) -> bool:
    if policy.keep_seconds is None:
        return False
    row = connection.execute(
        "SELECT received_us FROM events WHERE seq = ?", (oldest.revision,)
    ).fetchone()
    # An event that is gone leaves a trace that is half removed.
    return row is None or row[0] < (now - policy.keep_seconds) * SECOND


def _remove(connection: sqlite3.Connection, number: int, trace: Trace) -> int:
    """Remove a trace, or of a large one what goes in one step."""
    events = _events(connection, trace)
    sums = Sums()
    talks: Dict[str, Trace] = {}
    rest = trace
    texts: List[Tuple[int, str]] = []
    for seq, row in events:
        metadata = metadata_of(row)
        one = traces.first_of(
            seq, row._replace(input_data=None, output_data=None), metadata
        )
        rest = _less(rest, one)
        if row.session_id is not None:
            talk = talks.get(row.session_id)
            talks[row.session_id] = one if talk is None else traces.grown(talk, one)
        sums.add(row, one.tokens)
        texts.append((seq, search.text_of(row, one.name, metadata)))
    search.remove(connection, texts)
    sums.write(connection, -1)
    connection.executemany(
        "DELETE FROM events WHERE seq = ?", [(seq,) for seq, _ in events]
    )
    for session_id, talk in talks.items():
        sessions.take_away(connection, session_id, talk)
    if len(events) < STEP:
        _remove_row(connection, number)
    else:
        traces.TABLE.update(connection, number, rest)
    return max(1, len(events))


def _less(trace: Trace, gone: Trace) -> Trace:
    return trace._replace(
        events=trace.events - gone.events,
        errors=trace.errors - gone.errors,
        cost_usd=traces.plus(trace.cost_usd, -(gone.cost_usd or 0)),
        tokens=traces.plus(trace.tokens, -(gone.tokens or 0)),
    )


def _remove_row(connection: sqlite3.Connection, number: int) -> None:
    """Remove what is left of a trace when its events are gone."""
    talks = connection.execute(
        "SELECT value FROM marks WHERE trace = ? AND kind = 'session_id'", (number,)
    ).fetchall()
    connection.execute("DELETE FROM marks WHERE trace = ?", (number,))
    connection.execute("DELETE FROM traces WHERE id = ?", (number,))
    for (session_id,) in talks:
        sessions.end_trace(connection, session_id)


def _events(connection: sqlite3.Connection, trace: Trace) -> List[Tuple[int, Row]]:
    where, value = traces.events_of(trace)
    found: Any = connection.execute(
        f"SELECT seq, {_COLUMNS} FROM events WHERE {where} LIMIT ?",  # noqa: S608
        (value, STEP),
    )
    return [(seq, Row(*values)) for seq, *values in found]
