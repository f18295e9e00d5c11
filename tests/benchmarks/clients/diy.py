"""What is written in an afternoon: a queue, a thread, `requests`, forty lines.

Sends a hundred at a time or what there is after five seconds. No snapshot, no
redaction, no ids, no retries, no bound, no fork, no counting of what was lost.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import threading
import time
from typing import Any, Dict, List

import requests
from clients import Endpoint
from clients.by_hand import LoggingClient

NOTE = (
    "`QueueHandler` and forty lines around `requests`; nothing is retried, "
    "redacted or copied"
)
IMPORTS = "import logging.handlers, queue, json, requests"

BATCH, INTERVAL = 100, 5.0
STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)


class Shipper(threading.Thread):
    """Post the records of a queue."""

    def __init__(self, records: Any, url: str) -> None:
        super().__init__(daemon=True)
        self.records, self.url = records, url
        self.session = requests.Session()

    def run(self) -> None:
        """Collect and send, until told by None to stop; an Event asks to be set."""
        batch: List[Dict[str, Any]] = []
        due = time.monotonic() + INTERVAL
        record: Any = ...
        while record is not None:
            try:
                record = self.records.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                record = ...
            if isinstance(record, logging.LogRecord):
                batch.append(self.event(record))
                if len(batch) < BATCH and time.monotonic() < due:
                    continue
            if batch:
                self.post(batch)
            batch, due = [], time.monotonic() + INTERVAL
            if isinstance(record, threading.Event):
                record.set()

    def event(self, record: logging.LogRecord) -> Dict[str, Any]:
        """Return what of the record is sent."""
        extra = {k: v for k, v in vars(record).items() if k not in STANDARD}
        return {
            "timestamp": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **extra,
        }

    def post(self, batch: List[Dict[str, Any]]) -> None:
        """Send one request; what fails is gone."""
        try:
            self.session.post(
                self.url,
                data=json.dumps({"events": batch}, default=str),
                headers={"Content-Type": "application/json"},
                timeout=30,
            ).raise_for_status()
        except requests.RequestException:
            logging.getLogger("shipper").debug("lost %d", len(batch))


class Client(LoggingClient):
    """Log through QueueHandler to the Shipper."""

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the queue's handler, the thread running."""
        self.records: Any = queue.SimpleQueue()
        self.shipper = Shipper(self.records, f"{endpoint.url}/events/batch")
        self.shipper.start()
        return logging.handlers.QueueHandler(self.records)

    def flush(self) -> None:
        """Have everything sent that was logged before."""
        done = threading.Event()
        self.records.put(done)
        done.wait(60)

    def shutdown(self) -> None:
        """Send the rest."""
        self.records.put(None)
        self.shipper.join(60)
