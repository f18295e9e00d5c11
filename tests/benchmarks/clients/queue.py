"""The standard library's own way off the calling thread, with nothing at its end."""

from __future__ import annotations

import logging
import logging.handlers
from queue import SimpleQueue
from typing import Any

from clients import Endpoint
from clients.by_hand import LoggingClient

NOTE = "`QueueHandler`, `QueueListener`, `NullHandler`; sends nothing"
IMPORTS = "import logging.handlers, queue"


class Client(LoggingClient):
    """Log through QueueHandler and QueueListener to a NullHandler."""

    delivers = False

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the queue's handler, its listener running."""
        records: Any = SimpleQueue()
        self.listener = logging.handlers.QueueListener(records, logging.NullHandler())
        self.listener.start()
        return logging.handlers.QueueHandler(records)

    def shutdown(self) -> None:
        """Let the listener handle what is in the queue."""
        self.listener.stop()
