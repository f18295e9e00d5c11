"""The schema, as the steps that lead to it.

Each step runs once per database, in order, in a transaction of its own with the note
that it ran. A step that was published is never edited: write the next one.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from typing import Callable, List, Set

from .exceptions import StoreError

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: List[Migration] = []

APPLICATION_ID = 0x61676D6E
"""Marks the file as ours ("agmn"), so that no other program's database is altered."""


def migration(step: Migration) -> Migration:
    """Append *step* to the list; its function name is its identity for ever."""
    MIGRATIONS.append(step)
    return step


def migrate(connection: sqlite3.Connection) -> List[str]:
    """Bring the database up to date and return the names of the steps that ran.

    Raises `StoreError` where the file is another program's, or a newer version's.
    """
    _claim(connection)
    applied = _applied(connection)
    unknown = applied.difference(step.__name__ for step in MIGRATIONS)
    if unknown:
        message = f"the database was made by a newer version ({min(unknown)})"
        raise StoreError(message)
    pending = [step for step in MIGRATIONS if step.__name__ not in applied]
    for step in pending:
        _apply(connection, step)
    return [step.__name__ for step in pending]


def _claim(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    if found == APPLICATION_ID:
        return
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found or tables:
        message = "the file is another program's database"
        raise StoreError(message)
    # Giving disk space back later (retention) needs this before the first table.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(
        "CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)"
        " WITHOUT ROWID"
    )
    connection.execute("COMMIT")


def _applied(connection: sqlite3.Connection) -> Set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM migrations")}


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        step(connection)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?)",
            (step.__name__, datetime.now(timezone.utc).isoformat()),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


@migration
def m001_events(connection: sqlite3.Connection) -> None:
    """Keep one row per event, in the order of receipt.

    *seq* is never used twice, also after deletions: cursors and live followers rely
    on it. What lists and charts need stands before the payloads, so that SQLite
    reads it without touching their overflow pages. Times are microseconds since 1970.
    """
    connection.execute(
        """
        CREATE TABLE events (
            seq             INTEGER PRIMARY KEY AUTOINCREMENT,
            received_us     INTEGER NOT NULL,
            timestamp_us    INTEGER NOT NULL,
            agent_id        TEXT NOT NULL,
            event_type      TEXT NOT NULL,
            status          TEXT NOT NULL CHECK (status IN ('success', 'error')),
            event_id        TEXT,
            trace_id        TEXT,
            span_id         TEXT,
            parent_span_id  TEXT,
            session_id      TEXT,
            user_id         TEXT,
            cost_usd        REAL,
            latency_ms      NUMERIC,
            error_message   TEXT,
            metadata        TEXT,
            input_data      TEXT,
            output_data     TEXT
        )
        """
    )
    connection.execute(
        "CREATE UNIQUE INDEX events_once ON events (agent_id, event_id)"
        " WHERE event_id IS NOT NULL"
    )
    for column in ("agent_id", "event_type", "status"):
        connection.execute(f"CREATE INDEX events_{column} ON events ({column})")
    connection.execute(
        "CREATE INDEX events_trace_id ON events (trace_id) WHERE trace_id IS NOT NULL"
    )
