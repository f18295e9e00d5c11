"""One thread that owns the one connection which writes.

Requests that arrive while a transaction is being made durable share the next one, so
the price of an fsync is paid per group and not per request.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from agentmonitor_logging._diagnostics import describe, report

from .exceptions import StoreClosedError
from .indexing import Numbered, index
from .retention import STEP, Pruner, Retention
from .table import transaction
from .validation import Row

MAX_GROUP_ROWS = 5_000
"""Rows in one transaction: enough to make fsync cheap, and few enough that the first
request of a group waits well under a second for the last."""

PRUNE_INTERVAL = 30.0
"""Seconds after which it is looked up whether something may not stay any longer."""

SOON = 0.05
"""The same where it is known: a pause in which others are served."""

NO_RETENTION = Retention()

_INSERT = (
    f"INSERT INTO events (received_us, {', '.join(Row._fields)})"  # noqa: S608 - names
    f" VALUES ({', '.join('?' * (1 + len(Row._fields)))})"
    " ON CONFLICT (agent_id, event_id) WHERE event_id IS NOT NULL DO NOTHING"
)


class Stored(NamedTuple):
    """Count what became of some rows: newly stored, and known already."""

    accepted: int
    duplicates: int


_Request = Tuple[Sequence[Row], "Future[Stored]"]


class Writer:
    """Store rows in the order in which they come, and say when they are durable.

    The writer owns *connection* from now on and closes it at the end. Between two
    groups it lets go of what *retention* does not allow to stay.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        retention: Retention = NO_RETENTION,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._pruner = Pruner(connection, retention)
        self._prune_in = None if retention == NO_RETENTION else SOON
        self._clock = clock
        self._requests: queue.Queue[Optional[_Request]] = queue.Queue()
        self._lock = threading.Lock()
        self._closed = False
        self._told: List[Callable[[], None]] = []
        self._thread = threading.Thread(
            target=self._run, name="agentmonitor-collector-writer", daemon=True
        )
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Say whether rows can be taken."""
        return not self._closed and self._thread.is_alive()

    def when_stored(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have *tell* called after each commit; return what ends that."""
        self._told.append(tell)
        return lambda: self._told.remove(tell)

    def append(self, rows: Sequence[Row]) -> Future[Stored]:
        """Return at once; the future is done when *rows* are committed.

        Raises `StoreClosedError`. The future fails with `sqlite3.Error` where the disk
        is full or broken, and then nothing of *rows* is stored.
        """
        future: Future[Stored] = Future()
        with self._lock:
            if self._closed:
                message = "the store is closed"
                raise StoreClosedError(message)
            self._requests.put((rows, future))
        return future

    def close(self) -> None:
        """Commit what was taken, then end the thread; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            self._store(group)
            if self._prune_in is not None:
                self._prune(sum(len(rows) for rows, _ in group))
        self._connection.close()

    def _prune(self, added: int) -> None:
        """Let go of twice as much as was *added*, so that it ends at some time."""
        try:
            left = max(2 * added, STEP)
            done = 1
            while done and left > 0:
                done = self._pruner.step(self._clock())
                left -= done
            self._prune_in = SOON if done else PRUNE_INTERVAL
        except Exception as error:  # a full disk; the thread must outlive any of them
            self._prune_in = PRUNE_INTERVAL
            problem = f"the collector cannot let go of old events: {describe(error)}"
            report("collector:retention", problem)

    def _next_group(self) -> Tuple[List[_Request], bool]:
        group: List[_Request] = []
        rows = 0
        try:
            request = self._requests.get(timeout=self._prune_in)
        except queue.Empty:
            return group, True
        while request is not None:
            if request[1].set_running_or_notify_cancel():
                group.append(request)
                rows += len(request[0])
            if rows >= MAX_GROUP_ROWS:
                return group, True
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _store(self, group: List[_Request]) -> None:
        try:
            results = self._commit([rows for rows, _ in group])
        except Exception as error:  # the thread must outlive any of them
            self._store_apart(group, error)
        else:
            for (_, future), stored in zip(group, results):
                future.set_result(stored)

    def _store_apart(self, group: List[_Request], error: Exception) -> None:
        # One request that cannot be stored must not fail its neighbours.
        if len(group) == 1:
            group[0][1].set_exception(error)
            return
        for request in group:
            self._store([request])

    def _commit(self, requests: Sequence[Sequence[Row]]) -> List[Stored]:
        if not requests:
            return []
        new: List[Numbered] = []
        with transaction(self._connection):
            results = [self._insert(rows, new) for rows in requests]
            index(self._connection, new)
        if new:
            self._tell()
        return results

    def _tell(self) -> None:
        try:
            for tell in tuple(self._told):
                tell()
        except Exception as error:  # what is committed is committed
            report("collector:stream", f"some are not told of news: {describe(error)}")

    def _insert(self, rows: Sequence[Row], new: List[Numbered]) -> Stored:
        """Store *rows*, and add those that were not known to *new*."""
        received_us = int(self._clock() * 1_000_000)
        before = len(new)
        for row in rows:
            cursor = self._connection.execute(_INSERT, (received_us, *row))
            if cursor.rowcount > 0:
                new.append((int(cursor.lastrowid or 0), row))
        accepted = len(new) - before
        return Stored(accepted, len(rows) - accepted)
