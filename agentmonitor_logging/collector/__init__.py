"""A collector for one machine: HTTP in, one SQLite file, HTTP and a page out.

A separate program, which the rest of the package never imports; it needs the extra
`agentmonitor-logging[collector]`. A request's way through it:

    patience    a connection that does not wait for ever
    access      the host and the page it was sent from, the key it brings
    body        its bytes, bounded
    validation  JSON → rows, all or none      (times: ISO 8601)
    writer      rows → one transaction for many requests, and what may not stay goes
    indexing      with each: traces, sessions, sums, search    (details: at a glance)
    retention     between them: whole traces, by age and size
    store       the file: opened by one process (lock), up to date (migrations), read
      table       its rows and transactions

A question's:

    reading     the endpoints                 openapi: their description
    questions   what is asked → a way to go   (wanted: of events)
    walking     the way, newest first, never for long
    views       what is found                 sums: the overview
    following   what is new, as it comes
    answers     what everybody is told
    pages       the page itself, in page/     app: all routes; serve, address: socket
"""

from __future__ import annotations

from .app import create_app
from .exceptions import AddressError, CollectorError, DatabaseInUseError, StoreError
from .serve import RunningCollector, running_collector
from .store import EventStore

__all__ = [
    "AddressError",
    "CollectorError",
    "DatabaseInUseError",
    "EventStore",
    "RunningCollector",
    "StoreError",
    "create_app",
    "running_collector",
]
