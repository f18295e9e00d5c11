"""python-logstash-async: a handler that sends lines over TCP from a thread of its own."""

from __future__ import annotations

import logging

from clients import Endpoint
from clients.by_hand import LoggingClient
from logstash_async.handler import AsynchronousLogstashHandler

NOTE = (
    "lines over TCP; looks into its queue every two seconds, which bounds what "
    "is delivered per second"
)
IMPORTS = "from logstash_async.handler import AsynchronousLogstashHandler"


class Client(LoggingClient):
    """Log to the handler, its queue in memory."""

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the package's handler."""
        handler: logging.Handler = AsynchronousLogstashHandler(
            "127.0.0.1", endpoint.lines_port, database_path=None
        )
        return handler

    def flush(self) -> None:
        """Ask for what waits to be sent; it is not waited for."""
        self.handler.flush()

    def shutdown(self) -> None:
        """Send the rest and end: the worker drains its queue when it is closed."""
        self.handler.close()
