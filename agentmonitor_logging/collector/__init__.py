"""A collector for one machine: HTTP in, one SQLite file, HTTP out.

A separate program, which the rest of the package never imports; it needs the extra
`agentmonitor-logging[collector]`. A request's way through it:

    patience    a connection that does not wait for ever
    access      the host it was sent to, the key it brings
    body        its bytes, bounded
    validation  JSON → rows, all or none      (times: ISO 8601)
    writer      rows → one transaction for many requests
    store       the file: opened by one process (lock), up to date (migrations), read
    wanted      what a reader asks for
    answers     what everybody is told
    app         the routes                    serve, address: the socket and the thread
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
