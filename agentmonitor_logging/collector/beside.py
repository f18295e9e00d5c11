"""Which calls of a cut trace are drawn beside its first ones.

Those that failed, as they are what one looks for; and those that the drawn ones were
called by, as a call is told of when it ends: after all that it called.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Set

from .traces import Trace, events_of

MAX_FAILED = MAX_CALLERS = 500
"""Calls of either kind: together half as many as there are first ones."""

MAX_READ = 50_000
"""Events looked through for them, which takes a tenth of a second."""


class _Call(NamedTuple):
    seq: int
    span_id: Optional[str]
    parent_span_id: Optional[str]
    status: str


def beside(
    connection: sqlite3.Connection, trace: Trace, spans: List[Dict[str, Any]]
) -> List[int]:
    """Return the numbers of the events to be drawn beside *spans*, which come first."""
    rest = _rest(connection, trace, max((one["id"] for one in spans), default=0))
    failed = [call for call in rest if call.status == "error"][:MAX_FAILED]
    drawn = {one["span_id"] for one in spans} | {call.span_id for call in failed}
    wanted = deque(one["parent_span_id"] for one in spans)
    wanted.extend(call.parent_span_id for call in failed)
    return [call.seq for call in (*failed, *_callers(rest, drawn, wanted))]


def _rest(connection: sqlite3.Connection, trace: Trace, after: int) -> List[_Call]:
    where, value = events_of(trace)
    found = connection.execute(
        f"SELECT {', '.join(_Call._fields)} FROM events"  # noqa: S608 - names
        f" WHERE {where} AND seq > ? ORDER BY seq LIMIT ?",
        (value, after, MAX_READ),
    )
    return [_Call(*row) for row in found]


def _callers(rest: List[_Call], drawn: Set[Any], wanted: Deque[Any]) -> List[_Call]:
    """Return those of *rest* that are *wanted*, and their callers, nearest first."""
    by_id = {call.span_id: call for call in reversed(rest)}
    by_id.pop(None, None)
    found: List[_Call] = []
    while wanted and len(found) < MAX_CALLERS:
        span_id = wanted.popleft()
        if span_id in drawn or span_id not in by_id:
            continue
        drawn.add(span_id)
        found.append(by_id[span_id])
        wanted.append(found[-1].parent_span_id)
    return found
