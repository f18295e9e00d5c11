"""The events of one SQLite file: appended by one writer, read by anybody.

What the writer has acknowledged is committed with `synchronous=FULL`: it survives
`kill -9`, and a power cut where the disk keeps its word. Readers have connections of
their own and are never blocked by the writer, nor it by them (WAL).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from .exceptions import StoreClosedError, StoreError
from .indexing import catch_up
from .lock import DatabaseLock
from .migrations import migrate
from .retention import Retention
from .validation import Row
from .writer import NO_RETENTION, Stored, Writer

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

FILTERS = ("agent_id", "event_type", "status", "trace_id")
"""The columns by which events can be asked for."""

MAX_PAGE_BYTES = 16 * 1024 * 1024
"""A page of large events ends early here (with a cursor to go on), so that a thousand
events of 256 KiB do not become one answer."""

MAX_READ = 5.0
"""Seconds after which a question is broken off; each is made to take a fraction of one,
but a hostile database may know one that does not."""

T = TypeVar("T")

_CACHE_KIB = 32_768
_PAGES_PER_CHECKPOINT = 4_000
_STEPS_BETWEEN_LOOKS = 50_000
_COLUMNS = ("seq", "received_us", *Row._fields)
_MAX_IDLE_READERS = 8
_BUSY_TIMEOUT = 5.0

PathLike = Union[str, "os.PathLike[str]"]


class StoredEvent(NamedTuple):
    """Hold one event as it lies in the database, with its place in the sequence."""

    seq: int
    received_us: int
    row: Row

    @property
    def size(self) -> int:
        """Tell about how many characters the event has."""
        return sum(len(value) for value in self.row if isinstance(value, str))


class Page(NamedTuple):
    """Hold events, newest first, and the *before* of the next page or None."""

    events: List[StoredEvent]
    next_before: Optional[int]


class EventStore:
    """Open the database at *path*, made and migrated where needed.

    Raises `StoreError` that says why it cannot be opened; `DatabaseInUseError` is one.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        retention: Retention = NO_RETENTION,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.realpath(os.fspath(path))
        self._idle: List[sqlite3.Connection] = []
        self._readers = threading.Lock()
        self._closed = False
        try:
            self._lock = DatabaseLock(self.path)
        except OSError as error:
            message = f"cannot open {self.path}: {error.strerror or error}"
            raise StoreError(message) from error
        try:
            self._writer = Writer(_open(self.path), retention=retention, clock=clock)
        except BaseException:
            self._lock.close()
            raise

    @property
    def alive(self) -> bool:
        """Say whether events can be appended."""
        return self._writer.alive

    def when_stored(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have *tell* called, on the writer's thread, when there is something new.

        Returns what ends that. *tell* must not wait for anything, nor fail.
        """
        return self._writer.when_stored(tell)

    def append(self, rows: Sequence[Row]) -> Future[Stored]:
        """Return at once; the future is done when *rows* are durable.

        A row whose event_id its agent has sent before is counted, not stored again.
        """
        return self._writer.append(rows)

    def page(
        self,
        filters: Optional[Mapping[str, str]] = None,
        *,
        limit: int = 100,
        before: Optional[int] = None,
    ) -> Page:
        """Read up to *limit* events received before the sequence number *before*.

        *filters* maps names of `FILTERS` to the value wanted. What arrives between
        two pages is newer than both and so changes neither.
        """
        query, values = _page_query(filters or {}, before)
        return self.read(_page, query, [*values, limit + 1], limit)

    def read(self, question: Callable[..., T], *given: Any) -> T:
        """Return what *question* finds, called with a connection and *given*.

        Raises `sqlite3.OperationalError` where that takes longer than `MAX_READ`.
        """
        with self._reader() as connection:
            deadline = time.monotonic() + MAX_READ
            connection.set_progress_handler(
                lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS
            )
            try:
                connection.execute("BEGIN")  # all that is read is of one moment
                return question(connection, *given)
            finally:
                connection.set_progress_handler(None, 0)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def count(self) -> int:
        """Count the events; reads the whole index."""
        with self._reader() as connection:
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        return int(count)

    def close(self) -> None:
        """Commit what was appended and let the file go; a second call does nothing."""
        with self._readers:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writer.close()
        self._lock.close()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._readers:
            if self._closed:
                message = "the store is closed"
                raise StoreClosedError(message)
            connection = self._idle.pop() if self._idle else None
        connection = connection or _connect(self.path, read_only=True)
        try:
            yield connection
        finally:
            with self._readers:
                keep = not self._closed and len(self._idle) < _MAX_IDLE_READERS
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventStore {self.path!r} {'open' if self.alive else 'closed'}>"


def _open(path: str) -> sqlite3.Connection:
    try:
        # Prompts are private: SQLite gives its -wal and -shm files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        message = f"cannot open {path}: {error}"
        raise StoreError(message) from error
    try:
        migrate(connection)
        catch_up(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # Every event touches a dozen indexes: pages that are kept, and written back
        # less often, are a fifth of what it costs.
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_PER_CHECKPOINT}")
    except Exception as error:  # whatever there is in the file
        connection.close()
        message = f"cannot use {path}: {error}"
        raise StoreError(message) from error
    return connection


def _connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    # The pool hands a connection from thread to thread, but to one at a time.
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _page_query(
    filters: Mapping[str, str], before: Optional[int]
) -> Tuple[str, List[Any]]:
    conditions = [f"{name} = ?" for name in FILTERS if name in filters]
    values: List[Any] = [filters[name] for name in FILTERS if name in filters]
    if before is not None:
        conditions.append("seq < ?")
        values.append(before)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    query = f"SELECT {', '.join(_COLUMNS)} FROM events {where}"  # noqa: S608 - names
    return query + "ORDER BY seq DESC LIMIT ?", values


def _page(
    connection: sqlite3.Connection, query: str, values: Sequence[Any], limit: int
) -> Page:
    events: List[StoredEvent] = []
    size = 0
    with contextlib.closing(connection.execute(query, values)) as found:
        for seq, received_us, *columns in found:
            if len(events) == limit or size > MAX_PAGE_BYTES:
                return Page(events, events[-1].seq)
            events.append(StoredEvent(seq, received_us, Row(*columns)))
            size += events[-1].size
    return Page(events, None)
