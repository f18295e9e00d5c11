"""The table of sessions: what the traces of one conversation come to."""

from __future__ import annotations

import sqlite3
from typing import Any, Dict, Iterable, NamedTuple, Optional

from .table import Table
from .times import iso_8601
from .traces import Trace, plus


class Session(NamedTuple):
    """Hold what is known of one session."""

    session_id: str
    revision: int
    first_us: int
    last_us: int
    user_id: Optional[str]
    agent_id: str
    traces: int
    events: int
    errors: int
    cost_usd: Optional[float]
    tokens: Optional[int]


TABLE = Table("sessions", Session, key="session_id")


def session_of(session_id: str, trace: Trace, traces: int) -> Session:
    """Return the session to which *traces* new ones add what *trace* sums up."""
    return Session(
        session_id=session_id,
        revision=trace.revision,
        first_us=trace.first_us,
        last_us=trace.last_us,
        user_id=trace.user_id,
        agent_id=trace.agent_id,
        traces=traces,
        events=trace.events,
        errors=trace.errors,
        cost_usd=trace.cost_usd,
        tokens=trace.tokens,
    )


def grown(session: Session, other: Session) -> Session:
    """Return *session* with what *other*, which came later, adds."""
    return Session(
        session_id=session.session_id,
        revision=max(session.revision, other.revision),
        first_us=min(session.first_us, other.first_us),
        last_us=max(session.last_us, other.last_us),
        user_id=session.user_id or other.user_id,
        agent_id=session.agent_id,
        traces=session.traces + other.traces,
        events=session.events + other.events,
        errors=session.errors + other.errors,
        cost_usd=plus(session.cost_usd, other.cost_usd),
        tokens=plus(session.tokens, other.tokens),
    )


def store(connection: sqlite3.Connection, sessions: Iterable[Session]) -> None:
    """Write *sessions*, each grown by what is known of it."""
    for new in sessions:
        known = TABLE.find(connection, new.session_id)
        if known is None:
            TABLE.insert(connection, new)
        else:
            number, row = known
            TABLE.update(connection, number, grown(Session(*row), new))


def take_away(connection: sqlite3.Connection, session_id: str, gone: Trace) -> None:
    """Take back what events that are gone, summed up in *gone*, had added."""
    connection.execute(
        "UPDATE sessions SET events = events - ?, errors = errors - ?,"
        " cost_usd = cost_usd - ?, tokens = tokens - ? WHERE session_id = ?",
        (gone.events, gone.errors, gone.cost_usd or 0, gone.tokens or 0, session_id),
    )


def end_trace(connection: sqlite3.Connection, session_id: str) -> None:
    """Count one trace less; a session without any is gone."""
    connection.execute(
        "UPDATE sessions SET traces = traces - 1 WHERE session_id = ?", (session_id,)
    )
    connection.execute(
        "DELETE FROM sessions WHERE session_id = ? AND traces <= 0", (session_id,)
    )


def told(number: int, session: Session) -> Dict[str, Any]:
    """Return *session* as the API gives it."""
    return {
        "id": number,
        "session_id": session.session_id,
        "revision": session.revision,
        "user_id": session.user_id,
        "agent_id": session.agent_id,
        "started_at": iso_8601(session.first_us),
        "last_at": iso_8601(session.last_us),
        "traces": session.traces,
        "events": session.events,
        "errors": session.errors,
        "cost_usd": session.cost_usd,
        "tokens": session.tokens,
    }
