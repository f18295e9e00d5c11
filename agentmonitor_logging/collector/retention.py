"""How long events stay, and how much room they may take.

A trace goes as a whole, the one that has been quiet longest first; only a very large
one goes in several steps. What is derived from its events is taken back with them, and
the disk gets what they took. It is done in small steps between two commits, by the
writer, so that nobody waits for it.
"""

from __future__ import annotations

import math
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

_MERGE_COST = 100
"""How much of the writer's time a merge is worth, in events removed."""

_MAX_DEAD = 1 / 16
"""How much of a database that is full may be words of events that are gone. To have
less of them, all of the index would have to be merged more often."""

_MAX_GROWTH = 1 / 8
"""By how much a database may grow while its index is merged: where events come faster
than that goes, others have to go."""

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


class Pruner:
    """Let go of what *policy* does not allow to stay, on the writer's *connection*.

    What is removed stays in the index of words, twice even, until that is merged. So
    where room is wanted, the index is merged before any further event goes.
    """

    def __init__(self, connection: sqlite3.Connection, policy: Retention) -> None:
        self._connection = connection
        self._policy = policy
        self._dead = math.inf
        """Characters removed since the index was merged: at the start nobody knows."""
        self._merging = False
        self._most = math.inf
        """Bytes above which the end of a merge is not waited for."""

    def step(self, now: float) -> int:
        """Do some of it; return how much that was, in events.

        To be called until that is none; *now* is in seconds since 1970.
        """
        if self._is_above(self._used()) and self._merged():
            done = _MERGE_COST
        else:
            done = self._remove_some(now)
        # Whoever adds to an index merges some of it too, and leaves pages free.
        if done or self._is_above(self._bytes("page_count")):
            # A page a step, and only a script is stepped to its end.
            self._connection.executescript("PRAGMA incremental_vacuum")
        return done

    def _merged(self) -> bool:
        """Merge some of the index if much of it is dead; return whether it was."""
        used = self._used()
        if used > self._most if self._merging else self._dead < used * _MAX_DEAD:
            return False
        with transaction(self._connection):
            merged = search.tidy(self._connection, anew=not self._merging)
        if not self._merging:
            self._dead, self._most = 0, used * (1 + _MAX_GROWTH)
        self._merging = merged
        return merged

    def _remove_some(self, now: float) -> int:
        gone = 0
        with transaction(self._connection):
            while gone < STEP:
                number, oldest = self._oldest(now)
                if oldest is None:
                    break
                events, characters = _remove(self._connection, number, oldest)
                gone += events
                self._dead += characters
            if gone:
                search.tidy(self._connection)
        return gone

    def _oldest(self, now: float) -> Tuple[int, Optional[Trace]]:
        """Return the trace that is to go next, and its number."""
        row = self._connection.execute(
            f"SELECT id, {traces.TABLE.columns} FROM traces ORDER BY revision LIMIT 1"  # noqa: S608 - names
        ).fetchone()
        if row is None:
            return 0, None
        oldest = Trace(*row[1:])
        may_go = self._is_above(self._used()) or _is_too_old(
            self._connection, oldest, self._policy, now
        )
        return row[0], oldest if may_go else None

    def _is_above(self, size: float) -> bool:
        return self._policy.max_bytes is not None and size > self._policy.max_bytes

    def _used(self) -> int:
        return self._bytes("page_count") - self._bytes("freelist_count")

    def _bytes(self, pages: str) -> int:
        (count,) = self._connection.execute(f"PRAGMA {pages}").fetchone()
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return int(count * size)


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


def _remove(
    connection: sqlite3.Connection, number: int, trace: Trace
) -> Tuple[int, int]:
    """Remove a trace, or of a large one what goes in one step.

    Returns how many events it was, and how many characters of the index are now dead.
    """
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
    return max(1, len(events)), sum(len(text) for _, text in texts)


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
