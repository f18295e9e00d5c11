"""The schema, as the steps that lead to it.

Each step runs once per database, in order, in a transaction of its own with the note
that it ran. A step that was published is never edited: write the next one.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from typing import Callable, List, Set

from .exceptions import StoreError
from .table import transaction

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


def identity(connection: sqlite3.Connection) -> str:
    """Return what tells this database from any other: when it was made, to the µs."""
    (made_at,) = connection.execute("SELECT min(applied_at) FROM migrations").fetchone()
    return str(made_at)


def _applied(connection: sqlite3.Connection) -> Set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM migrations")}


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    with transaction(connection):
        step(connection)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?)",
            (step.__name__, datetime.now(timezone.utc).isoformat()),
        )


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


@migration
def m002_views(connection: sqlite3.Connection) -> None:
    """Keep what the page shows: traces, sessions, sums and an index of words.

    All of it is derived from the events, and `indexing` brings it up to date: *indexed*
    says how far it is.
    """
    connection.execute("CREATE TABLE indexed (seq INTEGER NOT NULL)")
    connection.execute("INSERT INTO indexed VALUES (0)")
    _m002_traces(connection)
    _m002_sessions_and_sums(connection)
    connection.execute(
        "CREATE VIRTUAL TABLE search USING fts5"
        " (text, content = '', detail = none, columnsize = 0)"
    )
    connection.execute("INSERT INTO search (search, rank) VALUES ('usermerge', 2)")


def _m002_traces(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE traces (
            id             INTEGER PRIMARY KEY AUTOINCREMENT,
            trace_id       TEXT UNIQUE,
            revision       INTEGER NOT NULL,
            first_us       INTEGER NOT NULL,
            last_us        INTEGER NOT NULL,
            events         INTEGER NOT NULL,
            errors         INTEGER NOT NULL,
            cost_usd       REAL,
            tokens         INTEGER,
            shown          INTEGER NOT NULL,
            shown_us       INTEGER NOT NULL,
            complete       INTEGER NOT NULL,
            latency_ms     NUMERIC,
            name           TEXT NOT NULL,
            agent_id       TEXT NOT NULL,
            event_type     TEXT NOT NULL,
            session_id     TEXT,
            user_id        TEXT,
            error_message  TEXT,
            input          TEXT,
            output         TEXT
        )
        """
    )
    connection.execute("CREATE INDEX traces_revision ON traces (revision)")
    connection.execute("CREATE INDEX traces_first ON traces (first_us)")
    connection.execute(
        "CREATE INDEX traces_lone ON traces (shown) WHERE trace_id IS NULL"
    )
    connection.execute(
        "CREATE TABLE marks (kind TEXT NOT NULL, value TEXT NOT NULL,"
        " trace INTEGER NOT NULL, PRIMARY KEY (kind, value, trace)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX marks_trace ON marks (trace)")


def _m002_sessions_and_sums(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE sessions (
            id          INTEGER PRIMARY KEY AUTOINCREMENT,
            session_id  TEXT NOT NULL UNIQUE,
            revision    INTEGER NOT NULL,
            first_us    INTEGER NOT NULL,
            last_us     INTEGER NOT NULL,
            user_id     TEXT,
            agent_id    TEXT NOT NULL,
            traces      INTEGER NOT NULL,
            events      INTEGER NOT NULL,
            errors      INTEGER NOT NULL,
            cost_usd    REAL,
            tokens      INTEGER
        )
        """
    )
    connection.execute(
        "CREATE TABLE sums (resolution INTEGER NOT NULL, start_us INTEGER NOT NULL,"
        " agent_id TEXT NOT NULL, event_type TEXT NOT NULL, events INTEGER NOT NULL,"
        " errors INTEGER NOT NULL, cost_usd REAL, tokens INTEGER, latencies TEXT,"
        " PRIMARY KEY (resolution, start_us, agent_id, event_type)) WITHOUT ROWID"
    )


@migration
def m003_turns(connection: sqlite3.Connection) -> None:
    """Find the traces of a session in the order in which they began.

    They may come in another one: out of a spool, or from several programs.
    """
    connection.execute("ALTER TABLE marks ADD COLUMN first_us INTEGER")
    connection.execute(
        "UPDATE marks SET first_us ="
        " (SELECT first_us FROM traces WHERE traces.id = marks.trace)"
        " WHERE kind = 'session_id'"
    )
    connection.execute(
        "CREATE INDEX marks_turns ON marks (value, first_us, trace)"
        " WHERE kind = 'session_id'"
    )
