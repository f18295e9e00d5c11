"""Logfire: its decorator, its logging handler, its own exporter sent to the sink."""

from __future__ import annotations

import logging
import os
from typing import Any, Callable

from clients import Endpoint
from clients.by_hand import LoggingClient

# Built on OpenTelemetry, whose queue of 2,048 would lose most of a burst.
os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "100000"

import logfire

NOTE = (
    "`@instrument`, gzip; W3 by its `LogfireLoggingHandler`; its queue at "
    "100,000; a span that is open when a batch goes is told of in both batches, "
    "which counts as a duplicate"
)
IMPORTS = "import logfire"


class Client(LoggingClient):
    """Decorate with instrument, log to LogfireLoggingHandler."""

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the package's handler."""
        logfire.configure(
            token="bench",
            send_to_logfire=True,
            console=False,
            service_name="bench",
            advanced=logfire.AdvancedOptions(base_url=endpoint.url),
        )
        return logfire.LogfireLoggingHandler()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate, with input and output; coroutine functions alike."""
        decorate: Any = logfire.instrument(record_return=True)
        decorated: Callable[..., Any] = decorate(function)
        return decorated

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate."""
        return self.wrap(function)

    def flush(self) -> None:
        """Export what waits."""
        logfire.force_flush(60_000)

    def shutdown(self) -> None:
        """Export the rest and end."""
        logfire.force_flush(60_000)
        logfire.shutdown(60_000)
